//! S04: the kubelet of a gateway stops, its node is NotReady; the data plane is whole, so nothing
//! moves.

use std::time::Duration;

use anyhow::Result;
use egret_lab::checks::{
    PATIENCE, alive, holder, holders, none_lost, nothing_moved, run_for, unanswered,
};
use egret_lab::{Stamp, wait_until};
use nix::sys::signal::Signal;

use crate::world::{Bench, Stage, load};

pub fn stopped(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s04")?;
    run_for(500);
    let (before, answered, begun) = (holders(stage), unanswered(&load), Stamp::now());
    let gateway = holder(stage)?;
    stage.lab.worker(&gateway)?.daemon("kubelet")?.signal(Signal::SIGSTOP)?;
    let limit = Duration::from_secs(60);
    let unready = wait_until("the node to be NotReady", limit, || {
        (ready(stage, &gateway)? != "True").then_some(())
    });
    if unready.is_ok() {
        run_for(5000);
    }
    stage.lab.worker(&gateway)?.daemon("kubelet")?.signal(Signal::SIGCONT)?;
    unready?;
    stage.lab.wait_ready()?;
    alive(stage, &load, begun)?;
    nothing_moved(stage, begun, &before)?;
    none_lost(&load, answered, "while the kubelet stood still")?;
    stage.check_invariants(begun)?;
    stage.await_held(PATIENCE)
}

/// The status of a node's condition `Ready`.
fn ready(stage: &Stage, node: &str) -> Option<String> {
    let object = stage.lab.kubectl().get(&["node", node]).ok()?;
    let mut all = object["status"]["conditions"].as_array()?.iter();
    let of = all.find(|condition| condition["type"] == "Ready")?;
    of["status"].as_str().map(str::to_owned)
}
