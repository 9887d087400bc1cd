//! An Elastic IP moves: its holder dies, is asked to give it away, or is frozen.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::cloud::Zone;
use egret_lab::{Stage, Stamp, wait_until};

use crate::region::{
    ASSIGN, ASSOCIATE, address, await_attached, changed, lived, load, names, pair, power_off,
    public, tell, trio,
};
use crate::world::{holder, run_for};

/// To a gateway of its own subnet: one call.
pub fn death_within_subnet(bench: &mut Bench) -> Result<()> {
    let stage = pair(bench)?;
    let load = load(stage, "aws-death")?;
    let (_, off) = power_off(stage, &load)?;
    run_for(6000);
    changed(stage, off, &[ASSIGN])
}

/// To the other zone, where a wire address is kept ready: one call.
pub fn death_across_zones(bench: &mut Bench) -> Result<()> {
    let stage = bench.own(public(&[Zone::A, Zone::B])?);
    let load = load(stage, "aws-zones")?;
    let (_, off) = power_off(stage, &load)?;
    run_for(6000);
    let names = names(&stage.lab.cloud()?.changes(off)?);
    ensure!(names.first().is_some_and(|name| name == ASSOCIATE), "{names:?}");
    ensure!(names.len() <= 2, "{names:?}");
    Ok(())
}

/// `egret move`, within the subnet, to the other zone, and back.
pub fn planned(bench: &mut Bench) -> Result<()> {
    let stage = trio(bench)?;
    let load = load(stage, "aws-move")?;
    run_for(1000);
    let first = holder(stage)?;
    let turns = match first.as_str() {
        "gateway-1" => ["gateway-2", "gateway-3", "gateway-1"],
        "gateway-2" => ["gateway-1", "gateway-3", "gateway-2"],
        _ => ["gateway-1", "gateway-2", "gateway-3"],
    };
    for to in turns {
        let (begun, from) = (Stamp::now(), holder(stage)?);
        stage.lab.ask(&["move", &address(stage)?.to_string(), "--to", to])?;
        await_at(stage, to)?;
        await_attached(stage, to)?;
        run_for(3000);
        let report = lived(stage, &load, begun)?;
        egret_lab::note!("    {from} → {to}: longest stall {} ms", report.stall.as_millis());
        tell(stage, &load, begun)?;
        let names = names(&stage.lab.cloud()?.changes(begun)?);
        ensure!(names.len() <= 3, "{names:?}");
    }
    Ok(())
}

/// A false takeover: the agent of the holder is frozen for 5 s, its kernel goes on.
pub fn frozen(bench: &mut Bench) -> Result<()> {
    let stage = trio(bench)?;
    let load = load(stage, "aws-frozen")?;
    run_for(1000);
    let old = holder(stage)?;
    let frozen = stage.lab.freeze(&old)?;
    let new = stage.await_successor(address(stage)?, &old, Duration::from_secs(5))?;
    std::thread::sleep(Duration::from_secs(5).saturating_sub(Stamp::now().since(frozen)));
    let thawed = stage.lab.thaw(&old)?;
    await_attached(stage, &new)?;
    run_for(8000);
    let report = lived(stage, &load, frozen)?;
    egret_lab::note!("    {old} → {new}: longest stall {} ms", report.stall.as_millis());
    tell(stage, &load, frozen)?;
    ensure!(holder(stage)? == new, "{old} took it back");
    changed(stage, thawed, &[])
}

fn await_at(stage: &Stage, node: &str) -> Result<()> {
    let there = || (holder(stage).ok()? == node).then_some(());
    wait_until(&format!("the address at {node}"), Duration::from_secs(20), there)
}
