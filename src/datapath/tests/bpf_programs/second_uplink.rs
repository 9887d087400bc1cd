//! A gateway with two links to the world, the second one's router in a table of its own: what an
//! instance with a second network interface has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use egret_core::model::{Family, PortRange};
use egret_datapath::HostSettings;
use egret_datapath::host::{self, NextHop};
use egret_netns::{NetworkNamespace, veth};
use egret_ports::gateway::{
    AddressEntry, AddressMap as _, AddressState, Director, GatewayMaps as _, UplinkLink,
};
use etherparse::{SlicedPacket, TransportSlice};

use super::net::{Net, Node, Underlay, egress, ip, socket};
use super::packets::{Mac, PATIENCE, Port, datagram, link_address, source_mac, udp};

/// A destination that is on none of the links, at the far side of both routers.
fn far(v4: bool) -> IpAddr {
    ip(if v4 { "203.0.113.9" } else { "2001:db8:9::9" })
}

/// What an egress address is on the second link's wire.
fn wire(v4: bool) -> IpAddr {
    ip(if v4 { "198.51.100.77" } else { "2001:db8:2::77" })
}

/// A second IPv4 egress address, which the first link carries as it is.
const OTHER: &str = "192.0.2.201";
/// A third one, on the second link too.
const THIRD: (&str, &str) = ("192.0.2.202", "198.51.100.78");

/// Gives `node` a link up1 to the world's eth1, with strict `rp_filter` on both.
fn second_link(net: &Net, node: &Node) {
    let host = &node.namespace;
    veth(host, "up1", &net.world, "eth1");
    host.batch(
        "addr add 198.51.100.20/24 dev up1
         addr add 2001:db8:2::20/64 dev up1 nodad
         route add default via 192.0.2.100 dev up0
         route add ::/0 via 2001:db8:1::100 dev up0
         route add default via 198.51.100.1 dev up1 table 10001
         route add ::/0 via 2001:db8:2::1 dev up1 table 10001
         rule add from 198.51.100.20 lookup 10001 priority 10001",
    );
    net.world.batch(
        "addr add 198.51.100.1/24 dev eth1
         addr add 2001:db8:2::1/64 dev eth1 nodad
         addr add 203.0.113.9/32 dev lo
         addr add 2001:db8:9::9/128 dev lo nodad",
    );
    for link in ["all", "up0", "up1"] {
        host.sysctl(&format!("net/ipv4/conf/{link}/rp_filter"), "1");
    }
}

/// The link up1 as the host's routes have it.
fn found(node: &Node, v4: bool) -> UplinkLink {
    let _inside = node.namespace.enter();
    let uplinks = host::uplinks(&HostSettings::default()).unwrap();
    let up1 = uplinks.iter().find(|uplink| uplink.name == "up1").unwrap();
    let family = if v4 { Family::IPv4 } else { Family::IPv6 };
    let router = up1.next_hops.get(&family);
    let Some(NextHop::Default(router)) = router else { panic!("{router:?}") };
    UplinkLink { index: up1.index, mac: up1.mac, next_hop: Some(*router), on_link_bits: 0 }
}

fn routes(namespace: &NetworkNamespace) -> String {
    let lines = ["ip rule", "ip -6 rule", "ip route show table all", "ip -6 route show table all"];
    let all = lines.map(|line| namespace.run(line)).concat();
    // Link-local addresses come when duplicate address detection is done with them, and the routes for
    // multicast when the kernel finds the time.
    let late =
        |line: &str| ["local fe80::", "multicast ff00::/8"].iter().any(|own| line.starts_with(own));
    let lasting = all.lines().filter(|line| !late(line));
    lasting.map(|line| format!("{line}\n")).collect()
}

