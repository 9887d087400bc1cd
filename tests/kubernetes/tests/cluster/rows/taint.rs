//! The startup taint: taken off a node when its agent is ready, and only then.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_kubernetes::NAMESPACE;
use egret_lab::checks::run_for;
use egret_lab::wait_until;

use crate::world::{Bench, Stage};

const TAINT: &str = "egret.dev/agent-not-ready";
/// A node without a kubelet, and so without an agent.
const NEWCOMER: &str = "
apiVersion: v1
kind: Node
metadata: {name: newcomer}
spec: {taints: [{key: egret.dev/agent-not-ready, effect: NoSchedule}]}
";

pub fn run(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    enable(stage, true)?;
    let kubectl = stage.lab.kubectl();
    kubectl.apply(NEWCOMER)?;
    kubectl.ask(&["taint", "node", "director-1", &format!("{TAINT}=:NoSchedule")])?;
    wait_until("a node whose agent is ready loses the taint", Duration::from_secs(20), || {
        is_tainted(stage, "director-1").is_ok_and(|tainted| !tainted).then_some(())
    })?;
    run_for(2000);
    ensure!(is_tainted(stage, "newcomer")?, "a node without an agent has lost the taint");
    kubectl.ask(&["delete", "node", "newcomer"])?;
    enable(stage, false)?;
    stage.lab.await_egret()
}

fn enable(stage: &Stage, on: bool) -> Result<()> {
    let set = format!("--set=startupTaint.enabled={on}");
    let upgrade = ["upgrade", "egret", "deploy/helm/egret", "-n", NAMESPACE, "--reuse-values"];
    stage.lab.helm(&[&upgrade[..], &[&set, "--wait", "--timeout=3m"]].concat()).map(drop)
}

fn is_tainted(stage: &Stage, node: &str) -> Result<bool> {
    let node = stage.lab.kubectl().get(&["node", node])?;
    let taints = node["spec"]["taints"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(taints.iter().any(|taint| taint["key"] == TAINT))
}
