//! The whole way of an Elastic IP on a cluster in a cloud: claimed, served, moved, its holder frozen
//! and powered off, released.
//!
//! Gateways and directors are in two zones, and the controllers run on gateways: so the leader may
//! die with the holder.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_kubernetes::{Cluster, ClusterOptions, NAMESPACE, Network, Proxy, egret_image};
use egret_lab::address::Family;
use egret_lab::checks::{PATIENCE, holder, run_for};
use egret_lab::cloud::Region;
use egret_lab::cloud::checks::{
    address, await_attached, await_voters, changed, lived, load, names, tell,
};
use egret_lab::load::{Load, source_seen};
use egret_lab::{Ground, Stamp, wait_until};

use super::controller::leader;
use crate::world::{Bench, Stage, back};

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

pub fn elastic(bench: &mut Bench) -> Result<()> {
    let stage = bench.own(claimed()?);
    served(stage)?;
    shown(stage)?;
    for turn in [moved, holder_dies, leader_dies_with_holder, frozen] {
        turn(stage)?;
    }
    released(stage)
}

/// A cluster in a cloud, the chart installed, the claim applied and served.
fn claimed() -> Result<Stage> {
    let mut cluster = Cluster::up(&ClusterOptions {
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
    let applied = Stamp::now();
    cluster.kubectl().apply(POOL)?;
    cluster.kubectl().apply(CLAIM)?;
    let ready = ["wait", "--for=condition=Ready", "--timeout=60s", "-n", "payments", "seip/bank"];
    let waited = cluster.kubectl().ask(&ready);
    if let Err(error) = waited {
        egret_lab::bench::explain(&cluster);
        return Err(error);
    }
    egret_lab::note!("    Ready {:.0} ms after kubectl apply", Stamp::now().millis_after(applied));
    let objects = cluster.objects("EgressAddress")?;
    let spoken = objects.first().and_then(|object| object["spec"]["address"].as_str());
    let claimed: IpAddr = spoken.context("no EgressAddress")?.parse()?;
    ensure!(cluster.cloud()?.elastic().contains(&claimed), "{claimed} is no Elastic IP");
    let stage = Stage::new(cluster, &[claimed])?;
    let complete = stage.await_held(PATIENCE).and_then(|()| await_voters(&stage));
    complete.inspect_err(|_| egret_lab::bench::explain(&stage.lab))?;
    Ok(stage)
}

/// Pods of both directors leave with the Elastic IP, under load too; nothing is changed at rest.
fn served(stage: &mut Stage) -> Result<()> {
    let begun = names(&stage.lab.cloud()?.changes(Stamp(0))?);
    egret_lab::note!("    until it serves: {}", begun.join(", "));
    for number in 1..=2 {
        let seen = source_seen(&mut stage.lab, &format!("settle-{number}"), Family::V4)?;
        ensure!(stage.addresses.contains(&seen), "settle-{number} leaves as {seen}");
        // It has no public address, and an Internet gateway passes nothing else.
        let other = source_seen(&mut stage.lab, &format!("other-{number}"), Family::V4);
        ensure!(other.is_err(), "other-{number} leaves as {other:?}");
    }
    let (load, since) = (load(stage, "aws-served")?, Stamp::now());
    run_for(6000);
    lived(stage, &load, since)?;
    changed(stage, since, &[])
}

/// What people read says where the address is, and that all is well.
fn shown(stage: &Stage) -> Result<()> {
    let (address, node) = (address(stage)?, holder(stage)?);
    await_attached(stage, &node)?;
    for kind in ["egresspools", "seip", "egressaddresses", "egressnodes"] {
        let table = stage.lab.kubectl().ask(&["get", kind, "--all-namespaces"])?;
        for line in table.lines() {
            egret_lab::note!("    {line}");
        }
    }
    let table = stage.lab.kubectl().ask(&["get", "egressaddresses", "-o", "wide"])?;
    let row = table.lines().find(|line| line.contains(&address.to_string()));
    let row = row.with_context(|| format!("{address} is not in: {table}"))?;
    ensure!(row.contains(&node), "the table does not say {node}: {table}");
    let object = object(stage)?;
    for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        let words = ["type", "status", "reason", "message"].map(text);
        egret_lab::note!("    {}={} {}: {}", words[0], words[1], words[2], words[3]);
        let good = if words[0] == "Conflict" { "False" } else { "True" };
        ensure!(words[1] == good, "a condition that is not {good}: {words:?}");
    }
    let (told, cloud) = (&object["status"]["attachment"], stage.lab.cloud()?);
    let (there, wire) = cloud.delivery(address).context("it is delivered nowhere")?;
    let good = told["node"] == there && told["wireAddress"] == wire.to_string();
    ensure!(good && there == node, "{told}: not {there}, {wire}");
    let nodes = stage.lab.kubectl().get(&["nodes"])?;
    for worker in stage.lab.workers() {
        let instance = cloud.instance(&worker.name)?;
        let mut items = nodes["items"].as_array().into_iter().flatten();
        let own = items.find(|item| item["metadata"]["name"] == worker.name);
        let id = own.map(|own| own["spec"]["providerID"].clone()).unwrap_or_default();
        ensure!(id == instance.provider_id(), "{}: {id}", worker.name);
    }
    Ok(())
}

fn object(stage: &Stage) -> Result<serde_json::Value> {
    let address = address(stage)?.to_string();
    let mut objects = stage.lab.objects("EgressAddress")?.into_iter();
    objects.find(|object| object["spec"]["address"] == address).context("no EgressAddress")
}

/// `egret move` to every other gateway, of both zones.
fn moved(stage: &mut Stage) -> Result<()> {
    let load = load(stage, "aws-move")?;
    run_for(1000);
    let mut turns = gateways(stage);
    let at = turns.iter().position(|name| holder(stage).is_ok_and(|now| now == *name));
    turns.rotate_left(at.context("no gateway has it")? + 1);
    for to in turns {
        let begun = Stamp::now();
        move_to(stage, &to)?;
        run_for(3000);
        let report = lived(stage, &load, begun)?;
        egret_lab::note!("    moved to {to}: longest stall {} ms", report.stall.as_millis());
        tell(stage, &load, begun)?;
        let names = names(&stage.lab.cloud()?.changes(begun)?);
        ensure!(names.len() <= 3, "{names:?}");
    }
    Ok(())
}

fn move_to(stage: &Stage, to: &str) -> Result<()> {
    stage.lab.egret(&["move", &address(stage)?.to_string(), "--to", to])?;
    let there = || (holder(stage).ok()? == to).then_some(());
    wait_until(&format!("the address at {to}"), Duration::from_secs(20), there)?;
    await_attached(stage, to)
}

fn gateways(stage: &Stage) -> Vec<String> {
    let all = stage.lab.workers().iter();
    all.filter(|one| one.role == egret_lab::Role::Gateway).map(|one| one.name.clone()).collect()
}

/// A false takeover: the holder's agent is frozen for 5 s, its kernel goes on.
fn frozen(stage: &mut Stage) -> Result<()> {
    let load = load(stage, "aws-frozen")?;
    run_for(1000);
    let old = holder(stage)?;
    let pod = stage.lab.agent_pod(&old)?;
    let frozen = stage.lab.freeze_container(NAMESPACE, &pod, "agent")?;
    let successor = stage.await_successor(address(stage)?, &old, Duration::from_secs(5));
    std::thread::sleep(Duration::from_secs(5).saturating_sub(Stamp::now().since(frozen)));
    let thawed = stage.lab.thaw_container(NAMESPACE, &pod, "agent")?;
    let new = successor?;
    await_attached(stage, &new)?;
    run_for(8000);
    let report = lived(stage, &load, frozen)?;
    egret_lab::note!("    frozen: {old} → {new}: longest stall {} ms", report.stall.as_millis());
    tell(stage, &load, frozen)?;
    ensure!(holder(stage)? == new, "{old} took it back");
    changed(stage, thawed, &[])
}

/// The holder's power is cut, the leading controller is elsewhere.
fn holder_dies(stage: &mut Stage) -> Result<()> {
    let leading = leader_node(stage)?;
    if holder(stage)? == leading {
        let another = gateways(stage).into_iter().find(|name| *name != leading);
        move_to(stage, &another.context("another gateway")?)?;
    }
    power_off(stage, "aws-death", 2)
}

/// The holder's power is cut, and the leading controller with it.
fn leader_dies_with_holder(stage: &mut Stage) -> Result<()> {
    let leading = leader_node(stage)?;
    if holder(stage)? != leading {
        move_to(stage, &leading)?;
    }
    // Who comes to lead has no memory of what was made ready for whom.
    power_off(stage, "aws-both-die", 4)
}

fn leader_node(stage: &Stage) -> Result<String> {
    let pod = stage.lab.kubectl().get(&["pod", "-n", NAMESPACE, &leader(stage)?])?;
    Ok(pod["spec"]["nodeName"].as_str().context("the leader is on no node")?.to_owned())
}

/// Afterwards at most `calls` have changed something.
fn power_off(stage: &mut Stage, name: &str, calls: usize) -> Result<()> {
    await_voters(stage)?;
    let load: Load = load(stage, name)?;
    run_for(1000);
    let old = holder(stage)?;
    let off = stage.lab.power_off(&old)?;
    let new = stage.await_successor(address(stage)?, &old, Duration::from_secs(25))?;
    await_attached(stage, &new)?;
    let report = lived(stage, &load, off)?;
    egret_lab::note!("    {name}: {old} → {new}: longest stall {} ms", report.stall.as_millis());
    tell(stage, &load, off)?;
    let made = names(&stage.lab.cloud()?.changes(off)?);
    ensure!([ASSIGN, ASSOCIATE].contains(&made.first().map_or("", String::as_str)), "{made:?}");
    ensure!(made.len() <= calls, "{made:?}");
    drop(load);
    back(stage, &old)
}

/// The claim is deleted: nothing of the address is left in the cloud before its object is gone.
fn released(stage: &Stage) -> Result<()> {
    let (ended, cloud) = (Stamp::now(), stage.lab.cloud()?);
    stage.lab.kubectl().ask(&["delete", "seip", "-n", "payments", "bank", "--wait=false"])?;
    let off = wait_until("the end of the address in the cloud", PATIENCE, || {
        let left = stage.lab.names().iter().any(|node| !cloud.secondaries(node).is_empty());
        let attached = stage.addresses.iter().any(|own| cloud.attached_to(*own).is_some());
        (!left && !attached).then(Stamp::now)
    })?;
    egret_lab::note!("    its end: {}", names(&cloud.changes(ended)?).join(", "));
    egret_lab::note!("    detached after {:.0} ms", off.millis_after(ended));
    ensure!(object(stage).is_ok(), "it was free before the cloud had let go of it");
    // Its ports rest for two minutes.
    let gone = wait_until("the end of the EgressAddress", Duration::from_secs(180), || {
        object(stage).is_err().then(Stamp::now)
    })?;
    egret_lab::note!("    EgressAddress gone after {:.0} ms", gone.millis_after(ended));
    Ok(())
}