/// The gateway with its programs on both links, and a director of all addresses' ports 1024–1151.
fn gateway_and_director(net: &Net) -> (Node, Node) {
    let mut gateway = net.node("gateway", 11);
    let mut director = net.node("director", 12);
    second_link(net, &gateway);
    let mut links = gateway.config.links.clone();
    links.uplinks.insert("up1".to_owned());
    let inside = gateway.namespace.enter();
    assert_eq!(gateway.loaded.ensure(&links).unwrap(), 2, "both directions of the second link");
    drop(inside);
    let held = gateway.entry(AddressState::Held, &gateway, Duration::from_secs(600));
    let second = |v4: bool, wire: IpAddr| AddressEntry {
        wire: Some(wire),
        uplink: Some(found(&gateway, v4)),
        valid_until: None,
        ..held.clone()
    };
    let entries = BTreeMap::from([
        (egress(true), second(true, wire(true))),
        (egress(false), second(false, wire(false))),
        (ip(THIRD.0), second(true, ip(THIRD.1))),
        (ip(OTHER), held.clone()),
    ]);
    let ports = PortRange::new(1024, 1151).unwrap();
    let owner = Director { endpoints: vec![director.endpoint] };
    let blocks = entries.keys().map(|address| ((*address, ports), owner.clone())).collect();
    gateway.tables.set_blocks(&blocks).unwrap();
    director.tables.set_blocks(&blocks).unwrap();
    for (address, entry) in &entries {
        gateway.addresses.put(*address, entry).unwrap();
        director.stands_by(*address, &gateway);
    }
    (gateway, director)
}

fn leaves(director: &Node, source: IpAddr, payload: &[u8]) {
    let nobody = ([0; 6], [0; 6]);
    let frame = udp(nobody, socket(source, 1100), socket(far(source.is_ipv4()), 9), payload);
    Port::of(&director.namespace, "egret0", source).send(&frame);
}

fn mac(namespace: &NetworkNamespace, link: &str) -> Mac {
    let _inside = namespace.enter();
    link_address(link).addr().unwrap()
}

/// The ports of an answer. A stack leaves the checksum to the veth, and so it is not looked at.
fn answer(frame: &[u8]) -> Option<(u16, u16)> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let TransportSlice::Udp(udp) = sliced.transport? else { return None };
    (udp.payload() == b"ask").then(|| (udp.source_port(), udp.destination_port()))
}

/// The MAC addresses and the source of what arrives with this payload.
fn arrived(port: &Port, payload: &[u8]) -> (Mac, Mac, IpAddr) {
    port.expect("the pod's packet at the router", |frame| {
        let read = datagram(frame).filter(|datagram| datagram.payload == payload)?;
        Some((frame[..6].try_into().unwrap(), source_mac(frame), read.from.ip()))
    })
}

#[test]
fn an_address_of_the_second_links_subnet_leaves_and_returns_by_that_link() {
    for underlay in [Underlay::V4, Underlay::V6] {
        let net = Net::new(underlay);
        let (mut gateway, mut director) = gateway_and_director(&net);
        let before = routes(&gateway.namespace);
        let (router, up1) = (mac(&net.world, "eth1"), mac(&gateway.namespace, "up1"));
        for v4 in [true, false] {
            // The far end's own stack answers, and its neighbour tables find the way back.
            let outside = net.world.enter();
            let server = UdpSocket::bind(socket(far(v4), 0)).unwrap();
            drop(outside);
            server.set_read_timeout(Some(PATIENCE)).unwrap();
            let to = server.local_addr().unwrap();
            let answering = thread::spawn(move || {
                let mut asked = [0; 16];
                let (length, from) = server.recv_from(&mut asked).unwrap();
                server.send_to(&asked[..length], from).unwrap();
                from
            });
            let second = Port::of(&net.world, "eth1", far(v4));
            let first = Port::of(&net.world, "eth0", far(v4));
            let inside = Port::of(&director.namespace, "egret0", egress(v4));
            let frame = udp(([0; 6], [0; 6]), socket(egress(v4), 1100), to, b"ask");
            inside.send(&frame);
            assert_eq!(arrived(&second, b"ask"), (router, up1, wire(v4)));
            assert_eq!(answering.join().unwrap(), socket(wire(v4), 1100));
            let back = inside.expect("the answer at the director", |frame| {
                answer(frame).filter(|(source, _)| *source == to.port())
            });
            assert_eq!(back, (to.port(), 1100));
            let astray = |frame: &[u8]| datagram(frame).is_some_and(|d| d.payload == b"ask");
            assert_eq!(first.arrived(astray), 0, "by the first link");
        }
        assert_eq!((gateway.count("to_world"), gateway.count("to_director")), (2, 2));
        assert_eq!(director.count("to_pod"), 2);
        assert_eq!(routes(&gateway.namespace), before, "routes of the host");
    }
}

