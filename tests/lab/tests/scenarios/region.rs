//! Laboratories in a cloud, and what the scenarios there look at.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use egret_lab::bench::Bench;
pub use egret_lab::cloud::checks::{address, await_attached, changed, lived, load, names, tell};
use egret_lab::cloud::checks::{await_voters, condition};
use egret_lab::cloud::{Outside, Region, Zone};
use egret_lab::load::Load;
use egret_lab::{Lab, LabFixture, WallTime, scenarios, wait_until};

use crate::fixtures::{PATIENCE, await_any_source, usual};

pub const ASSIGN: &str = "AssignPrivateIpAddresses";
pub const UNASSIGN: &str = "UnassignPrivateIpAddresses";
pub const ASSOCIATE: &str = "AssociateAddress";

/// The provider's word for a scan's length here (`--cloud-scan-interval`).
pub const SCAN: Duration = Duration::from_secs(5);
/// What its own change counts more than a read that contradicts it.
pub const BELIEVED: Duration = Duration::from_secs(60);

/// A private address that a gateway of zone A can have.
pub const PRIVATE: &str = "10.0.1.66";
const SECOND: &str = "10.0.1.67";

const PUBLIC_POOL: &str = "aws: {elasticIPTags: {egret.dev/pool: public}}";
const PRIVATE_POOL: &str = "addresses: ['10.0.1.64/28']";

/// A pool of the cloud; its leases are what they are by default there, or last so long.
fn pool(addresses: &str, lease: Option<&str>) -> String {
    let lease = lease.map(|lease| format!("lease: {lease}, ")).unwrap_or_default();
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
  failover: {{{lease}failback: Never, releaseAfter: 2s}}
"
    )
}

fn claim(addresses: &[IpAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(|address| format!("'{address}'")).collect();
    let addresses = addresses.join(", ");
    format!(
        "apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {{name: bank, namespace: payments}}
spec:
  poolRef: {{name: partners}}
  addresses: [{addresses}]
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

/// The region that scenarios share where one gateway is to have one successor, in its own subnet.
pub const PAIR: &str = "two gateways of one zone";
/// The region that scenarios share where there are both kinds of successors.
pub const TRIO: &str = "two gateways of one zone and one of another";

/// The region [`PAIR`], as a new one would be.
pub fn pair(bench: &mut Bench) -> Result<&mut LabFixture> {
    let fixture = bench.shared(PAIR, || public(&[Zone::A, Zone::A]))?;
    restore(fixture)?;
    Ok(fixture)
}

/// The region [`TRIO`], the same.
pub fn trio(bench: &mut Bench) -> Result<&mut LabFixture> {
    let fixture = bench.shared(TRIO, || public(&[Zone::A, Zone::A, Zone::B]))?;
    restore(fixture)?;
    Ok(fixture)
}

/// No fault, power for all, as many voters as there will be, and an address that is attached.
fn restore(fixture: &mut LabFixture) -> Result<()> {
    fixture.lab.cloud()?.clear()?;
    let all = fixture.lab.nodes().iter();
    let off: Vec<_> = all.filter(|node| !node.is_on()).map(|node| node.name.clone()).collect();
    for name in off {
        crate::fixtures::back(fixture, &name)?;
    }
    await_voters(fixture)?;
    await_attached(fixture, &crate::fixtures::holder(fixture)?)
}

/// A claim for an Elastic IP that is found by its tag; attached, and seen outside.
pub fn public(gateways: &[Zone]) -> Result<LabFixture> {
    public_with(gateways, None)
}

/// The same with leases of this length.
pub fn public_with(gateways: &[Zone], lease: Option<&str>) -> Result<LabFixture> {
    serve_public(build(gateways, Outside::Internet)?, lease)
}

/// A claim for a private address of zone A, the same.
pub fn private(gateways: &[Zone]) -> Result<LabFixture> {
    serve(build(gateways, Outside::Vpn)?, &pool(PRIVATE_POOL, None), &[PRIVATE.parse()?])
}

/// A claim for two private addresses of zone A, the same; pods leave with either.
pub fn two_private(gateways: &[Zone]) -> Result<LabFixture> {
    let addresses = [PRIVATE.parse()?, SECOND.parse()?];
    serve(build(gateways, Outside::Vpn)?, &pool(PRIVATE_POOL, None), &addresses)
}

/// The same in a laboratory that was made ready, with leases of this length.
pub fn serve_public(lab: Lab, lease: Option<&str>) -> Result<LabFixture> {
    let address = *lab.cloud()?.elastic().first().context("an Elastic IP")?;
    serve(lab, &pool(PUBLIC_POOL, lease), &[address])
}

fn serve(mut lab: Lab, pool: &str, addresses: &[IpAddr]) -> Result<LabFixture> {
    lab.start_egret()?;
    lab.write_namespace("payments", &[("egress", "partners")])?;
    lab.write_manifest("pool.yaml", pool)?;
    let mut fixture = LabFixture::new(lab, addresses)?;
    fixture.lab.write_manifest("bank.yaml", &claim(addresses))?;
    let served = fixture.await_held(PATIENCE).and_then(|()| {
        let mut pods = ["settle-1", "settle-2"].iter();
        pods.try_for_each(|pod| await_any_source(&mut fixture, pod, addresses))
    });
    let voting = served.and_then(|()| await_voters(&fixture));
    voting.inspect_err(|_| egret_lab::bench::explain(&fixture.lab))?;
    Ok(fixture)
}

/// Waits until the address is not attached to its holder and the condition's message has `words`.
pub fn await_trouble(fixture: &LabFixture, words: &str) -> Result<String> {
    let what = format!("the condition Attached is false and speaks of {words}");
    wait_until(&what, Duration::from_secs(20), || {
        condition(fixture, "Attached").filter(|(good, text)| !good && text.contains(words))
    })
    .map(|(_, message)| message)
    .with_context(|| format!("{:?}", condition(fixture, "Attached")))
}

/// The holder's power is cut; returns who had the address, who has it, and the moment.
pub fn holder_dies(fixture: &mut LabFixture, load: &Load) -> Result<(String, String, WallTime)> {
    scenarios::cloud::holder_dies(fixture, load, Duration::from_secs(15))
}
