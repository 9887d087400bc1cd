use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use super::window::{marks, window};
use super::{DemoResult, outcome};
use crate::clock::{WallTime, wait_until};
use crate::fixture::LabFixture;
use crate::load::{Load, LoadPlan};
use crate::say;
use crate::test_bed::TestBed;

/// How long the load is watched after an event: past the fourth retransmission of TCP (3 s).
const AFTER: Duration = Duration::from_millis(4500);
const LIMIT: Duration = Duration::from_secs(15);

/// The three moves under one load.
pub fn run<G: TestBed>(
    mut fixture: LabFixture<G>,
    plan: LoadPlan,
    result: &mut DemoResult,
) -> Result<()> {
    let allowed = fixture.addresses.clone();
    let count = usize::from(plan.connections) * 4;
    say::head(&format!(
        "{count} TCP connections and UDP, from two pods with the same source ports"
    ));
    say::line("half of them speak from the pod; half are driven by the outside server while the");
    say::line("pod only acknowledges, which ordinary SNAT does not survive");
    let load = say::step("open them", || {
        Load::start(&mut fixture.lab, plan, Some((&fixture.sources, &allowed)))
    })?;
    std::thread::sleep(Duration::from_secs(2));
    let first = power_off(&mut fixture, &load, result, "Power off the holder")?;
    drain(&fixture, &load, result)?;
    come_back(&mut fixture, &first)?;
    say::head(G::STOPPED);
    fixture.lab.stop_control_plane()?;
    power_off(&mut fixture, &load, result, "Power off again, without a store")?;
    say::head(G::STARTED);
    fixture.lab.start_control_plane()?;
    let holders: Vec<_> = fixture.addresses.iter().map(|a| fixture.holder(*a)).collect();
    say::step("the store has caught up with who holds what", || {
        wait_until("the holders in the store", LIMIT, || {
            let mut pairs = fixture.addresses.iter().zip(&holders);
            let known = |address: &IpAddr, holder: &Option<String>| {
                holder.is_some() && fixture.lab.recorded_holder(*address) == *holder
            };
            pairs.all(|(address, holder)| known(address, holder)).then_some(())
        })
    })?;
    super::status(&fixture.lab)
}

/// Takes the power of the node that holds the first address; returns its name.
fn power_off(
    fixture: &mut LabFixture<impl TestBed>,
    load: &Load,
    result: &mut DemoResult,
    title: &str,
) -> Result<String> {
    let address = *fixture.addresses.first().context("an address")?;
    let holder = fixture.holder(address).context("nobody holds the address")?;
    let moving = fixture.held_by(&holder);
    say::head(&format!("{title}: {holder}"));
    let off = fixture.lab.power_off(&holder)?;
    for address in &moving {
        fixture.await_successor(*address, &holder, LIMIT)?;
    }
    watch(off);
    show(fixture, load, result, (title, &format!("{holder} is off")), (&holder, off, &moving));
    Ok(holder)
}

fn drain(fixture: &LabFixture<impl TestBed>, load: &Load, result: &mut DemoResult) -> Result<()> {
    let address = *fixture.addresses.first().context("an address")?;
    let holder = fixture.holder(address).context("nobody holds the address")?;
    let moving = fixture.held_by(&holder);
    say::head(&format!("Drain the new holder: egret drain {holder} (a planned move)"));
    let begun = WallTime::now();
    fixture.lab.run_egret(&["drain", &holder])?;
    for address in &moving {
        fixture.await_successor(*address, &holder, LIMIT)?;
    }
    watch(begun);
    let title = format!("Planned move: drain {holder}");
    show(fixture, load, result, (&title, "egret drain"), (&holder, begun, &moving));
    Ok(())
}

/// Prints the timeline and the outcome, and keeps the window.
fn show(
    fixture: &LabFixture<impl TestBed>,
    load: &Load,
    result: &mut DemoResult,
    (title, cause): (&str, &str),
    (holder, begun, moving): (&str, WallTime, &[IpAddr]),
) {
    let passages: Vec<_> = moving.iter().map(|a| fixture.passage(*a, holder, begun)).collect();
    for passage in &passages {
        print!("{passage}");
    }
    let (good, text) = outcome(fixture, load, begun);
    result.good &= good;
    let when = (begun, Duration::from_millis(3500));
    let marks = marks(cause, &passages);
    result.windows.push(window(title, (text, !good), when, load, marks));
}

fn watch(begun: WallTime) {
    std::thread::sleep((begun + AFTER).since(WallTime::now()));
}

/// Boots the first gateway again and waits until it counts.
fn come_back(fixture: &mut LabFixture<impl TestBed>, name: &str) -> Result<()> {
    say::head(&format!("{name} is back"));
    say::line("It grants nothing for 11.2 s (it may have granted before it fell), then reads the");
    say::line(
        "fences, and then says that it may vote; the controller plans it as a standby again.",
    );
    let booted = WallTime::now();
    fixture.lab.boot(name)?;
    say::step(&format!("{name} may vote"), || {
        let limit = Duration::from_secs(40);
        fixture.lab.journal().wait("may_vote", booted, limit, |entry| entry.from == name).map(drop)
    })?;
    say::step(&format!("{name} is planned as a standby of every address"), || {
        fixture.await_planned(name, Duration::from_secs(60))
    })
}
