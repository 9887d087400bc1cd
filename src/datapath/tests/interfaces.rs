//! A second interface of one subnet gets its own address, and the first one keeps its traffic. Needs
//! root, iproute2.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use egret_datapath::HostSettings;
use egret_datapath::host;
use egret_datapath::interface::{self, FoundInterface, LinkManager};
use egret_datapath::neighbour;
use egret_netns::{NetworkNamespace, veth};
use ipnet::Ipv4Net;

/// A bound, not an expectation.
const PATIENCE: Duration = Duration::from_secs(10);
const OWN: &str = "10.0.1.201/24";
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];

fn own() -> Ipv4Net {
    OWN.parse().unwrap()
}

/// A node with two interfaces in one subnet, of which the second is as it was plugged in; and the
/// router of that subnet, which both lead to.
fn node() -> (NetworkNamespace, NetworkNamespace) {
    let (ns, world) = (NetworkNamespace::new("node"), NetworkNamespace::new("world"));
    ns.sysctl("net/ipv4/conf/all/rp_filter", "1");
    ns.sysctl("net/ipv4/conf/default/rp_filter", "1");
    // Else link-local addresses, and the routes to them, come when the detection of duplicates is done.
    ns.sysctl("net/ipv6/conf/default/accept_dad", "0");
    veth(&ns, "eth0", &world, "peer0");
    veth(&ns, "eth1", &world, "peer1");
    ns.run("ip link set eth1 down");
    ns.run("ip link set eth1 address 02:00:00:00:00:03");
    ns.run("ip addr add 10.0.1.20/24 dev eth0");
    ns.run("ip route add default via 10.0.1.1");
    world.batch(
        "link add br0 type bridge
         link set br0 up
         link set peer0 master br0
         link set peer1 master br0
         addr add 10.0.1.1/24 dev br0",
    );
    (ns, world)
}

/// No network manager's.
fn nowhere() -> &'static Path {
    Path::new("/nowhere")
}

fn found() -> FoundInterface {
    let all = interface::find(|mac| mac == MAC, nowhere()).unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().unwrap()
}

