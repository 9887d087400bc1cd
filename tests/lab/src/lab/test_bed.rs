use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::Lab;
use crate::checks::PATIENCE;
use crate::clock::WallTime;
use crate::cloud::LabCloud;
use crate::journal::LabJournal;
use crate::machine::STORE;
use crate::network::LabNetwork;
use crate::node::LabNode;
use crate::process::Daemon;
use crate::test_bed::{PodNet, TestBed};

impl Deref for Lab {
    type Target = LabNetwork;

    fn deref(&self) -> &LabNetwork {
        &self.network
    }
}

impl DerefMut for Lab {
    fn deref_mut(&mut self) -> &mut LabNetwork {
        &mut self.network
    }
}

impl TestBed for Lab {
    const STOPPED: &'static str = "The controller is stopped and the store is unreachable for all";
    const STARTED: &'static str = "The store is back, and so is the controller";
    const BOOT_LIMIT: Duration = Duration::from_secs(40);

    fn network(&self) -> &LabNetwork {
        &self.network
    }

    fn network_mut(&mut self) -> &mut LabNetwork {
        &mut self.network
    }

    fn pod_net(&self, name: &str) -> Result<PodNet> {
        self.pod(name).map(PodNet::from)
    }

    fn names(&self) -> Vec<String> {
        self.node_names()
    }

    fn mac_of(&self, name: &str) -> Option<[u8; 6]> {
        self.node(name).map(LabNode::mac).ok()
    }

    fn fabric_fences(&self, address: IpAddr) -> bool {
        self.vpc.as_ref().is_some_and(|vpc| vpc.fences(address))
    }

    fn journal(&self) -> &LabJournal {
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

    fn cloud(&self) -> Result<&LabCloud> {
        self.cloud()
    }

    fn delivered_to(&self, address: IpAddr) -> Option<String> {
        match &self.vpc {
            Some(vpc) => vpc.delivered_to(address),
            None => self.cloud.as_ref()?.attached_to(address),
        }
    }

    fn power_off(&mut self, node: &str) -> Result<WallTime> {
        let port = self.node(node)?.port();
        self.node(node)?.machine()?;
        let at = WallTime::now();
        self.lan.run(&format!("ip link set {port} down"));
        let node = self.node_mut(node)?;
        if let Some(machine) = &node.machine {
            machine.net.kill_all();
        }
        node.agent = None;
        node.pods.clear();
        node.machine = None;
        // With the namespace the kernel removes the cable too, but on a worker of its own, later.
        let _ = self.lan.output(&format!("ip link del {port}"));
        Ok(at)
    }

    /// Without the pods that ran on it.
    fn boot(&mut self, node: &str) -> Result<()> {
        self.boot_network(node)?;
        self.start_agent(node)
    }

    fn kill_agent(&mut self, node: &str) -> Result<WallTime> {
        let agent = self.node_mut(node)?.agent.take().context("the agent does not run")?;
        let at = WallTime::now();
        drop(agent);
        Ok(at)
    }

    fn start_agent(&mut self, node: &str) -> Result<()> {
        let egret = self.egret()?;
        self.start_agent_of(node, &egret)
    }

    fn await_agent(&self, node: &str, since: WallTime) -> Result<()> {
        self.journal.wait("agent_started", since, PATIENCE, |entry| entry.from == node).map(drop)
    }

    fn freeze_agent(&self, node: &str) -> Result<WallTime> {
        self.agent(node)?.signal(Signal::SIGSTOP)?;
        Ok(WallTime::now())
    }

    fn thaw_agent(&self, node: &str) -> Result<WallTime> {
        let at = WallTime::now();
        self.agent(node)?.signal(Signal::SIGCONT)?;
        Ok(at)
    }

    fn apply_claim(&self, name: &str, manifest: &str) -> Result<()> {
        self.write_manifest(&format!("{name}.yaml"), manifest)
    }

    fn delete_claim(&self, name: &str) -> Result<()> {
        self.remove_manifest(&format!("{name}.yaml"))
    }

    /// Hides it from every node that is on, and from the controller, under an empty mount.
    fn cut_store(&mut self) -> Result<WallTime> {
        self.machines().try_for_each(|machine| machine.cover_store(true))?;
        Ok(WallTime::now())
    }

    /// A node that booted meanwhile sees it already.
    fn restore_store(&mut self) -> Result<()> {
        for machine in self.machines() {
            let _ = machine.cover_store(false);
        }
        Ok(())
    }

    fn cut_from_store(&self, node: &str) -> Result<WallTime> {
        self.node(node)?.machine()?.cover_store(true)?;
        Ok(WallTime::now())
    }

    fn cut_from_nodes(&self, node: &str) -> Result<WallTime> {
        let port = self.node(node)?.port();
        let at = WallTime::now();
        self.lan.nft(&format!(
            "table bridge lab-{node} {{ chain cut {{ type filter hook forward priority 0;
  iifname \"{port}\" oifname \"p-*\" drop
  iifname \"p-*\" oifname \"{port}\" drop
}}
}}\n"
        ));
        Ok(at)
    }

    fn reconnect(&self, node: &str) -> Result<()> {
        self.heal(node)?;
        self.node(node)?.machine()?.cover_store(false)
    }

    fn stop_control_plane(&mut self) -> Result<()> {
        self.stop_controller(true)?;
        self.cut_store().map(drop)
    }

    fn start_control_plane(&mut self) -> Result<()> {
        self.restore_store()?;
        self.start_controller()
    }

    /// On the controller's machine.
    fn run_egret(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.control.command(self.egret()?);
        command.args(arguments).args(["--manifests", STORE]).stdin(Stdio::null());
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("egret {}: {}{said}{text}", arguments.join(" "), output.status);
        }
        Ok(text)
    }

    fn objects(&self, kind: &str) -> Result<Vec<serde_json::Value>> {
        let mut found = Vec::new();
        collect(&self.store().join("egret.dev"), kind, &mut found);
        Ok(found)
    }
}

impl Lab {
    fn agent(&self, node: &str) -> Result<&Daemon> {
        self.node(node)?.agent.as_ref().context("the agent does not run")
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
