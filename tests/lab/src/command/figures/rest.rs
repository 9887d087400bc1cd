use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use egret_lab::oracle::Datagrams;
use egret_lab::{PodSpec, Stage, Stamp};

use crate::command::say;

/// Counts the datagrams between agents for ten seconds, and says what the processes need.
pub(super) fn report(stage: &Stage) -> Result<()> {
    const SECONDS: u64 = 10;
    let counted = say::step("ten seconds without traffic", || {
        let datagrams = Datagrams::start(&stage.lab, egret_lab::PEERS_PORT)?;
        std::thread::sleep(Duration::from_secs(SECONDS));
        Ok(datagrams.count())
    })?;
    say::line(&format!("{} datagrams/s between agents, all nodes together", counted / SECONDS));
    memory(stage);
    Ok(())
}

/// Resident memory of every process.
pub(super) fn memory(stage: &Stage) {
    let mib = |daemon: &egret_lab::Daemon| {
        daemon
            .resident_kib()
            .map_or("-".to_owned(), |kib| format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024))
    };
    for node in stage.lab.nodes() {
        if let Some(agent) = node.agent() {
            say::line(&format!("memory of the agent of {:<11} {} MiB", node.name, mib(agent)));
        }
    }
    if let Some(controller) = stage.lab.controller() {
        say::line(&format!("memory of the controller            {} MiB", mib(controller)));
    }
}

/// Starts pods and measures from their manifest to the moment when the kernel has them, as
/// `nft monitor` on the node reports it.
pub(super) fn programming(stage: &mut Stage, count: u32) -> Result<()> {
    let node = "director-1";
    let mut monitor = stage.lab.node(node)?.command("nft")?;
    let mut monitor = monitor.arg("monitor").stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let lines = monitor.stdout.take().context("nft monitor")?;
    let (heard, seen) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(lines).lines().map_while(Result::ok) {
            if heard.send((Stamp::now(), line)).is_err() {
                return;
            }
        }
    });
    let outcome = (0..count)
        .map(|number| one(stage, node, &format!("timed-{number}"), &seen))
        .collect::<Result<Vec<Duration>>>();
    let _ = monitor.kill();
    let _ = monitor.wait();
    let values = outcome?;
    super::print("Pod manifest → nftables", &values);
    Ok(())
}

fn one(
    stage: &mut Stage,
    node: &str,
    name: &str,
    seen: &Receiver<(Stamp, String)>,
) -> Result<Duration> {
    while seen.try_recv().is_ok() {}
    let pod = PodSpec::new(node, "payments", name).label("app", "settle");
    let written = stage.lab.announce_pod(&pod)?;
    let address = written.address.to_string();
    let limit = Duration::from_secs(5);
    loop {
        let (at, line) = seen.recv_timeout(limit).with_context(|| format!("{address} in nft"))?;
        if line.contains(&address) {
            stage.lab.remove_manifest(&format!("pod-{name}.yaml"))?;
            return Ok(at.since(written.at));
        }
    }
}
