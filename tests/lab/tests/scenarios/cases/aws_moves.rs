//! An Elastic IP moves: its holder dies, is asked to give it away, or is frozen.

use anyhow::{Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::cloud::Zone;
use egret_lab::scenarios::cloud::{false_takeover, planned_moves};

use crate::fixtures::run_for;
use crate::region::{ASSIGN, ASSOCIATE, changed, holder_dies, load, names, pair, public, trio};

/// To a gateway of its own subnet: one call.
pub fn death_within_subnet(bench: &mut Bench) -> Result<()> {
    let fixture = pair(bench)?;
    let load = load(fixture, "aws-death")?;
    let (.., off) = holder_dies(fixture, &load)?;
    run_for(6000);
    changed(fixture, off, &[ASSIGN])
}

/// To the other zone, where a wire address is kept ready: one call.
pub fn death_across_zones(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(public(&[Zone::A, Zone::B])?);
    let load = load(fixture, "aws-zones")?;
    let (.., off) = holder_dies(fixture, &load)?;
    run_for(6000);
    let names = names(&fixture.lab.cloud()?.changes(off)?);
    ensure!(names.first().is_some_and(|name| name == ASSOCIATE), "{names:?}");
    ensure!(names.len() <= 2, "{names:?}");
    Ok(())
}

/// `egret move`, within the subnet, to the other zone, and back.
pub fn planned(bench: &mut Bench) -> Result<()> {
    planned_moves(trio(bench)?)
}

/// A false takeover: the agent of the holder is frozen for 5 s, its kernel goes on.
pub fn frozen(bench: &mut Bench) -> Result<()> {
    false_takeover(trio(bench)?)
}
