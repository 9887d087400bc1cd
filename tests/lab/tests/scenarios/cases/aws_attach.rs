//! An address is attached, serves, is repaired, and ends.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::cloud::Zone;
use egret_lab::cloud::checks::await_rest;
use egret_lab::{LabFixture, TestBed, WallTime, wait_until};

use crate::fixtures::{holder, run_for};
use crate::region::{
    ASSIGN, ASSOCIATE, BELIEVED, SCAN, address, await_attached, changed, lived, load, names, pair,
    private, public,
};

/// Egret hears of the end of its change later than EC2 answers.
const MARGIN: Duration = Duration::from_secs(1);

/// Pods leave with the Elastic IP and nothing else; what the status says is so; at rest nothing is
/// changed; when the claim ends nothing of it is left before the address is free.
pub fn elastic(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(public(&[Zone::A, Zone::A, Zone::B])?);
    let address = address(fixture)?;
    let begun = names(&fixture.lab.cloud()?.changes(WallTime(0))?);
    egret_lab::note!("    until it serves: {}", begun.join(", "));
    let own = |name: &String| [ASSIGN, ASSOCIATE].contains(&name.as_str());
    let egret: Vec<&String> = begun.iter().filter(|name| own(name)).collect();
    ensure!(egret.iter().filter(|name| **name == ASSOCIATE).count() == 1, "{egret:?}");
    // A wire address for whoever has it, and for each standby that could not take that one over.
    ensure!(egret.iter().filter(|name| **name == ASSIGN).count() <= 3, "{egret:?}");
    let cloud = fixture.lab.cloud()?;
    await_rest(|since| cloud.changes(since))?;
    let load = load(fixture, "aws-attach")?;
    let since = WallTime::now();
    run_for(3000);
    lived(fixture, &load, since)?;
    let delivered = fixture.lab.cloud()?.delivery(address);
    let (node, wire) = delivered.context("it is delivered nowhere")?;
    let objects = fixture.lab.objects("EgressAddress")?;
    let attachment = &objects.first().context("no EgressAddress")?["status"]["attachment"];
    let wire = wire.to_string();
    ensure!(
        attachment["node"] == *node && attachment["wireAddress"] == *wire,
        "{attachment}: not {node}, {wire}"
    );
    await_attached(fixture, &node)?;
    run_for(2 * u64::try_from(SCAN.as_millis())?);
    changed(fixture, since, &[])?;
    let reads = fixture.lab.cloud()?.calls(WallTime::now() - SCAN)?;
    egret_lab::note!("    reads in {SCAN:?} at rest: {}", names(&reads).join(", "));
    drop(load);
    end(fixture)
}

/// The claim ends: nothing of the address is left in the cloud while its ports still rest, which
/// is before it is free.
fn end(fixture: &LabFixture) -> Result<()> {
    let (ended, cloud) = (WallTime::now(), fixture.lab.cloud()?);
    fixture.lab.remove_manifest("bank.yaml")?;
    let off = wait_until("the end of the address", Duration::from_secs(30), || {
        let left = fixture.lab.names().iter().any(|node| !cloud.secondaries(node).is_empty());
        let attached = fixture.addresses.iter().any(|own| cloud.attached_to(*own).is_some());
        (!left && !attached).then(WallTime::now)
    });
    let names = names(&cloud.changes(ended)?);
    egret_lab::note!("    its end: {}", names.join(", "));
    egret_lab::note!("    off after {:.0} ms", off?.millis_after(ended));
    let kept = fixture.lab.objects("EgressAddress")?;
    ensure!(!kept.is_empty(), "it was free before the cloud had let go of it");
    Ok(())
}

/// A private address serves as itself, and moves in one call when its holder dies.
pub fn private_address(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(private(&[Zone::A, Zone::A])?);
    let load = load(fixture, "aws-private")?;
    let (.., off) = crate::region::holder_dies(fixture, &load)?;
    changed(fixture, off, &[ASSIGN])?;
    drop(load);
    end(fixture)
}

/// Somebody takes the Elastic IP away by hand: seen by a scan, reported, and repaired.
pub fn drift(bench: &mut Bench) -> Result<()> {
    let fixture = pair(bench)?;
    let address = address(fixture)?;
    let old = holder(fixture)?;
    let load = load(fixture, "aws-drift")?;
    // Until then Egret's own change counts more than what a read says against it.
    let last = fixture.lab.cloud()?.changes(WallTime(0))?.last().context("a change")?.answered;
    std::thread::sleep((BELIEVED + MARGIN).saturating_sub(WallTime::now().since(last)));
    let taken = WallTime::now();
    fixture.lab.cloud()?.by_hand(&["disassociate", &address.to_string()])?;
    let seen = |entry: &egret_lab::JournalEntry| entry.from == "controller";
    let reported =
        fixture.lab.journal().wait("Drifted", taken, SCAN + Duration::from_secs(5), seen)?;
    egret_lab::note!(
        "    reported after {:.0} ms: {}",
        reported.at.millis_after(taken),
        reported.text("message").unwrap_or_default()
    );
    fixture.await_held(Duration::from_secs(10))?;
    ensure!(holder(fixture)? == old, "it was given to another");
    await_attached(fixture, &old)?;
    let report = lived(fixture, &load, taken)?;
    egret_lab::note!("    longest stall {} ms", report.stall.as_millis());
    crate::region::tell(fixture, &load, taken)?;
    let names = names(&fixture.lab.cloud()?.changes(taken)?);
    ensure!(names.iter().filter(|name| *name == ASSOCIATE).count() == 1, "{names:?}");
    // While it is attached nowhere, a standby of its subnet may be made ready too, and relieved.
    ensure!(names.len() <= 4, "{names:?}");
    Ok(())
}
