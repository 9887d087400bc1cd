//! S20 to S23: EC2 throttles, fails after it has done what it was asked, shows what was, is away.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::{Stage, Stamp};
use serde_json::{Value, json};

use crate::region::{
    ASSIGN, address, await_attached, await_trouble, changed, lived, load, names, pair, power_off,
    tell,
};
use crate::world::{back, holder, run_for};

/// How long the weather is bad, from the holder's death on (S20 says 5 min; shortened).
const BAD: Duration = Duration::from_secs(12);

/// S20: every call is throttled while the holder dies.
pub fn throttled(bench: &mut Bench) -> Result<()> {
    let stage = pair(bench)?;
    let fields = json!({"next": 1_000_000});
    through(stage, "s20", ("throttle", fields), "RequestLimitExceeded")
}

/// S23: EC2 cannot be reached while the holder dies.
pub fn away(bench: &mut Bench) -> Result<()> {
    let stage = pair(bench)?;
    let fields = json!({"times": 1_000_000, "cut": true});
    through(stage, "s23", ("fail", fields), "attach 203.0.113.17")
}

/// The holder dies in bad weather: the condition says why nothing moves, EC2 is not stormed, and
/// all is well when the weather is.
fn through(stage: &mut Stage, name: &str, weather: (&str, Value), words: &str) -> Result<()> {
    let load = load(stage, name)?;
    run_for(1000);
    let old = holder(stage)?;
    stage.lab.cloud()?.weather(weather.0, &weather.1)?;
    let off = stage.lab.power_off(&old)?;
    let said = await_trouble(stage, words)?;
    egret_lab::note!("    meanwhile: {said}");
    std::thread::sleep(BAD.saturating_sub(Stamp::now().since(off)));
    let cloud = stage.lab.cloud()?;
    let calls = cloud.calls(off)?.len();
    egret_lab::note!("    {calls} calls in {BAD:?}");
    ensure!(calls < 100, "{calls} calls in {BAD:?}");
    ensure!(holder(stage)? == old, "moved in bad weather");
    let cleared = Stamp::now();
    cloud.clear()?;
    let new = stage.await_successor(address(stage)?, &old, Duration::from_secs(20))?;
    egret_lab::note!("    moved {} ms after the weather", Stamp::now().since(cleared).as_millis());
    await_attached(stage, &new)?;
    let report = lived(stage, &load, off)?;
    egret_lab::note!("    {old} → {new}: longest stall {} ms", report.stall.as_millis());
    tell(stage, &load, cleared)?;
    changed(stage, cleared, &[ASSIGN])
}

/// S21: the call that moves the address takes effect and then fails, with an error and without an
/// answer.
pub fn fails_after(bench: &mut Bench) -> Result<()> {
    let stage = pair(bench)?;
    for cut in [false, true] {
        let load = load(stage, if cut { "s21-cut" } else { "s21-error" })?;
        let fields = json!({"action": ASSIGN, "after": true, "cut": cut});
        stage.lab.cloud()?.weather("fail", &fields)?;
        let old = holder(stage)?;
        let (_, off) = power_off(stage, &load)?;
        let changes = stage.lab.cloud()?.changes(off)?;
        let failed = changes.iter().filter(|call| call.result != "OK").count();
        ensure!(failed == 1, "the weather did not come: {:?}", names(&changes));
        ensure!(changes.len() <= 2, "{:?}", names(&changes));
        drop(load);
        back(stage, &old)?;
    }
    Ok(())
}

/// S22: descriptions show what was 5 s ago: nothing goes to and fro.
pub fn stale(bench: &mut Bench) -> Result<()> {
    let stage = pair(bench)?;
    let load = load(stage, "s22")?;
    stage.lab.cloud()?.weather("lag", &json!({"seconds": 5}))?;
    let (new, off) = power_off(stage, &load)?;
    run_for(15_000);
    ensure!(holder(stage)? == new, "it went on from {new}");
    changed(stage, off, &[ASSIGN])?;
    let report = lived(stage, &load, off)?;
    egret_lab::note!("    afterwards: longest stall {} ms", report.stall.as_millis());
    tell(stage, &load, off)
}
