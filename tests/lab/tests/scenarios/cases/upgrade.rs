//! Agents of two versions: each replaced in turn and back again, and side by side for long.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use egret_lab::scenarios::{self, agents_replaced};
use egret_lab::{LabFixture, TestBed as _, WallTime};

use super::agents::in_turn;
use crate::fixtures::{PATIENCE, load, run_for};
use egret_lab::bench::Bench;

/// A planned upgrade and downgrade under load: no connection and no packet is lost.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let (present, next) = (fixture.lab.egret()?, next_binary(fixture)?);
    let load = load(fixture, "upgrade")?;
    run_for(500);
    let begun = WallTime::now();
    for (when, binary) in [("in the upgrade", &next), ("in the downgrade", &present)] {
        agents_replaced(fixture, (&load, begun), when, |fixture| in_turn(fixture, binary))?;
    }
    Ok(())
}

/// Half of the agents are of another version, as in an upgrade that stands still, while what can
/// happen to a gateway happens.
pub fn mixed(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let other = next_binary(fixture)?;
    for name in fixture.lab.node_names().into_iter().step_by(2) {
        let stopped = fixture.lab.stop_agent(&name)?;
        fixture.lab.start_agent_of(&name, &other)?;
        fixture.lab.await_agent(&name, stopped)?;
    }
    fixture.await_held(PATIENCE)?;
    scenarios::drain(bench)?;
    scenarios::power_off(bench)?;
    scenarios::holder_killed(bench)?;
    let load = load(bench.fixture()?, "mixed")?;
    let begun = WallTime::now();
    let fixture = bench.fixture()?;
    agents_replaced(fixture, (&load, begun), "back to one version", |fixture| {
        let egret = fixture.lab.egret()?;
        in_turn(fixture, &egret)
    })
    .map(drop)
}

/// The other version: EGRET_OTHER, else the same program with the next pin layout, beside the
/// present one.
fn next_binary(fixture: &LabFixture) -> Result<PathBuf> {
    let beside = fixture.lab.egret()?.with_file_name("egret-next");
    let next = std::env::var_os("EGRET_OTHER").map_or(beside, PathBuf::from);
    ensure!(
        next.is_file(),
        "no {}: make it with cargo build -p egret --features layout-next and a copy of target/debug/egret \
         (make lab does)",
        next.display()
    );
    Ok(next)
}
