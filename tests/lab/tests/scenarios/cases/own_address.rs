//! A node gets another address of its own, as a DHCP server gives one.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use egret_lab::address::ROUTER;
use egret_lab::bench::Bench;
use egret_lab::{LabFixture, TestBed, WallTime, wait_until};

use crate::fixtures::{
    PATIENCE, await_source, bank, holder, moved, run_for, settles, usual, with_claim,
};

/// A bound, not an expectation.
const LIMIT: Duration = Duration::from_secs(20);

/// As director, as holder and as a voter that holds nothing, without a restart of any agent. In the end only
/// nodes with new addresses are left: a majority of the voters only where each of them still votes.
pub fn changes(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    let pids = pids(fixture)?;
    replace(fixture, "director-1")?;
    let held = holder(fixture)?;
    replace(fixture, &held)?;
    settles(fixture)?;
    let others = fixture.lab.gateways().into_iter().filter(|gateway| *gateway != held);
    let mut others: Vec<String> = others.collect();
    others.sort_by_key(|gateway| !fixture.held_by(gateway).is_empty());
    let [voter, last] = others.as_slice() else { bail!("three gateways: {others:?}") };
    replace(fixture, voter)?;
    goes_and_comes(fixture, "director-2")?;
    ensure!(pids == self::pids(fixture)?, "an agent was started anew");
    settles(fixture)?;
    let (moving, alone) = (fixture.held_by(last), WallTime::now());
    for node in [last.as_str(), "director-2"] {
        fixture.lab.power_off(node)?;
    }
    if !moving.is_empty() {
        moved(fixture, last, &moving)?;
    }
    // Longer than any lease: what is held then, these three have granted.
    run_for(2000);
    fixture.await_held(PATIENCE)?;
    leaves(fixture)?;
    fixture.check_invariants(alone)
}

/// All nodes lose their IPv4 addresses, as where a network becomes one of IPv6 alone, and get them back later: the
/// agents that run go over to IPv6, and its addresses are served again.
pub fn ipv4_goes_and_comes(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    let pids = pids(fixture)?;
    leaves(fixture)?;
    let six = |own: [IpAddr; 2]| vec![own[1]];
    for node in fixture.lab.nodes() {
        let [own, _] = node.addresses();
        node.shell(&format!("ip addr del {own}/24 dev eth0"))?;
    }
    let begun = WallTime::now();
    for node in fixture.lab.nodes() {
        endpoints_are(fixture, &node.name, &six(node.addresses()))?;
    }
    for pod in ["settle-1", "settle-2"] {
        await_source(fixture, pod, bank()[1])?;
    }
    let served = WallTime::now().millis_after(begun);
    egret_lab::note!("    served by IPv6 alone after {served:.0} ms");
    let via = ROUTER[0];
    for node in fixture.lab.nodes() {
        let [own, _] = node.addresses();
        node.shell(&format!("ip addr add {own}/24 dev eth0; ip route replace default via {via}"))?;
    }
    for node in fixture.lab.nodes() {
        let [four, six] = node.addresses();
        endpoints_are(fixture, &node.name, &[six, four])?;
    }
    leaves(fixture)?;
    ensure!(pids == self::pids(fixture)?, "an agent was started anew");
    Ok(())
}

fn pids(fixture: &LabFixture) -> Result<Vec<u32>> {
    let nodes = fixture.lab.nodes().iter();
    nodes.map(|node| Ok(node.agent().context("no agent")?.pid())).collect()
}

/// Takes a node's addresses away and gives it others.
fn replace(fixture: &mut LabFixture, name: &str) -> Result<()> {
    let node = fixture.lab.node(name)?;
    let ([old4, old6], [new4, new6]) =
        (node.addresses(), egret_lab::address::node(node.number + 50));
    let [via4, via6] = ROUTER;
    node.shell(&format!(
        "ip addr del {old4}/24 dev eth0; ip addr add {new4}/24 dev eth0
         ip addr del {old6}/64 dev eth0; ip addr add {new6}/64 dev eth0 nodad
         ip route replace default via {via4}; ip route replace ::/0 via {via6}"
    ))?;
    let begun = WallTime::now();
    endpoints_are(fixture, name, &[new4, new6])?;
    let said = WallTime::now().millis_after(begun);
    leaves(fixture)?;
    let served = WallTime::now().millis_after(begun);
    egret_lab::note!("    {name}: said after {said:.0} ms, served again after {served:.0} ms");
    Ok(())
}

fn endpoints_are(fixture: &LabFixture, name: &str, wanted: &[IpAddr]) -> Result<()> {
    let wanted: Vec<String> = wanted.iter().map(IpAddr::to_string).collect();
    let said = || {
        let objects = fixture.lab.objects("EgressNode").ok()?;
        let own = objects.into_iter().find(|object| object["metadata"]["name"] == name)?;
        let endpoints = own["status"]["endpoints"].as_array()?;
        endpoints.iter().eq(wanted.iter()).then_some(())
    };
    wait_until(&format!("{name} says that it is at {wanted:?}"), LIMIT, said)
}

/// Takes a node's address away and gives it back: it says so meanwhile.
fn goes_and_comes(fixture: &LabFixture, name: &str) -> Result<()> {
    let node = fixture.lab.node(name)?;
    let own = node.addresses()[0];
    let said = |reason: &str| {
        let objects = fixture.lab.objects("EgressNode").ok()?;
        let node = objects.into_iter().find(|object| object["metadata"]["name"] == name)?;
        let conditions = node["status"]["conditions"].as_array()?.clone();
        let found = conditions.into_iter().find(|condition| condition["reason"] == reason)?;
        found["message"].as_str().map(str::to_owned)
    };
    node.shell(&format!("ip addr del {own}/24 dev eth0"))?;
    let message = wait_until("a condition", LIMIT, || said("EndpointMissing"))?;
    ensure!(message.contains(&own.to_string()), "{message}");
    let via = ROUTER[0];
    node.shell(&format!("ip addr add {own}/24 dev eth0; ip route replace default via {via}"))?;
    wait_until("its end", LIMIT, || said("Programmed")).map(drop)
}

fn leaves(fixture: &mut LabFixture) -> Result<()> {
    bank().into_iter().try_for_each(|address| await_source(fixture, "settle-1", address))
}