#[test]
fn addresses_of_both_links_leave_each_by_its_own() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = gateway_and_director(&net);
    let first = Port::of(&net.world, "eth0", far(true));
    let second = Port::of(&net.world, "eth1", far(true));
    let six = Port::of(&net.world, "eth1", far(false));
    let (at_first, at_second) = (mac(&net.world, "eth0"), mac(&net.world, "eth1"));
    let (up0, up1) = (mac(&gateway.namespace, "up0"), mac(&gateway.namespace, "up1"));
    for round in [b"one", b"two"] {
        for source in [egress(true), ip(OTHER), ip(THIRD.0), egress(false)] {
            leaves(&director, source, round);
        }
        assert_eq!(arrived(&first, round), (at_first, up0, ip(OTHER)));
        let sources = [arrived(&second, round), arrived(&second, round)];
        let wires = [wire(true), ip(THIRD.1)].map(|wire| (at_second, up1, wire));
        assert_eq!(BTreeSet::from(sources), BTreeSet::from(wires));
        assert_eq!(arrived(&six, round), (at_second, up1, wire(false)));
    }
    assert_eq!(gateway.count("to_world"), 8);
}

/// A router's advertisement on another link, or wg-quick, adds a better default route. For IPv6 the kernel would follow
/// it, and ask on the uplink for the destination itself.
#[test]
fn another_links_ipv6_routes_take_nothing_away_from_the_uplink() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = gateway_and_director(&net);
    let (address, neighbour) = (egress(false), ip("2001:db8:1::77"));
    gateway.namespace.batch(
        "route add ::/0 via 2001:db8:2::1 dev up1 metric 10
         route add 2001:db8:9::/64 via 2001:db8:2::1 dev up1",
    );
    net.world.batch("addr add 2001:db8:1::77/64 dev eth0 nodad");
    let held = gateway.entry(AddressState::Held, &gateway, Duration::from_secs(600));
    let uplink = UplinkLink {
        next_hop: Some(ip("2001:db8:1::100")),
        on_link_bits: 64,
        ..held.uplink.unwrap()
    };
    let entry = AddressEntry { uplink: Some(uplink), valid_until: None, ..held };
    gateway.addresses.put(address, &entry).unwrap();
    let [first, second] = ["eth0", "eth1"].map(|link| Port::of(&net.world, link, far(false)));
    let send = |to: IpAddr, payload: &[u8]| {
        let frame = udp(([0; 6], [0; 6]), socket(address, 1100), socket(to, 9), payload);
        Port::of(&director.namespace, "egret0", address).send(&frame);
    };
    send(far(false), b"far");
    assert_eq!(arrived(&first, b"far").2, address);
    // The router need not send back what is for its own link: nobody but the neighbour is asked for.
    net.world.run("ip -6 addr del 2001:db8:1::100/64 dev eth0");
    gateway.namespace.run("ip -6 neigh flush dev up0");
    send(neighbour, b"near");
    assert_eq!(arrived(&first, b"near").2, address);
    let astray = |frame: &[u8]| datagram(frame).is_some_and(|d| d.from.ip() == address);
    assert_eq!(second.arrived(astray), 0, "by the second link");
}

#[test]
fn the_router_is_followed_to_another_mac_address() {
    let net = Net::new(Underlay::V4);
    let (gateway, director) = gateway_and_director(&net);
    let second = Port::of(&net.world, "eth1", far(true));
    leaves(&director, egress(true), b"before");
    assert_eq!(arrived(&second, b"before").0, mac(&net.world, "eth1"));
    // Another router takes the address over and says so.
    net.world.sysctl("net/ipv4/conf/eth1/arp_notify", "1");
    net.world.run("ip link set eth1 address 02:00:00:00:00:77");
    let end = Instant::now() + PATIENCE;
    while !gateway.namespace.run("ip neigh show dev up1").contains("02:00:00:00:00:77") {
        assert!(Instant::now() < end, "the announcement was not heard");
        thread::sleep(Duration::from_millis(2));
    }
    leaves(&director, egress(true), b"after");
    assert_eq!(arrived(&second, b"after").0, [2, 0, 0, 0, 0, 0x77]);
}
