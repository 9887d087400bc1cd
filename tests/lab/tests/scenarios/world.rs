//! Laboratories as the rows need them.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
pub use egret_lab::checks::{
    BOUND, PATIENCE, alive, holder, holders, moved, none_lost, nothing_moved, run_for, unanswered,
};
use egret_lab::load::{Load, Plan};
use egret_lab::{Ground, Lab, LabBuilder, PodSpec, Stage, Stamp, wait_until};

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
        let settle = PodSpec::new(&node, "payments", &format!("settle-{number}"));
        let other = PodSpec::new(&node, "payments", &format!("other-{number}"));
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
pub fn with_pool(mut lab: Lab) -> Result<Stage> {
    lab.start_egret()?;
    lab.write_namespace("payments", &[("egress", "partners")])?;
    lab.write_manifest("pool.yaml", POOL)?;
    Stage::new(lab, &bank())
}

/// The same with the claim payments/bank, held.
pub fn with_claim(lab: Lab) -> Result<Stage> {
    let stage = with_pool(lab)?;
    stage.lab.write_manifest("bank.yaml", &claim("bank", "settle", &BANK, "Drop"))?;
    if let Err(error) = stage.await_held(PATIENCE) {
        egret_lab::bench::explain(&stage.lab);
        return Err(error);
    }
    Ok(stage)
}

/// The load of most rows: forty connections, UDP, a new connection now and then.
pub fn load(stage: &mut Stage, name: &str) -> Result<Load> {
    let plan = Plan::new(name, &["settle-1", "settle-2"]).probe(Duration::from_millis(250));
    Load::start(&mut stage.lab, plan, Some((&stage.sources, &bank())))
}

/// Boots a node that is off and waits until it counts again.
pub fn back(stage: &mut Stage, name: &str) -> Result<()> {
    let booted = Stamp::now();
    stage.lab.boot(name, &[])?;
    stage.lab.journal().wait("may_vote", booted, PATIENCE, |entry| entry.from == name)?;
    stage.await_planned(name, PATIENCE)
}

/// Waits until the outside sees `pod` with the claim's address.
pub fn await_source(stage: &mut Stage, pod: &str, wanted: IpAddr) -> Result<()> {
    let family = egret_lab::address::Family::of(wanted);
    wait_until(&format!("{pod} leaves as {wanted}"), Duration::from_secs(20), || {
        let seen = egret_lab::load::source_seen(&mut stage.lab, pod, family).ok();
        (seen == Some(wanted)).then_some(())
    })
}

/// The name of the node with that hardware address, for assertions.
pub fn name_of(lab: &Lab, mac: [u8; 6]) -> Result<String> {
    lab.node_of(mac).map(str::to_owned).with_context(|| format!("{mac:?} is no node's"))
}

/// Waits until nothing changes hands any more after a cut has ended.
pub fn back_from_cut(stage: &Stage, name: &str) -> Result<()> {
    run_for(2000);
    let (settled, now) = (Stamp::now(), holders(stage));
    run_for(1000);
    nothing_moved(stage, settled, &now).with_context(|| format!("after {name} was back"))
}

/// The port blocks of one node: address, first and last port.
pub fn blocks(stage: &Stage, node: &str) -> Result<Vec<(IpAddr, u16, u16)>> {
    let all = stage.lab.blocks()?.into_iter().filter(|block| block.0 == node);
    Ok(all.map(|(_, address, first, last)| (address, first, last)).collect())
}

/// A pod that a claim selects.
pub fn settle(node: &str, name: &str) -> PodSpec {
    PodSpec::new(node, "payments", name).label("app", "settle")
}
