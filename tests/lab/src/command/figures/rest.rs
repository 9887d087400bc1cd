use std::time::Duration;

use anyhow::Result;
use egret_lab::oracle::{Commits, Datagrams};
use egret_lab::{LabFixture, PodOptions};

use egret_lab::say;

/// Counts the datagrams between agents for ten seconds, and says what the processes need.
pub(super) fn report(fixture: &LabFixture) -> Result<()> {
    const SECONDS: u64 = 10;
    let counted = say::step("ten seconds without traffic", || {
        let datagrams = Datagrams::start(&fixture.lab, egret_lab::PEERS_PORT)?;
        std::thread::sleep(Duration::from_secs(SECONDS));
        Ok(datagrams.count())
    })?;
    say::line(&format!("{} datagrams/s between agents, all nodes together", counted / SECONDS));
    memory(fixture);
    Ok(())
}

/// Resident memory of every process.
pub(super) fn memory(fixture: &LabFixture) {
    let mib = |kib: u64| format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024);
    let mib = |daemon: &egret_lab::Daemon| {
        let both = daemon.resident_kib();
        both.map_or("unknown".to_owned(), |(all, own)| {
            format!("{}, of which {} allocated", mib(all), mib(own))
        })
    };
    for node in fixture.lab.nodes() {
        if let Some(agent) = node.agent() {
            say::line(&format!("memory of the agent of {:<11} {}", node.name, mib(agent)));
        }
    }
    if let Some(controller) = fixture.lab.controller() {
        say::line(&format!("memory of the controller            {}", mib(controller)));
    }
}

/// Starts pods and measures from their manifest to the moment when the kernel has them: the next
/// change of the node's rule set, after which the pod is in it.
pub(super) fn programming(fixture: &mut LabFixture, count: u32) -> Result<()> {
    let node = "director-1";
    let commits = Commits::listen(fixture.lab.node(node)?)?;
    let values = (0..count)
        .map(|number| one(fixture, node, &format!("timed-{number}"), &commits))
        .collect::<Result<Vec<Duration>>>()?;
    egret_lab::figures::print("Pod manifest → nftables", &values);
    Ok(())
}

fn one(fixture: &mut LabFixture, node: &str, name: &str, commits: &Commits) -> Result<Duration> {
    let limit = Duration::from_secs(5);
    commits.clear();
    let pod = PodOptions::new(node, "payments", name).label("app", "settle");
    let written = fixture.lab.announce_pod(&pod)?;
    let address = written.address.to_string();
    loop {
        let at = commits.next(limit)?;
        if fixture.lab.node(node)?.shell("nft list table inet egret")?.contains(&address) {
            fixture.lab.remove_manifest(&format!("pod-{name}.yaml"))?;
            commits.next(limit)?;
            return Ok(at.since(written.at));
        }
    }
}
