//! The whole cluster by itself, without Egret: a failure here is never Egret's.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use egret_kubernetes::{Cluster, ClusterOptions, Network, Proxy};
use egret_lab::address::{Family, OUTSIDE, node};
use egret_lab::load::{seen_by, source_seen};
use egret_lab::{Ground, PodSpec, wait_until};

/// A Service of each kind of address that leads to pod `director`.
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

fn pods() -> [PodSpec; 2] {
    ["gateway", "director"]
        .map(|name| PodSpec::new(&format!("{name}-1"), "default", name).label("name", name))
}

fn small(network: Network, proxy: Proxy) -> ClusterOptions {
    ClusterOptions { gateways: 1, directors: 1, network, proxy, ..ClusterOptions::default() }
}

/// Pods reach the outside from their worker's address, each other from their own, and a Service.
fn everything_is_reached(cluster: &mut Cluster) {
    cluster.kubectl().apply(SERVICE).unwrap();
    for family in Family::BOTH {
        for (number, pod) in [(1, "gateway"), (2, "director")] {
            let seen = source_seen(cluster, pod, family).unwrap();
            assert_eq!(seen, family.pick(node(number)), "{pod} masqueraded");
        }
        let (from, to) =
            (cluster.pod_net("gateway").unwrap(), cluster.pod_net("director").unwrap());
        let listen = SocketAddr::new(family.pick(to.addresses), 8080);
        let seen = seen_by(&to.path, listen, &from.path, listen).unwrap();
        assert_eq!(seen, family.pick(from.addresses), "from pod to pod");
        for address in service_addresses(cluster, family) {
            let what = format!("the Service at {address}");
            let seen = wait_until(&what, Duration::from_secs(20), || {
                seen_by(&to.path, listen, &from.path, address).ok()
            });
            assert_eq!(seen.unwrap(), family.pick(from.addresses), "{what}");
        }
        // From outside: kube-proxy masquerades what a node hands on.
        let port = SocketAddr::new(family.pick(node(1)), 30080);
        let out = cluster.around().out.path();
        let seen = seen_by(&to.path, listen, &out, port).unwrap();
        assert_ne!(seen, family.pick(OUTSIDE), "from outside by a node's port");
    }
}

fn service_addresses(cluster: &Cluster, family: Family) -> Vec<SocketAddr> {
    let service = cluster.kubectl().get(&["service", "director"]).unwrap();
    let addresses = service["spec"]["clusterIPs"].as_array().unwrap().iter();
    let addresses = addresses.map(|ip| ip.as_str().unwrap().parse::<IpAddr>().unwrap());
    let of = addresses.filter(|address| Family::of(*address) == family);
    of.map(|address| SocketAddr::new(address, 8080)).collect()
}

#[test]
fn a_bridge_and_nftables() {
    let mut cluster = Cluster::up(&small(Network::Bridge, Proxy::Nftables)).unwrap();
    cluster.add_pods(&pods()).unwrap();
    everything_is_reached(&mut cluster);
    let said = cluster.kubectl().ask(&["exec", "director", "--", "echo", "hello"]).unwrap();
    assert_eq!(said, "hello\n");
    power(&mut cluster);
    let dir = cluster.dir().to_owned();
    drop(cluster);
    assert!(!dir.exists(), "{} is still there", dir.display());
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(&*dir.to_string_lossy()), "something is still mounted");
}

/// A worker without power is gone for all at once; it comes back with its pods, and what lay in
/// /run is gone.
fn power(cluster: &mut Cluster) {
    let mark = |cluster: &Cluster, line: &str| {
        let output = cluster.worker("director-1").unwrap().output(line).unwrap();
        output.status.success()
    };
    assert!(mark(cluster, "touch /run/egret/x /var/lib/egret/x; mount | grep -q /sys/fs/bpf"));
    cluster.power_off("director-1").unwrap();
    let begun = Instant::now();
    assert!(cluster.worker("director-1").unwrap().output("true").is_err());
    let ping = cluster.around().watch.output("ping -c 1 -W 1 203.0.113.102");
    assert!(!ping.status.success(), "a worker without power answers");
    cluster.boot("director-1").unwrap();
    assert!(mark(cluster, "test ! -e /run/egret/x && test -e /var/lib/egret/x"));
    cluster.wait_ready().unwrap();
    let again = wait_until("pod director with a new sandbox", Duration::from_secs(60), || {
        let net = cluster.find_pod("default", "director").ok()?;
        std::path::Path::new(&net.path).exists().then_some(net)
    });
    println!("director is back after {:?}: {:?}", begun.elapsed(), again.unwrap());
}

#[test]
fn an_overlay_and_iptables() {
    let mut cluster = Cluster::up(&small(Network::Overlay, Proxy::Iptables)).unwrap();
    cluster.add_pods(&pods()).unwrap();
    everything_is_reached(&mut cluster);
    cluster.stop_api();
    for family in Family::BOTH {
        source_seen(&mut cluster, "gateway", family).unwrap();
    }
    cluster.start_api().unwrap();
    cluster.wait_ready().unwrap();
}
