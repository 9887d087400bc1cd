//! Ways out of links other than the first, and the notices of them. Needs root, iproute2.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::model::Family;
use egret_datapath::HostSettings;
use egret_datapath::host::{self, HostUplink, LinkCarrier, NextHop};
use egret_datapath::nft::NftSteering;
use egret_datapath::repair::{self, ChangedPart, KernelChange};
use egret_netns::{NetworkNamespace, veth};
use tokio::sync::mpsc::Receiver;

/// A bound, not an expectation.
const PATIENCE: Duration = Duration::from_secs(5);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A node whose first link has the default route; the others lead to `world` too.
fn node(links: &[&str]) -> (NetworkNamespace, NetworkNamespace) {
    let (ns, world) = (NetworkNamespace::new("node"), NetworkNamespace::new("world"));
    ns.sysctl("net/ipv6/conf/default/accept_dad", "0");
    for (number, link) in (1..).zip(["eth0"].iter().chain(links)) {
        veth(&ns, link, &world, &format!("peer{number}"));
    }
    ns.run("ip addr add 192.0.2.11/24 dev eth0");
    ns.run("ip route add default via 192.0.2.1");
    (ns, world)
}

fn found(ns: &NetworkNamespace) -> Vec<HostUplink> {
    let _inside = ns.enter();
    host::uplinks(&HostSettings::default()).unwrap()
}

fn hop(uplinks: &[HostUplink], name: &str, family: Family) -> Option<NextHop> {
    let uplink = uplinks.iter().find(|uplink| uplink.name == name);
    let uplink = uplink.unwrap_or_else(|| panic!("{name} is no uplink: {uplinks:?}"));
    uplink.next_hops.get(&family).copied()
}

/// As the VPC CNI sets it up for a pod with a security group of its own.
#[test]
fn pods_that_strict_mode_takes_past_our_rule_are_found_by_their_addresses() {
    let ns = NetworkNamespace::new("strict");
    let pod = NetworkNamespace::new("pod");
    let settings = HostSettings::default();
    let _inside = ns.enter();
    let found = || host::rerouted_pods(&settings).unwrap();
    assert_eq!(found(), host::ReroutedPods::default());
    let set_up = |device: &str, branch: &str, address: &str, end: &str| {
        veth(&ns, device, &pod, end);
        veth(&ns, branch, &pod, &format!("trunk-{end}"));
        ns.run(&format!("ip route add default dev {branch} table 101"));
        ns.run(&format!("ip route add {address}/32 dev {device} scope link table 101"));
        ns.run(&format!("ip rule add iif {branch} lookup 101 priority 10"));
    };
    // In standard mode only what comes from outside has such a rule.
    set_up("eni5f3c1d2e4a6", "vlan.eth.1", "10.0.1.77", "end0");
    assert_eq!(found(), host::ReroutedPods::default());
    ns.run("ip route flush table 101");
    ns.run("ip link del vlan.eth.1");
    ns.run("ip rule del iif vlan.eth.1 lookup 101 priority 10");
    set_up("vlan5f3c1d2e4a6", "vlan.eth.1", "10.0.1.78", "end1");
    ns.run("ip rule add iif vlan5f3c1d2e4a6 lookup 101 priority 10");
    let strict = found();
    assert_eq!(strict.devices, ["vlan5f3c1d2e4a6".to_owned()].into());
    assert_eq!(strict.addresses, ["10.0.1.78/32".parse().unwrap()].into());
}

/// Names of devices are what tells.
#[test]
fn cilium_behind_another_plugin_is_told_by_the_devices() {
    let ns = NetworkNamespace::new("cilium");
    let _inside = ns.enter();
    let chained = || host::cilium_is_chained().unwrap();
    assert!(!chained());
    ns.run("ip link add cilium_host type veth peer name cilium_net");
    assert!(chained(), "no pod has a device of Cilium's");
    ns.run("ip link add lxc0a1b2c3d4e5f type veth peer name pod1");
    assert!(!chained());
    ns.run("ip link add gke52d3a1c0f4b type veth peer name pod2");
    assert!(chained());
}

