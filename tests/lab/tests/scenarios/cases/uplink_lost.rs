//! Gateways whose uplink is cut off, while their agents live and reach each other by another network.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::{JournalEntry, LabFixture, TestBed, WallTime, wait_until};
use serde_json::Value;

use crate::fixtures::{
    PATIENCE, alive, holder, holders, load, nothing_moved, run_for, settles, usual, with_claim,
};

/// A bound, not an expectation.
const LIMIT: Duration = Duration::from_secs(20);
const NO_ANSWER: &str = "answers no question";
const NO_CARRIER: &str = "has no carrier";

/// How an uplink is cut off.
type Cut = fn(&LabFixture, &str) -> Result<()>;

/// The holder hands over, with a controller and without, and a link that comes and goes moves nothing more.
/// Where no gateway reaches the network nothing moves, and each says why.
pub fn run(bench: &mut Bench) -> Result<()> {
    let mut lab = usual().gateways(5).build()?;
    lab.add_private_network()?;
    let fixture = bench.own(with_claim(lab)?);
    settles(fixture)?;
    let begun = WallTime::now();
    let (flushed, _) = hands_over(fixture, no_address, "has lost its address")?;
    fixture.lab.restore_uplink(&flushed)?;
    let load = load(fixture, "uplink")?;
    run_for(500);
    let (down, lost) = hands_over(fixture, set_down, "is down")?;
    stands_by_last(fixture, &down)?;
    says(fixture, &down, "is down")?;
    starts_without_uplink(fixture, &down)?;
    fixture.lab.restore_uplink(&down)?;
    fixture.lab.stop_controller(true)?;
    flaps(fixture)?;
    alive(fixture, &load, lost)?;
    drop(load);
    nobody_reaches_it(fixture)?;
    fixture.check_invariants(begun)?;
    fixture.lab.start_controller()?;
    settles(fixture)
}

/// The router no longer answers the holder, whose carrier is up: it hands over, and the addresses stay where they are when
/// the router answers again. Where it answers nobody nothing moves, and each says why.
pub fn router_silent(bench: &mut Bench) -> Result<()> {
    let mut lab = usual().gateways(3).build()?;
    lab.add_private_network()?;
    let fixture = bench.own(with_claim(lab)?);
    settles(fixture)?;
    let begun = WallTime::now();
    let load = load(fixture, "router")?;
    run_for(1500);
    let (old, lost) = hands_over(fixture, silent_router, NO_ANSWER)?;
    stands_by_last(fixture, &old)?;
    let (moved, new) = (WallTime::now(), holders(fixture));
    fixture.lab.silence_router(&[]);
    run_for(3000);
    nothing_moved(fixture, moved, &new)?;
    // TCP asks again ever later, so its pause is longer than the time that finding out takes.
    let report = load.report(lost);
    ensure!(report.lost.is_empty(), "{} lost: {:?}", report.lost.len(), report.lost.first());
    egret_lab::note!("the longest pause of a connection: {:?}", report.stall);
    drop(load);
    let (gateways, before, gone) = (fixture.lab.gateways(), holders(fixture), WallTime::now());
    fixture.lab.silence_router(&gateways.iter().map(String::as_str).collect::<Vec<_>>());
    for gateway in &gateways {
        says(fixture, gateway, NO_ANSWER)?;
    }
    // Placement has heard of all of them by then.
    run_for(12_000);
    nothing_moved(fixture, gone, &before)?;
    fixture.lab.silence_router(&[]);
    fixture.check_invariants(begun)?;
    settles(fixture)
}

/// One handover for a link that comes and goes, and one for the next: none goes back.
fn flaps(fixture: &mut LabFixture) -> Result<()> {
    let (flapping, _) = hands_over(fixture, no_carrier, NO_CARRIER)?;
    let (moved, new) = (WallTime::now(), holders(fixture));
    for up in [true, false, true] {
        fixture.lab.set_link(&flapping, up)?;
        run_for(1500);
    }
    nothing_moved(fixture, moved, &new)?;
    let (next, _) = hands_over(fixture, no_carrier, NO_CARRIER)?;
    ensure!(fixture.held_by(&flapping).is_empty(), "{flapping} has something again after {next}");
    fixture.lab.set_link(&next, true).map(drop)
}

fn no_address(fixture: &LabFixture, node: &str) -> Result<()> {
    fixture.lab.node(node)?.shell("ip addr flush dev eth0").map(drop)
}

fn set_down(fixture: &LabFixture, node: &str) -> Result<()> {
    fixture.lab.node(node)?.shell("ip link set eth0 down").map(drop)
}

fn no_carrier(fixture: &LabFixture, node: &str) -> Result<()> {
    fixture.lab.set_link(node, false).map(drop)
}

fn silent_router(fixture: &LabFixture, node: &str) -> Result<()> {
    fixture.lab.silence_router(&[node]);
    Ok(())
}

