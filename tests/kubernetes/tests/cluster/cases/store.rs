//! S13: a slow etcd, and what Egret asks of the API server while nothing happens.

use anyhow::{Result, ensure};
use egret_lab::WallTime;
use egret_lab::checks::{load, run_for};
use egret_lab::scenarios::undisturbed;
use nix::sys::signal::Signal;

use crate::fixtures::ClusterBench;

/// Etcd stands still for 5 s, six times, with half a second between: writes fail or take seconds.
pub fn slow(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    undisturbed(fixture, "s13", "while etcd was slow", |fixture| {
        for _ in 0..6 {
            fixture.lab.server().etcd().signal(Signal::SIGSTOP)?;
            run_for(5000);
            fixture.lab.server().etcd().signal(Signal::SIGCONT)?;
            run_for(500);
        }
        run_for(5000);
        Ok(())
    })?;
    fixture.lab.wait_ready()?;
    fixture.lab.await_egret()
}

/// At rest nobody writes an object of Egret, although pods send.
pub fn at_rest(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    let load = load(fixture, "at rest")?;
    run_for(10_000);
    let (before, begun) = (fixture.lab.writes()?, WallTime::now());
    run_for(20_000);
    let (after, seconds) = (fixture.lab.writes()?, WallTime::now().since(begun).as_secs_f64());
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
