//! Failovers and planned moves by the dozen, and what they took.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::checks::rejoin;
use crate::clock::{WallTime, wait_until};
use crate::fixture::LabFixture;
use crate::load::{Load, LoadPlan};
use crate::say;
use crate::test_bed::TestBed;

const LIMIT: Duration = Duration::from_secs(20);
/// Time for a plan, whose controller may have to start first.
const PLANNED: Duration = Duration::from_secs(60);

/// How many of each.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Power-offs with the store up.
    pub power_offs: u32,
    /// Power-offs with the store down.
    pub outages: u32,
    /// Planned moves.
    pub moves: u32,
}

/// Measures under one load, and prints.
///
/// # Errors
/// Where a connection is lost, a source is wrong, or two answer one question.
pub fn failovers(fixture: &mut LabFixture<impl TestBed>, counts: Counts) -> Result<()> {
    let allowed = fixture.addresses.clone();
    let mut plan = LoadPlan::new("figures", &["settle-1", "settle-2"]);
    plan.limit = Duration::from_secs(7200);
    let plan = plan.connections(10).every(Duration::from_millis(20));
    let load = Load::start(&mut fixture.lab, plan, Some((&fixture.sources, &allowed)))?;
    let up = series("power-offs, the store up", counts.power_offs, |_| power_off(fixture, true))?;
    let down = series("power-offs, the store down", counts.outages, |_| power_off(fixture, false))?;
    let mut stalls = Vec::new();
    let moves = series("planned moves", counts.moves, |_| planned(fixture, &load, &mut stalls))?;
    say::head("Figures (from the cause to the first packet through the new gateway)");
    print("power-off, the store up", &up);
    print("power-off, the store down", &down);
    print("planned move", &moves);
    print("longest stall of a planned move", &stalls);
    let report = load.report(WallTime(0));
    let (lost, count) = (report.lost.len(), report.connections);
    say::verdict(lost == 0, &format!("{lost} of {count} connections lost over all of it"));
    let wrong = fixture.sources.wrong();
    say::verdict(wrong == 0, &format!("{wrong} packets with a wrong source"));
    let doubles = fixture.answers.doubles(WallTime(0)).len();
    say::verdict(doubles == 0, &format!("{doubles} questions that two nodes answered"));
    ensure!(lost == 0 && wrong == 0 && doubles == 0, "something above is marked ✗");
    Ok(())
}

fn series(
    what: &str,
    count: u32,
    mut one: impl FnMut(u32) -> Result<Duration>,
) -> Result<Vec<Duration>> {
    say::counted(&format!("{count} {what}"), |progress| {
        let mut found: Vec<Duration> = Vec::new();
        for number in 0..count {
            let last = found.last().map_or(String::new(), |gap| format!("{} ms", gap.as_millis()));
            progress.at(format!("({number} done, last {last})"));
            found.push(one(number).with_context(|| format!("number {}", number + 1))?);
        }
        Ok(found)
    })
}

/// Powers the holder of the first address off, measures, and waits until it counts again.
fn power_off(fixture: &mut LabFixture<impl TestBed>, store: bool) -> Result<Duration> {
    let address = first(fixture)?;
    let holder = fixture.holder(address).context("nobody holds the address")?;
    if !store {
        fixture.lab.stop_control_plane()?;
    }
    let off = fixture.lab.power_off(&holder)?;
    fixture.await_successor(address, &holder, LIMIT)?;
    let gap = wait_until("a packet through the new holder", LIMIT, || {
        fixture.passage(address, &holder, off).gap()
    })?;
    if !store {
        fixture.lab.start_control_plane()?;
    }
    rejoin(fixture, &[holder], PLANNED)?;
    Ok(gap)
}

fn planned(
    fixture: &LabFixture<impl TestBed>,
    load: &Load,
    stalls: &mut Vec<Duration>,
) -> Result<Duration> {
    let address = first(fixture)?;
    let holder = fixture.holder(address).context("nobody holds the address")?;
    let names = fixture.lab.names();
    let number = names.iter().position(|name| *name == holder).context("an unknown holder")?;
    let to = &names[(number + 1) % 3];
    let begun = WallTime::now();
    fixture.lab.run_egret(&["move", &address.to_string(), "--to", to])?;
    fixture.await_successor(address, &holder, LIMIT)?;
    std::thread::sleep(Duration::from_secs(1));
    stalls.push(load.report(begun).stall);
    fixture.passage(address, &holder, begun).gap().context("no packet through the new holder")
}

fn first(fixture: &LabFixture<impl TestBed>) -> Result<IpAddr> {
    fixture.addresses.first().copied().context("no address")
}

/// Prints median, worst, and all.
pub fn print(what: &str, values: &[Duration]) {
    let mut sorted = values.to_vec();
    sorted.sort();
    let Some(worst) = sorted.last() else { return };
    let median = sorted[sorted.len() / 2];
    let all: Vec<String> = values.iter().map(|v| v.as_millis().to_string()).collect();
    say::line(&format!(
        "{what}: median {} ms, worst {} ms, {} values",
        median.as_millis(),
        worst.as_millis(),
        values.len()
    ));
    say::line(&format!("    all, in ms: {}", all.join(" ")));
}
