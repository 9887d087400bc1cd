//! One direction of the holder's cable is cut: it can speak and not hear, or hear and not speak.

use anyhow::Result;
use egret_lab::CableDirection;

use crate::fixtures::{PATIENCE, alive, holder, load, moved, run_for, settles};
use egret_lab::bench::Bench;

/// Either way the holder stops by itself, and another takes over; no connection is lost.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    for (way, name) in [(CableDirection::FromNode, "mute"), (CableDirection::ToNode, "deaf")] {
        let load = load(fixture, name)?;
        run_for(500);
        let old = holder(fixture)?;
        let moving = fixture.held_by(&old);
        let cut = fixture.lab.cut(&old, way)?;
        moved(fixture, &old, &moving)?;
        run_for(4000);
        for address in &moving {
            egret_lab::note!("{}", fixture.passage(*address, &old, cut));
        }
        alive(fixture, &load, cut)?;
        fixture.check_invariants(cut)?;
        fixture.lab.heal(&old)?;
        drop(load);
        settles(fixture)?;
        fixture.await_planned(&old, PATIENCE)?;
    }
    Ok(())
}
