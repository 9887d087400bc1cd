//! In a VPC of Google an address is attached, serves, and ends; its firewall is the gateways'.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::cloud::gce::GceRegion;
use egret_lab::{LabFixture, TestBed, WallTime, wait_until};

use crate::fabric::await_rest;
use crate::fixtures::{holder, run_for};
use crate::google::{SCAN, address, announced, await_leads, goes_on, lived, load, names, serve};

/// Pods leave with the address and nothing else; what the status says is so; at rest nothing is
/// changed; when the claim ends nothing of it is left.
pub fn attach(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(serve(GceRegion::default())?);
    let begun = names(&fixture.lab.vpc()?.changes(WallTime(0))?);
    egret_lab::note!("    until it serves: {}", begun.join(", "));
    let one = |kind: &str| -> Result<String> {
        let names = fixture.lab.vpc()?.names(kind)?;
        ensure!(names.len() == 1, "{kind}: {names:?}");
        names.into_iter().next().context("one")
    };
    egret_lab::note!("    {}, {}", one("backend_services")?, one("forwarding_rules")?);
    let node = holder(fixture)?;
    let objects = fixture.lab.objects("EgressAddress")?;
    let attachment = &objects.first().context("no EgressAddress")?["status"]["attachment"];
    ensure!(attachment["node"] == *node, "{attachment}: not {node}");
    await_rest(fixture)?;
    let load = load(fixture, "gcp-attach")?;
    let since = WallTime::now();
    run_for(2 * u64::try_from(SCAN.as_millis())? + 2000);
    goes_on(fixture, &load, since, "at rest")?;
    let changed = names(&fixture.lab.vpc()?.changes(since)?);
    ensure!(changed.is_empty(), "at rest: {changed:?}");
    let vpc = fixture.lab.vpc()?;
    ensure!(!announced(vpc, &node, since).is_empty(), "{node} announces nothing");
    ensure!(vpc.announcements(since).iter().all(|heard| heard.from == node), "another announces");
    drop(load);
    end(fixture)
}

/// The claim ends: rule and service are gone, nobody announces, and nothing comes any more.
fn end(fixture: &LabFixture) -> Result<()> {
    let (ended, vpc) = (WallTime::now(), fixture.lab.vpc()?);
    fixture.lab.remove_manifest("bank.yaml")?;
    let gone = wait_until("the end of the rule and the service", Duration::from_secs(60), || {
        let kinds = ["forwarding_rules", "backend_services"];
        let left = kinds.iter().any(|kind| !vpc.names(kind).is_ok_and(|names| names.is_empty()));
        (!left).then(WallTime::now)
    });
    egret_lab::note!("    its end: {}", names(&vpc.changes(ended)?).join(", "));
    let gone = gone?;
    egret_lab::note!("    gone after {:.0} ms", gone.millis_after(ended));
    ensure!(fixture.holder(address(fixture)?).is_none(), "it is still delivered");
    run_for(12_000);
    let late = vpc.announcements(gone);
    ensure!(late.is_empty(), "announced after its end: {:?}", late.first());
    ensure!(vpc.addresses().len() == vpc.names("addresses")?.len(), "a static address is gone");
    Ok(())
}

/// A new holder has seen no connection. Where the firewall lets only answers in, what the outside
/// pushes is refused there; a rule that lets everybody send to gateways is what it takes.
pub fn firewall(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(serve(GceRegion { open: false, ..GceRegion::default() })?);
    let load = load(fixture, "gcp-firewall")?;
    // What left before the claim was served may still be answered, to an instance that never sent it.
    wait_until("a second in which the firewall refuses nothing", Duration::from_secs(20), || {
        let before = fixture.lab.vpc().ok()?.refused().ok()?;
        run_for(1000);
        (fixture.lab.vpc().ok()?.refused().ok()? == before).then_some(())
    })?;
    let old = holder(fixture)?;
    let before = fixture.lab.vpc()?.refused()?;
    let off = fixture.lab.power_off(&old)?;
    let new = fixture.await_successor(address(fixture)?, &old, Duration::from_secs(5))?;
    run_for(2000);
    let refused = fixture.lab.vpc()?.refused()? - before;
    egret_lab::note!("    {refused} packets refused in 2 s at {new}");
    ensure!(refused > 0, "the firewall of {new} knew {old}'s connections");
    let silent = load.report(off).drives.longest;
    ensure!(silent > Duration::from_secs(1), "what is pushed came all the same: {silent:?}");
    fixture.lab.vpc()?.open_firewall()?;
    let report = lived(fixture, &load, off)?;
    egret_lab::note!("    longest stall {} ms, until the rule was there", report.stall.as_millis());
    let opened = (WallTime::now(), fixture.lab.vpc()?.refused()?);
    run_for(2000);
    ensure!(fixture.lab.vpc()?.refused()? == opened.1, "refused after the rule");
    goes_on(fixture, &load, opened.0, "with the rule")?;
    await_leads(fixture, &new)
}
