//! S26 and S05: all gateways are gone; a director is gone.

use anyhow::{Result, ensure};
use egret_lab::load::{RawShape, inject};
use egret_lab::scenarios::no_gateway;
use egret_lab::{PodOptions, TestBed, WallTime};

use crate::fixtures::{
    alive, bank, blocks, claim, holders, load, nothing_moved, run_for, usual, with_claim,
};
use egret_lab::bench::Bench;

/// Fail closed by default; a claim that says so falls back to the node's address.
pub fn run(bench: &mut Bench) -> Result<()> {
    let opted = PodOptions::new("director-1", "payments", "opted-1").label("app", "opted");
    let fixture = bench.own(with_claim(usual().gateways(2).pod(opted).build()?)?);
    let open = ["203.0.113.18", "2001:db8:5::12"];
    fixture.lab.write_manifest("open.yaml", &claim("open", "opted", &open, "Node"))?;
    crate::fixtures::await_source(fixture, "opted-1", open[0].parse()?)?;
    no_gateway(fixture, "opted-1", |fixture, port| {
        for count in 0..200 {
            inject(fixture.lab.pod("settle-1")?, RawShape::Syn, 42_000 + count, port)?;
            run_for(50);
        }
        Ok(())
    })
    .map(drop)
}

/// S05: a director dies; its block stays reserved, and others are unaffected.
pub fn director_death(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    let mut load = load(fixture, "s05")?;
    run_for(1000);
    drop(load);
    let plan = egret_lab::load::LoadPlan::new("s05-alone", &["settle-1"]);
    load = egret_lab::load::Load::start(&mut fixture.lab, plan, Some((&fixture.sources, &bank())))?;
    let before = holders(fixture);
    let taken = blocks(fixture, "director-2")?;
    ensure!(!taken.is_empty(), "director-2 has no port block");
    let off = fixture.lab.power_off("director-2")?;
    run_for(20_000);
    alive(fixture, &load, off)?;
    nothing_moved(fixture, off, &before)?;
    for node in fixture.lab.node_names().iter().filter(|name| *name != "director-2") {
        for block in blocks(fixture, node)? {
            ensure!(!taken.contains(&block), "{node} has got {block:?} within the quarantine");
        }
    }
    fixture.check_invariants(off)?;
    ensure!(off > WallTime(0), "a moment");
    Ok(())
}
