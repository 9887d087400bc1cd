//! The announcer, and the uplink's egress program that has the last word.

use std::fs;
use std::time::{Duration, Instant};

use egret_core::model::AnnouncementForm::{ArpNdp, GarpRa};
use egret_datapath::announce::PacketAnnouncer;
use egret_ports::announcer::{Announcer as _, ForeignClaim};
use egret_ports::error::ErrorClass;
use egret_ports::gateway::{AddressMap as _, AddressState, UplinkLink};

use super::net::{Net, Node, Underlay, egress};
use super::packets::PATIENCE;

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The world's stack has an entry of another MAC; afterwards it has the announcer's or not.
fn world_believes(net: &Net, gateway: &Node, v4: bool) -> bool {
    let shown = net.world.run(&format!("ip neigh show {}", egress(v4)));
    shown.contains(&text(gateway.uplink.mac))
}

fn teach_world_another(net: &Net, v4: bool) {
    let address = egress(v4);
    net.world.run(&format!(
        "ip neigh replace {address} lladdr 02:00:00:00:00:99 dev eth0 nud reachable"
    ));
    net.world.sysctl("net/ipv4/conf/eth0/arp_accept", "1");
    net.world.sysctl("net/ipv4/neigh/eth0/locktime", "0");
}

#[test]
fn a_held_address_is_announced_and_no_other() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    let inside = gateway.namespace.enter();
    let mut announcer = PacketAnnouncer::new();
    for v4 in [true, false] {
        teach_world_another(&net, v4);
        let hour = Duration::from_secs(3600);
        let mut refused = vec![
            gateway.entry(AddressState::Held, &gateway, Duration::ZERO),
            gateway.entry(AddressState::Coming, &gateway, hour),
            gateway.entry(AddressState::Standby, &gateway, hour),
            gateway.entry(AddressState::Leaving, &gateway, hour),
        ];
        refused[0].valid_until = Some(super::net::now());
        for entry in refused {
            gateway.addresses.put(egress(v4), &entry).unwrap();
            let error = announcer.announce(egress(v4), ArpNdp, &gateway.uplink).unwrap_err();
            assert_eq!(error.class, ErrorClass::Conflict, "{error}: {:?}", entry.state);
            assert!(!world_believes(&net, &gateway, v4));
            // A probe claims nothing.
            announcer.probe(egress(v4), &gateway.uplink).unwrap();
        }
        gateway.holds(egress(v4));
        announcer.announce(egress(v4), ArpNdp, &gateway.uplink).unwrap();
        let end = Instant::now() + PATIENCE;
        while !world_believes(&net, &gateway, v4) {
            assert!(Instant::now() < end, "the announcement has not reached the world");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    drop(inside);
    assert_eq!(gateway.count("announcement_not_held"), 8);
}

/// How many router advertisements this namespace's stack has received.
fn router_advertisements() -> u64 {
    let counters = fs::read_to_string("/proc/thread-self/net/snmp6").unwrap();
    let line = counters.lines().find(|line| line.starts_with("Icmp6InRouterAdvertisements"));
    line.unwrap().split_whitespace().last().unwrap().parse().unwrap()
}

#[test]
fn an_announcement_in_googles_form_passes_the_same_gate() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    let range = super::net::ip("2001:db8:7::");
    let heard = || {
        let _outside = net.world.enter();
        router_advertisements()
    };
    teach_world_another(&net, true);
    let (_inside, mut announcer) = (gateway.namespace.enter(), PacketAnnouncer::new());
    for address in [egress(true), range] {
        let ended = gateway.entry(AddressState::Held, &gateway, Duration::ZERO);
        gateway.addresses.put(address, &ended).unwrap();
        let error = announcer.announce(address, GarpRa, &gateway.uplink).unwrap_err();
        assert_eq!(error.class, ErrorClass::Conflict, "{error}");
        assert_eq!(heard(), 0);
        assert_eq!(world_believes(&net, &gateway, true), address == range);
        gateway.holds(address);
        announcer.announce(address, GarpRa, &gateway.uplink).unwrap();
    }
    let end = Instant::now() + PATIENCE;
    while heard() != 1 || !world_believes(&net, &gateway, true) {
        assert!(Instant::now() < end, "the announcements have not reached the world");
        std::thread::sleep(Duration::from_millis(5));
    }
    let within = super::net::ip("2001:db8:7::1");
    gateway.holds(within);
    let error = announcer.announce(within, GarpRa, &gateway.uplink).unwrap_err();
    assert_eq!(error.class, ErrorClass::Invalid, "{error}");
    assert!(error.to_string().contains("first address of a /96"), "{error}");
    assert_eq!(gateway.count("announcement_not_held"), 2);
}