#[test]
fn a_carrier_is_told_whether_its_link_has_an_address_or_not() {
    let (ns, world) = node(&[]);
    let index = found(&ns)[0].index;
    let told = || {
        let _inside = ns.enter();
        host::carriers(&[index, 4_000_000].into()).unwrap().into_iter().collect::<Vec<_>>()
    };
    assert!(found(&ns)[0].carrier);
    assert_eq!(told(), [(index, LinkCarrier::There)]);
    world.run("ip link set peer1 down");
    assert!(!found(&ns)[0].carrier);
    ns.run("ip addr flush dev eth0");
    assert_eq!(told(), [(index, LinkCarrier::Missing)]);
    ns.run("ip link set eth0 down");
    assert_eq!(told(), [(index, LinkCarrier::Down)]);
    ns.run("ip link del eth0");
    assert_eq!(told(), []);
}

#[test]
fn default_routes_of_any_table_name_the_router() {
    let (ns, _world) = node(&["eth1", "eth2", "eth3", "eth4"]);
    // As amazon-ec2-net-utils leaves them: a table per link, chosen by source.
    ns.batch(
        "addr add 10.0.1.20/24 dev eth1
         addr add 2001:db8:1::20/64 dev eth1
         route add default via 10.0.1.1 dev eth1 table 10001 metric 512
         route add ::/0 via fe80::1 dev eth1 table 10001
         rule add from 10.0.1.20 lookup 10001 priority 10001
         addr add 10.0.2.20/24 dev eth2
         route add default table 7 nexthop via 10.0.1.3 dev eth1 nexthop via 10.0.2.3 dev eth2
         addr add 10.0.3.20/24 dev eth3
         addr add 10.0.4.20/24 dev eth4
         route add default dev eth4 table 9",
    );
    ns.run("ip -4 route add default via inet6 fe80::3 dev eth3 table 8");
    let uplinks = found(&ns);
    let four = Family::IPv4;
    assert_eq!(hop(&uplinks, "eth0", four), None);
    // Of two tables the lower one.
    assert_eq!(hop(&uplinks, "eth1", four), Some(NextHop::Default(ip("10.0.1.3"))));
    assert_eq!(hop(&uplinks, "eth1", Family::IPv6), Some(NextHop::Default(ip("fe80::1"))));
    assert_eq!(hop(&uplinks, "eth2", four), Some(NextHop::Default(ip("10.0.2.3"))));
    assert_eq!(hop(&uplinks, "eth3", four), Some(NextHop::Default(ip("fe80::3"))));
    // Everything is a neighbour there.
    assert_eq!(hop(&uplinks, "eth4", four), None);
    let to_the_world = uplinks.iter().filter(|uplink| uplink.leads_to_the_world());
    let names: Vec<&str> = to_the_world.map(|uplink| uplink.name.as_str()).collect();
    assert_eq!(names, ["eth0", "eth1", "eth2", "eth3"]);
    // A second default route in the main table leaves the link to that table.
    ns.run("ip route add default via 10.0.1.1 dev eth1 metric 200");
    let uplinks = found(&ns);
    let second = uplinks.iter().find(|uplink| uplink.name == "eth1").unwrap();
    assert_eq!(second.defaults, [(four, Some(ip("10.0.1.1")))]);
    assert_eq!(hop(&uplinks, "eth1", four), None);
    assert_eq!(hop(&uplinks, "eth1", Family::IPv6), Some(NextHop::Default(ip("fe80::1"))));
}

#[test]
fn routes_to_parts_of_the_world_name_it_where_they_agree() {
    let (ns, _world) = node(&["eth1", "eth2", "eth3"]);
    ns.batch(
        "addr add 10.0.1.20/24 dev eth1
         route add 10.0.0.0/8 via 10.0.1.1
         route add 172.16.0.0/12 via 10.0.1.1 table 7
         addr add 10.0.2.20/24 dev eth2
         route add 198.51.100.0/24 via 10.0.2.1
         route add 203.0.113.0/24 via 10.0.2.2
         addr add 10.0.3.20/24 dev eth3
         route add blackhole default table 7
         route add 192.168.0.0/16 via 10.0.2.1 dev eth2 table 7",
    );
    let uplinks = found(&ns);
    assert_eq!(hop(&uplinks, "eth1", Family::IPv4), Some(NextHop::Partial(ip("10.0.1.1"))));
    assert_eq!(hop(&uplinks, "eth2", Family::IPv4), None);
    assert_eq!(hop(&uplinks, "eth3", Family::IPv4), None);
    let names: Vec<bool> = uplinks.iter().map(HostUplink::leads_to_the_world).collect();
    assert_eq!(names, [true, false, false, false]);
}

