//! `helm upgrade` to an image with another pin layout, and `helm rollback`, under load.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use egret_kubernetes::{NAMESPACE, egret_image};
use egret_lab::Stamp;
use egret_lab::checks::{PATIENCE, alive, none_lost, run_for, unanswered};

use crate::world::{Bench, Stage, load};

/// No connection is lost in either direction, and every agent runs what it should.
pub fn run(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    stage.lab.import_image(&next_image()?)?;
    let present = layouts(stage)?;
    let load = load(stage, "helm upgrade")?;
    run_for(500);
    let begun = Stamp::now();
    let upgrade =
        ["upgrade", "egret", "deploy/helm/egret", "--reuse-values", "--set=image.tag=next"];
    for (what, arguments) in [("upgrade", &upgrade[..]), ("rollback", &["rollback", "egret"])] {
        let (step, answered) = (Stamp::now(), unanswered(&load));
        let wait = ["-n", NAMESPACE, "--wait", "--timeout=5m"];
        stage.lab.helm(&[arguments, &wait].concat())?;
        stage.lab.await_egret()?;
        stage.await_held(PATIENCE)?;
        let took = Stamp::now().since(step);
        run_for(2000);
        let report = alive(stage, &load, begun)?;
        none_lost(&load, answered, &format!("in the {what}"))?;
        let now = layouts(stage)?;
        let back = what == "rollback";
        ensure!((now == present) == back, "pins after the {what}: {now:?}, before all {present:?}");
        egret_lab::note!(
            "    {what}: {:.1} s, longest stall {} ms",
            took.as_secs_f64(),
            report.stall.as_millis()
        );
    }
    let doubles = stage.answers.doubles(begun);
    ensure!(doubles.is_empty(), "two answered one question: {:?}", doubles.first());
    Ok(())
}

/// The folders of pins on every worker: one, named after the layout.
fn layouts(stage: &Stage) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for worker in stage.lab.workers() {
        let listed = worker.shell("ls /sys/fs/bpf/egret")?;
        ensure!(listed.lines().count() == 1, "{}: pins of several layouts: {listed}", worker.name);
        found.push(format!("{} {}", worker.name, listed.trim()));
    }
    Ok(found)
}

/// The archive of `egret.dev/egret:next`, beside the other.
fn next_image() -> Result<PathBuf> {
    let path = egret_image()?.with_file_name("egret-next.tar");
    ensure!(
        path.is_file(),
        "no image at {}: `make cluster-image` builds it (EGRET_TAG=next, feature layout-next)",
        path.display()
    );
    Ok(path)
}
