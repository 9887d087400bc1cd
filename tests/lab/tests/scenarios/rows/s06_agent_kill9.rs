//! S06, S07, S08, S09: what happens to an agent's process, not to its node.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::{Stage, Stamp, wait_until};

use crate::world::{
    PATIENCE, alive, holder, holders, load, moved, none_lost, nothing_moved, run_for, unanswered,
};
use egret_lab::bench::Bench;

/// S06 on a director: the kernel goes on, not one packet is lost.
pub fn director(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s06-director")?;
    run_for(500);
    let (before, answered) = (holders(stage), unanswered(&load));
    let killed = stage.lab.kill_agent("director-1")?;
    run_for(2000);
    stage.lab.start_agent("director-1")?;
    wait_started(stage, "director-1", killed)?;
    run_for(2000);
    alive(stage, &load, killed)?;
    none_lost(&load, answered, "while a director's agent was dead")?;
    nothing_moved(stage, killed, &before)?;
    stage.check_invariants(killed)
}

/// S06 on the holder: back within the lease, or the standby takes over; no connection is lost.
pub fn gateway(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s06-gateway")?;
    run_for(500);
    let old = holder(stage)?;
    let killed = stage.lab.kill_agent(&old)?;
    stage.lab.start_agent(&old)?;
    wait_started(stage, &old, killed)?;
    run_for(4000);
    stage.await_held(PATIENCE)?;
    alive(stage, &load, killed)?;
    stage.check_invariants(killed)
}

/// S07: the kernel alone ends the frozen holder's part; the standby takes over; the one that thaws
/// takes nothing back and announces nothing.
pub fn frozen(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s07")?;
    run_for(500);
    let old = holder(stage)?;
    let moving = stage.held_by(&old);
    let frozen = stage.lab.freeze(&old)?;
    moved(stage, &old, &moving)?;
    run_for(4000);
    let settled = Stamp::now();
    stage.lab.thaw(&old)?;
    run_for(3000);
    let mac = stage.lab.node(&old)?.mac();
    for address in &moving {
        for runs in [stage.answers.runs(), stage.gateways.runs()] {
            let late = runs.of(*address).iter().find(|run| run.mac == mac && run.last >= settled);
            ensure!(late.is_none(), "{old} went on for {address} after it thawed: {late:?}");
        }
        let last = stage.passage(*address, &old, frozen).last_packet;
        let after = last.map(|at| at.millis_after(frozen));
        egret_lab::note!("    {address}: last packet {after:?} ms after the freeze");
    }
    let stale = stage.answers.announcements(frozen).into_iter().find(|a| a.mac == mac);
    ensure!(stale.is_none(), "the frozen node announced {stale:?}");
    alive(stage, &load, frozen)?;
    stage.check_invariants(frozen)
}

/// S08: every agent is restarted in turn, as a DaemonSet does it.
pub fn rolling_restart(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s08")?;
    run_for(500);
    let (begun, answered) = (Stamp::now(), unanswered(&load));
    for name in stage.lab.node_names() {
        let stopped = stage.lab.stop_agent(&name)?;
        stage.lab.start_agent(&name)?;
        wait_started(stage, &name, stopped)?;
        run_for(1000);
        stage.await_held(PATIENCE)?;
    }
    run_for(1000);
    let report = alive(stage, &load, begun)?;
    ensure!(stage.answers.doubles(begun).is_empty(), "two answered one question");
    none_lost(&load, answered, "in a rolling restart")?;
    egret_lab::note!("    longest stall {} ms", report.stall.as_millis());
    Ok(())
}

/// S09: an agent that starts after its address has moved announces nothing.
pub fn stale_on_start(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s09")?;
    let old = holder(stage)?;
    let moving = stage.held_by(&old);
    let killed = stage.lab.kill_agent(&old)?;
    moved(stage, &old, &moving)?;
    run_for(1500);
    let (after, restarted) = (holders(stage), Stamp::now());
    stage.lab.start_agent(&old)?;
    wait_started(stage, &old, restarted)?;
    run_for(3000);
    nothing_moved(stage, restarted, &after)?;
    let mac = stage.lab.node(&old)?.mac();
    let stale = stage.answers.announcements(killed).into_iter().find(|a| a.mac == mac);
    ensure!(stale.is_none(), "the restarted agent announced {stale:?}");
    alive(stage, &load, killed)?;
    stage.check_invariants(killed)
}

fn wait_started(stage: &Stage, name: &str, since: Stamp) -> Result<()> {
    let limit = Duration::from_secs(10);
    wait_until(&format!("the agent of {name} has started"), limit, || {
        let started = stage.lab.journal().events("agent_started", since);
        started.iter().any(|entry| entry.from == name).then_some(())
    })
}
