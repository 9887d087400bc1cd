//! Laboratories as the scenarios need them.

use std::net::IpAddr;

use anyhow::{Context, Result};
pub use egret_lab::checks::{
    PATIENCE, alive, await_any_source, await_source, back, holder, holders, load, moved,
    nothing_moved, run_for, settles,
};
use egret_lab::{Lab, LabBuilder, LabFixture, PodOptions, TestBed, wait_until};

/// The addresses of the claim payments/bank, IPv4 and IPv6.
pub const BANK: [&str; 2] = ["203.0.113.17", "2001:db8:5::11"];
pub fn bank() -> [IpAddr; 2] {
    BANK.map(|text| text.parse().unwrap_or_else(|error| panic!("{text}: {error}")))
}

/// The usual topology: three gateways, two directors, one selected and one other pod on each
/// director.
pub fn usual() -> LabBuilder {
    let mut builder = Lab::builder();
    for number in 1..=2 {
        let node = format!("director-{number}");
        let settle = PodOptions::new(&node, "payments", &format!("settle-{number}"));
        let other = PodOptions::new(&node, "payments", &format!("other-{number}"));
        builder = builder.pod(settle.label("app", "settle")).pod(other.label("app", "other"));
    }
    builder
}

pub const POOL: &str = "\
apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {name: partners}
spec:
  provider: L2
  addresses: ['203.0.113.16/29', '2001:db8:5::10/124']
  gateways:
    nodeSelector: {matchLabels: {egret.dev/gateway: \"true\"}}
  allowedNamespaces: {matchLabels: {egress: partners}}
  ports: {perNode: 1024}
  failover: {lease: 450ms, failback: Never, releaseAfter: 1h}
";

/// A claim for pods with one label, to the outside, with explicit addresses.
pub fn claim(name: &str, app: &str, addresses: &[&str], unavailable: &str) -> String {
    let addresses: Vec<String> = addresses.iter().map(|a| format!("'{a}'")).collect();
    format!(
        "apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {{name: {name}, namespace: payments}}
spec:
  poolRef: {{name: partners}}
  addresses: [{}]
  podSelector: {{matchLabels: {{app: {app}}}}}
  destinations: [{{cidr: 198.51.100.0/24}}, {{cidr: '2001:db8:6::/64'}}]
  whenUnavailable: {unavailable}
",
        addresses.join(", ")
    )
}

/// Starts Egret on a laboratory, writes pool and namespace, no claim.
pub fn with_pool(mut lab: Lab) -> Result<LabFixture> {
    lab.start_egret()?;
    lab.write_namespace("payments", &[("egress", "partners")])?;
    lab.write_manifest("pool.yaml", POOL)?;
    LabFixture::new(lab, &bank())
}

/// The same with the claim payments/bank, held.
pub fn with_claim(lab: Lab) -> Result<LabFixture> {
    let fixture = with_pool(lab)?;
    fixture.lab.write_manifest("bank.yaml", &claim("bank", "settle", &BANK, "Drop"))?;
    if let Err(error) = fixture.await_held(PATIENCE) {
        egret_lab::bench::explain(&fixture.lab);
        return Err(error);
    }
    // Who takes over before the status says so probes first.
    wait_until("a status that says that each was probed", PATIENCE, || {
        let objects = fixture.lab.objects("EgressAddress").ok()?;
        objects.iter().all(|object| object["status"]["probed"] == true).then_some(())
    })?;
    Ok(fixture)
}

/// The name of the node with that hardware address, for assertions.
pub fn name_of(lab: &Lab, mac: [u8; 6]) -> Result<String> {
    lab.node_of(mac).map(str::to_owned).with_context(|| format!("{mac:?} is no node's"))
}

/// The port blocks of one node: address, first and last port.
pub fn blocks(fixture: &LabFixture, node: &str) -> Result<Vec<(IpAddr, u16, u16)>> {
    let all = fixture.lab.blocks()?.into_iter().filter(|block| block.0 == node);
    Ok(all.map(|(_, address, first, last)| (address, first, last)).collect())
}

/// A pod that a claim selects.
pub fn settle(node: &str, name: &str) -> PodOptions {
    PodOptions::new(node, "payments", name).label("app", "settle")
}
