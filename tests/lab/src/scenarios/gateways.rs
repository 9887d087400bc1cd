//! What happens to the node that holds addresses.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::address::{AddressFamily, outside};
use crate::bench::Bench;
use crate::checks::{
    BOUND, PATIENCE, alive, back, holder, holders, load, moved, none_lost, nothing_moved, run_for,
    settles,
};
use crate::clock::{WallTime, wait_until};
use crate::fixture::LabFixture;
use crate::load::{LoadReport, Ping};
use crate::oracle::Expect;
use crate::test_bed::TestBed;

/// No planned move stalls a connection, or leaves an address without an answer, for so long.
const PLANNED_BOUND: Duration = Duration::from_secs(1);

/// The holder of the first address, and all that it holds.
fn holding(fixture: &LabFixture<impl TestBed>) -> Result<(String, Vec<IpAddr>)> {
    let old = holder(fixture)?;
    let held = fixture.held_by(&old);
    Ok((old, held))
}

fn say_stall(report: &LoadReport) {
    crate::note!("    longest stall {} ms", report.stall.as_millis());
}

/// S01: the holder's power is cut. Its addresses go on elsewhere, no connection is lost, no packet has
/// another source.
///
/// # Errors
/// With what is not so.
pub fn power_off(bench: &mut Bench<impl TestBed>) -> Result<()> {
    let fixture = bench.fixture()?;
    let load = load(fixture, "s01")?;
    let pings = pings(fixture)?;
    run_for(500);
    let (old, moving) = holding(fixture)?;
    let off = fixture.lab.power_off(&old)?;
    moved(fixture, &old, &moving)?;
    run_for(4000);
    let report = alive(fixture, &load, off)?;
    fixture.check_invariants(off)?;
    for address in &moving {
        let passage = fixture.passage(*address, &old, off);
        let gap = passage.gap();
        ensure!(gap.is_some_and(|gap| gap <= BOUND), "{address}: gap {gap:?}");
        crate::note!("{passage}");
    }
    say_stall(&report);
    for (family, ping) in &pings {
        let gap = ping.longest_gap();
        ensure!(!ping.answered().is_empty(), "no echo over {} at all", family.name());
        ensure!(gap <= 100, "{gap} echo requests in a row unanswered over {}", family.name());
    }
    ensure!(fixture.sources.ledger("s01 echo").right > 0, "the oracle saw no echo request");
    drop(load);
    back(fixture, &old)
}

/// ICMP echo every 50 ms, over both families, to addresses of its own outside.
fn pings(fixture: &LabFixture<impl TestBed>) -> Result<Vec<(AddressFamily, Ping)>> {
    let to = AddressFamily::BOTH.map(|family| outside(family, 1));
    fixture.sources.expect(Expect {
        name: "s01 echo".to_owned(),
        destinations: to.to_vec(),
        ports: None,
        allowed: fixture.addresses.clone(),
    });
    let pod = fixture.lab.pod_net("settle-1")?;
    let start = |family: AddressFamily| {
        let pause = Duration::from_millis(50);
        Ok((family, Ping::start(pod.clone(), family.pick(to), pause, 2000)?))
    };
    AddressFamily::BOTH.into_iter().map(start).collect()
}

/// S12: the same while the store is unreachable for all; when it is back it hears who holds what, and
/// nothing moves again.
///
/// # Errors
/// With what is not so.
pub fn power_off_without_store(bench: &mut Bench<impl TestBed>) -> Result<()> {
    let fixture = bench.fixture()?;
    let load = load(fixture, "s12")?;
    let (old, moving) = holding(fixture)?;
    fixture.lab.cut_store()?;
    run_for(1500);
    let off = fixture.lab.power_off(&old)?;
    moved(fixture, &old, &moving)?;
    run_for(4000);
    let report = alive(fixture, &load, off)?;
    say_stall(&report);
    let new = holders(fixture);
    fixture.lab.restore_store()?;
    wait_until("the status names the new holders", PATIENCE, || {
        let mut pairs = fixture.addresses.iter().zip(&new);
        let caught = pairs.all(|(address, holder)| {
            holder.is_some() && fixture.lab.recorded_holder(*address) == *holder
        });
        caught.then_some(())
    })?;
    nothing_moved(fixture, off + BOUND, &new)?;
    fixture.check_invariants(off)?;
    drop(load);
    back(fixture, &old)
}

/// S15: without the store the holder keeps its addresses; cut off from the voters too, it stops by
/// itself before the standby announces.
///
/// # Errors
/// With what is not so.
pub fn partition(bench: &mut Bench<impl TestBed>) -> Result<()> {
    let fixture = bench.fixture()?;
    let load = load(fixture, "s15")?;
    let (old, moving) = holding(fixture)?;
    let before = holders(fixture);
    let alone = fixture.lab.cut_from_store(&old)?;
    run_for(4000);
    nothing_moved(fixture, alone, &before)?;
    let cut = fixture.lab.cut_from_nodes(&old)?;
    moved(fixture, &old, &moving)?;
    run_for(4000);
    for address in &moving {
        let passage = fixture.passage(*address, &old, cut);
        crate::note!("{passage}");
        let (last, announced) = (passage.last_packet, passage.announced);
        ensure!(last.is_none() || last < announced, "{address}: {last:?} after {announced:?}");
    }
    alive(fixture, &load, cut)?;
    fixture.check_invariants(cut)?;
    fixture.lab.reconnect(&old)?;
    drop(load);
    settles(fixture)?;
    fixture.await_planned(&old, PATIENCE)?;
    fixture.lab.await_nodes()
}

/// S30: the holder is drained. A planned move loses nothing, and somebody answers for the address all
/// the time.
///
/// # Errors
/// With what is not so.
pub fn drain(bench: &mut Bench<impl TestBed>) -> Result<()> {
    let fixture = bench.fixture()?;
    let load = load(fixture, "s30")?;
    run_for(1000);
    let (old, moving) = holding(fixture)?;
    let (before, begun) = (load.unanswered(), WallTime::now());
    fixture.lab.run_egret(&["drain", &old])?;
    moved(fixture, &old, &moving)?;
    run_for(2000);
    let report = alive(fixture, &load, begun)?;
    fixture.check_invariants(begun)?;
    ensure!(fixture.held_by(&old).is_empty(), "{old} still holds something");
    none_lost(&load, &before, "in a planned move")?;
    for address in &moving {
        let runs = fixture.answers.runs();
        let change = runs.of(*address).windows(2).rfind(|two| two[1].first >= begun);
        if let Some([a, b]) = change {
            let silent = b.first.since(a.last);
            ensure!(silent < PLANNED_BOUND, "nobody answered for {silent:?}");
            crate::note!("    {address}: nobody answered for {} ms", silent.as_millis());
        }
        crate::note!("{}", fixture.passage(*address, &old, begun));
    }
    say_stall(&report);
    ensure!(report.stall <= PLANNED_BOUND, "a planned move stalls less");
    drop(load);
    fixture.lab.run_egret(&["uncordon", &old])?;
    fixture.await_planned(&old, PATIENCE)
}
