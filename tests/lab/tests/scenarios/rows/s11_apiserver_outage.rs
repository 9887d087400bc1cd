//! S11 and S15: the store is gone, for all or for the holder alone.

use anyhow::{Result, ensure};

use crate::world::{
    PATIENCE, alive, back_from_cut, holder, holders, load, moved, none_lost, nothing_moved,
    run_for, unanswered,
};
use egret_lab::bench::Bench;

/// S11, shortened: nothing moves, nothing is lost, nothing moves when it is back.
pub fn outage(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s11")?;
    run_for(500);
    let (before, answered) = (holders(stage), unanswered(&load));
    let begun = stage.lab.cut_store_everywhere()?;
    run_for(60_000);
    stage.lab.join_store_everywhere();
    run_for(5000);
    alive(stage, &load, begun)?;
    nothing_moved(stage, begun, &before)?;
    none_lost(&load, answered, "while the store was away")?;
    stage.check_invariants(begun)
}

/// S15: without the store the holder keeps its addresses; cut off from the voters too, it stops by
/// itself before the standby announces.
pub fn partition(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s15")?;
    let old = holder(stage)?;
    let moving = stage.held_by(&old);
    let before = holders(stage);
    let alone = stage.lab.cut_store(&old)?;
    run_for(4000);
    nothing_moved(stage, alone, &before)?;
    let cut = stage.lab.cut_from_nodes(&old)?;
    moved(stage, &old, &moving)?;
    run_for(4000);
    for address in &moving {
        let passage = stage.passage(*address, &old, cut);
        egret_lab::note!("{passage}");
        let (last, announced) = (passage.last_packet, passage.announced);
        ensure!(last.is_none() || last < announced, "{address}: {last:?} after {announced:?}");
    }
    alive(stage, &load, cut)?;
    stage.check_invariants(cut)?;
    stage.lab.heal(&old)?;
    stage.lab.join_store(&old)?;
    drop(load);
    back_from_cut(stage, &old)?;
    stage.await_planned(&old, PATIENCE)
}
