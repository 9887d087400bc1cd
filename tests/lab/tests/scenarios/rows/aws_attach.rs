//! An address is attached, serves, is repaired, and ends.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::cloud::Zone;
use egret_lab::{Ground, Stage, Stamp, wait_until};

use crate::region::{
    ASSIGN, ASSOCIATE, BELIEVED, SCAN, address, await_attached, changed, lived, load, names, pair,
    private, public,
};
use crate::world::{holder, run_for};

/// Egret hears of the end of its change later than EC2 answers.
const MARGIN: Duration = Duration::from_secs(1);

/// Pods leave with the Elastic IP and nothing else; what the status says is so; at rest nothing is
/// changed; when the claim ends nothing of it is left before the address is free.
pub fn elastic(bench: &mut Bench) -> Result<()> {
    let stage = bench.own(public(&[Zone::A, Zone::A, Zone::B])?);
    let address = address(stage)?;
    let begun = names(&stage.lab.cloud()?.changes(Stamp(0))?);
    egret_lab::note!("    until it serves: {}", begun.join(", "));
    let own = |name: &String| [ASSIGN, ASSOCIATE].contains(&name.as_str());
    let egret: Vec<&String> = begun.iter().filter(|name| own(name)).collect();
    ensure!(egret.iter().filter(|name| **name == ASSOCIATE).count() == 1, "{egret:?}");
    // A wire address for whoever has it, and for each standby that could not take that one over.
    ensure!(egret.iter().filter(|name| **name == ASSIGN).count() <= 3, "{egret:?}");
    let load = load(stage, "aws-attach")?;
    let since = Stamp::now();
    run_for(3000);
    lived(stage, &load, since)?;
    let delivered = stage.lab.cloud()?.delivery(address);
    let (node, wire) = delivered.context("it is delivered nowhere")?;
    let objects = stage.lab.objects("EgressAddress")?;
    let told = &objects.first().context("no EgressAddress")?["status"]["attachment"];
    let wire = wire.to_string();
    ensure!(told["node"] == *node && told["wireAddress"] == *wire, "{told}: not {node}, {wire}");
    await_attached(stage, &node)?;
    run_for(2 * u64::try_from(SCAN.as_millis())?);
    changed(stage, since, &[])?;
    let reads = stage.lab.cloud()?.calls(Stamp::now() - SCAN)?;
    egret_lab::note!("    reads in {SCAN:?} at rest: {}", names(&reads).join(", "));
    drop(load);
    end(stage)
}

/// The claim ends: nothing of the address is left in the cloud while its ports still rest, which
/// is before it is free.
fn end(stage: &Stage) -> Result<()> {
    let (ended, cloud) = (Stamp::now(), stage.lab.cloud()?);
    stage.lab.remove_manifest("bank.yaml")?;
    let off = wait_until("the end of the address", Duration::from_secs(20), || {
        let left = stage.lab.names().iter().any(|node| !cloud.secondaries(node).is_empty());
        let attached = stage.addresses.iter().any(|own| cloud.attached_to(*own).is_some());
        (!left && !attached).then(Stamp::now)
    });
    let names = names(&cloud.changes(ended)?);
    egret_lab::note!("    its end: {}", names.join(", "));
    egret_lab::note!("    off after {:.0} ms", off?.millis_after(ended));
    let kept = stage.lab.objects("EgressAddress")?;
    ensure!(!kept.is_empty(), "it was free before the cloud had let go of it");
    Ok(())
}

/// A private address serves as itself, and moves in one call when its holder dies.
pub fn private_address(bench: &mut Bench) -> Result<()> {
    let stage = bench.own(private(&[Zone::A, Zone::A])?);
    let load = load(stage, "aws-private")?;
    let (_, off) = crate::region::power_off(stage, &load)?;
    changed(stage, off, &[ASSIGN])?;
    drop(load);
    end(stage)
}

/// Somebody takes the Elastic IP away by hand: seen by a scan, told, and repaired.
pub fn drift(bench: &mut Bench) -> Result<()> {
    let stage = pair(bench)?;
    let address = address(stage)?;
    let old = holder(stage)?;
    let load = load(stage, "aws-drift")?;
    // Until then Egret's own change counts more than what a read says against it.
    let last = stage.lab.cloud()?.changes(Stamp(0))?.last().context("a change")?.answered;
    std::thread::sleep((BELIEVED + MARGIN).saturating_sub(Stamp::now().since(last)));
    let taken = Stamp::now();
    stage.lab.cloud()?.by_hand(&["disassociate", &address.to_string()])?;
    let seen = |entry: &egret_lab::Entry| entry.from == "controller";
    let told = stage.lab.journal().wait("Drifted", taken, SCAN + Duration::from_secs(5), seen)?;
    egret_lab::note!(
        "    told after {:.0} ms: {}",
        told.at.millis_after(taken),
        told.text("message").unwrap_or_default()
    );
    stage.await_held(Duration::from_secs(10))?;
    ensure!(holder(stage)? == old, "it was given to another");
    await_attached(stage, &old)?;
    let report = lived(stage, &load, taken)?;
    egret_lab::note!("    longest stall {} ms", report.stall.as_millis());
    crate::region::tell(stage, &load, taken)?;
    let names = names(&stage.lab.cloud()?.changes(taken)?);
    ensure!(names.iter().filter(|name| *name == ASSOCIATE).count() == 1, "{names:?}");
    // While it is attached nowhere, a standby of its subnet may be made ready too, and relieved.
    ensure!(names.len() <= 4, "{names:?}");
    Ok(())
}
