//! Instances that end: what it costs beside `egret drain`.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::load::Load;
use egret_lab::{LabFixture, NodeMarks, TestBed, WallTime};

use crate::fixtures::{holder, run_for};
use crate::region::{address, await_attached, lived, load, trio};

/// What a standby waits for a holder that restarts in a cloud.
const RESTART: Duration = Duration::from_secs(6);

/// An Auto Scaling group (the host shuts down), a spot notice and Karpenter, beside a drain: no
/// connection is lost, and nobody waits for who will not come back.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = trio(bench)?;
    let load = load(fixture, "aws-leaving")?;
    run_for(1000);
    drain(fixture, &load)?;
    let old = leaves(fixture, &load, "shut down at once", |fixture, old| {
        fixture.lab.shut_down(old)?;
        let begun = WallTime::now();
        fixture.lab.stop_agent(old)?;
        let took = WallTime::now().since(begun);
        egret_lab::note!("    the agent of {old} ended after {} ms", took.as_millis());
        Ok(())
    })?;
    ends(fixture, &old)?;
    let old = leaves(fixture, &load, "told that the host shuts down", |fixture, old| {
        fixture.lab.shut_down(old)
    })?;
    ends(fixture, &old)?;
    let old = leaves(fixture, &load, "spot notice", |fixture, old| {
        let taint = "aws-node-termination-handler/spot-itn";
        let marks = NodeMarks { taints: &[taint], cordoned: true, ..NodeMarks::default() };
        fixture.lab.write_node_as(old, &marks)
    })?;
    ends(fixture, &old)?;
    let old = leaves(fixture, &load, "Karpenter", |fixture, old| {
        let taints = &["karpenter.sh/disrupted"];
        let marks = NodeMarks { taints, ..NodeMarks::default() };
        fixture.lab.write_node_as(old, &marks)?;
        std::thread::sleep(Duration::from_millis(300));
        fixture.lab.write_node_as(old, &NodeMarks { deleting: true, ..marks })
    })?;
    ends(fixture, &old)?;
    drain(fixture, &load)
}

/// What the others are measured by.
fn drain(fixture: &mut LabFixture, load: &Load) -> Result<()> {
    let old = leaves(fixture, load, "egret drain", |fixture, old| {
        fixture.lab.run_egret(&["drain", old]).map(drop)
    })?;
    fixture.lab.run_egret(&["uncordon", &old]).map(drop)
}

/// The holder is told to go, in some way; returns its name once another has the address.
fn leaves(
    fixture: &mut LabFixture,
    load: &Load,
    way: &str,
    goes: impl FnOnce(&mut LabFixture, &str) -> Result<()>,
) -> Result<String> {
    let (old, begun) = (holder(fixture)?, WallTime::now());
    goes(fixture, &old)?;
    let new = fixture.await_successor(address(fixture)?, &old, Duration::from_secs(15))?;
    await_attached(fixture, &new)?;
    run_for(1500);
    let report = lived(fixture, load, begun)?;
    let stall = report.stall;
    egret_lab::note!("    {way}: {old} → {new}: longest stall {} ms", stall.as_millis());
    ensure!(stall < RESTART, "{way}: a stall of {stall:?}: somebody waited for {old}");
    Ok(old)
}

/// The instance is off, which nobody notices any more; another one of its name begins.
fn ends(fixture: &mut LabFixture, name: &str) -> Result<()> {
    fixture.lab.power_off(name)?;
    fixture.lab.write_node(name)?;
    fixture.lab.boot(name)
}
