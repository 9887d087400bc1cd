//! One direction of the holder's cable is cut: it can speak and not hear, or hear and not speak.

use anyhow::Result;
use egret_lab::Way;

use crate::world::{PATIENCE, alive, back_from_cut, holder, load, moved, run_for};
use egret_lab::bench::Bench;

/// Either way the holder stops by itself, and another takes over; no connection is lost.
pub fn run(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    for (way, name) in [(Way::FromNode, "mute"), (Way::ToNode, "deaf")] {
        let load = load(stage, name)?;
        run_for(500);
        let old = holder(stage)?;
        let moving = stage.held_by(&old);
        let cut = stage.lab.cut(&old, way)?;
        moved(stage, &old, &moving)?;
        run_for(4000);
        for address in &moving {
            egret_lab::note!("{}", stage.passage(*address, &old, cut));
        }
        alive(stage, &load, cut)?;
        stage.check_invariants(cut)?;
        stage.lab.heal(&old)?;
        drop(load);
        back_from_cut(stage, &old)?;
        stage.await_planned(&old, PATIENCE)?;
    }
    Ok(())
}
