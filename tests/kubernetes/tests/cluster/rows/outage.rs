//! S11: the API server is down for a minute, in the soak for ten; nothing moves, nothing is lost.

use anyhow::Result;
use egret_lab::checks::{alive, holders, none_lost, nothing_moved, run_for, unanswered};

use crate::world::{Bench, load, soak};

pub fn run(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s11")?;
    run_for(500);
    let (before, answered) = (holders(stage), unanswered(&load));
    let begun = stage.lab.stop_api();
    run_for(if soak() { 600_000 } else { 60_000 });
    stage.lab.start_api()?;
    run_for(5000);
    alive(stage, &load, begun)?;
    nothing_moved(stage, begun, &before)?;
    none_lost(&load, answered, "while the API server was away")?;
    stage.check_invariants(begun)?;
    stage.lab.wait_ready()
}
