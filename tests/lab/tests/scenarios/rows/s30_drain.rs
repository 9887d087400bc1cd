//! S30: a planned move loses nothing, and somebody answers for the address all the time.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::Stamp;

use crate::world::{alive, holder, load, moved, none_lost, run_for, unanswered};
use egret_lab::bench::Bench;

pub fn run(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s30")?;
    run_for(1000);
    let old = holder(stage)?;
    let moving = stage.held_by(&old);
    let before = unanswered(&load);
    let begun = Stamp::now();
    stage.lab.ask(&["drain", &old])?;
    moved(stage, &old, &moving)?;
    run_for(2000);
    let report = alive(stage, &load, begun)?;
    ensure!(
        stage.answers.doubles(begun).is_empty(),
        "two answered: {:?}",
        stage.answers.doubles(begun)
    );
    ensure!(stage.held_by(&old).is_empty(), "{old} still holds something");
    none_lost(&load, before, "in a planned move")?;
    for address in &moving {
        let runs = stage.answers.runs();
        let change = runs.of(*address).windows(2).rfind(|two| two[1].first >= begun);
        if let Some([a, b]) = change {
            let silent = b.first.since(a.last);
            ensure!(silent < Duration::from_secs(1), "nobody answered for {silent:?}");
            egret_lab::note!("    {address}: nobody answered for {} ms", silent.as_millis());
        }
        egret_lab::note!("{}", stage.passage(*address, &old, begun));
    }
    egret_lab::note!("    longest stall {} ms", report.stall.as_millis());
    drop(load);
    stage.lab.ask(&["uncordon", &old])?;
    stage.await_planned(&old, crate::world::PATIENCE)
}
