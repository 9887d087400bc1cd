//! S41: what comes in by kube-proxy's own NodePorts, and what stays inside, keeps its way and its
//! source; what pods send outside has the egress address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::address::{AddressFamily, OUTSIDE};
use egret_lab::load::{seen_by, source_seen};
use egret_lab::{TestBed, wait_until};

use crate::fixtures::{ClusterBench, ClusterFixture};

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

pub fn run(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    let label = ["label", "pod", "-n", "payments", "settle-1", "egret-test/name=settle-1"];
    fixture.lab.kubectl().ask(&[&label[..], &["--overwrite"]].concat())?;
    fixture.lab.kubectl().apply(SERVICE)?;
    for family in AddressFamily::BOTH {
        one(fixture, family).with_context(|| family.name())?;
    }
    fixture.lab.kubectl().ask(&["delete", "service", "-n", "payments", "settle-1"]).map(drop)
}

fn one(fixture: &mut ClusterFixture, family: AddressFamily) -> Result<()> {
    let (pod, other) = (fixture.lab.pod_net("settle-1")?, fixture.lab.pod_net("settle-2")?);
    let out = fixture.lab.network().out.path();
    let node = family.pick(fixture.lab.worker("director-1")?.addresses());
    let listen = SocketAddr::new(family.pick(pod.addresses), 8080);
    let through = SocketAddr::new(node, 30081);
    let seen = wait_until("kube-proxy knows the Service", Duration::from_secs(20), || {
        seen_by(&pod.path, listen, &out, through).ok()
    })?;
    ensure!(seen == family.pick(OUTSIDE), "through a NodePort the pod sees {seen}");
    let seen = seen_by(&pod.path, listen, &other.path, listen)?;
    ensure!(seen == family.pick(other.addresses), "pod to pod: {seen}");
    let cluster_ip = SocketAddr::new(cluster_ip(fixture, family)?, 8080);
    let seen = seen_by(&pod.path, listen, &other.path, cluster_ip)?;
    ensure!(seen == family.pick(other.addresses), "pod to Service: {seen}");
    let seen = source_seen(&mut fixture.lab, "settle-1", family)?;
    ensure!(fixture.addresses.contains(&seen), "to the outside: {seen}");
    let seen = source_seen(&mut fixture.lab, "other-1", family)?;
    ensure!(seen == node, "a pod that is not selected: {seen}");
    Ok(())
}

fn cluster_ip(fixture: &ClusterFixture, family: AddressFamily) -> Result<IpAddr> {
    let service = fixture.lab.kubectl().get(&["service", "-n", "payments", "settle-1"])?;
    let all = service["spec"]["clusterIPs"].as_array().into_iter().flatten();
    let all = all.filter_map(|ip| ip.as_str()?.parse::<IpAddr>().ok());
    all.into_iter()
        .find(|ip| AddressFamily::of(*ip) == family)
        .context("a Service has both families")
}
