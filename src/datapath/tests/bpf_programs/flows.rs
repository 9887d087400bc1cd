//! Flows that no packet opens (UDP, echo, SCTP) past netfilter: what begins is dropped, what goes on passes.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use aya::maps::{Array, Map, MapData};
use egret_core::node_config::SteeringConfig;
use egret_datapath::HostSettings;
use egret_datapath::bpf::{LAYOUT, load};
use egret_datapath::nft::NftSteering;
use egret_netns::{NetworkNamespace, veth};
use egret_ports::steering::Steering as _;
use etherparse::PacketBuilder;

use super::bypass::{Fixture, NOBODY, NODE, other_pod, pod, selects};
use super::net::{ip, node_address, now, socket, world};
use super::packets::{PATIENCE, Port, set_fragment, udp};

const SCTP: u8 = 132;
const GRE: u8 = 47;

fn acts_from(listening: &Fixture) -> Array<MapData, u64> {
    let path = listening.node.config.pin_dir.join(format!("v{LAYOUT}/acts_from"));
    MapData::from_pin(path).and_then(Map::from_map_data).unwrap().try_into().unwrap()
}

/// As two minutes after the agent's first rules.
fn has_listened(selecting: &SteeringConfig) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.guard.tighten(selecting).unwrap();
    acts_from(&fixture).set(0, 1, 0).unwrap();
    fixture
}

fn both() -> SteeringConfig {
    selects(&[pod(true), pod(false)])
}

fn ask(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    udp(NOBODY, from, to, b"ask")
}

/// A packet of a protocol that is neither TCP nor UDP.
fn packet(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(NOBODY.0, NOBODY.1);
    let builder = match (from, to) {
        (IpAddr::V4(a), IpAddr::V4(b)) => builder.ipv4(a.octets(), b.octets(), 64),
        (IpAddr::V6(a), IpAddr::V6(b)) => builder.ipv6(a.octets(), b.octets(), 64),
        _ => panic!("two families"),
    };
    let mut frame = Vec::new();
    builder.write(&mut frame, protocol.into(), payload).unwrap();
    frame
}

/// An echo request, or the answer to one.
fn echo(from: IpAddr, to: IpAddr, asks: bool, id: u8) -> Vec<u8> {
    let (protocol, kind) = match (from.is_ipv4(), asks) {
        (true, true) => (1, 8),
        (true, false) => (1, 0),
        (false, true) => (58, 128),
        (false, false) => (58, 129),
    };
    packet(from, to, protocol, &[kind, 0, 0, 0, 200, id, 0, 1])
}

/// Rules of an earlier version say nothing of what passes them, and what is new was not heard.
#[test]
fn the_programs_listen_again_after_an_upgrade_and_on_a_new_uplink() {
    let mut fixture = has_listened(&both());
    let new = ask(socket(pod(true), 4000), socket(world(true), 9));
    assert!(!fixture.leaves(&new));
    let inside = fixture.node.namespace.enter();
    fixture.node.namespace.run("ip link add up1 type veth peer name other1");
    let mut links = fixture.node.config.links.clone();
    links.uplinks.insert("up1".to_owned());
    fixture.node.loaded.ensure(&links).unwrap();
    drop(inside);
    assert!(fixture.leaves(&new), "the new link's traffic was not heard yet");
    acts_from(&fixture).set(0, 1, 0).unwrap();
    for (guards, leaves) in [(2, false), (1, true)] {
        let inside = fixture.node.namespace.enter();
        let path = fixture.node.config.pin_dir.join(format!("v{LAYOUT}/config"));
        let map = MapData::from_pin(path).and_then(Map::from_map_data).unwrap();
        let mut map: Array<_, [u8; 56]> = map.try_into().unwrap();
        let mut config = map.get(&0, 0).unwrap();
        config[52..].copy_from_slice(&u32::to_ne_bytes(guards));
        map.set(0, config, 0).unwrap();
        fixture.node.loaded = load(fixture.node.config.clone()).unwrap();
        fixture.guard = fixture.node.loaded.uplink_guard().unwrap();
        drop(inside);
        assert_eq!(fixture.leaves(&new), leaves);
    }
    fixture.guard.tighten(&both()).unwrap();
    assert!(acts_from(&fixture).get(&0, 0).unwrap() > now().0, "from the first rules on");
}

