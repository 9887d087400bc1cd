//! In a VPC of Google that is told by calls where an address is, it is attached, moves, waits for the API, and
//! ends.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::checks::BOUND;
use egret_lab::{LabFixture, TestBed, WallTime, wait_until};
use serde_json::json;

use crate::fabric::{FabricMode, await_rest, await_unready, goes_on};
use crate::fixtures::{PATIENCE, back, holder, run_for};
use crate::google::{CLAIM, SCAN, address, load, names};

use FabricMode::{AliasRange, TargetInstance};

pub fn target_attach(bench: &mut Bench) -> Result<()> {
    attach(bench, TargetInstance)
}

pub fn target_holder_dies(bench: &mut Bench) -> Result<()> {
    dies(bench, TargetInstance)
}

pub fn target_drain(bench: &mut Bench) -> Result<()> {
    drain(bench, TargetInstance)
}

pub fn target_without_api(bench: &mut Bench) -> Result<()> {
    without_api(bench, TargetInstance)
}

pub fn alias_attach(bench: &mut Bench) -> Result<()> {
    attach(bench, AliasRange)
}

pub fn alias_holder_dies(bench: &mut Bench) -> Result<()> {
    dies(bench, AliasRange)
}

pub fn alias_drain(bench: &mut Bench) -> Result<()> {
    drain(bench, AliasRange)
}

pub fn alias_without_api(bench: &mut Bench) -> Result<()> {
    without_api(bench, AliasRange)
}

/// Pods leave with the address and nothing else; at rest nothing is changed, and nobody announces. When the
/// claim ends nothing of it is left.
fn attach(bench: &mut Bench, mode: FabricMode) -> Result<()> {
    bench.spoil();
    let fixture = mode.shared(bench)?;
    let node = holder(fixture)?;
    let objects = fixture.lab.objects("EgressAddress")?;
    let attachment = &objects.first().context("no EgressAddress")?["status"]["attachment"];
    ensure!(attachment["node"] == *node, "{attachment}: not {node}");
    let load = load(fixture, &format!("{}-attach", mode.name()))?;
    await_rest(fixture)?;
    let since = WallTime::now();
    run_for(u64::try_from(SCAN.as_millis())? + 1000);
    goes_on(fixture, &load, since, "at rest")?;
    let vpc = fixture.lab.vpc()?;
    let changed = names(&vpc.changes(since)?);
    ensure!(changed.is_empty(), "at rest: {changed:?}");
    let announced = vpc.announcements(WallTime(0));
    ensure!(announced.is_empty(), "somebody announces: {:?}", announced.first());
    drop(load);
    end(fixture, mode)
}

/// The claim ends: the rule and the target instances, or the alias range, are gone, and the pods' ranges are
/// there.
fn end(fixture: &LabFixture, mode: FabricMode) -> Result<()> {
    let (ended, vpc) = (WallTime::now(), fixture.lab.vpc()?);
    fixture.lab.remove_manifest(CLAIM)?;
    let gone = wait_until("the end of what carries the address", PATIENCE, || {
        let left = vpc.target_instances().ok()?.len() + vpc.names("forwarding_rules").ok()?.len();
        let delivered = fixture.holder(address(fixture).ok()?).is_some();
        (left == 0 && !delivered).then(WallTime::now)
    });
    egret_lab::note!("    its end: {}", names(&vpc.changes(ended)?).join(", "));
    egret_lab::note!("    gone after {:.0} ms", gone?.millis_after(ended));
    mode.check_objects(fixture, None)?;
    ensure!(vpc.addresses().len() == vpc.names("addresses")?.len(), "a static address is gone");
    let kept = fixture.lab.objects("EgressAddress")?;
    ensure!(!kept.is_empty(), "it was free before the cloud had let go of it");
    Ok(())
}

/// The holder's power is cut: a standby takes the lease over, and the network is told.
fn dies(bench: &mut Bench, mode: FabricMode) -> Result<()> {
    let fixture = mode.shared(bench)?;
    let load = load(fixture, &format!("{}-death", mode.name()))?;
    run_for(1000);
    let old = holder(fixture)?;
    let off = fixture.lab.power_off(&old)?;
    let new = fixture.await_successor(address(fixture)?, &old, Duration::from_secs(15))?;
    mode.await_at(fixture, &new)?;
    goes_on(fixture, &load, off, &format!("{old} → {new}"))?;
    moved_by(fixture, mode, off)
}

/// Nothing was called but what moves the address: once to a target instance, and once to each interface.
fn moved_by(fixture: &LabFixture, mode: FabricMode, since: WallTime) -> Result<()> {
    let changes = names(&fixture.lab.vpc()?.changes(since)?);
    let most = if mode == AliasRange { 2 } else { 1 };
    let moving: Vec<_> = changes.iter().filter(|name| name.ends_with(mode.moves_by())).collect();
    ensure!(moving.len() == most, "{changes:?}");
    Ok(())
}

/// The holder is drained and taken back: a standby has the address as soon as the network is told.
fn drain(bench: &mut Bench, mode: FabricMode) -> Result<()> {
    let fixture = mode.shared(bench)?;
    let load = load(fixture, &format!("{}-drain", mode.name()))?;
    run_for(1000);
    let old = holder(fixture)?;
    let begun = WallTime::now();
    fixture.lab.run_egret(&["drain", &old])?;
    let new = fixture.await_successor(address(fixture)?, &old, Duration::from_secs(15))?;
    mode.await_at(fixture, &new)?;
    run_for(1000);
    let stall = goes_on(fixture, &load, begun, &format!("{old} drained, → {new}"))?.stall;
    moved_by(fixture, mode, begun)?;
    fixture.lab.run_egret(&["uncordon", &old])?;
    fixture.await_planned(&old, PATIENCE)?;
    ensure!(holder(fixture)? == new, "{old} took it back");
    ensure!(stall <= BOUND, "a connection stalled for {stall:?}");
    Ok(())
}

/// The API is away while the holder dies: the address waits for it, as the claim's status says, and comes back
/// with it; connections that wait so long go on.
fn without_api(bench: &mut Bench, mode: FabricMode) -> Result<()> {
    let fixture = mode.shared(bench)?;
    let load = load(fixture, &format!("{}-away", mode.name()))?;
    run_for(1000);
    let old = holder(fixture)?;
    fixture.lab.vpc()?.inject_fault("fail", &json!({"times": 1_000_000, "cut": true}))?;
    let off = fixture.lab.power_off(&old)?;
    let said = await_unready(fixture, &format!("it is attached to {old}"))?;
    egret_lab::note!("    meanwhile: {said}");
    // With the API it would be there by then.
    run_for(1000);
    ensure!(holder(fixture)? == old, "it moved without the API");
    let back_at = WallTime::now();
    fixture.lab.vpc()?.clear()?;
    let new = fixture.await_successor(address(fixture)?, &old, Duration::from_secs(20))?;
    let after = WallTime::now().millis_after(back_at);
    egret_lab::note!("    at {new} {after:.0} ms after the API is back");
    mode.await_at(fixture, &new)?;
    goes_on(fixture, &load, off, &format!("{old} → {new} without the API"))?;
    drop(load);
    back(fixture, &old)
}
