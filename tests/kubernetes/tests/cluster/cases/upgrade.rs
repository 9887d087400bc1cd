//! `helm upgrade` to an image with another pin layout, and `helm rollback`, under load.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use egret_kubernetes::{NAMESPACE, egret_image};
use egret_lab::WallTime;
use egret_lab::checks::{load, run_for};
use egret_lab::scenarios::agents_replaced;

use crate::fixtures::{ClusterBench, ClusterFixture};

/// No connection is lost in either direction, and every agent runs what it should.
pub fn run(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    fixture.lab.import_image(&next_image()?)?;
    let present = layouts(fixture)?;
    let load = load(fixture, "helm upgrade")?;
    run_for(500);
    let begun = WallTime::now();
    let upgrade =
        ["upgrade", "egret", "deploy/helm/egret", "--reuse-values", "--set=image.tag=next"];
    for (when, arguments, back) in
        [("in the upgrade", &upgrade[..], false), ("in the rollback", &["rollback", "egret"], true)]
    {
        agents_replaced(fixture, (&load, begun), when, |fixture| {
            let wait = ["-n", NAMESPACE, "--wait", "--timeout=5m"];
            fixture.lab.helm(&[arguments, &wait].concat()).map(drop)
        })?;
        let now = layouts(fixture)?;
        ensure!((now == present) == back, "pins {when}: {now:?}, before all {present:?}");
    }
    Ok(())
}

/// The folders of pins on every worker: one, named after the layout.
fn layouts(fixture: &ClusterFixture) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for worker in fixture.lab.workers() {
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
