//! What happens to an address that a cloud delivers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::checks::{holder, run_for};
use crate::clock::{WallTime, wait_until};
use crate::cloud::checks::{address, await_attached, changed, lived, load, names, tell};
use crate::fixture::LabFixture;
use crate::load::Load;
use crate::test_bed::TestBed;

/// The holder's power is cut under this load: within `limit` another gateway has the address, and every
/// connection goes on. Returns who had it, who has it, and the moment of the power-off.
///
/// # Errors
/// With what is not so.
pub fn holder_dies(
    fixture: &mut LabFixture<impl TestBed>,
    load: &Load,
    limit: Duration,
) -> Result<(String, String, WallTime)> {
    run_for(1000);
    let old = holder(fixture)?;
    let off = fixture.lab.power_off(&old)?;
    let new = fixture.await_successor(address(fixture)?, &old, limit)?;
    await_attached(fixture, &new)?;
    goes_on(fixture, load, off, &format!("{old} → {new}"))?;
    Ok((old, new, off))
}

/// `egret move` to every other gateway, and back.
///
/// # Errors
/// With what is not so.
pub fn planned_moves(fixture: &mut LabFixture<impl TestBed>) -> Result<()> {
    let load = load(fixture, "aws-move")?;
    run_for(1000);
    let (first, mut turns) = (holder(fixture)?, fixture.lab.gateways());
    let at = turns.iter().position(|name| *name == first);
    turns.rotate_left(at.context("no gateway has the address")? + 1);
    for to in turns {
        let begun = WallTime::now();
        move_to(fixture, &to)?;
        run_for(3000);
        goes_on(fixture, &load, begun, &format!("moved to {to}"))?;
        let names = names(&fixture.lab.cloud()?.changes(begun)?);
        ensure!(names.len() <= 3, "{names:?}");
    }
    Ok(())
}

/// Moves the address to a gateway and waits until it is attached there.
///
/// # Errors
/// Where that takes longer than 20 s.
pub fn move_to(fixture: &LabFixture<impl TestBed>, to: &str) -> Result<()> {
    fixture.lab.run_egret(&["move", &address(fixture)?.to_string(), "--to", to])?;
    let there = || (holder(fixture).ok()? == to).then_some(());
    wait_until(&format!("the address at {to}"), Duration::from_secs(20), there)?;
    await_attached(fixture, to)
}

/// A false takeover: the agent of the holder is frozen for 5 s, its kernel goes on.
///
/// # Errors
/// With what is not so.
pub fn false_takeover(fixture: &mut LabFixture<impl TestBed>) -> Result<()> {
    let load = load(fixture, "aws-frozen")?;
    run_for(1000);
    let old = holder(fixture)?;
    let frozen = fixture.lab.freeze_agent(&old)?;
    let successor = fixture.await_successor(address(fixture)?, &old, Duration::from_secs(15));
    std::thread::sleep(Duration::from_secs(5).saturating_sub(WallTime::now().since(frozen)));
    let thawed = fixture.lab.thaw_agent(&old)?;
    let new = successor?;
    await_attached(fixture, &new)?;
    run_for(8000);
    goes_on(fixture, &load, frozen, &format!("frozen: {old} → {new}"))?;
    ensure!(holder(fixture)? == new, "{old} took it back");
    changed(fixture, thawed, &[])
}

fn goes_on(
    fixture: &LabFixture<impl TestBed>,
    load: &Load,
    since: WallTime,
    what: &str,
) -> Result<()> {
    let report = lived(fixture, load, since)?;
    crate::note!("    {what}: longest stall {} ms", report.stall.as_millis());
    tell(fixture, load, since)
}
