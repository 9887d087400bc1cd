//! How long connections stand still when a gateway dies and EC2's double is as slow as EC2: 0.3 s a call,
//! and reads that are 1 to 3 s late. T = 1 s. With `EGRET_SOAK` ten times, for the median; else once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::cloud::Zone;
use egret_lab::cloud::checks::await_voters;
use egret_lab::load::LoadReport;
use egret_lab::scenarios::cloud::false_takeover;
use egret_lab::{LabFixture, TestBed, WallTime};
use serde_json::json;

use crate::fixtures::{back, holder, run_for};
use crate::region::{address, await_attached, lived, load, names, public_with, tell};

/// Milliseconds before each call begins.
const CALL: u64 = 300;
/// Seconds that a change stays hidden from reads, in turn.
const LATE: [f64; 5] = [2.0, 1.0, 3.0, 1.5, 2.5];
/// Nothing stands still for longer, however busy this machine is.
const LIMIT: Duration = Duration::from_secs(20);
/// Directors follow so long before the reads show it, at least: what is left of [`LATE`] beside their own way.
const EARLIER: Duration = Duration::from_millis(500);

fn soaks() -> bool {
    std::env::var_os("EGRET_SOAK").is_some()
}

/// Two gateways in one subnet; with `EGRET_SOAK` also where the leader dies with the holder, and where the
/// holder was only frozen.
pub fn within_subnet(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(public_with(&[Zone::A, Zone::A], Some("1s"))?);
    measure(fixture, "within a subnet", false)?;
    if soaks() {
        measure(fixture, "within a subnet, with the leader", true)?;
        restore(fixture)?;
        slow_down(fixture, 2.0)?;
        false_takeover(fixture)?;
    }
    Ok(())
}

/// Two gateways in two zones.
pub fn across_zones(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(public_with(&[Zone::A, Zone::B], Some("1s"))?);
    measure(fixture, "across zones", false)
}

/// Says the medians of so many deaths.
fn measure(fixture: &mut LabFixture, what: &str, with_leader: bool) -> Result<()> {
    let runs = if soaks() { 10 } else { 1 };
    let (mut stalls, mut gaps) = (Vec::new(), Vec::new());
    for (run, late) in LATE.iter().cycle().take(runs).enumerate() {
        if run > 0 || with_leader {
            restore(fixture)?;
        }
        let report = death(fixture, what, *late, with_leader)?;
        stalls.push(report.stall);
        gaps.push(report.udp_gap);
    }
    let said = [("TCP stands still", stalls), ("UDP is silent", gaps)].map(|(what, times)| {
        let [least, median, most] = spread(times).map(|time| time.as_millis());
        format!("{what} for {median} ms ({least} to {most})")
    });
    egret_lab::note!("    {what}, p50 of {runs}: {}", said.join(", "));
    Ok(())
}

/// The least, the median and the greatest.
fn spread(mut times: Vec<Duration>) -> [Duration; 3] {
    times.sort_unstable();
    let at = |place: usize| times.get(place).copied().unwrap_or_default();
    [at(0), at(times.len() / 2), at(times.len().saturating_sub(1))]
}

fn slow_down(fixture: &LabFixture, late: f64) -> Result<()> {
    let cloud = fixture.lab.cloud()?;
    cloud.inject_fault("delay", &json!({"milliseconds": CALL}))?;
    cloud.inject_fault("lag", &json!({"seconds": late}))
}

/// Every gateway is on, and stands by.
fn restore(fixture: &mut LabFixture) -> Result<()> {
    fixture.lab.cloud()?.clear()?;
    let all = fixture.lab.nodes().iter();
    let off: Vec<_> = all.filter(|node| !node.is_on()).map(|node| node.name.clone()).collect();
    for name in off {
        back(fixture, &name)?;
        fixture.await_planned(&name, LIMIT).context("the old holder stands by again")?;
    }
    await_voters(fixture)?;
    await_attached(fixture, &holder(fixture)?)
}

/// The holder dies; what became of the load.
fn death(fixture: &mut LabFixture, what: &str, late: f64, with_leader: bool) -> Result<LoadReport> {
    let load = load(fixture, &format!("aws-slow-{}", what.replace([' ', ','], "-")))?;
    run_for(1000);
    let old = holder(fixture)?;
    slow_down(fixture, late)?;
    let off = fixture.lab.power_off(&old)?;
    if with_leader {
        // Another one that stands by: it waits for the end of the dead one's lease.
        fixture.lab.stop_controller(false)?;
        fixture.lab.start_controller()?;
    }
    let new = fixture.await_successor(address(fixture)?, &old, LIMIT)?;
    let delivered = WallTime::now().since(off);
    await_attached(fixture, &new)?;
    let seen = WallTime::now().since(off);
    let report = lived(fixture, &load, off)?;
    let cloud = fixture.lab.cloud()?;
    let (calls, changes) = (cloud.calls(off)?.len(), names(&cloud.changes(off)?));
    egret_lab::note!(
        "    {what}: {old} → {new}: delivered after {} ms, seen after {} ms (reads {late} s late); TCP stands \
         still for {} ms, UDP is silent for {} ms; {calls} calls, of them {}",
        delivered.as_millis(),
        seen.as_millis(),
        report.stall.as_millis(),
        report.udp_gap.as_millis(),
        changes.join(", ")
    );
    ensure!(report.stall < LIMIT, "stood still for {:?}", report.stall);
    let followed = report.udp_gap + EARLIER;
    ensure!(followed < seen, "directors waited until it was seen: {followed:?} of {seen:?}");
    tell(fixture, &load, off)?;
    Ok(report)
}
