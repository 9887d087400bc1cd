use std::time::Duration;

use anyhow::Result;
use egret_lab::oracle::{Commits, Datagrams};
use egret_lab::{PodSpec, Stage};

use egret_lab::say;

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
    let mib = |kib: u64| format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024);
    let mib = |daemon: &egret_lab::Daemon| {
        let both = daemon.resident_kib();
        both.map_or("unknown".to_owned(), |(all, own)| {
            format!("{}, of which {} allocated", mib(all), mib(own))
        })
    };
    for node in stage.lab.nodes() {
        if let Some(agent) = node.agent() {
            say::line(&format!("memory of the agent of {:<11} {}", node.name, mib(agent)));
        }
    }
    if let Some(controller) = stage.lab.controller() {
        say::line(&format!("memory of the controller            {}", mib(controller)));
    }
}

/// Starts pods and measures from their manifest to the moment when the kernel has them: the next
/// change of the node's rule set, after which the pod is in it.
pub(super) fn programming(stage: &mut Stage, count: u32) -> Result<()> {
    let node = "director-1";
    let commits = Commits::listen(stage.lab.node(node)?)?;
    let values = (0..count)
        .map(|number| one(stage, node, &format!("timed-{number}"), &commits))
        .collect::<Result<Vec<Duration>>>()?;
    egret_lab::figures::print("Pod manifest → nftables", &values);
    Ok(())
}

fn one(stage: &mut Stage, node: &str, name: &str, commits: &Commits) -> Result<Duration> {
    let limit = Duration::from_secs(5);
    commits.clear();
    let pod = PodSpec::new(node, "payments", name).label("app", "settle");
    let written = stage.lab.announce_pod(&pod)?;
    let address = written.address.to_string();
    loop {
        let at = commits.next(limit)?;
        if stage.lab.node(node)?.shell("nft list table inet egret")?.contains(&address) {
            stage.lab.remove_manifest(&format!("pod-{name}.yaml"))?;
            commits.next(limit)?;
            return Ok(at.since(written.at));
        }
    }
}
