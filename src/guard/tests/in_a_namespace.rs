//! The guard in a network namespace. Needs root, iproute2, nftables, ping.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::path::PathBuf;

use egret_core::model::AddressRange;
use egret_core::node_config::{BootGuard, SteeringConfig};
use egret_datapath::HostSettings;
use egret_datapath::nft::NftSteering;
use egret_guard::{FILE, GuardLoad, is_loaded, keep, lift, load};
use egret_netns::{NetworkNamespace, enter};
use egret_ports::steering::Steering as _;

/// A pod behind a node, and two hosts of the world behind it.
struct World {
    node: NetworkNamespace,
    pod: NetworkNamespace,
    out: NetworkNamespace,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let names = ["guard-node", "guard-pod", "guard-out"];
        let [node, pod, out] = names.map(NetworkNamespace::new);
        for (end, name, subnet, other) in
            [("pod0", pod.name(), "10.244.1", "5"), ("out0", out.name(), "198.51.100", "20")]
        {
            node.run(&format!("ip link add {end} type veth peer name eth0 netns {name}"));
            node.run(&format!("ip addr add {subnet}.1/24 dev {end}"));
            let v6 = if end == "pod0" { "fd00:1" } else { "fd00:2" };
            node.run(&format!("ip addr add {v6}::1/64 dev {end} nodad"));
            node.run(&format!("ip link set {end} up"));
            let net = if end == "pod0" { &pod } else { &out };
            net.run(&format!("ip addr add {subnet}.{other}/24 dev eth0"));
            net.run(&format!("ip addr add {v6}::{other}/64 dev eth0 nodad"));
            net.run("ip link set eth0 up");
            net.run(&format!("ip route add default via {subnet}.1"));
            net.run(&format!("ip -6 route add default via {v6}::1"));
        }
        out.run("ip addr add 198.51.100.21/24 dev eth0");
        for key in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
            node.run(&format!("sysctl -qw {key}=1"));
        }
        Self { node, pod, out, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Of pods 10.244.1.0/24 and fd00:1::/64 to everything but 198.51.100.21.
    fn keep(&self) {
        let range = |first: &str, last: &str| {
            AddressRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
        };
        let guard = BootGuard {
            pods: [range("10.244.1.0", "10.244.1.255"), range("fd00:1::", "fd00:1::ffff")].into(),
            claimed: [
                range("0.0.0.0", "255.255.255.255"),
                range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ]
            .into(),
            passed: [AddressRange::of("198.51.100.21".parse().unwrap())].into(),
        };
        keep(&self.file(), &guard).unwrap();
    }

    fn load(&self) -> GuardLoad {
        let _inside = enter(&self.node.path());
        load(&self.file()).unwrap()
    }

    fn is_loaded(&self) -> Option<bool> {
        let _inside = enter(&self.node.path());
        is_loaded(&self.file()).unwrap()
    }

    fn reaches(&self, address: &str) -> bool {
        self.pod.output(&format!("ping -c 1 -W 1 {address}")).status.success()
    }
}

#[test]
fn what_is_claimed_is_dropped_until_the_guard_is_lifted() {
    let world = World::new();
    for address in ["198.51.100.20", "fd00:2::20"] {
        // The first looks for neighbours may come before the links are up.
        assert!((0..5).any(|_| world.reaches(address)), "nothing holds {address} off");
    }
    assert_eq!(world.load(), GuardLoad::Nothing);
    world.keep();
    assert_eq!(world.load(), GuardLoad::Now);
    assert_eq!(world.load(), GuardLoad::AlreadyThere);
    assert!(!world.reaches("198.51.100.20") && !world.reaches("fd00:2::20"));
    assert!(world.reaches("198.51.100.21"), "it is never steered");
    assert!(world.reaches("10.244.1.1"), "the node itself");
    let answered = world.out.output("ping -c 1 -W 1 10.244.1.5").status.success();
    assert!(answered, "a pod answers what came from outside");
    let listing = world.node.run("nft list table inet egret");
    for part in ["10.244.1.0/24", "198.51.100.21", "hook output", "fd00:1::"] {
        assert!(listing.contains(part), "{part}: {listing}");
    }
    assert!(world.node.run("nft -j list table inet egret").contains("guard-output"));
    let _inside = enter(&world.node.path());
    lift().unwrap();
    lift().unwrap();
    assert!(world.reaches("198.51.100.20"));
}

#[test]
fn the_agents_first_transaction_replaces_it() {
    let world = World::new();
    assert_eq!(world.is_loaded(), None, "there is nothing to hold off");
    world.keep();
    assert_eq!(world.is_loaded(), Some(false));
    assert_eq!(world.load(), GuardLoad::Now);
    assert_eq!(world.is_loaded(), Some(true));
    let _inside = enter(&world.node.path());
    let mut steering = NftSteering::new(HostSettings::default(), 1400);
    assert!(steering.collisions().unwrap().is_empty(), "the guard is nobody else's");
    steering.apply(&SteeringConfig::default()).unwrap();
    assert!(world.reaches("198.51.100.20"));
    let listing = world.node.run("nft list table inet egret");
    assert!(!listing.contains("guard-output") && listing.contains("layout-"), "{listing}");
    assert_eq!(load(&world.file()).unwrap(), GuardLoad::AlreadyThere);
    assert_eq!(is_loaded(&world.file()).unwrap(), None, "an agent has been here");
    lift().unwrap();
    assert_eq!(world.node.run("nft list table inet egret"), listing, "an agent's table stays");
}
