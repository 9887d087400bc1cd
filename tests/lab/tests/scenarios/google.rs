//! Laboratories in a VPC of Google, and what the scenarios there look at.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::cloud::checks::await_voters;
pub use egret_lab::cloud::checks::{address, await_attached, lived, load, names};
use egret_lab::cloud::gce::{Contest, GceRegion, HeardAnnouncement, LabVpc, POOL_LABEL};
use egret_lab::load::{Load, LoadReport};
use egret_lab::{Lab, LabFixture, WallTime, wait_until};

use crate::fixtures::{PATIENCE, await_source, back, holder, usual};

/// Within this time a leader is set after a takeover, where the API answers.
pub const LEADS: Duration = Duration::from_secs(40);
/// The provider's word for a scan's length here (`--cloud-scan-interval`).
pub const SCAN: Duration = Duration::from_secs(5);

fn pool() -> String {
    let (key, value) = POOL_LABEL;
    format!(
        "apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {{name: partners}}
spec:
  provider: GCP
  gcp: {{addressLabels: {{{key}: {value}}}}}
  gateways:
    nodeSelector: {{matchLabels: {{egret.dev/gateway: \"true\"}}}}
  allowedNamespaces: {{matchLabels: {{egress: partners}}}}
  ports: {{perNode: 1024}}
  failover: {{lease: 450ms, failback: Never, releaseAfter: 2s}}
"
    )
}

/// The file of the one claim.
pub const CLAIM: &str = "bank.yaml";

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

/// The VPC that scenarios share: three gateways in two zones.
pub const VPC: &str = "a VPC of Google";

/// The VPC [`VPC`], as a new one would be.
pub fn shared(bench: &mut Bench) -> Result<&mut LabFixture> {
    let fixture = bench.shared(VPC, || serve(GceRegion::default()))?;
    fixture.lab.vpc()?.let_win(Contest::Newer);
    restore(fixture)?;
    settle(fixture)?;
    Ok(fixture)
}

/// No fault, and power for all.
pub fn restore(fixture: &mut LabFixture) -> Result<()> {
    fixture.lab.vpc()?.clear()?;
    let all = fixture.lab.nodes().iter();
    let off: Vec<_> = all.filter(|node| !node.is_on()).map(|node| node.name.clone()).collect();
    off.iter().try_for_each(|name| back(fixture, name))
}

/// A claim for an external address that is found by its label; attached, and seen outside.
pub fn serve(region: GceRegion) -> Result<LabFixture> {
    let lab = usual().google(region).build()?;
    let address = *lab.vpc()?.addresses().first().context("an external address")?;
    serve_in(lab, (&pool(), address), settle)
}

/// The claim [`CLAIM`] for an address of a pool, seen outside, and whatever else it takes.
pub fn serve_in(
    mut lab: Lab,
    (pool, address): (&str, IpAddr),
    settle: impl FnOnce(&LabFixture) -> Result<()>,
) -> Result<LabFixture> {
    lab.start_egret()?;
    lab.write_namespace("payments", &[("egress", "partners")])?;
    lab.write_manifest("pool.yaml", pool)?;
    let mut fixture = LabFixture::new(lab, &[address])?;
    fixture.lab.write_manifest(CLAIM, &claim(address))?;
    let served = fixture.await_held(PATIENCE).and_then(|()| {
        ["settle-1", "settle-2"].iter().try_for_each(|pod| await_source(&mut fixture, pod, address))
    });
    let settled = served.and_then(|()| settle(&fixture));
    settled.inspect_err(|_| egret_lab::bench::explain(&fixture.lab))?;
    Ok(fixture)
}

/// As many voters as there will be, and every gateway is an endpoint, of which the holder leads.
fn settle(fixture: &LabFixture) -> Result<()> {
    await_voters(fixture)?;
    await_leads(fixture, &holder(fixture)?)?;
    let (vpc, address) = (fixture.lab.vpc()?, address(fixture)?);
    let ready = || (vpc.endpoints(address).len() == 3).then_some(());
    wait_until("an endpoint for every gateway", PATIENCE, ready)
        .with_context(|| format!("{:?}", vpc.endpoints(address)))
}

/// Waits until a node leads the address's service, and the condition says that it is attached there.
pub fn await_leads(fixture: &LabFixture, node: &str) -> Result<()> {
    let (vpc, address) = (fixture.lab.vpc()?, address(fixture)?);
    let leads = || (vpc.leader(address).as_deref() == Some(node)).then_some(());
    wait_until(&format!("the leader {node}"), LEADS, leads)
        .with_context(|| format!("{:?} leads", vpc.leader(address)))?;
    await_attached(fixture, node)
}

/// Waits until the holder has just announced the address.
pub fn await_announcement(vpc: &LabVpc, from: &str) -> Result<()> {
    let since = WallTime::now();
    let heard = || vpc.announcements(since).iter().any(|heard| heard.from == from).then_some(());
    wait_until(&format!("an announcement of {from}"), Duration::from_secs(15), heard)
}

/// The announcements of one node since `since`.
pub fn announced(vpc: &LabVpc, from: &str, since: WallTime) -> Vec<HeardAnnouncement> {
    vpc.announcements(since).into_iter().filter(|heard| heard.from == from).collect()
}

/// Every connection goes on, and nobody sends with a source that is not its own; says how long it stood
/// still, and what happened meanwhile.
pub fn goes_on(
    fixture: &LabFixture,
    load: &Load,
    since: WallTime,
    what: &str,
) -> Result<LoadReport> {
    let report = lives_on(fixture, load, since, what)?;
    let foreign = fixture.lab.vpc()?.foreign()?;
    ensure!(foreign.is_empty(), "the VPC dropped packets with a foreign source: {foreign:?}");
    Ok(report)
}

/// The same, whatever the VPC has dropped.
pub fn lives_on(
    fixture: &LabFixture,
    load: &Load,
    since: WallTime,
    what: &str,
) -> Result<LoadReport> {
    let report = lived(fixture, load, since)?;
    egret_lab::note!(
        "    {what}: longest stall {} ms, nothing seen outside for {} ms",
        report.stall.as_millis(),
        report.udp_gap.as_millis()
    );
    let mut lines = Vec::new();
    let vpc = fixture.lab.vpc()?;
    for heard in vpc.announcements(since).iter().take(8) {
        let followed = if heard.followed { "followed" } else { "not followed" };
        lines.push((heard.at, format!("{} announced, {followed}", heard.from)));
    }
    for (call, name) in vpc.changes(since)?.iter().zip(names(&vpc.changes(since)?)) {
        lines.push((call.answered, format!("{name} answered")));
    }
    for entry in fixture.lab.journal().events("took_over", since) {
        lines.push((entry.at, format!("{} has taken it over", entry.from)));
    }
    lines.sort();
    for (at, line) in lines {
        egret_lab::note!("    {:>8.0} ms   {line}", at.millis_after(since));
    }
    Ok(report)
}
