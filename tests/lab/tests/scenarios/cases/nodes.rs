//! Pods on gateways; a node that joins while nobody grants blocks.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::address::AddressFamily;
use egret_lab::load::{OneWay, source_seen};
use egret_lab::oracle::Expect;
use egret_lab::{TestBed, WallTime, wait_until};

use crate::fixtures::{PATIENCE, await_source, bank, holder, moved, settle, usual, with_claim};
use egret_lab::bench::Bench;

/// A pod on the holder itself, and on another gateway, works like any other, before and after a
/// move. (Three of the five nodes vote: with a pod they are everything at once.)
pub fn pods_on_gateways(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let names = ["gateway-1", "gateway-2", "gateway-3"];
    for name in names {
        fixture.lab.add_pod(&settle(name, &format!("on-{name}")))?;
    }
    let all = |fixture: &mut egret_lab::LabFixture| -> Result<()> {
        for name in names {
            for family in AddressFamily::BOTH {
                await_source(fixture, &format!("on-{name}"), family.pick(bank()))?;
            }
        }
        Ok(())
    };
    all(fixture)?;
    let old = holder(fixture)?;
    let to = names.into_iter().find(|name| *name != old).context("another gateway")?;
    let begun = WallTime::now();
    for address in bank() {
        if fixture.holder(address).as_deref() != Some(to) {
            fixture.lab.run_egret(&["move", &address.to_string(), "--to", to])?;
        }
    }
    moved(fixture, &old, &[bank()[0]])?;
    all(fixture)?;
    ensure!(fixture.answers.doubles(begun).is_empty(), "two answered one question");
    for name in names {
        fixture.lab.remove_pod(&format!("on-{name}"))?;
    }
    Ok(())
}

/// A node joins while the controller is stopped: it has no port block, so a flow that begins is
/// dropped, and works once the block is there.
pub fn no_block_yet(bench: &mut Bench) -> Result<()> {
    let mut lab = usual().directors(3).build()?;
    let late = "director-3";
    lab.power_off(late)?;
    lab.forget_node(late)?;
    let fixture = bench.own(with_claim(lab)?);
    fixture.lab.stop_controller(true)?;
    fixture.lab.write_node(late)?;
    fixture.lab.boot_network(late)?;
    fixture.lab.add_pod(&settle(late, "settle-3"))?;
    fixture.lab.start_agent(late)?;
    let port = fixture.lab.next_port();
    fixture.sources.expect(Expect {
        name: "no block".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port)),
        allowed: bank().to_vec(),
    });
    let booted = WallTime::now();
    fixture.lab.journal().wait("programmed", booted, PATIENCE, |entry| entry.from == late)?;
    let stream = OneWay::start(&mut fixture.lab, "settle-3", Duration::from_millis(20))?;
    ensure!(stream.port() == port, "the stream uses {}, not {port}", stream.port());
    crate::fixtures::run_for(2000);
    let ledger = fixture.sources.ledger("no block");
    ensure!(ledger.wrong == 0, "leaked without a block: {:?}", ledger.examples.first());
    ensure!(ledger.right == 0, "a node without a block uses the address");
    fixture.lab.start_controller()?;
    let right = || (fixture.sources.ledger("no block").right >= 50).then_some(());
    wait_until("the flow that was dropped works once the block is there", PATIENCE, right)?;
    let wrong = fixture.sources.ledger("no block").wrong;
    ensure!(wrong == 0, "{wrong} packets with another source");
    let seen = source_seen(&mut fixture.lab, "settle-3", AddressFamily::V6)?;
    ensure!(seen == bank()[1], "over IPv6 the outside sees {seen}");
    Ok(())
}

/// What is held works: connections that begin at the moment when the addresses are answered for.
pub fn works_when_held(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    let begun = WallTime::now();
    let load = crate::fixtures::load(fixture, "at once")?;
    crate::fixtures::run_for(500);
    crate::fixtures::alive(fixture, &load, begun)?;
    fixture.check_invariants(begun)
}