#[test]
fn foreign_hosts_that_claim_or_probe_are_reported() {
    let net = Net::new(Underlay::V4);
    let gateway = net.node("gateway", 11);
    let inside = gateway.namespace.enter();
    let mut announcer = PacketAnnouncer::new();
    for v4 in [true, false] {
        announcer.listen(egress(v4), &gateway.uplink).unwrap();
        announcer.listen(egress(v4), &gateway.uplink).unwrap();
        announcer.probe(egress(v4), &gateway.uplink).unwrap();
    }
    assert_eq!(announcer.conflicts().unwrap(), []);
    drop(inside);
    let foreign = UplinkLink {
        index: world_index(&net),
        mac: net.world_mac(),
        next_hop: None,
        on_link_bits: 0,
    };
    let mut stranger = PacketAnnouncer::new();
    for v4 in [true, false] {
        for probing in [true, false] {
            let outside = net.world.enter();
            match probing {
                true => stranger.probe(egress(v4), &foreign).unwrap(),
                false => stranger.announce(egress(v4), ArpNdp, &foreign).unwrap(),
            }
            drop(outside);
            let end = Instant::now() + PATIENCE;
            let seen = loop {
                let seen = announcer.conflicts().unwrap();
                if !seen.is_empty() {
                    break seen;
                }
                assert!(Instant::now() < end, "no conflict seen: v4 {v4}, probing {probing}");
                std::thread::sleep(Duration::from_millis(5));
            };
            let (address, mac) = (egress(v4), foreign.mac);
            assert_eq!(seen, [ForeignClaim { address, mac, probes: probing }]);
        }
        announcer.forget(egress(v4)).unwrap();
    }
}

fn world_index(net: &Net) -> u32 {
    let _inside = net.world.enter();
    nix::net::if_::if_nametoindex("eth0").unwrap()
}

#[test]
fn an_interface_that_is_made_anew_is_listened_on_again() {
    let net = Net::new(Underlay::V4);
    let _inside = net.world.enter();
    net.world.run("ip link add veth0 type veth peer veth1");
    net.world.run("ip link set veth0 up");
    let link = || UplinkLink {
        index: nix::net::if_::if_nametoindex("veth0").unwrap(),
        mac: super::packets::link_address("veth0").addr().unwrap(),
        next_hop: None,
        on_link_bits: 0,
    };
    let mut announcer = PacketAnnouncer::new();
    let old = link();
    announcer.listen(egress(false), &old).unwrap();
    net.world.run("ip link del veth0");
    assert!(announcer.announce(egress(false), ArpNdp, &old).is_err());
    assert_eq!(announcer.listen(egress(false), &old).unwrap_err().class, ErrorClass::NotFound);
    net.world.run("ip link add veth0 type veth peer veth1");
    net.world.run("ip link set veth0 up");
    announcer.listen(egress(false), &link()).unwrap();
    announcer.announce(egress(false), ArpNdp, &link()).unwrap();
    assert!(member("veth0"));
}

/// Whether the interface is in the solicited-node group of the IPv6 egress address.
fn member(link: &str) -> bool {
    let groups = fs::read_to_string("/proc/thread-self/net/igmp6").unwrap();
    groups.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(link) && words.next() == Some("ff0200000000000000000001ff000200")
    })
}

#[test]
fn the_uplink_is_in_the_solicited_node_group_while_listened_for() {
    let net = Net::new(Underlay::V4);
    let gateway = net.node("gateway", 11);
    let _inside = gateway.namespace.enter();
    let mut announcer = PacketAnnouncer::new();
    assert!(!member("up0"));
    announcer.listen(egress(false), &gateway.uplink).unwrap();
    assert!(member("up0"));
    // A second address of the same group: it stays until both are forgotten.
    let twin = super::net::ip("2001:db8:2::200");
    announcer.listen(twin, &gateway.uplink).unwrap();
    announcer.forget(egress(false)).unwrap();
    assert!(member("up0"));
    announcer.forget(twin).unwrap();
    assert!(!member("up0"));
    announcer.listen(egress(false), &gateway.uplink).unwrap();
    drop(announcer);
    // Another test's child process may hold the socket until it has begun its program.
    let end = Instant::now() + PATIENCE;
    while member("up0") {
        assert!(Instant::now() < end, "still a member");
        std::thread::sleep(Duration::from_millis(5));
    }
}
