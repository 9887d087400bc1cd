//! S13: a slow etcd, and what Egret asks of the API server while nothing happens.

use anyhow::{Result, ensure};
use egret_lab::Stamp;
use egret_lab::checks::{alive, holders, none_lost, nothing_moved, run_for, unanswered};
use nix::sys::signal::Signal;

use crate::world::{Bench, load};

/// Etcd stands still for 5 s, six times, with half a second between: writes fail or take seconds.
pub fn slow(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s13")?;
    run_for(500);
    let (before, answered, begun) = (holders(stage), unanswered(&load), Stamp::now());
    for _ in 0..6 {
        stage.lab.server().etcd().signal(Signal::SIGSTOP)?;
        run_for(5000);
        stage.lab.server().etcd().signal(Signal::SIGCONT)?;
        run_for(500);
    }
    run_for(5000);
    alive(stage, &load, begun)?;
    nothing_moved(stage, begun, &before)?;
    none_lost(&load, answered, "while etcd was slow")?;
    stage.check_invariants(begun)?;
    stage.lab.wait_ready()?;
    stage.lab.await_egret()
}

/// At rest nobody writes an object of Egret, although pods send.
pub fn at_rest(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "at rest")?;
    run_for(10_000);
    let (before, begun) = (stage.lab.writes()?, Stamp::now());
    run_for(20_000);
    let (after, seconds) = (stage.lab.writes()?, Stamp::now().since(begun).as_secs_f64());
    drop(load);
    for (what, count) in &after {
        let more = count - before.get(what).copied().unwrap_or_default();
        if more > 0 {
            egret_lab::note!("    {what}: {:.2} a second", f64::from(more) / seconds);
        }
        ensure!(more == 0 || !what.contains("egret.dev"), "{more} at rest: {what}");
    }
    ensure!(!after.is_empty(), "the API server counts no writes at all");
    Ok(())
}