#[test]
fn links_of_one_family_of_single_addresses_and_down_are_what_they_are() {
    let (ns, _world) = node(&["six", "four", "single", "idle", "bare"]);
    ns.batch(
        "addr add 2001:db8:6::20/64 dev six
         route add ::/0 via 2001:db8:6::1 dev six table 6
         addr add 10.0.4.20/24 dev four
         route add default via 10.0.4.1 dev four table 4
         addr add 10.0.5.20/32 dev single
         route add 10.0.5.1 dev single
         route add default via 10.0.5.1 dev single table 5
         addr add 10.0.7.20/24 dev idle
         route add default via 10.0.7.1 dev idle table 7
         link set idle down",
    );
    let uplinks = found(&ns);
    let names: Vec<&str> = uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
    assert_eq!(names, ["eth0", "six", "four"]);
    let only = |name: &str| uplinks.iter().find(|uplink| uplink.name == name).unwrap();
    let six = [(Family::IPv6, NextHop::Default(ip("2001:db8:6::1")))];
    assert_eq!(only("six").next_hops, six.into());
    assert_eq!(only("four").next_hops, [(Family::IPv4, NextHop::Default(ip("10.0.4.1")))].into());
    // A single address with the main table's default route is what some clouds give.
    ns.run("ip route add default via 10.0.5.1 dev single metric 200");
    assert!(found(&ns).iter().any(|uplink| uplink.name == "single" && uplink.is_primary()));
}

#[test]
fn addresses_that_do_not_last_are_told_apart() {
    let (ns, _world) = node(&["eth1"]);
    ns.sysctl("net/ipv6/conf/eth1/accept_dad", "1");
    // It goes on asking for as long as the test may last.
    ns.sysctl("net/ipv6/conf/eth1/dad_transmits", "600");
    ns.batch(
        "addr add 10.0.1.20/24 dev eth1
         addr add 10.0.1.21/24 dev eth1
         addr add 2001:db8:1::66/64 dev eth1 nodad preferred_lft 0
         addr add 2001:db8:1::20/64 dev eth1 nodad
         addr add 2001:db8:1::99/64 dev eth1",
    );
    let uplinks = found(&ns);
    let uplink = uplinks.iter().find(|uplink| uplink.name == "eth1").unwrap();
    assert_eq!(uplink.addresses.len(), 5);
    // One is deprecated, one still asks whether another host has it.
    assert_eq!(uplink.lasting, [ip("10.0.1.20"), ip("10.0.1.21"), ip("2001:db8:1::20")]);
}

fn drain(changes: &mut Receiver<KernelChange>) -> Vec<ChangedPart> {
    std::iter::from_fn(|| changes.try_recv().ok()).map(|change| change.what).collect()
}

