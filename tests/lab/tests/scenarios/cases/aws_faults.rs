//! S20 to S23: EC2 throttles, fails after it has done what it was asked, shows what was, is away.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::{LabFixture, TestBed, WallTime};
use serde_json::{Value, json};

use crate::fixtures::{back, holder, run_for};
use crate::region::{
    ASSIGN, address, await_attached, await_trouble, changed, holder_dies, lived, load, names, pair,
    tell,
};

/// How long the fault lasts, from the holder's death on (S20 says 5 min; shortened).
const FAULT: Duration = Duration::from_secs(12);

/// S20: every call is throttled while the holder dies.
pub fn throttled(bench: &mut Bench) -> Result<()> {
    let fixture = pair(bench)?;
    let fields = json!({"next": 1_000_000});
    through(fixture, "s20", ("throttle", fields), "RequestLimitExceeded")
}

/// S23: EC2 cannot be reached while the holder dies.
pub fn away(bench: &mut Bench) -> Result<()> {
    let fixture = pair(bench)?;
    let fields = json!({"times": 1_000_000, "cut": true});
    through(fixture, "s23", ("fail", fields), "attach 203.0.113.17")
}

/// The holder dies during a fault: the condition says why nothing moves, EC2 is not stormed, and
/// all is well when it has ended.
fn through(fixture: &mut LabFixture, name: &str, fault: (&str, Value), words: &str) -> Result<()> {
    let load = load(fixture, name)?;
    run_for(1000);
    let old = holder(fixture)?;
    fixture.lab.cloud()?.inject_fault(fault.0, &fault.1)?;
    let off = fixture.lab.power_off(&old)?;
    let said = await_trouble(fixture, words)?;
    egret_lab::note!("    meanwhile: {said}");
    std::thread::sleep(FAULT.saturating_sub(WallTime::now().since(off)));
    let cloud = fixture.lab.cloud()?;
    let calls = cloud.calls(off)?.len();
    egret_lab::note!("    {calls} calls in {FAULT:?}");
    ensure!(calls < 100, "{calls} calls in {FAULT:?}");
    ensure!(holder(fixture)? == old, "moved during the fault");
    let cleared = WallTime::now();
    cloud.clear()?;
    let new = fixture.await_successor(address(fixture)?, &old, Duration::from_secs(20))?;
    egret_lab::note!("    moved {} ms after the fault", WallTime::now().since(cleared).as_millis());
    await_attached(fixture, &new)?;
    let report = lived(fixture, &load, off)?;
    egret_lab::note!("    {old} → {new}: longest stall {} ms", report.stall.as_millis());
    tell(fixture, &load, cleared)?;
    changed(fixture, cleared, &[ASSIGN])
}

/// S21: the call that moves the address takes effect and then fails, with an error and without an
/// answer.
pub fn fails_after(bench: &mut Bench) -> Result<()> {
    let fixture = pair(bench)?;
    for cut in [false, true] {
        let load = load(fixture, if cut { "s21-cut" } else { "s21-error" })?;
        let fields = json!({"action": ASSIGN, "after": true, "cut": cut});
        fixture.lab.cloud()?.inject_fault("fail", &fields)?;
        let (old, _, off) = holder_dies(fixture, &load)?;
        let changes = fixture.lab.cloud()?.changes(off)?;
        let failed = changes.iter().filter(|call| call.result != "OK").count();
        ensure!(failed == 1, "the fault did not come: {:?}", names(&changes));
        ensure!(changes.len() <= 2, "{:?}", names(&changes));
        drop(load);
        back(fixture, &old)?;
    }
    Ok(())
}

/// How late reads are.
const LATE: Duration = Duration::from_secs(8);

/// S22: descriptions show what was 8 s ago: nothing goes to and fro, and directors do not wait for them.
pub fn stale(bench: &mut Bench) -> Result<()> {
    let fixture = pair(bench)?;
    let load = load(fixture, "s22")?;
    fixture.lab.cloud()?.inject_fault("lag", &json!({"seconds": LATE.as_secs()}))?;
    let (_, new, off) = holder_dies(fixture, &load)?;
    run_for(15_000);
    ensure!(holder(fixture)? == new, "it went on from {new}");
    changed(fixture, off, &[ASSIGN])?;
    let report = lived(fixture, &load, off)?;
    egret_lab::note!("    afterwards: longest stall {} ms", report.stall.as_millis());
    ensure!(report.udp_gap < LATE, "silent for {:?}: until reads showed it", report.udp_gap);
    tell(fixture, &load, off)
}
