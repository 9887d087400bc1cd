//! S01, S12 and S30: the holder's power is cut, with and without an API server, or it is drained.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::checks::{
    BOUND, PATIENCE, alive, holder, holders, moved, none_lost, nothing_moved, run_for, unanswered,
};
use egret_lab::{Ground, Stamp, wait_until};

use crate::world::{Bench, Stage, back, load};

/// S01: the address goes on elsewhere, no connection is lost, no packet has another source.
pub fn off(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s01")?;
    run_for(500);
    let old = holder(stage)?;
    let moving = stage.held_by(&old);
    let off = stage.lab.power_off(&old)?;
    moved(stage, &old, &moving)?;
    run_for(4000);
    let report = alive(stage, &load, off)?;
    stage.check_invariants(off)?;
    for address in &moving {
        let passage = stage.passage(*address, &old, off);
        let gap = passage.gap();
        ensure!(gap.is_some_and(|gap| gap <= BOUND), "{address}: gap {gap:?}");
        egret_lab::note!("{passage}");
    }
    egret_lab::note!("    longest stall {} ms", report.stall.as_millis());
    drop(load);
    back(stage, &old)
}

/// S12: the same while the API server is down.
pub fn without_an_api_server(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s12")?;
    let old = holder(stage)?;
    let moving = stage.held_by(&old);
    stage.lab.stop_api();
    run_for(1500);
    let off = stage.lab.power_off(&old)?;
    moved(stage, &old, &moving)?;
    run_for(4000);
    let report = alive(stage, &load, off)?;
    egret_lab::note!("    longest stall {} ms", report.stall.as_millis());
    let new = holders(stage);
    stage.lab.start_api()?;
    recorded(stage, &new)?;
    nothing_moved(stage, off + BOUND, &new)?;
    stage.check_invariants(off)?;
    drop(load);
    back(stage, &old)
}

/// Waits until the status of every address names its holder.
fn recorded(stage: &Stage, holders: &[Option<String>]) -> Result<()> {
    wait_until("the status names the new holders", PATIENCE, || {
        let mut pairs = stage.addresses.iter().zip(holders);
        let caught = pairs.all(|(address, holder)| {
            holder.is_some() && stage.lab.recorded_holder(*address) == *holder
        });
        caught.then_some(())
    })
}

/// S30: a planned move loses nothing.
pub fn drain(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s30")?;
    run_for(1000);
    let old = holder(stage)?;
    let moving = stage.held_by(&old);
    let before = unanswered(&load);
    let begun = Stamp::now();
    stage.lab.egret(&["drain", &old])?;
    moved(stage, &old, &moving)?;
    run_for(2000);
    let report = alive(stage, &load, begun)?;
    stage.check_invariants(begun)?;
    ensure!(stage.held_by(&old).is_empty(), "{old} still holds something");
    none_lost(&load, before, "in a planned move")?;
    for address in &moving {
        egret_lab::note!("{}", stage.passage(*address, &old, begun));
    }
    egret_lab::note!("    longest stall {} ms", report.stall.as_millis());
    ensure!(report.stall <= Duration::from_secs(1), "a planned move stalls less");
    drop(load);
    stage.lab.egret(&["uncordon", &old])?;
    stage.await_planned(&old, PATIENCE)
}
