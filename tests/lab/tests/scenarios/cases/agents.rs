//! S07, S08, S09: what happens to an agent's process, not to its node.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use egret_lab::scenarios::agents_replaced;
use egret_lab::{LabFixture, TestBed, WallTime};

use crate::fixtures::{PATIENCE, alive, holder, holders, load, moved, nothing_moved, run_for};
use egret_lab::bench::Bench;

/// S07: the kernel alone ends the frozen holder's part; the standby takes over; the one that thaws
/// takes nothing back and announces nothing.
pub fn frozen(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let load = load(fixture, "s07")?;
    run_for(500);
    let old = holder(fixture)?;
    let moving = fixture.held_by(&old);
    let frozen = fixture.lab.freeze_agent(&old)?;
    moved(fixture, &old, &moving)?;
    run_for(4000);
    let settled = WallTime::now();
    fixture.lab.thaw_agent(&old)?;
    run_for(3000);
    let mac = fixture.lab.node(&old)?.mac();
    for address in &moving {
        for runs in [fixture.answers.runs(), fixture.gateways.runs()] {
            let late = runs.of(*address).iter().find(|run| run.mac == mac && run.last >= settled);
            ensure!(late.is_none(), "{old} went on for {address} after it thawed: {late:?}");
        }
        let last = fixture.passage(*address, &old, frozen).last_packet;
        let after = last.map(|at| at.millis_after(frozen));
        egret_lab::note!("    {address}: last packet {after:?} ms after the freeze");
    }
    let stale = fixture.answers.announcements(frozen).into_iter().find(|a| a.mac == mac);
    ensure!(stale.is_none(), "the frozen node announced {stale:?}");
    alive(fixture, &load, frozen)?;
    fixture.check_invariants(frozen)
}

/// S08: every agent is restarted in turn, as a DaemonSet does it.
pub fn rolling_restart(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let load = load(fixture, "s08")?;
    run_for(500);
    let begun = WallTime::now();
    agents_replaced(fixture, (&load, begun), "in a rolling restart", |fixture| {
        let egret = fixture.lab.egret()?;
        in_turn(fixture, &egret)
    })
    .map(drop)
}

/// Replaces the agent of every node by one of this binary.
pub fn in_turn(fixture: &mut LabFixture, binary: &Path) -> Result<()> {
    for name in fixture.lab.node_names() {
        let stopped = fixture.lab.stop_agent(&name)?;
        fixture.lab.start_agent_of(&name, binary)?;
        fixture.lab.await_agent(&name, stopped)?;
        run_for(1000);
        fixture.await_held(PATIENCE)?;
    }
    Ok(())
}

/// S09: an agent that starts after its address has moved announces nothing.
pub fn stale_on_start(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let load = load(fixture, "s09")?;
    let old = holder(fixture)?;
    let moving = fixture.held_by(&old);
    let killed = fixture.lab.kill_agent(&old)?;
    moved(fixture, &old, &moving)?;
    run_for(1500);
    let (after, restarted) = (holders(fixture), WallTime::now());
    fixture.lab.start_agent(&old)?;
    fixture.lab.await_agent(&old, restarted)?;
    run_for(3000);
    nothing_moved(fixture, restarted, &after)?;
    let mac = fixture.lab.node(&old)?.mac();
    let stale = fixture.answers.announcements(killed).into_iter().find(|a| a.mac == mac);
    ensure!(stale.is_none(), "the restarted agent announced {stale:?}");
    alive(fixture, &load, killed)?;
    fixture.check_invariants(killed)
}

/// A second agent with a run directory of its own: the lock of the first is not in its way.
pub fn second(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let load = load(fixture, "second")?;
    run_for(500);
    let (begun, before) = (WallTime::now(), holders(fixture));
    for name in [holder(fixture)?, "director-1".to_owned()] {
        let mut command =
            fixture.lab.node(&name)?.command(fixture.lab.egret()?.to_str().context("path")?)?;
        command.arg("agent").args(["--node", &name, "--uplink", "eth0"]);
        command.arg("--manifests").arg(fixture.lab.store()).args(["--run-dir", "/run/second"]);
        // It ends by itself; the limit is for an agent that does not.
        let output = run_at_most(command, Duration::from_secs(20))?;
        let said = format!("{output:?}");
        ensure!(!output.status.success(), "a second agent of {name} ended well: {said}");
        ensure!(said.contains("one agent runs on a node; stop that one first"), "{said}");
    }
    run_for(1000);
    nothing_moved(fixture, begun, &before)?;
    alive(fixture, &load, begun)?;
    fixture.check_invariants(begun)
}

fn run_at_most(mut command: Command, limit: Duration) -> Result<Output> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let end = Instant::now() + limit;
    while child.try_wait()?.is_none() && Instant::now() < end {
        run_for(50);
    }
    let _ = child.kill();
    Ok(child.wait_with_output()?)
}
