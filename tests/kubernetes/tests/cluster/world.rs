//! Clusters as the rows need them.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use egret_kubernetes::{Cluster, ClusterOptions, NAMESPACE};
use egret_lab::checks::PATIENCE;
use egret_lab::load::{Load, Plan};
use egret_lab::{Ground, Stamp, wait_until};

pub type Stage = egret_lab::Stage<Cluster>;
pub type Bench = egret_lab::bench::Bench<Cluster>;

/// The chart with its default values, and the examples.
pub fn usual() -> Result<Stage> {
    Cluster::with_egret(ClusterOptions::default(), &[])?.with_example()
}

/// Whether what lasts minutes runs in full (`make soak`).
pub fn soak() -> bool {
    std::env::var_os("EGRET_SOAK").is_some()
}

/// The load of most rows: forty connections, UDP, a new connection now and then.
pub fn load(stage: &mut Stage, name: &str) -> Result<Load> {
    let plan = Plan::new(name, &["settle-1", "settle-2"]).probe(Duration::from_millis(250));
    let allowed = stage.addresses.clone();
    Load::start(&mut stage.lab, plan, Some((&stage.sources, &allowed)))
}

/// Boots a worker that is off and waits until it counts again.
pub fn back(stage: &mut Stage, name: &str) -> Result<()> {
    all_back(stage, &[name.to_owned()])
}

/// The same with several at once.
pub fn all_back(stage: &mut Stage, names: &[String]) -> Result<()> {
    let booted = Stamp::now();
    names.iter().try_for_each(|name| stage.lab.boot(name))?;
    for name in names {
        stage.lab.await_voter(name, booted)?;
        stage.await_planned(name, PATIENCE)?;
    }
    stage.lab.wait_ready()?;
    stage.lab.await_egret()?;
    stage.await_held(PATIENCE)
}

/// Deletes the agent's pod on a worker and waits until its successor is ready.
pub fn agent_restarted(stage: &Stage, worker: &str) -> Result<()> {
    let old = stage.lab.agent_pod(worker)?;
    stage.lab.kubectl().ask(&["delete", "pod", "-n", NAMESPACE, &old, "--wait=true"])?;
    let new = wait_until("another agent", PATIENCE, || {
        stage.lab.agent_pod(worker).ok().filter(|new| *new != old)
    })?;
    stage.lab.await_pod(NAMESPACE, &new)
}

/// Opens `count` connections at once from the pod in namespace `pod`; waits a second for answers.
pub fn knock(pod: &str, to: SocketAddr, count: u8) {
    let attempt = || {
        let _inside = egret_netns::enter(pod);
        // What becomes of it is the oracle's to see.
        let _ = TcpStream::connect_timeout(&to, Duration::from_secs(1));
    };
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(attempt);
        }
    });
}

/// Nothing of Egret is in a worker's kernel.
pub fn clean(stage: &Stage, worker: &str) -> Result<()> {
    let worker = stage.lab.worker(worker)?;
    for line in ["nft list ruleset", "ip rule", "ip -6 rule", "ip -d link", "ls /sys/fs/bpf"] {
        let said = worker.shell(line)?;
        let found = said.lines().find(|line| line.contains("egret"));
        ensure!(found.is_none(), "{}: `{line}` still has {found:?}", worker.name);
    }
    Ok(())
}

/// The addresses of the claim, in text, for the API.
pub fn names(stage: &Stage) -> Result<Vec<String>> {
    let objects = stage.lab.objects("EgressAddress")?;
    let names = objects.iter().filter_map(|object| object["metadata"]["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}
