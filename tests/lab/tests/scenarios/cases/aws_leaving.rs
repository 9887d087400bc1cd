//! Instances that end: what it costs beside `egret drain`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::checks::rejoin;
use egret_lab::load::Load;
use egret_lab::{LabFixture, NodeMarks, TestBed, WallTime};

use crate::fixtures::{PATIENCE, holder, run_for};
use crate::region::{address, await_attached, lived, load, trio};

/// What a standby waits for a holder that restarts in a cloud.
const RESTART: Duration = Duration::from_secs(6);
/// What any way may cost beyond the longest drain of the same run.
const BEYOND_A_DRAIN: Duration = Duration::from_secs(2);

const DRAIN: &str = "egret drain";

/// A way in which the holder was told to go, and how long no datagram came through: unlike a connection's
/// stall it has no back-off in it.
struct Departure {
    way: &'static str,
    silence: Duration,
}

/// An Auto Scaling group (the host shuts down), a spot notice, Karpenter and Cluster Autoscaler, beside
/// drains: no connection is lost, and nobody waits for who will not come back.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = trio(bench)?;
    let load = load(fixture, "aws-leaving")?;
    let mut seen = Vec::new();
    run_for(1000);
    drain(fixture, &load, &mut seen)?;
    let old = leaves(fixture, &load, &mut seen, "shut down at once", |fixture, old| {
        fixture.lab.shut_down(old)?;
        let begun = WallTime::now();
        fixture.lab.stop_agent(old)?;
        let took = WallTime::now().since(begun);
        egret_lab::note!("    the agent of {old} ended after {} ms", took.as_millis());
        Ok(())
    })?;
    ends(fixture, &old)?;
    let old =
        leaves(fixture, &load, &mut seen, "told that the host shuts down", |fixture, old| {
            fixture.lab.shut_down(old)
        })?;
    ends(fixture, &old)?;
    let old =
        leaves(fixture, &load, &mut seen, "spot notice, Cluster Autoscaler", |fixture, old| {
            let taints =
                &["aws-node-termination-handler/spot-itn", "ToBeDeletedByClusterAutoscaler"];
            let marks = NodeMarks { taints, cordoned: true, ..NodeMarks::default() };
            fixture.lab.write_node_as(old, &marks)
        })?;
    ends(fixture, &old)?;
    let old = leaves(fixture, &load, &mut seen, "Karpenter", |fixture, old| {
        let taints = &["karpenter.sh/disrupted"];
        let marks = NodeMarks { taints, ..NodeMarks::default() };
        fixture.lab.write_node_as(old, &marks)?;
        std::thread::sleep(Duration::from_millis(300));
        fixture.lab.write_node_as(old, &NodeMarks { deleting: true, ..marks })
    })?;
    ends(fixture, &old)?;
    drain(fixture, &load, &mut seen)?;
    compare(&seen)
}

/// What the others are measured by.
fn drain(fixture: &mut LabFixture, load: &Load, seen: &mut Vec<Departure>) -> Result<()> {
    let old = leaves(fixture, load, seen, DRAIN, |fixture, old| {
        fixture.lab.run_egret(&["drain", old]).map(drop)
    })?;
    fixture.lab.run_egret(&["uncordon", &old]).map(drop)
}

/// The holder is told to go, in some way; returns its name once another has the address.
fn leaves(
    fixture: &mut LabFixture,
    load: &Load,
    seen: &mut Vec<Departure>,
    way: &'static str,
    goes: impl FnOnce(&mut LabFixture, &str) -> Result<()>,
) -> Result<String> {
    let (old, begun) = (holder(fixture)?, WallTime::now());
    goes(fixture, &old)?;
    let new = fixture.await_successor(address(fixture)?, &old, Duration::from_secs(15))?;
    await_attached(fixture, &new)?;
    run_for(1500);
    let report = lived(fixture, load, begun)?;
    let (stall, silence) = (report.stall.as_millis(), report.udp_gap);
    egret_lab::note!(
        "    {way}: {old} → {new}: longest stall {stall} ms, no datagram for {} ms",
        silence.as_millis()
    );
    ensure!(silence < RESTART, "{way}: silent for {silence:?}: somebody waited for {old}");
    seen.push(Departure { way, silence });
    Ok(old)
}

/// No way costs much more than the drains of the same run, the machine being as busy as it is.
fn compare(seen: &[Departure]) -> Result<()> {
    let drains = seen.iter().filter(|departure| departure.way == DRAIN);
    let longest = drains.map(|drain| drain.silence).max().context("no drain was measured")?;
    for Departure { way, silence } in seen {
        ensure!(
            *silence <= longest + BEYOND_A_DRAIN,
            "{way}: silent for {silence:?}; the longest of a drain is {longest:?}"
        );
    }
    Ok(())
}

/// The instance is off, which nobody notices any more; another one of its name begins.
fn ends(fixture: &mut LabFixture, name: &str) -> Result<()> {
    fixture.lab.power_off(name)?;
    fixture.lab.write_node(name)?;
    // Whoever leaves next may leave to this one: what its start takes is not the leaving's.
    rejoin(fixture, &[name.to_owned()], PATIENCE)
}
