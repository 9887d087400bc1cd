//! Gateways whose uplink loses its link, while their agents live and reach each other by another network.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::{LabFixture, TestBed, wait_until};

use crate::fixtures::{PATIENCE, alive, holder, load, moved, run_for, settles, usual, with_claim};

/// Without a controller: the holder hands over, no connection is lost, and a link that comes and goes moves
/// nothing more. Where no gateway reaches the network nothing moves, and each says why.
pub fn run(bench: &mut Bench) -> Result<()> {
    let mut lab = usual().build()?;
    lab.add_private_network()?;
    let fixture = bench.own(with_claim(lab)?);
    settles(fixture)?;
    let load = load(fixture, "uplink")?;
    run_for(500);
    fixture.lab.stop_controller(true)?;
    let old = holder(fixture)?;
    let moving = fixture.held_by(&old);
    let lost = fixture.lab.set_link(&old, false)?;
    moved(fixture, &old, &moving)?;
    let taken: Vec<Option<String>> =
        moving.iter().map(|address| fixture.holder(*address)).collect();
    says(fixture, &old, "has no carrier")?;
    for up in [true, false, true] {
        fixture.lab.set_link(&old, up)?;
        run_for(1500);
    }
    alive(fixture, &load, lost)?;
    for (address, taken) in moving.iter().zip(&taken) {
        egret_lab::note!("{}", fixture.passage(*address, &old, lost));
        ensure!(fixture.holder(*address) == *taken, "{address}: moved again from {taken:?}");
    }
    drop(load);
    nobody_reaches_it(fixture, &moving)?;
    fixture.lab.start_controller()?;
    settles(fixture)
}

fn nobody_reaches_it(fixture: &mut LabFixture, addresses: &[IpAddr]) -> Result<()> {
    let gateways: Vec<String> = fixture
        .lab
        .nodes()
        .iter()
        .filter(|node| node.name.starts_with("gateway"))
        .map(|node| node.name.clone())
        .collect();
    for gateway in &gateways {
        fixture.lab.set_link(gateway, false)?;
    }
    for gateway in &gateways {
        says(fixture, gateway, "has no carrier")?;
    }
    let before: Vec<String> =
        addresses.iter().map(|address| held_in_status(fixture, *address)).collect::<Result<_>>()?;
    run_for(5000);
    for (address, before) in addresses.iter().zip(&before) {
        ensure!(held_in_status(fixture, *address)? == *before, "{address} has moved to nowhere");
    }
    for gateway in &gateways {
        fixture.lab.set_link(gateway, true)?;
    }
    Ok(())
}

/// The node's own object says it.
fn says(fixture: &LabFixture, node: &str, what: &str) -> Result<()> {
    let said = || {
        let objects = fixture.lab.objects("EgressNode").ok()?;
        let own = objects.into_iter().find(|object| object["metadata"]["name"] == *node)?;
        let all = own["status"]["conditions"].as_array()?.clone();
        let ready = all.into_iter().find(|condition| condition["type"] == "Ready")?;
        let why = ready["message"].as_str()?;
        (ready["reason"] == "InterfaceUnusable" && why.contains(what)).then_some(())
    };
    wait_until(&format!("{node} says: {what}"), Duration::from_secs(20).max(PATIENCE), said)
}

fn held_in_status(fixture: &LabFixture, address: IpAddr) -> Result<String> {
    fixture.lab.recorded_holder(address).with_context(|| format!("{address} is held by nobody"))
}
