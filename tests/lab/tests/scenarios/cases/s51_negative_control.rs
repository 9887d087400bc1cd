//! S51: the same power-off and the same load, with ordinary SNAT on the gateway. The measurement
//! must be able to fail, so here it has to.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::control::OrdinarySnat;
use egret_lab::load::{Load, LoadPlan, TrafficKind};
use egret_lab::oracle::{GatewayOracle, Sources};
use egret_lab::{TestBed, WallTime};

use crate::fixtures::{bank, name_of, usual};
use egret_lab::bench::Bench;

pub fn run(_: &mut Bench) -> Result<()> {
    let mut lab = usual().gateways(2).build()?;
    let (sources, gateways) = (Sources::start(&lab)?, GatewayOracle::start(&lab)?);
    let snat = OrdinarySnat::install(&lab, bank(), "gateway-1")?;
    let plan = LoadPlan::new("control", &["settle-1", "settle-2"]).connections(10);
    let load = Load::start(&mut lab, plan, Some((&sources, &bank())))?;
    std::thread::sleep(Duration::from_secs(1));
    ensure!(sources.right() > 100 && sources.wrong() == 0, "ordinary SNAT does not work here");
    ensure!(load.report(WallTime(0)).lost.is_empty(), "lost before the fault");
    let off = lab.power_off("gateway-1")?;
    std::thread::sleep(Duration::from_millis(450));
    snat.move_to(&lab, "gateway-2")?;
    std::thread::sleep(Duration::from_secs(6));
    let report = load.report(off);
    let driven = load.series().iter().filter(|s| s.kind == TrafficKind::ServerDrives).count();
    let lost = report.lost.iter().filter(|lost| lost.name.contains("ServerDrives")).count();
    ensure!(lost == driven, "{lost} of {driven} driven connections were lost: {:?}", report.lost);
    ensure!(report.lost.len() > driven, "no connection of the pods that speak was lost");
    for address in bank() {
        let Some(run) = gateways.runs().successor(address, off) else { continue };
        ensure!(name_of(&lab, run.mac)? == "gateway-2", "{address} left by another gateway");
    }
    egret_lab::note!(
        "    ordinary SNAT lost {} of {} connections",
        report.lost.len(),
        report.connections
    );
    Ok(())
}
