//! Every agent is replaced, in turn, by a version with another pin layout, and back again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::{Stage, Stamp, wait_until};

use crate::world::{PATIENCE, alive, load, none_lost, run_for, unanswered};
use egret_lab::bench::Bench;

/// A planned upgrade and downgrade under load: no connection and no packet is lost.
pub fn run(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let (present, next) = (stage.lab.egret()?, next_binary(stage)?);
    let load = load(stage, "upgrade")?;
    run_for(500);
    let begun = Stamp::now();
    for binary in [&next, &present] {
        let before = unanswered(&load);
        for name in stage.lab.node_names() {
            replace(stage, &name, binary)?;
        }
        run_for(1000);
        alive(stage, &load, begun)?;
        none_lost(&load, before, &format!("on the way to {}", binary.display()))?;
    }
    ensure!(stage.answers.doubles(begun).is_empty(), "two answered one question");
    let report = load.report(begun);
    egret_lab::note!("    longest stall {} ms", report.stall.as_millis());
    Ok(())
}

fn replace(stage: &mut Stage, name: &str, binary: &Path) -> Result<()> {
    let stopped = stage.lab.stop_agent(name)?;
    stage.lab.start_agent_of(name, binary)?;
    wait_until(&format!("the agent of {name} has started"), Duration::from_secs(10), || {
        let started = stage.lab.journal().events("agent_started", stopped);
        started.iter().any(|entry| entry.from == name).then_some(())
    })?;
    run_for(1000);
    stage.await_held(PATIENCE)
}

/// The same program with the next pin layout, beside the present one.
fn next_binary(stage: &Stage) -> Result<PathBuf> {
    let next = stage.lab.egret()?.with_file_name("egret-next");
    ensure!(
        next.is_file(),
        "no {}: make it with cargo build -p egret --features layout-next and a copy of target/debug/egret \
         (make lab does)",
        next.display()
    );
    Ok(next)
}
