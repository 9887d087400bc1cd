//! S08: the DaemonSet restarts every agent in turn; no connection is lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_kubernetes::NAMESPACE;
use egret_lab::Stamp;
use egret_lab::checks::{PATIENCE, alive, none_lost, run_for, unanswered};

use crate::world::{Bench, load};

pub fn run(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s08")?;
    run_for(500);
    let (begun, answered) = (Stamp::now(), unanswered(&load));
    stage.lab.kubectl().ask(&["rollout", "restart", "-n", NAMESPACE, "daemonset/egret-agent"])?;
    stage.lab.await_egret()?;
    stage.await_held(PATIENCE)?;
    run_for(2000);
    let report = alive(stage, &load, begun)?;
    let doubles = stage.answers.doubles(begun);
    ensure!(doubles.is_empty(), "two answered one question: {:?}", doubles.first());
    none_lost(&load, answered, "in a rolling restart")?;
    ensure!(report.stall <= Duration::from_secs(1), "stalled for {:?}", report.stall);
    egret_lab::note!(
        "    {:.1} s, longest stall {} ms",
        Stamp::now().since(begun).as_secs_f64(),
        report.stall.as_millis()
    );
    Ok(())
}
