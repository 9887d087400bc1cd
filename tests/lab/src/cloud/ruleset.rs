use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The rule set of a router's namespace: written in transactions, and asked what it has counted.
#[derive(Clone, Debug)]
pub(super) struct RuleSet {
    /// The file that names the namespace.
    pub net: String,
}

impl RuleSet {
    /// Puts a script in force, all of it or nothing; once more where nft ended without a word.
    pub(super) fn apply(&self, script: &str) -> Result<()> {
        let output = self.run(script)?;
        let output = if output.stderr.is_empty() && !output.status.success() {
            self.run(script)?
        } else {
            output
        };
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "nft: {}: {said}{script}", output.status);
        Ok(())
    }

    fn run(&self, script: &str) -> Result<Output> {
        let mut command = self.nft();
        let mut child =
            command.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("a pipe")?.write_all(script.as_bytes())?;
        Ok(child.wait_with_output()?)
    }

    /// What was counted in a set: packets by hardware address and source.
    pub(super) fn counted(&self, set: &str) -> Result<BTreeMap<(String, Ipv4Addr), u64>> {
        let listed = self.list(&format!("set ip vpc {set}"))?;
        let sets = listed["nftables"].as_array().into_iter().flatten();
        let elements = sets.flat_map(|entry| entry["set"]["elem"].as_array().into_iter().flatten());
        let read = |entry: &Value| {
            let parts = &entry["elem"]["val"]["concat"];
            let source = parts[1].as_str()?.parse().ok()?;
            let count = entry["elem"]["counter"]["packets"].as_u64()?;
            Some(((parts[0].as_str()?.to_owned(), source), count))
        };
        Ok(elements.filter_map(read).collect())
    }

    /// The packets of a named counter, such as `ip vpc unassociated`.
    pub(super) fn counter(&self, name: &str) -> Result<u64> {
        let listed = self.list(&format!("counter {name}"))?;
        let mut counters = listed["nftables"].as_array().into_iter().flatten();
        counters.find_map(|entry| entry["counter"]["packets"].as_u64()).context(name.to_owned())
    }

    fn list(&self, what: &str) -> Result<Value> {
        let mut command = self.nft();
        let output = command.args(["-j", "list"]).args(what.split(' ')).output()?;
        ensure!(output.status.success(), "nft list {what}: {:?}", output);
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn nft(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.net)).args(["--", "nft"]).stdin(Stdio::null());
        command
    }
}

/// Lines that make a set or map have these elements and no other.
pub(super) fn fill(what: &str, elements: &[String]) -> String {
    let mut text = format!("flush {what}\n");
    let name = what.split_once(' ').map_or(what, |(_, name)| name);
    if !elements.is_empty() {
        text += &format!("add element {name} {{ {} }}\n", elements.join(", "));
    }
    text
}
