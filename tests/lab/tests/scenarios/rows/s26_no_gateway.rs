//! S26 and S05: all gateways are gone; a director is gone.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::address::Family;
use egret_lab::load::{Shape, inject, source_seen};
use egret_lab::oracle::Expect;
use egret_lab::{PodSpec, Stamp, wait_until};

use crate::world::{
    BANK, alive, bank, blocks, claim, holders, load, nothing_moved, run_for, usual, with_claim,
};
use egret_lab::bench::Bench;

/// Fail closed by default; a claim that says so falls back to the node's address.
pub fn run(bench: &mut Bench) -> Result<()> {
    let opted = PodSpec::new("director-1", "payments", "opted-1").label("app", "opted");
    let stage = bench.own(with_claim(usual().gateways(2).pod(opted).build()?)?);
    let open = ["203.0.113.18", "2001:db8:5::12"];
    stage.lab.write_manifest("open.yaml", &claim("open", "opted", &open, "Node"))?;
    crate::world::await_source(stage, "opted-1", open[0].parse()?)?;
    let port = stage.lab.reserve_ports();
    stage.sources.expect(Expect {
        name: "closed".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port + 9)),
        allowed: bank().to_vec(),
    });
    inject(stage.lab.pod("settle-1")?, Shape::Syn, 41_000, port)?;
    let seen = || (stage.sources.ledger("closed").right > 0).then_some(());
    wait_until("a packet of the claim", Duration::from_secs(5), seen)?;
    for name in ["gateway-1", "gateway-2"] {
        stage.lab.power_off(name)?;
    }
    for count in 0..200 {
        inject(stage.lab.pod("settle-1")?, Shape::Syn, 42_000 + count, port + 1)?;
        run_for(50);
    }
    let ledger = stage.sources.ledger("closed");
    ensure!(ledger.wrong == 0, "leaked: {:?}", ledger.examples.first());
    let node = Family::V4.pick(stage.lab.node("director-1")?.addresses());
    wait_until("the claim that opted in leaves as its node", Duration::from_secs(15), || {
        let seen = source_seen(&mut stage.lab, "opted-1", Family::V4).ok()?;
        (seen == node).then_some(())
    })?;
    ensure!(BANK.len() == 2, "both families");
    Ok(())
}

/// S05: a director dies; its block stays reserved, and others are unaffected.
pub fn director_death(bench: &mut Bench) -> Result<()> {
    let stage = bench.own(with_claim(usual().build()?)?);
    let mut load = load(stage, "s05")?;
    run_for(1000);
    drop(load);
    let plan = egret_lab::load::Plan::new("s05-alone", &["settle-1"]);
    load = egret_lab::load::Load::start(&mut stage.lab, plan, Some((&stage.sources, &bank())))?;
    let before = holders(stage);
    let taken = blocks(stage, "director-2")?;
    ensure!(!taken.is_empty(), "director-2 has no port block");
    let off = stage.lab.power_off("director-2")?;
    run_for(20_000);
    alive(stage, &load, off)?;
    nothing_moved(stage, off, &before)?;
    for node in stage.lab.node_names().iter().filter(|name| *name != "director-2") {
        for block in blocks(stage, node)? {
            ensure!(!taken.contains(&block), "{node} has got {block:?} within the quarantine");
        }
    }
    stage.check_invariants(off)?;
    ensure!(off > Stamp(0), "a moment");
    Ok(())
}
