//! Laboratories in a cloud, and what the rows there look at.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::address::Family;
use egret_lab::checks::run_for;
use egret_lab::cloud::{Call, Outside, Region, Zone};
use egret_lab::load::{Load, LoadReport, Plan};
use egret_lab::{Ground, Lab, Stage, Stamp, wait_until};

use crate::world::{PATIENCE, await_source, usual};

pub const ASSIGN: &str = "AssignPrivateIpAddresses";
pub const ASSOCIATE: &str = "AssociateAddress";

/// The provider's word for a scan's length here (`--cloud-scan-interval`).
pub const SCAN: Duration = Duration::from_secs(5);
/// What its own change counts more than a read that contradicts it.
pub const BELIEVED: Duration = Duration::from_secs(60);

/// A pause that a connection may notice.
const NOTICED: Duration = Duration::from_millis(300);

/// A private address that a gateway of zone A can have.
pub const PRIVATE: &str = "10.0.1.66";

const PUBLIC_POOL: &str = "aws: {elasticIPTags: {egret.dev/pool: public}}";
const PRIVATE_POOL: &str = "addresses: ['10.0.1.64/28']";

/// A pool of the cloud; its leases are what they are by default there.
fn pool(addresses: &str) -> String {
    format!(
        "apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {{name: partners}}
spec:
  provider: AWS
  {addresses}
  gateways:
    nodeSelector: {{matchLabels: {{egret.dev/gateway: \"true\"}}}}
  allowedNamespaces: {{matchLabels: {{egress: partners}}}}
  ports: {{perNode: 1024}}
  failover: {{failback: Never, releaseAfter: 2s}}
"
    )
}

fn claim(address: IpAddr) -> String {
    format!(
        "apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {{name: bank, namespace: payments}}
spec:
  poolRef: {{name: partners}}
  addresses: ['{address}']
  podSelector: {{matchLabels: {{app: settle}}}}
  destinations: [{{cidr: 198.51.100.0/24}}]
  whenUnavailable: Drop
"
    )
}

/// Gateways in these zones, a director in each zone, the usual pods.
pub fn build(gateways: &[Zone], outside: Outside) -> Result<Lab> {
    let region = Region { gateways: gateways.to_vec(), outside, ..Region::default() };
    usual().gateways(u8::try_from(gateways.len())?).cloud(region).build()
}

/// A claim for an Elastic IP that is found by its tag; attached, and seen outside.
pub fn public(gateways: &[Zone]) -> Result<Stage> {
    let lab = build(gateways, Outside::Internet)?;
    let address = *lab.cloud()?.elastic().first().context("an Elastic IP")?;
    serve(lab, &pool(PUBLIC_POOL), address)
}

/// A claim for a private address of zone A, the same.
pub fn private(gateways: &[Zone]) -> Result<Stage> {
    serve(build(gateways, Outside::Vpn)?, &pool(PRIVATE_POOL), PRIVATE.parse()?)
}

fn serve(mut lab: Lab, pool: &str, address: IpAddr) -> Result<Stage> {
    lab.start_egret()?;
    lab.write_namespace("payments", &[("egress", "partners")])?;
    lab.write_manifest("pool.yaml", pool)?;
    let mut stage = Stage::new(lab, &[address])?;
    stage.lab.write_manifest("bank.yaml", &claim(address))?;
    let served = stage.await_held(PATIENCE).and_then(|()| {
        ["settle-1", "settle-2"].iter().try_for_each(|pod| await_source(&mut stage, pod, address))
    });
    let voting = served.and_then(|()| await_voters(&stage));
    voting.inspect_err(|_| egret_lab::bench::explain(&stage.lab))?;
    Ok(stage)
}

/// Waits until the voters are as many as they will be, and know it: while there are fewer, the
/// holder may be half of them. (A set grows by one voter per longest lease.)
fn await_voters(stage: &Stage) -> Result<()> {
    let full = if stage.lab.names().len() >= 5 { 5 } else { 3 };
    wait_until(&format!("{full} voters"), PATIENCE, || {
        let objects = stage.lab.objects("EgressCluster").ok()?;
        let set = &objects.first()?["spec"]["set"];
        let words = format!("AcknowledgedSet({})", set["number"]);
        let said = stage.lab.journal().events("lease", Stamp(0));
        let known = said.iter().filter(|entry| entry.text("message") == Some(words.clone()));
        (set["members"].as_array()?.len() == full && known.count() >= full).then_some(())
    })
}

/// The one address of such a stage.
pub fn address(stage: &Stage) -> Result<IpAddr> {
    stage.addresses.first().copied().context("the stage has an address")
}

/// Twenty connections, UDP, a new connection now and then.
pub fn load(stage: &mut Stage, name: &str) -> Result<Load> {
    let plan = Plan::new(name, &["settle-1", "settle-2"]).families(&[Family::V4]);
    let plan = plan.probe(Duration::from_millis(250));
    let allowed = stage.addresses.clone();
    Load::start(&mut stage.lab, plan, Some((&stage.sources, &allowed)))
}

/// Waits until every connection goes on as before; none was lost, and the outside has seen nothing
/// but the address.
pub fn lived(stage: &Stage, load: &Load, since: Stamp) -> Result<LoadReport> {
    // Waiting ends with the first connection that has ended; one that is silent may come back.
    let flows = || {
        let last = load.report(Stamp::now() - Duration::from_millis(500));
        let silent = last.lost.iter().any(|lost| lost.why == "silent");
        let ended = last.lost.iter().any(|lost| lost.why != "silent");
        (ended || !silent && last.stall < Duration::from_millis(400)).then_some(())
    };
    let flowing = wait_until("every connection goes on", Duration::from_secs(40), flows);
    let report = load.report(since);
    ensure!(report.lost.is_empty(), "{} lost: {:?}", report.lost.len(), report.lost.first());
    flowing?;
    let ledger = stage.sources.ledger(load.name());
    ensure!(ledger.right > 0, "the oracle saw nothing of the load");
    ensure!(ledger.wrong == 0, "{} wrong sources: {:?}", ledger.wrong, ledger.examples.first());
    stage.check_invariants(since)?;
    Ok(report)
}

/// The names of calls, with the code of those that failed.
pub fn names(calls: &[Call]) -> Vec<String> {
    let name = |call: &Call| match call.result.as_str() {
        "OK" => call.action.clone(),
        code => format!("{} ({code})", call.action),
    };
    calls.iter().map(name).collect()
}

/// Nothing was changed in the cloud since `since` but this.
pub fn changed(stage: &Stage, since: Stamp, expected: &[&str]) -> Result<()> {
    let names = names(&stage.lab.cloud()?.changes(since)?);
    ensure!(names == expected, "changing calls: {names:?}, expected {expected:?}");
    Ok(())
}

/// A condition of the address: whether it is true, and its message.
pub fn condition(stage: &Stage, kind: &str) -> Option<(bool, String)> {
    let address = address(stage).ok()?.to_string();
    let objects = stage.lab.objects("EgressAddress").ok()?;
    let own = objects.iter().find(|object| object["spec"]["address"] == address)?;
    let all = own["status"]["conditions"].as_array()?;
    let found = all.iter().find(|condition| condition["type"] == kind)?;
    Some((found["status"] == "True", found["message"].as_str()?.to_owned()))
}

/// Waits until the address is not attached to its holder and the condition's message has `words`.
pub fn await_trouble(stage: &Stage, words: &str) -> Result<String> {
    let what = format!("the condition Attached is false and speaks of {words}");
    wait_until(&what, Duration::from_secs(20), || {
        condition(stage, "Attached").filter(|(good, text)| !good && text.contains(words))
    })
    .map(|(_, message)| message)
    .with_context(|| format!("{:?}", condition(stage, "Attached")))
}

/// Waits until the condition says that the address is attached to `node`.
pub fn await_attached(stage: &Stage, node: &str) -> Result<()> {
    wait_until("the condition Attached", PATIENCE, || {
        condition(stage, "Attached").filter(|(good, text)| *good && text.contains(node)).map(drop)
    })
    .with_context(|| format!("{:?}", condition(stage, "Attached")))
}

/// What happened between the cause at `begun` and the first packet through the new holder.
pub fn tell(stage: &Stage, load: &Load, begun: Stamp) -> Result<()> {
    let address = address(stage)?;
    let mut lines = Vec::new();
    for entry in stage.lab.journal().entries(begun) {
        let own = entry.address() == Some(address);
        let said = match entry.event.as_str() {
            "took_over" if own => "has taken it over",
            "holder_known" if own && entry.from.starts_with("director") => "steers to the holder",
            "Attached" => "has seen it attached",
            _ => continue,
        };
        lines.push((entry.at, format!("{} {said}", entry.from)));
    }
    for call in stage.lab.cloud()?.changes(begun)? {
        let name = names(std::slice::from_ref(&call)).remove(0);
        lines.push((call.answered, format!("{name} answered")));
    }
    let ledger = stage.sources.ledger(load.name());
    let longest = ledger.longest_pause(begun);
    let long = ledger.pauses.iter().filter(|(last, first)| first.since(*last) >= NOTICED);
    for (last, first) in long.filter(|pause| pause.1 >= begun).chain(&longest) {
        lines.push((*last, "last packet seen outside".to_owned()));
        lines.push((*first, "first packet seen outside".to_owned()));
    }
    lines.sort();
    lines.dedup();
    for (at, what) in lines {
        println!("    {:>8.0} ms   {what}", at.millis_after(begun));
    }
    let cloud = stage.lab.cloud()?;
    for (what, counted) in [("foreign", cloud.foreign()?), ("unmapped", cloud.unmapped()?)] {
        for ((node, source), count) in counted {
            println!("    dropped as {what}: {count} packets of {node} from {source}");
        }
    }
    Ok(())
}

/// Powers the holder off and waits until another has the address and every connection goes on.
pub fn power_off(stage: &mut Stage, load: &Load) -> Result<(String, Stamp)> {
    run_for(1000);
    let old = crate::world::holder(stage)?;
    let off = stage.lab.power_off(&old)?;
    let new = stage.await_successor(address(stage)?, &old, Duration::from_secs(15))?;
    await_attached(stage, &new)?;
    let report = lived(stage, load, off)?;
    println!("    {old} → {new}: longest stall {} ms", report.stall.as_millis());
    tell(stage, load, off)?;
    Ok((new, off))
}