impl Fixture {
    /// The world sends this to the node, and the program at the uplink sees it.
    fn hears(&mut self, frame: &[u8]) {
        let ether_type = i32::from(u16::from_be_bytes([frame[12], frame[13]]));
        let seen = Port::open(&self.node.namespace, "up0", ether_type);
        let mut frame = frame.to_vec();
        frame[..6].copy_from_slice(&self.node.uplink.mac);
        frame[6..12].copy_from_slice(&self.net.world_mac());
        Port::open(&self.net.world, "eth0", ether_type).send(&frame);
        seen.expect("what the world sends", |seen| seen.starts_with(&frame).then_some(()));
    }
}

#[test]
fn what_begins_past_netfilter_is_dropped_once_the_programs_have_listened() {
    let mut fixture = Fixture::new();
    for v4 in [true, false] {
        let (from, to) = (pod(v4), world(v4));
        let all = [
            ask(socket(from, 4000), socket(to, 9)),
            echo(from, to, true, 1),
            packet(from, to, SCTP, &[0, 99, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]),
            packet(from, to, GRE, &[0; 8]),
        ];
        for frame in &all {
            assert!(fixture.leaves(frame), "nothing is selected yet");
        }
        fixture.guard.tighten(&both()).unwrap();
        let mut from_when = acts_from(&fixture);
        let (from_now, begun) = (from_when.get(&0, 0).unwrap(), now().0);
        assert!((110..=120).contains(&((from_now - begun) / 1_000_000_000)), "two minutes");
        for frame in &all {
            assert!(fixture.leaves(frame), "it may go on: whose answers come is not known yet");
        }
        from_when.set(0, 1, 0).unwrap();
        for frame in &all {
            assert!(!fixture.leaves(frame), "{frame:?}");
        }
        assert!(fixture.leaves(&echo(from, to, false, 1)), "an answer begins nothing");
        let error = [[3, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]][usize::from(!v4)];
        assert!(fixture.leaves(&packet(from, to, if v4 { 1 } else { 58 }, &error)), "an error");
        let neighbour = socket(other_pod(v4), 4000);
        assert!(fixture.leaves(&ask(neighbour, socket(to, 9))), "another pod");
        let elsewhere = socket(ip(if v4 { "198.51.100.7" } else { "2001:db8:2::7" }), 9);
        assert!(fixture.leaves(&ask(socket(from, 4000), elsewhere)), "another destination");
        // As `whenUnavailable: Node` does.
        fixture.guard.loosen(&selects(&[])).unwrap();
        assert!(fixture.leaves(&all[0]));
        from_when.set(0, 0, 0).unwrap();
    }
}

#[test]
fn answers_to_the_outside_and_flows_whose_other_end_speaks_go_on() {
    let mut fixture = has_listened(&both());
    for v4 in [true, false] {
        let (pod, host, outside) = (pod(v4), node_address(NODE, v4), world(v4));
        let answer = ask(socket(pod, 53), socket(outside, 40_000));
        assert!(!fixture.leaves(&answer));
        fixture.hears(&ask(socket(outside, 40_000), socket(pod, 53)));
        assert!(fixture.leaves(&answer), "it asked the pod itself");
        // A CNI's own NAT: the service has another address and port than its pod.
        fixture.hears(&ask(socket(outside, 40_001), socket(host, 30_053)));
        assert!(fixture.leaves(&ask(socket(pod, 53), socket(outside, 40_001))));
        // And for what pods ask, translated to the node's address.
        let open = ask(socket(pod, 50_000), socket(outside, 443));
        assert!(!fixture.leaves(&open));
        fixture.hears(&ask(socket(outside, 443), socket(host, 50_000)));
        assert!(fixture.leaves(&open), "it was open before the claim");
        let new = ask(socket(pod, 50_001), socket(outside, 443));
        assert!(!fixture.leaves(&new), "what was asked from another port is another flow");
        // What ends in the kernel is answered by no pod, and pushes nobody out of the map.
        let other_end = ask(socket(pod, 50_002), socket(outside, 40_002));
        for port in [4789, 8472, 6081, 51_820, 51_871, 4500, 5480] {
            fixture.hears(&ask(socket(outside, 40_002), socket(host, port)));
            assert!(!fixture.leaves(&other_end), "{port}");
        }
        let ping = echo(pod, outside, true, 7);
        assert!(!fixture.leaves(&ping));
        fixture.hears(&echo(outside, pod, false, 7));
        assert!(fixture.leaves(&ping) && !fixture.leaves(&echo(pod, outside, true, 8)));
        fixture.hears(&packet(outside, pod, GRE, &[0; 8]));
        assert!(fixture.leaves(&packet(pod, outside, GRE, &[0; 8])), "the tunnel's other end");
    }
}