/// What is noticed until a mark that comes behind everything: our rule's removal.
fn noticed(ns: &NetworkNamespace, changes: &mut Receiver<KernelChange>, line: &str) -> usize {
    drain(changes);
    ns.run(line);
    ns.run("ip rule add fwmark 0x1000/0x1000 table 5480 priority 490 protocol kernel");
    ns.run("ip rule del priority 490");
    let end = Instant::now() + PATIENCE;
    let mut uplinks = 0;
    while Instant::now() < end {
        match changes.try_recv().map(|change| change.what) {
            Ok(ChangedPart::Uplinks) => uplinks += 1,
            Ok(ChangedPart::RuleRemoved(_)) => return uplinks,
            Ok(_) => {}
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    panic!("the mark was not noticed");
}

#[test]
fn what_changes_a_way_out_is_noticed_and_what_does_not_is_not() {
    let (ns, world) = node(&["eth1"]);
    ns.run("ip addr add 10.0.1.20/24 dev eth1");
    let inside = ns.enter();
    let settings = HostSettings::default();
    let mut changes = repair::watch(&settings, &NftSteering::new(settings.clone(), 1450)).unwrap();
    drop(inside);
    let mut count = |line: &str| noticed(&ns, &mut changes, line);
    for line in [
        "ip route add default via 10.0.1.1 dev eth1 table 10001",
        "ip route del default table 10001",
        "ip route add 10.0.0.0/8 via 10.0.1.1",
        "ip link set eth1 down",
        "ip link set eth1 up",
        "ip link set eth1 mtu 1400",
        "ip link set eth1 address 02:00:00:00:00:99",
        "ip addr add 10.0.2.20/24 dev eth1",
        "ip -6 addr add 2001:db8:1::20/64 dev eth1",
        "ip -6 route add default via fe80::1 dev eth1 table 10001",
    ] {
        assert!(count(line) > 0, "{line}");
    }
    // What a speaker of BGP writes: the way out of the first link is the default route's.
    veth(&ns, "pod1", &world, "pod1peer");
    for line in [
        "ip route add 198.51.100.0/24 via 192.0.2.9",
        "ip route add 203.0.113.0/24 dev eth1",
        "ip link set pod1 down",
        "ip -6 addr add fe80::77/64 dev pod1",
        "ip route add 198.51.101.0/24 dev eth1 table 7",
    ] {
        assert_eq!(count(line), 0, "{line}");
    }
    // Where there is no default route any more, others count.
    assert!(count("ip route del default") > 0);
    assert!(count("ip route add 198.51.102.0/24 via 192.0.2.9") > 0);
}

#[test]
fn many_routes_of_others_are_passed_over() {
    let (ns, _world) = node(&["eth1"]);
    ns.run("ip addr add 10.0.1.20/24 dev eth1");
    ns.run("ip route add default via 10.0.1.1 dev eth1 table 10001");
    let few = found(&ns);
    const ROUTES: u32 = 100_000;
    let lines: String = (0..ROUTES)
        .map(|n| {
            let [_, a, b, c] = (n << 4).to_be_bytes();
            format!("route add 60.{a}.{b}.{c}/28 via 192.0.2.9\n")
        })
        .collect();
    ns.batch(&lines);
    let began = Instant::now();
    assert_eq!(found(&ns), few);
    println!("uplinks beside {ROUTES} routes: {:?}", began.elapsed());
    assert!(began.elapsed() < PATIENCE);
}

/// Whichever of them carry addresses.
#[test]
fn every_link_by_which_packets_could_leave_the_cluster_is_found() {
    let (ns, world) = node(&["partner", "storage", "mute"]);
    ns.run("ip addr add 10.9.0.11/24 dev partner");
    ns.run("ip route add 198.51.100.0/24 via 10.9.0.1 table 77");
    ns.run("ip addr add 10.8.0.11/32 dev storage");
    ns.run("ip route add 10.8.0.0/24 dev storage");
    // As plugins make them: a bridge, a pod's device with an address and one without, another node's pods by a gateway.
    ns.run("ip link add cni0 type bridge");
    ns.run("ip addr add 172.17.0.1/16 dev cni0");
    ns.run("ip link set cni0 up");
    for (pod, end) in [("pod0", "end0"), ("pod1", "end1")] {
        veth(&ns, pod, &world, end);
    }
    ns.run("ip addr add 10.244.1.1/32 dev pod0");
    ns.run("ip route add 10.7.1.2/32 dev pod0");
    ns.run("ip route add 203.0.113.0/24 dev pod1");
    ns.run("ip link add tunnel0 type bridge");
    ns.run("ip link set tunnel0 up");
    ns.run("ip addr add 10.244.1.0/32 dev tunnel0");
    ns.run("ip route add 10.244.2.0/24 via 10.244.2.0 dev tunnel0 onlink");
    ns.run("ip tuntap add dev vpn0 mode tun");
    ns.run("ip link set vpn0 up");
    ns.run("ip route add 198.51.101.0/24 dev vpn0");
    let _inside = ns.enter();
    let inside = ["10.244.0.0/16".parse().unwrap()].into();
    let found = host::routed_links(&HostSettings::default(), &inside).unwrap();
    assert_eq!(found.guarded, ["eth0", "partner", "storage"].map(str::to_owned).into());
    assert_eq!(found.others, ["vpn0".to_owned()].into());
}
