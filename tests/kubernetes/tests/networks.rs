//! The whole cluster by itself, without Egret: a failure here is never Egret's.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_kubernetes::{ClusterOptions, Network, Proxy, TestCluster};
use egret_lab::address::{AddressFamily, OUTSIDE, node};
use egret_lab::load::{seen_by, source_seen};
use egret_lab::{PodOptions, TestBed, wait_until};

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: director}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  selector: {name: director}
  ports: [{port: 8080, nodePort: 30080}]
";

fn small(network: Network, proxy: Proxy) -> Result<TestCluster> {
    let mut cluster = TestCluster::up(&ClusterOptions {
        gateways: 1,
        directors: 1,
        network,
        proxy,
        ..ClusterOptions::default()
    })?;
    cluster
        .add_pods(&["gateway", "director"].map(|name| {
            PodOptions::new(&format!("{name}-1"), "default", name).label("name", name)
        }))?;
    cluster.kubectl().apply(SERVICE)?;
    Ok(cluster)
}

/// Pods reach the outside from their worker's address, each other from their own, and a Service.
fn everything_is_reached(cluster: &mut TestCluster) -> Result<()> {
    for family in AddressFamily::BOTH {
        for (number, pod) in [(1, "gateway"), (2, "director")] {
            let seen = source_seen(cluster, pod, family)?;
            ensure!(seen == family.pick(node(number)), "{pod} leaves as {seen}");
        }
        let (from, to) = (cluster.pod_net("gateway")?, cluster.pod_net("director")?);
        let own = family.pick(from.addresses);
        let listen = SocketAddr::new(family.pick(to.addresses), 8080);
        let seen = seen_by(&to.path, listen, &from.path, listen)?;
        ensure!(seen == own, "from pod to pod: {seen}");
        let address = SocketAddr::new(service_address(cluster, family)?, 8080);
        let seen = wait_until("an answer of the Service", Duration::from_secs(20), || {
            seen_by(&to.path, listen, &from.path, address).ok()
        })?;
        ensure!(seen == own, "through the Service at {address}: {seen}");
        // From outside: kube-proxy masquerades what a node hands on.
        let port = SocketAddr::new(family.pick(node(1)), 30080);
        let seen = seen_by(&to.path, listen, &cluster.network().out.path(), port)?;
        ensure!(seen != family.pick(OUTSIDE), "from outside by another node's port: {seen}");
    }
    Ok(())
}

fn service_address(cluster: &TestCluster, family: AddressFamily) -> Result<IpAddr> {
    let service = cluster.kubectl().get(&["service", "director"])?;
    let all = service["spec"]["clusterIPs"].as_array().into_iter().flatten();
    let mut all = all.filter_map(|ip| ip.as_str()?.parse::<IpAddr>().ok());
    all.find(|ip| AddressFamily::of(*ip) == family).context("the Service has no such address")
}

/// A worker without power is gone for all at once; it comes back with its pods, and what lay in
/// /run is gone.
fn power(cluster: &mut TestCluster) -> Result<()> {
    let mark = "touch /run/egret/x /var/lib/egret/x && mount | grep -q 'bpf on /sys/fs/bpf'";
    cluster.worker("director-1")?.shell(mark)?;
    let before = cluster.find_pod("default", "director")?;
    cluster.power_off("director-1")?;
    ensure!(cluster.worker("director-1")?.output("true").is_err(), "it is on");
    ensure!(!Path::new(&before.path).exists(), "a pod of it runs");
    let ping = cluster.network().watch.output("ping -c 1 -W 1 203.0.113.102");
    ensure!(!ping.status.success(), "a worker without power answers");
    cluster.boot("director-1")?;
    cluster.worker("director-1")?.shell("test ! -e /run/egret/x && test -e /var/lib/egret/x")?;
    cluster.wait_ready()?;
    let what = "the pod with another sandbox and address";
    wait_until(what, Duration::from_secs(60), || {
        let net = cluster.find_pod("default", "director").ok()?;
        (net.addresses != before.addresses && Path::new(&net.path).exists()).then_some(())
    })
}

#[test]
fn a_bridge_and_nftables() {
    let mut cluster = small(Network::Bridge, Proxy::Nftables).unwrap();
    everything_is_reached(&mut cluster).unwrap();
    let said = cluster.kubectl().ask(&["exec", "director", "--", "echo", "hello"]).unwrap();
    assert_eq!(said, "hello\n");
    power(&mut cluster).unwrap();
    let dir = cluster.dir().to_owned();
    drop(cluster);
    assert!(!dir.exists(), "{} is still there", dir.display());
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(&*dir.to_string_lossy()), "something is still mounted");
}

#[test]
fn an_overlay_and_iptables_and_no_api_server_for_a_while() {
    let mut cluster = small(Network::Overlay, Proxy::Iptables).unwrap();
    everything_is_reached(&mut cluster).unwrap();
    cluster.cut_store().unwrap();
    for family in AddressFamily::BOTH {
        source_seen(&mut cluster, "gateway", family).unwrap();
    }
    cluster.restore_store().unwrap();
    cluster.wait_ready().unwrap();
}