/// Without what the kernel makes when it finds the time: the route for IPv6 multicast, and whether a link
/// that is up has a carrier.
fn state(ns: &NetworkNamespace) -> [String; 4] {
    for link in ["eth0", "eth1"] {
        let begun = Instant::now();
        let settled = |shown: &str| !shown.contains(",UP") || shown.contains("state UP");
        while !settled(&ns.run(&format!("ip -o link show {link}"))) {
            assert!(begun.elapsed() < PATIENCE, "{link} has no carrier");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let lines = ["ip -d -o link", "ip -o addr", "ip route show table all", "ip rule"];
    lines.map(|line| {
        let shown = ns.run(line);
        let kept = shown.lines().filter(|line| !line.starts_with("multicast ff00::/8"));
        kept.map(|line| format!("{line}\n")).collect()
    })
}

/// Asks until it answers so.
fn await_router(index: u32, router: &str, answers: bool) {
    let (router, begun): (IpAddr, _) = (router.parse().unwrap(), Instant::now());
    while neighbour::answers(index, router).unwrap() != answers {
        assert!(begun.elapsed() < PATIENCE, "{router} answers: {}", !answers);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_interface_gets_its_address_and_nothing_of_the_first_ones_traffic() {
    let (ns, _world) = node();
    let _inside = ns.enter();
    let before = state(&ns);
    let bare = found();
    assert_eq!((bare.up, bare.manager, bare.addresses.len()), (false, None, 0));
    interface::configure(&bare, own()).unwrap();
    let done = found();
    assert!(done.up && done.addresses.len() == 1 && done.addresses[0].ours, "{done:?}");
    assert!(ns.run("ip addr show eth1").contains("eth1:egret-up"), "people see whose it is");
    // The subnet, the router and the world: all by the first one, which alone has a route.
    for to in ["10.0.1.1", "10.0.1.77", "198.51.100.20"] {
        let way = ns.run(&format!("ip route get {to}"));
        assert!(way.contains("dev eth0") && way.contains("src 10.0.1.20"), "{way}");
    }
    assert!(!ns.run("ip route show table main").contains("eth1"));
    ns.run("ping -c 1 -W 2 10.0.1.1");
    // No IPv6: a router's advertisement must not make it a way out.
    assert!(!ns.run("ip addr show eth1").contains("inet6"));
    let uplinks = host::uplinks(&HostSettings::default()).unwrap();
    let names: Vec<&str> = uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
    assert_eq!(names, ["eth0", "eth1"]);
    // Once more changes nothing; what goes away comes back.
    let configured = state(&ns);
    interface::configure(&found(), own()).unwrap();
    assert_eq!(state(&ns), configured);
    ns.run("ip link set eth1 down");
    interface::configure(&found(), own()).unwrap();
    assert_eq!(state(&ns)[1..], configured[1..]);
    interface::restore(nowhere()).unwrap();
    assert_eq!(state(&ns), before, "as it was");
    interface::restore(nowhere()).unwrap();
}

#[test]
fn what_egret_did_not_do_is_not_undone() {
    let (ns, _world) = node();
    let _inside = ns.enter();
    ns.run("ip link set eth1 up");
    let before = state(&ns);
    let wrong = "10.0.1.202/24".parse().unwrap();
    interface::configure(&found(), wrong).unwrap();
    interface::configure(&found(), own()).unwrap();
    let addresses: Vec<String> =
        found().addresses.iter().map(|own| own.address.to_string()).collect();
    assert_eq!(addresses, [OWN], "the one that was wrong is gone");
    interface::restore(nowhere()).unwrap();
    assert_eq!(state(&ns)[1..], before[1..]);
    assert!(found().up, "it was up before");
    // Somebody has given it another address meanwhile, and needs it up.
    ns.run("ip link set eth1 down");
    interface::configure(&found(), own()).unwrap();
    ns.run("ip addr add 192.0.2.7/24 dev eth1");
    interface::restore(nowhere()).unwrap();
    let left = found();
    assert!(left.up && left.addresses.len() == 1 && !left.addresses[0].ours, "{left:?}");
}

#[test]
fn what_the_node_depends_on_by_now_stays() {
    let (ns, _world) = node();
    let _inside = ns.enter();
    interface::configure(&found(), own()).unwrap();
    ns.run("ip route add default via 10.0.1.1 dev eth1 onlink metric 50");
    let before = state(&ns);
    interface::restore(nowhere()).unwrap();
    assert_eq!(state(&ns), before, "the host's default route leaves there");
    ns.run("ip route del default dev eth1");
    let run = tempfile::tempdir().unwrap();
    let folder = run.path().join("systemd/netif/links");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(found().index.to_string());
    std::fs::write(&file, "ADMIN_STATE=configured\n").unwrap();
    interface::restore(run.path()).unwrap();
    assert!(found().up && found().addresses.len() == 1, "it has a manager");
    std::fs::write(&file, "ADMIN_STATE=unmanaged\n").unwrap();
    interface::restore(run.path()).unwrap();
    assert!(!found().up && found().addresses.is_empty());
}

#[test]
fn a_device_above_with_the_same_hardware_address_is_a_reason_to_leave_it_alone() {
    let (ns, _world) = node();
    let _inside = ns.enter();
    ns.run("ip link add br1 address 02:00:00:00:00:03 type bridge");
    ns.run("ip link set eth1 master br1");
    assert_eq!(found().manager, Some(LinkManager::Stacked));
}

#[test]
fn a_router_that_falls_silent_shows_and_so_does_one_that_is_back() {
    let (ns, world) = node();
    let _inside = ns.enter();
    interface::configure(&found(), own()).unwrap();
    // Else it takes a minute.
    for (key, value) in [
        ("base_reachable_time_ms", "500"),
        ("delay_first_probe_time", "1"),
        ("retrans_time_ms", "200"),
    ] {
        ns.sysctl(&format!("net/ipv4/neigh/eth1/{key}"), value);
    }
    let index = found().index;
    await_router(index, "10.0.1.1", true);
    assert!(!neighbour::answers(index, "10.0.1.99".parse().unwrap()).unwrap());
    world.sysctl("net/ipv4/conf/all/arp_ignore", "8");
    await_router(index, "10.0.1.1", false);
    world.sysctl("net/ipv4/conf/all/arp_ignore", "0");
    await_router(index, "10.0.1.1", true);
}
