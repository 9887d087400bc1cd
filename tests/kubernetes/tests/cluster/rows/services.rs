//! S41: what comes in by kube-proxy's own NodePorts, and what stays inside, keeps its way and its
//! source; what pods send outside has the egress address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::address::{Family, OUTSIDE};
use egret_lab::load::{seen_by, source_seen};
use egret_lab::{Ground, wait_until};

use crate::world::{Bench, Stage};

/// To one pod; the endpoint's own node hands on what it gets without masquerading it.
const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: settle-1, namespace: payments}
spec:
  type: NodePort
  externalTrafficPolicy: Local
  ipFamilyPolicy: RequireDualStack
  selector: {egret-test/name: settle-1}
  ports: [{port: 8080, nodePort: 30081}]
";

pub fn run(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let label = ["label", "pod", "-n", "payments", "settle-1", "egret-test/name=settle-1"];
    stage.lab.kubectl().ask(&[&label[..], &["--overwrite"]].concat())?;
    stage.lab.kubectl().apply(SERVICE)?;
    for family in Family::BOTH {
        one(stage, family).with_context(|| family.name())?;
    }
    stage.lab.kubectl().ask(&["delete", "service", "-n", "payments", "settle-1"]).map(drop)
}

fn one(stage: &mut Stage, family: Family) -> Result<()> {
    let (pod, other) = (stage.lab.pod_net("settle-1")?, stage.lab.pod_net("settle-2")?);
    let out = stage.lab.around().out.path();
    let node = family.pick(stage.lab.worker("director-1")?.addresses());
    let listen = SocketAddr::new(family.pick(pod.addresses), 8080);
    let through = SocketAddr::new(node, 30081);
    let seen = wait_until("kube-proxy knows the Service", Duration::from_secs(20), || {
        seen_by(&pod.path, listen, &out, through).ok()
    })?;
    ensure!(seen == family.pick(OUTSIDE), "through a NodePort the pod sees {seen}");
    let seen = seen_by(&pod.path, listen, &other.path, listen)?;
    ensure!(seen == family.pick(other.addresses), "pod to pod: {seen}");
    let cluster_ip = SocketAddr::new(cluster_ip(stage, family)?, 8080);
    let seen = seen_by(&pod.path, listen, &other.path, cluster_ip)?;
    ensure!(seen == family.pick(other.addresses), "pod to Service: {seen}");
    let seen = source_seen(&mut stage.lab, "settle-1", family)?;
    ensure!(stage.addresses.contains(&seen), "to the outside: {seen}");
    let seen = source_seen(&mut stage.lab, "other-1", family)?;
    ensure!(seen == node, "a pod that is not selected: {seen}");
    Ok(())
}

fn cluster_ip(stage: &Stage, family: Family) -> Result<IpAddr> {
    let service = stage.lab.kubectl().get(&["service", "-n", "payments", "settle-1"])?;
    let all = service["spec"]["clusterIPs"].as_array().into_iter().flatten();
    let all = all.filter_map(|ip| ip.as_str()?.parse::<IpAddr>().ok());
    all.into_iter().find(|ip| Family::of(*ip) == family).context("a Service has both families")
}
