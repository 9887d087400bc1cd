//! The startup taint: taken off a node when its agent is ready, and only then.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_kubernetes::NAMESPACE;
use egret_lab::checks::run_for;
use egret_lab::wait_until;

use crate::fixtures::{ClusterBench, ClusterFixture};

const TAINT: &str = "egret.dev/agent-not-ready";
/// A node without a kubelet, and so without an agent.
const NEWCOMER: &str = "
apiVersion: v1
kind: Node
metadata: {name: newcomer}
spec: {taints: [{key: egret.dev/agent-not-ready, effect: NoSchedule}]}
";

pub fn run(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    enable(fixture, true)?;
    let kubectl = fixture.lab.kubectl();
    kubectl.apply(NEWCOMER)?;
    kubectl.ask(&["taint", "node", "director-1", &format!("{TAINT}=:NoSchedule")])?;
    wait_until("a node whose agent is ready loses the taint", Duration::from_secs(20), || {
        is_tainted(fixture, "director-1").is_ok_and(|tainted| !tainted).then_some(())
    })?;
    run_for(2000);
    ensure!(is_tainted(fixture, "newcomer")?, "a node without an agent has lost the taint");
    kubectl.ask(&["delete", "node", "newcomer"])?;
    enable(fixture, false)?;
    fixture.lab.await_egret()
}

fn enable(fixture: &ClusterFixture, on: bool) -> Result<()> {
    let set = format!("--set=startupTaint.enabled={on}");
    let upgrade = ["upgrade", "egret", "deploy/helm/egret", "-n", NAMESPACE, "--reuse-values"];
    fixture.lab.helm(&[&upgrade[..], &[&set, "--wait", "--timeout=3m"]].concat()).map(drop)
}

fn is_tainted(fixture: &ClusterFixture, node: &str) -> Result<bool> {
    let node = fixture.lab.kubectl().get(&["node", node])?;
    let taints = node["spec"]["taints"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(taints.iter().any(|taint| taint["key"] == TAINT))
}
