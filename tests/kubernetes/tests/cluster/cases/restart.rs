//! S08: the DaemonSet restarts every agent in turn; no connection is lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_kubernetes::NAMESPACE;
use egret_lab::WallTime;
use egret_lab::checks::{load, run_for};
use egret_lab::scenarios::agents_replaced;

use crate::fixtures::ClusterBench;

pub fn run(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    let load = load(fixture, "s08")?;
    run_for(500);
    let begun = WallTime::now();
    let report = agents_replaced(fixture, (&load, begun), "in a rolling restart", |fixture| {
        let restart = ["rollout", "restart", "-n", NAMESPACE, "daemonset/egret-agent"];
        fixture.lab.kubectl().ask(&restart).map(drop)
    })?;
    let silence = report.udp_gap;
    ensure!(silence <= Duration::from_secs(1), "no datagram for {silence:?}");
    Ok(())
}
