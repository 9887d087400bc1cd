use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::Lab;
use crate::clock::Stamp;
use crate::cloud::Cloud;
use crate::ground::{Ground, PodNet, Surroundings};
use crate::journal::Journal;
use crate::node::Node;

impl Deref for Lab {
    type Target = Surroundings;

    fn deref(&self) -> &Surroundings {
        &self.around
    }
}

impl DerefMut for Lab {
    fn deref_mut(&mut self) -> &mut Surroundings {
        &mut self.around
    }
}

impl Ground for Lab {
    const LOST: &'static str = "The controller is stopped and the store is unreachable for all";
    const FOUND: &'static str = "The store is back, and so is the controller";

    fn around(&self) -> &Surroundings {
        &self.around
    }

    fn around_mut(&mut self) -> &mut Surroundings {
        &mut self.around
    }

    fn pod_net(&self, name: &str) -> Result<PodNet> {
        self.pod(name).map(PodNet::from)
    }

    fn names(&self) -> Vec<String> {
        self.node_names()
    }

    fn mac_of(&self, name: &str) -> Option<[u8; 6]> {
        self.node(name).map(Node::mac).ok()
    }

    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn keep(&self) -> Option<PathBuf> {
        let keep = PathBuf::from(std::env::var_os("EGRET_LAB_KEEP")?);
        let copied = Command::new("cp").arg("-r").arg(self.dir()).arg(&keep).status();
        copied.ok()?.success().then_some(keep)
    }

    /// What the kernel of every node has dropped, by name.
    fn diagnose(&self) -> Vec<String> {
        let Ok(egret) = self.egret() else { return Vec::new() };
        let mut found = Vec::new();
        for node in self.nodes().iter().filter(|node| node.is_on()) {
            let said = node.output(&format!("'{}' explain --live", egret.display()));
            let text = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            let text = text.unwrap_or_default();
            found.extend(text.lines().take(20).map(|line| format!("{} {line}", node.name)));
        }
        found
    }

    fn cloud(&self) -> Result<&Cloud> {
        self.cloud()
    }

    fn cut_power(&mut self, name: &str) -> Result<Stamp> {
        self.power_off(name)
    }

    /// Without the pods that ran on it.
    fn boot_again(&mut self, name: &str) -> Result<()> {
        self.boot(name, &[])
    }

    fn tell(&self, arguments: &[&str]) -> Result<String> {
        self.ask(arguments)
    }

    fn lose_store(&mut self) -> Result<Stamp> {
        self.stop_controller(true)?;
        self.cut_store_everywhere()
    }

    fn find_store(&mut self) -> Result<()> {
        self.join_store_everywhere();
        self.start_controller()
    }

    fn objects(&self, kind: &str) -> Result<Vec<serde_json::Value>> {
        let mut found = Vec::new();
        collect(&self.store().join("egret.dev"), kind, &mut found);
        Ok(found)
    }
}

fn collect(dir: &Path, kind: &str, found: &mut Vec<serde_json::Value>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, kind, found);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let value: Result<serde_json::Value, _> = serde_saphyr::from_str(&text);
            found.extend(value.ok().filter(|value| value["kind"] == kind));
        }
    }
}
