//! S06 and S15: what happens to an agent's process, and to its way to the API server.

use anyhow::{Result, ensure};
use egret_kubernetes::NAMESPACE;
use egret_lab::Stamp;
use egret_lab::checks::{
    PATIENCE, alive, holder, holders, moved, none_lost, nothing_moved, run_for, unanswered,
};

use crate::world::{Bench, Stage, load};

/// S06 on a director: the kernel goes on, not one packet is lost.
pub fn director_killed(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s06 director")?;
    run_for(500);
    let (before, answered) = (holders(stage), unanswered(&load));
    let killed = kill(stage, "director-1")?;
    run_for(3000);
    stage.lab.await_egret()?;
    run_for(2000);
    alive(stage, &load, killed)?;
    none_lost(&load, answered, "while a director's agent was dead")?;
    nothing_moved(stage, killed, &before)?;
    stage.check_invariants(killed)
}

/// S06 on the holder: back within the lease, or the standby takes over; no connection is lost.
pub fn holder_killed(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s06 holder")?;
    run_for(500);
    let old = holder(stage)?;
    let killed = kill(stage, &old)?;
    run_for(4000);
    stage.await_held(PATIENCE)?;
    stage.lab.await_egret()?;
    let report = alive(stage, &load, killed)?;
    egret_lab::note!("    longest stall {} ms", report.stall.as_millis());
    stage.check_invariants(killed)
}

fn kill(stage: &Stage, worker: &str) -> Result<Stamp> {
    let pod = stage.lab.agent_pod(worker)?;
    stage.lab.kill_container(NAMESPACE, &pod, "agent")
}

/// S15: without the API server the holder keeps its addresses; cut off from the voters too, it
/// stops by itself before the standby announces.
pub fn partition(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s15")?;
    let old = holder(stage)?;
    let (moving, before) = (stage.held_by(&old), holders(stage));
    let alone = stage.lab.cut(&old, "p-control")?;
    run_for(4000);
    nothing_moved(stage, alone, &before)?;
    stage.lab.heal(&old)?;
    let cut = stage.lab.cut(&old, "p-*")?;
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
    drop(load);
    run_for(2000);
    let (settled, now) = (Stamp::now(), holders(stage));
    run_for(1000);
    nothing_moved(stage, settled, &now)?;
    stage.await_planned(&old, PATIENCE)?;
    stage.lab.wait_ready()
}
