//! A laboratory to look around in.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use egret_lab::say;

use super::{demo, topology};

/// Builds it, says how to get in, and waits for Ctrl-C.
pub(crate) fn run(examples: &Path) -> Result<()> {
    let mut lab =
        say::step("three gateways, two directors, a router, the outside", || topology().build())?;
    say::step("a store, a controller, five agents", || lab.start_egret())?;
    demo::apply(&lab, examples)?;
    say::head("Look around:");
    for node in lab.nodes() {
        let pid = node.agent().map_or(0, egret_lab::Daemon::pid);
        say::line(&format!("{:<12} nsenter --net --mount --target {pid}", node.name));
        for pod in node.pods() {
            say::line(&format!("{:<12} nsenter --net={}", pod.name(), pod.net.path()));
        }
    }
    let out = lab.out.path();
    say::line(&format!("{:<12} nsenter --net={out}", "outside"));
    say::line(&format!("{:<12} {}", "store", lab.store().display()));
    say::line(&format!("{:<12} {}/logs", "logs", lab.dir().display()));
    say::line("Ctrl-C removes it");
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
