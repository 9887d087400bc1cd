//! S10: the controller is killed again and again; the data plane does not notice.

use std::time::Duration;

use anyhow::Result;
use egret_lab::{Ground, Stamp, wait_until};

use crate::world::{alive, claim, holders, load, none_lost, nothing_moved, run_for, unanswered};
use egret_lab::bench::Bench;

pub fn run(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s10")?;
    run_for(500);
    let (begun, before) = (Stamp::now(), holders(stage));
    let answered = unanswered(&load);
    for _ in 0..3 {
        stage.lab.stop_controller(false)?;
        run_for(500);
        stage.lab.start_controller()?;
        run_for(1500);
    }
    let address = "203.0.113.22".parse()?;
    let written = Stamp::now();
    stage.lab.write_manifest("late.yaml", &claim("late", "nobody", &["203.0.113.22"], "Drop"))?;
    let bound = wait_until("a claim is served again", Duration::from_secs(20), || {
        stage.lab.recorded_holder(address)
    });
    stage.lab.remove_manifest("late.yaml")?;
    bound?;
    let took = Stamp::now().millis_after(written);
    egret_lab::note!("    served {took:.0} ms after it was written");
    alive(stage, &load, begun)?;
    nothing_moved(stage, begun, &before)?;
    none_lost(&load, answered, "while controllers died")?;
    stage.check_invariants(begun)
}
