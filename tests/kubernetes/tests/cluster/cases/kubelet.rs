//! S04: the kubelet of a gateway stops, its node is NotReady; the data plane is whole, so nothing
//! moves.

use std::time::Duration;

use anyhow::Result;
use egret_lab::checks::{PATIENCE, holder, run_for};
use egret_lab::scenarios::undisturbed;
use egret_lab::wait_until;
use nix::sys::signal::Signal;

use crate::fixtures::{ClusterBench, ClusterFixture};

pub fn stopped(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    undisturbed(fixture, "s04", "while the kubelet stood still", |fixture| {
        let gateway = holder(fixture)?;
        fixture.lab.worker(&gateway)?.daemon("kubelet")?.signal(Signal::SIGSTOP)?;
        let limit = Duration::from_secs(60);
        let unready = wait_until("the node to be NotReady", limit, || {
            (ready(fixture, &gateway)? != "True").then_some(())
        });
        if unready.is_ok() {
            run_for(5000);
        }
        fixture.lab.worker(&gateway)?.daemon("kubelet")?.signal(Signal::SIGCONT)?;
        unready?;
        fixture.lab.wait_ready()
    })?;
    fixture.await_held(PATIENCE)
}

/// The status of a node's condition `Ready`.
fn ready(fixture: &ClusterFixture, node: &str) -> Option<String> {
    let object = fixture.lab.kubectl().get(&["node", node]).ok()?;
    let mut all = object["status"]["conditions"].as_array()?.iter();
    let of = all.find(|condition| condition["type"] == "Ready")?;
    of["status"].as_str().map(str::to_owned)
}