/// Cuts the holder of the first address off. All that it held is released to who has it then, nobody's lease
/// ends, nobody takes anything from a silent one, and nothing moves twice. Who it was, and when.
fn hands_over(fixture: &mut LabFixture, cut: Cut, why: &str) -> Result<(String, WallTime)> {
    let old = holder(fixture)?;
    let (moving, mut wanted) = (fixture.held_by(&old), holders(fixture));
    let lost = WallTime::now();
    cut(fixture, &old)?;
    for (address, wanted) in fixture.addresses.iter().zip(&mut wanted) {
        if moving.contains(address) {
            *wanted = Some(fixture.await_successor(*address, &old, LIMIT)?);
        }
    }
    let moved = WallTime::now();
    let of = |entry: &JournalEntry| entry.address().is_some_and(|its| moving.contains(&its));
    for (address, to) in fixture.addresses.iter().zip(&wanted) {
        if moving.contains(address) {
            let released = |entry: &JournalEntry| {
                entry.from == old
                    && entry.address() == Some(*address)
                    && entry.text("successor") == *to
            };
            fixture.lab.journal().wait("left", lost, PATIENCE, released)?;
            egret_lab::note!("{}", fixture.passage(*address, &old, lost));
        }
    }
    says(fixture, &old, why)?;
    run_for(1500);
    nothing_moved(fixture, moved, &wanted)?;
    for event in ["took_over", "lost"] {
        let found = fixture.lab.journal().events(event, lost).into_iter().find(|its| of(its));
        ensure!(found.is_none(), "{old} was cut off, and then {event}: {found:?}");
    }
    Ok((old, lost))
}

/// An agent that starts while the uplink is down runs, and says so.
fn starts_without_uplink(fixture: &mut LabFixture, node: &str) -> Result<()> {
    fixture.lab.stop_agent(node)?;
    let egret = fixture.lab.egret()?;
    fixture.lab.start_agent_of(node, &egret)?;
    says(fixture, node, "no link eth0 that is up")
}

/// Placement has heard of it: the node owns nothing, and stands by behind all others, or not at all.
fn stands_by_last(fixture: &LabFixture, node: &str) -> Result<()> {
    let is_last = |object: &Value| {
        let standbys = object["spec"]["standbys"].as_array().cloned().unwrap_or_default();
        let at = standbys.iter().position(|standby| standby == node);
        object["spec"]["owner"] != node && at.is_none_or(|at| at + 1 == standbys.len())
    };
    wait_until(&format!("{node} last of all standbys"), LIMIT.max(PATIENCE), || {
        let objects = fixture.lab.objects("EgressAddress").ok()?;
        let own = own(fixture, node)?;
        let told =
            own["status"]["unusableInterfaces"].as_object().is_some_and(|its| !its.is_empty());
        (told && objects.iter().all(is_last)).then_some(())
    })
}

fn nobody_reaches_it(fixture: &LabFixture) -> Result<()> {
    let gateways = fixture.lab.gateways();
    for gateway in &gateways {
        fixture.lab.set_link(gateway, false)?;
    }
    let plans: Vec<String> =
        fixture.lab.objects("EgressAddress")?.iter().map(|its| its["spec"].to_string()).collect();
    let planned =
        |gateway: &&String| plans.iter().any(|plan| plan.contains(&format!("\"{gateway}\"")));
    for gateway in gateways.iter().filter(planned) {
        says(fixture, gateway, NO_CARRIER)?;
    }
    // What was handed over while some were left is in the status by then.
    run_for(3000);
    let held = |address: &IpAddr| {
        let holder = fixture.lab.recorded_holder(*address);
        holder.with_context(|| format!("{address} is held by nobody"))
    };
    let all = || fixture.addresses.iter().map(held).collect::<Result<Vec<String>>>();
    let (before, cut) = (all()?, WallTime::now());
    run_for(3000);
    ensure!(all()? == before, "what {before:?} held has moved to nowhere");
    for event in ["left", "took_over", "lost"] {
        let found = fixture.lab.journal().events(event, cut);
        ensure!(found.is_empty(), "{event}, and nobody reaches the network: {:?}", found.first());
    }
    gateways.iter().try_for_each(|gateway| fixture.lab.set_link(gateway, true).map(drop))
}

fn own(fixture: &LabFixture, node: &str) -> Option<Value> {
    let objects = fixture.lab.objects("EgressNode").ok()?;
    objects.into_iter().find(|object| object["metadata"]["name"] == node)
}

/// The node's own object says it, and that it is not ready.
fn says(fixture: &LabFixture, node: &str, what: &str) -> Result<()> {
    let said = || {
        let conditions = own(fixture, node)?["status"]["conditions"].as_array()?.clone();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready")?;
        let why = ready["message"].as_str()?;
        (ready["status"] != "True" && why.contains(what)).then_some(())
    };
    wait_until(&format!("{node} says: {what}"), LIMIT.max(PATIENCE), said)
}
