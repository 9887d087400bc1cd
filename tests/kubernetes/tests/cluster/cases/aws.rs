//! The whole way of an Elastic IP on a cluster in a cloud: claimed, served, moved, its holder frozen
//! and powered off, released.
//!
//! Gateways and directors are in two zones, and the controllers run on gateways: so the leader may
//! die with the holder.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_kubernetes::{ClusterOptions, NAMESPACE, Network, Proxy, TestCluster, egret_image};
use egret_lab::address::AddressFamily;
use egret_lab::checks::{PATIENCE, back, holder, run_for};
use egret_lab::cloud::Region;
use egret_lab::cloud::checks::{
    address, await_attached, await_rest, await_voters, changed, lived, load, names,
};
use egret_lab::load::source_seen;
use egret_lab::scenarios;
use egret_lab::scenarios::cloud::{false_takeover, move_to, planned_moves};
use egret_lab::{TestBed, WallTime, wait_until};

use super::controller::leader;
use crate::fixtures::{ClusterBench, ClusterFixture};

const ASSIGN: &str = "AssignPrivateIpAddresses";
const ASSOCIATE: &str = "AssociateAddress";

const POOL: &str = "\
apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {name: public}
spec:
  provider: AWS
  aws: {elasticIPTags: {egret.dev/pool: public}}
  gateways:
    nodeSelector: {matchLabels: {egret.dev/gateway: \"true\"}}
  allowedNamespaces: {matchLabels: {egress: partners}}
  ports: {perNode: 1024}
  failover: {failback: Never, releaseAfter: 2s}
";

const CLAIM: &str = "\
apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {name: bank, namespace: payments}
spec:
  poolRef: {name: public}
  podSelector: {matchLabels: {app: settle}}
  destinations: [{cidr: 198.51.100.0/24}]
  whenUnavailable: Drop
";

/// The chart's value that says where controllers run.
const ON_GATEWAYS: &str = "controller.affinity.nodeAffinity.\
                           requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]";

pub fn elastic(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.own(claimed()?);
    served(fixture)?;
    shown(fixture)?;
    for turn in [planned_moves, holder_dies, leader_dies_with_holder, false_takeover] {
        turn(fixture)?;
    }
    released(fixture)
}

/// A cluster in a cloud, the chart installed, the claim applied and served.
fn claimed() -> Result<ClusterFixture> {
    let mut cluster = TestCluster::up(&ClusterOptions {
        network: Network::Overlay,
        proxy: Proxy::Iptables,
        images: vec![egret_image()?],
        cloud: Some(Region::default()),
        ..ClusterOptions::default()
    })?;
    let [key, operator] = ["key=egret.dev/gateway", "operator=Exists"]
        .map(|part| format!("{ON_GATEWAYS}.matchExpressions[0].{part}"));
    // Leases in a cloud are 2 s by default, and voters are silent after a boot for the longest.
    cluster.install_egret(&["cluster.maxLease=2500ms", &key, &operator])?;
    cluster.add_example_pods()?;
    let applied = WallTime::now();
    cluster.kubectl().apply(POOL)?;
    cluster.kubectl().apply(CLAIM)?;
    let ready = ["wait", "--for=condition=Ready", "--timeout=60s", "-n", "payments", "seip/bank"];
    let waited = cluster.kubectl().ask(&ready);
    if let Err(error) = waited {
        egret_lab::bench::explain(&cluster);
        return Err(error);
    }
    egret_lab::note!(
        "    Ready {:.0} ms after kubectl apply",
        WallTime::now().millis_after(applied)
    );
    let objects = cluster.objects("EgressAddress")?;
    let spoken = objects.first().and_then(|object| object["spec"]["address"].as_str());
    let claimed: IpAddr = spoken.context("no EgressAddress")?.parse()?;
    ensure!(cluster.cloud()?.elastic().contains(&claimed), "{claimed} is no Elastic IP");
    let fixture = ClusterFixture::new(cluster, &[claimed])?;
    let complete = fixture.await_held(PATIENCE).and_then(|()| await_voters(&fixture));
    complete.inspect_err(|_| egret_lab::bench::explain(&fixture.lab))?;
    Ok(fixture)
}

/// Pods of both directors leave with the Elastic IP, under load too; nothing is changed at rest.
fn served(fixture: &mut ClusterFixture) -> Result<()> {
    let begun = names(&fixture.lab.cloud()?.changes(WallTime(0))?);
    egret_lab::note!("    until it serves: {}", begun.join(", "));
    for number in 1..=2 {
        let seen = source_seen(&mut fixture.lab, &format!("settle-{number}"), AddressFamily::V4)?;
        ensure!(fixture.addresses.contains(&seen), "settle-{number} leaves as {seen}");
        // It has no public address, and an Internet gateway passes nothing else.
        let other = source_seen(&mut fixture.lab, &format!("other-{number}"), AddressFamily::V4);
        ensure!(other.is_err(), "other-{number} leaves as {other:?}");
    }
    let cloud = fixture.lab.cloud()?;
    await_rest(|since| cloud.changes(since))?;
    let (load, since) = (load(fixture, "aws-served")?, WallTime::now());
    run_for(6000);
    lived(fixture, &load, since)?;
    changed(fixture, since, &[])
}

/// What people read says where the address is, and that all is well.
fn shown(fixture: &ClusterFixture) -> Result<()> {
    let (address, node) = (address(fixture)?, holder(fixture)?);
    await_attached(fixture, &node)?;
    for kind in ["egresspools", "seip", "egressaddresses", "egressnodes"] {
        let table = fixture.lab.kubectl().ask(&["get", kind, "--all-namespaces"])?;
        for line in table.lines() {
            egret_lab::note!("    {line}");
        }
    }
    let table = fixture.lab.kubectl().ask(&["get", "egressaddresses", "-o", "wide"])?;
    let row = table.lines().find(|line| line.contains(&address.to_string()));
    let row = row.with_context(|| format!("{address} is not in: {table}"))?;
    ensure!(row.contains(&node), "the table does not say {node}: {table}");
    let object = object(fixture)?;
    for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        let words = ["type", "status", "reason", "message"].map(text);
        egret_lab::note!("    {}={} {}: {}", words[0], words[1], words[2], words[3]);
        let good = if words[0] == "Conflict" { "False" } else { "True" };
        ensure!(words[1] == good, "a condition that is not {good}: {words:?}");
    }
    let (attachment, cloud) = (&object["status"]["attachment"], fixture.lab.cloud()?);
    let (there, wire) = cloud.delivery(address).context("it is delivered nowhere")?;
    let good = attachment["node"] == there && attachment["wireAddress"] == wire.to_string();
    ensure!(good && there == node, "{attachment}: not {there}, {wire}");
    let nodes = fixture.lab.kubectl().get(&["nodes"])?;
    for worker in fixture.lab.workers() {
        let instance = cloud.instance(&worker.name)?;
        let mut items = nodes["items"].as_array().into_iter().flatten();
        let own = items.find(|item| item["metadata"]["name"] == worker.name);
        let id = own.map(|own| own["spec"]["providerID"].clone()).unwrap_or_default();
        ensure!(id == instance.provider_id(), "{}: {id}", worker.name);
    }
    Ok(())
}

fn object(fixture: &ClusterFixture) -> Result<serde_json::Value> {
    let address = address(fixture)?.to_string();
    let mut objects = fixture.lab.objects("EgressAddress")?.into_iter();
    objects.find(|object| object["spec"]["address"] == address).context("no EgressAddress")
}

/// The holder's power is cut, the leading controller is elsewhere.
fn holder_dies(fixture: &mut ClusterFixture) -> Result<()> {
    let leading = leader_node(fixture)?;
    if holder(fixture)? == leading {
        let another = fixture.lab.gateways().into_iter().find(|name| *name != leading);
        move_to(fixture, &another.context("another gateway")?)?;
    }
    power_off(fixture, "aws-death", 2)
}

/// The holder's power is cut, and the leading controller with it.
fn leader_dies_with_holder(fixture: &mut ClusterFixture) -> Result<()> {
    let leading = leader_node(fixture)?;
    if holder(fixture)? != leading {
        move_to(fixture, &leading)?;
    }
    // Who comes to lead has no memory of what was made ready for whom.
    power_off(fixture, "aws-both-die", 4)
}

fn leader_node(fixture: &ClusterFixture) -> Result<String> {
    let pod = fixture.lab.kubectl().get(&["pod", "-n", NAMESPACE, &leader(fixture)?])?;
    Ok(pod["spec"]["nodeName"].as_str().context("the leader is on no node")?.to_owned())
}

/// Afterwards at most `calls` have changed something.
fn power_off(fixture: &mut ClusterFixture, name: &str, calls: usize) -> Result<()> {
    await_voters(fixture)?;
    let load = load(fixture, name)?;
    let (old, _, off) = scenarios::cloud::holder_dies(fixture, &load, Duration::from_secs(25))?;
    let made = names(&fixture.lab.cloud()?.changes(off)?);
    ensure!([ASSIGN, ASSOCIATE].contains(&made.first().map_or("", String::as_str)), "{made:?}");
    ensure!(made.len() <= calls, "{made:?}");
    drop(load);
    back(fixture, &old)
}

/// The claim is deleted: nothing of the address is left in the cloud before its object is gone.
fn released(fixture: &ClusterFixture) -> Result<()> {
    let (ended, cloud) = (WallTime::now(), fixture.lab.cloud()?);
    fixture.lab.kubectl().ask(&["delete", "seip", "-n", "payments", "bank", "--wait=false"])?;
    let off = wait_until("the end of the address in the cloud", PATIENCE, || {
        let left = fixture.lab.names().iter().any(|node| !cloud.secondaries(node).is_empty());
        let attached = fixture.addresses.iter().any(|own| cloud.attached_to(*own).is_some());
        (!left && !attached).then(WallTime::now)
    })?;
    egret_lab::note!("    its end: {}", names(&cloud.changes(ended)?).join(", "));
    egret_lab::note!("    detached after {:.0} ms", off.millis_after(ended));
    ensure!(object(fixture).is_ok(), "it was free before the cloud had let go of it");
    // Its ports rest for two minutes.
    let gone = wait_until("the end of the EgressAddress", Duration::from_secs(180), || {
        object(fixture).is_err().then(WallTime::now)
    })?;
    egret_lab::note!("    EgressAddress gone after {:.0} ms", gone.millis_after(ended));
    Ok(())
}
