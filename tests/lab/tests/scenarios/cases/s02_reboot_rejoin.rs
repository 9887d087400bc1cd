//! S02: a gateway whose power was cut comes back.

use anyhow::{Result, ensure};
use egret_lab::{TestBed, WallTime};

use crate::fixtures::{alive, back, holder, holders, load, moved, nothing_moved, run_for};
use egret_lab::bench::Bench;

/// The node that comes back takes nothing and announces nothing.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let load = load(fixture, "s02")?;
    let old = holder(fixture)?;
    let moving = fixture.held_by(&old);
    let off = fixture.lab.power_off(&old)?;
    moved(fixture, &old, &moving)?;
    run_for(1000);
    let (after, settled) = (holders(fixture), WallTime::now());
    back(fixture, &old)?;
    run_for(2000);
    nothing_moved(fixture, settled, &after)?;
    let mac = fixture.lab.node(&old)?.mac();
    let stale = fixture.answers.announcements(off).into_iter().find(|a| a.mac == mac);
    ensure!(stale.is_none(), "the node that came back announced {stale:?}");
    alive(fixture, &load, off)?;
    fixture.check_invariants(off)
}