#[test]
fn the_rest_of_a_dropped_datagram_is_dropped_and_no_other() {
    let mut fixture = has_listened(&both());
    let (from, to) = (socket(pod(true), 4000), socket(world(true), 9));
    let [mut first, mut rest, mut late] = [(); 3].map(|()| ask(from, to));
    set_fragment(&mut first, 0x2000);
    set_fragment(&mut rest, 3);
    late[18..20].copy_from_slice(&[7, 7]);
    set_fragment(&mut late, 3);
    assert!(fixture.leaves(&rest), "its first was not seen");
    assert!(!fixture.leaves(&first) && !fixture.leaves(&rest));
    assert!(fixture.leaves(&late), "of another datagram");
    fixture.hears(&ask(to, from));
    assert!(fixture.leaves(&first));
}

/// A pod behind the node, whose address the world knows the way to.
fn routed_pod(fixture: &Fixture) -> NetworkNamespace {
    let (inside, host) = (NetworkNamespace::new("pod"), &fixture.node.namespace);
    for namespace in [&inside, host] {
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0");
    }
    veth(&inside, "eth0", host, "pod0");
    for v4 in [true, false] {
        let (length, gateway) = if v4 { (24, "10.244.1.1") } else { (64, "2001:db8:244::1") };
        let net = if v4 { "10.244.1.0/24" } else { "2001:db8:244::/64" };
        let nodad = if v4 { "" } else { "nodad" };
        inside.run(&format!("ip addr add {}/{length} dev eth0 {nodad}", pod(v4)));
        host.run(&format!("ip addr add {gateway}/{length} dev pod0 {nodad}"));
        inside.run(&format!("ip -{} route add default via {gateway}", if v4 { 4 } else { 6 }));
        let node = node_address(NODE, v4);
        fixture.net.world.run(&format!("ip route add {net} via {node}"));
    }
    // As kube-proxy has conntrack work before any claim.
    host.nft("table inet proxy { chain track { type filter hook forward priority 0; ct state new counter; }; }");
    host.sysctl("net/ipv4/ip_forward", "1");
    host.sysctl("net/ipv6/conf/all/forwarding", "1");
    inside
}

/// Sends so many bytes, and waits until the world has them: of a long datagram its first fragment.
fn arrives(outside: &Port, socket: &UdpSocket, to: SocketAddr, length: usize) {
    let from = socket.local_addr().unwrap();
    socket.send_to(&vec![7; length], to).unwrap();
    // Not yet summed up: the cables are none.
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    outside.expect("what the pod sends", |frame| {
        let at = if from.is_ipv4() { 34 } else { 54 };
        let is_first = if from.is_ipv4() { frame[20] & 0x20 != 0 } else { frame[20] == 44 };
        let begins = if is_first && !from.is_ipv4() { at + 8 } else { at };
        (is_first == (length > 1500) && frame.get(begins..begins + 4)? == ports).then_some(())
    });
}

/// With the rules that the agent writes.
#[test]
fn what_passes_netfilter_goes_on_also_where_it_does_not_any_more() {
    for v4 in [true, false] {
        let mut fixture = Fixture::new();
        let inside = routed_pod(&fixture);
        let outside = Port::of(&fixture.net.world, "eth0", world(v4));
        let bound = |namespace: &NetworkNamespace, address, port| {
            let _inside = namespace.enter();
            UdpSocket::bind(socket(address, port)).unwrap()
        };
        let (open, to) = (bound(&inside, pod(v4), 5000), socket(world(v4), 9));
        arrives(&outside, &open, to, 10);
        let in_node = fixture.node.namespace.enter();
        NftSteering::new(HostSettings::default(), 1430).apply(&both()).unwrap();
        drop(in_node);
        fixture.guard.tighten(&both()).unwrap();
        acts_from(&fixture).set(0, 1, 0).unwrap();
        arrives(&outside, &open, to, 10);
        arrives(&outside, &open, to, 3000);
        // The outside begins, and is answered.
        let served = bound(&inside, pod(v4), 53);
        served.set_read_timeout(Some(PATIENCE)).unwrap();
        let client = bound(&fixture.net.world, world(v4), 40_000);
        client.send_to(b"ask", socket(pod(v4), 53)).unwrap();
        let (_, asker) = served.recv_from(&mut [0; 9]).unwrap();
        arrives(&outside, &served, asker, 10);
        assert_eq!(fixture.node.count("bypassed"), 0);
        // The CNI begins to carry pods past netfilter.
        assert!(fixture.leaves(&ask(socket(pod(v4), 5000), to)), "it was open");
        assert!(!fixture.leaves(&ask(socket(pod(v4), 5001), to)), "it begins");
    }
}
