//! What leaves an uplink past netfilter, with a pod's own address, and what waited there too long.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use aya::maps::{Array, Map, MapData};
use egret_core::node_config::{Flow, FlowAction, SteeringConfig};
use egret_datapath::bpf::{AttachMode, LAYOUT, UplinkGuard, load};
use egret_datapath::link_proof::{LinkQuestion, is_answered};
use egret_ports::gateway::{AddressEntry, AddressMap as _, AddressState, HostPart};
use etherparse::PacketBuilder;
use ipnet::IpNet;
use nix::net::if_::if_nametoindex;

use super::net::{Net, Node, Underlay, egress, ip, now, socket, world};
use super::packets::{PATIENCE, Port, datagram, udp};

/// The number of the fixture's node.
pub const NODE: u8 = 12;
pub const NOBODY: ([u8; 6], [u8; 6]) = ([0; 6], [0; 6]);

/// A selected pod's address, and one of a pod that is not.
pub fn pod(v4: bool) -> IpAddr {
    ip(if v4 { "10.244.1.2" } else { "2001:db8:244::2" })
}

pub fn other_pod(v4: bool) -> IpAddr {
    ip(if v4 { "10.244.1.3" } else { "2001:db8:244::3" })
}

/// The pod's flows to the world's network are selected.
pub fn selects(sources: &[IpAddr]) -> SteeringConfig {
    let to = |source: &IpAddr| {
        let destination = if source.is_ipv4() { "192.0.2.0/24" } else { "2001:db8:1::/64" };
        Flow {
            source: IpNet::from(*source),
            destination: destination.parse().unwrap(),
            action: FlowAction::Steer { address: egress(source.is_ipv4()) },
        }
    };
    SteeringConfig { flows: sources.iter().map(to).collect(), ..SteeringConfig::default() }
}

fn tcp(from: SocketAddr, to: SocketAddr, is_first: bool) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(NOBODY.0, NOBODY.1);
    let builder = match (from.ip(), to.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => builder.ipv4(a.octets(), b.octets(), 64),
        (IpAddr::V6(a), IpAddr::V6(b)) => builder.ipv6(a.octets(), b.octets(), 64),
        _ => panic!("two families"),
    };
    let builder = builder.tcp(from.port(), to.port(), 1, 1000);
    let builder = if is_first { builder.syn() } else { builder.ack(1) };
    let mut frame = Vec::new();
    builder.write(&mut frame, &[]).unwrap();
    frame
}

pub struct Fixture {
    pub net: Net,
    pub node: Node,
    pub guard: UplinkGuard,
}

impl Fixture {
    pub fn new() -> Self {
        let net = Net::new(Underlay::V4);
        let node = net.node("node", NODE);
        let guard = node.loaded.uplink_guard().unwrap();
        Self { net, node, guard }
    }

    /// As a CNI that forwards in eBPF: past the host's stack, out of the uplink. True where it arrives.
    pub fn leaves(&mut self, frame: &[u8]) -> bool {
        let ether_type = i32::from(u16::from_be_bytes([frame[12], frame[13]]));
        let outside = Port::open(&self.net.world, "eth0", ether_type);
        let mut frame = frame.to_vec();
        frame[..6].copy_from_slice(&self.net.world_mac());
        frame[6..12].copy_from_slice(&self.node.uplink.mac);
        let counts = |node: &mut Node| ["bypassed", "outside_tunnel"].map(|name| node.count(name));
        let before = counts(&mut self.node);
        Port::open(&self.node.namespace, "up0", ether_type).send(&frame);
        let end = Instant::now() + PATIENCE;
        loop {
            let arrived = outside.arrived(|seen| seen.starts_with(&frame)) > 0;
            let dropped = counts(&mut self.node) != before;
            assert!(!(arrived && dropped), "dropped and counted, and yet it arrives");
            if arrived || dropped {
                return arrived;
            }
            assert!(Instant::now() < end, "it neither arrives nor is it counted");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn what_a_claim_selects_does_not_leave_with_the_pods_address() {
    let mut bypassing = Fixture::new();
    for v4 in [true, false] {
        let (pod, to) = (socket(pod(v4), 4000), socket(world(v4), 9));
        let dgram = udp(NOBODY, pod, to, b"ask");
        assert!(bypassing.leaves(&tcp(pod, to, true)), "nothing is selected yet");
        let config = selects(&[pod.ip()]);
        bypassing.guard.tighten(&config).unwrap();
        assert!(!bypassing.leaves(&tcp(pod, to, true)));
        assert!(bypassing.leaves(&tcp(pod, to, false)), "a connection that is open goes on");
        assert!(
            bypassing.leaves(&dgram),
            "it may be an answer: the programs have only begun to listen"
        );
        let neighbour = socket(other_pod(v4), 4000);
        assert!(bypassing.leaves(&tcp(neighbour, to, true)), "another pod");
        let elsewhere = socket(ip(if v4 { "198.51.100.7" } else { "2001:db8:2::7" }), 9);
        assert!(bypassing.leaves(&tcp(pod, elsewhere, true)), "another destination");
        // As `whenUnavailable: Node` does.
        bypassing.guard.loosen(&selects(&[])).unwrap();
        assert!(bypassing.leaves(&tcp(pod, to, true)));
        bypassing.guard.tighten(&selects(&[])).unwrap();
        assert!(bypassing.leaves(&tcp(pod, to, true)));
    }
}

/// As a flowtable of another program sends what it has taken: translated, and past routing.
#[test]
fn an_egress_address_does_not_leave_by_its_directors_uplink() {
    let mut bypassing = Fixture::new();
    let holder = bypassing.net.node("holder", 13);
    for v4 in [true, false] {
        let frame = |source: SocketAddr| udp(NOBODY, source, socket(world(v4), 9), b"ask");
        let translated = frame(socket(egress(v4), 1100));
        assert!(bypassing.leaves(&translated), "nobody's egress address");
        let own = bypassing.node.endpoint;
        bypassing.node.knows_block_of(own);
        bypassing.node.stands_by(egress(v4), &holder);
        let before = bypassing.node.count("outside_tunnel");
        assert!(!bypassing.leaves(&translated));
        assert_eq!(bypassing.node.count("outside_tunnel"), before + 1);
        assert!(bypassing.leaves(&frame(socket(egress(v4), 2000))), "no port of this node");
        // The host's own connection may have such a port.
        let entry = bypassing.node.entry(AddressState::Standby, &holder, Duration::ZERO);
        let entry = AddressEntry { host: HostPart::Packets, ..entry };
        bypassing.node.addresses.put(egress(v4), &entry).unwrap();
        assert!(bypassing.leaves(&translated), "the host has it on an interface");
    }
}

#[test]
fn a_dead_agent_guards_on_and_the_next_one_knows_what_is_there() {
    let mut bypassing = Fixture::new();
    let (selected, others) = (selects(&[pod(true), pod(false)]), selects(&[pod(true)]));
    bypassing.guard.tighten(&selected).unwrap();
    let pin_dir = bypassing.node.config.pin_dir.clone();
    bypassing.guard = UplinkGuard::open(&pin_dir, LAYOUT).unwrap();
    let [v4, v6] = [true, false].map(|v4| tcp(socket(pod(v4), 4000), socket(world(v4), 9), true));
    assert!(!bypassing.leaves(&v4) && !bypassing.leaves(&v6));
    bypassing.guard.tighten(&others).unwrap();
    assert!(!bypassing.leaves(&v4) && bypassing.leaves(&v6), "one that it has not written goes");
}

/// Between an agent that guarded and the next one a version ran that knows nothing of it.
#[test]
fn what_an_agent_before_a_downgrade_has_left_guards_no_more() {
    let mut bypassing = Fixture::new();
    let selected = selects(&[pod(true)]);
    bypassing.guard.tighten(&selected).unwrap();
    let syn = tcp(socket(pod(true), 4000), socket(world(true), 9), true);
    assert!(!bypassing.leaves(&syn));
    for (is_older, leaves) in [(false, false), (true, true)] {
        let Fixture { node, guard, .. } = &mut bypassing;
        let inside = node.namespace.enter();
        if is_older {
            let path = node.config.pin_dir.join(format!("v{LAYOUT}/config"));
            let map = MapData::from_pin(path).and_then(Map::from_map_data).unwrap();
            let mut map: Array<_, [u8; 56]> = map.try_into().unwrap();
            let mut config = map.get(&0, 0).unwrap();
            config[52..].fill(0);
            map.set(0, config, 0).unwrap();
        }
        node.loaded = load(node.config.clone()).unwrap();
        *guard = node.loaded.uplink_guard().unwrap();
        drop(inside);
        assert_eq!(bypassing.leaves(&syn), leaves);
    }
    bypassing.guard.tighten(&selected).unwrap();
    assert!(!bypassing.leaves(&syn));
}

/// `bpf_redirect_neigh` lets a packet wait until its neighbour answers: seconds, when a link comes back.
#[test]
fn what_waited_for_a_neighbour_past_the_lease_does_not_leave() {
    for v4 in [true, false] {
        let net = Net::new(Underlay::V4);
        let mut gateway = net.node("gateway", 11);
        gateway.knows_block_of(gateway.endpoint);
        let outside = Port::of(&net.world, "eth0", egress(v4));
        let silent = ip(if v4 { "192.0.2.77" } else { "2001:db8:1::77" });
        let send = |gateway: &Node, payload: &[u8]| {
            let frame = udp(NOBODY, socket(egress(v4), 1100), socket(silent, 9), payload);
            Port::of(&gateway.namespace, "egret0", egress(v4)).send(&frame);
        };
        let answers = |arrives: bool| {
            let action = if arrives { "add" } else { "del" };
            let length = if v4 { 24 } else { 64 };
            let flags = if v4 || !arrives { "" } else { "nodad" };
            net.world.run(&format!("ip addr {action} {silent}/{length} dev eth0 {flags}"));
        };
        let is = |payload: &'static [u8]| {
            move |frame: &[u8]| datagram(frame).is_some_and(|seen| seen.payload == payload)
        };
        let entry = gateway.entry(AddressState::Held, &gateway, Duration::from_millis(200));
        gateway.addresses.put(egress(v4), &entry).unwrap();
        send(&gateway, b"late");
        gateway.await_count("to_world", 1);
        while now() < entry.valid_until.unwrap() {
            std::thread::sleep(Duration::from_millis(10));
        }
        answers(true);
        gateway.await_count("lease_expired", 1);
        assert_eq!(outside.arrived(is(b"late")), 0);
        answers(false);
        gateway.namespace.run("ip neigh flush dev up0");
        // One that waits while the lease runs leaves.
        gateway.holds(egress(v4));
        send(&gateway, b"in time");
        gateway.await_count("to_world", 2);
        answers(true);
        outside.expect("what waited within the lease", |frame| is(b"in time")(frame).then_some(()));
        assert_eq!(gateway.count("lease_expired"), 1, "within {PATIENCE:?}");
    }
}

/// As with `--uplink eth1` on a node whose default route leaves by another link.
#[test]
fn a_link_that_carries_nothing_is_guarded_and_nothing_else() {
    for attach in [AttachMode::Tcx, AttachMode::Clsact] {
        let net = Net::new(Underlay::V4);
        let node = Node::new(&net, "node", NODE, attach);
        let guard = node.loaded.uplink_guard().unwrap();
        let mut guarding = Fixture { net, node, guard };
        let mut links = guarding.node.config.links.clone();
        links.uplinks.clear();
        links.guarded = Some(["up0".to_owned()].into());
        let inside = guarding.node.namespace.enter();
        guarding.node.loaded.ensure(&links).unwrap();
        assert_eq!(guarding.node.loaded.ensure(&links).unwrap(), 0);
        drop(inside);
        guarding.guard.tighten(&selects(&[pod(true), pod(false)])).unwrap();
        for v4 in [true, false] {
            let (from, to) = (socket(pod(v4), 4000), socket(world(v4), 9));
            assert!(!guarding.leaves(&tcp(from, to, true)), "{attach:?}");
            assert!(guarding.leaves(&tcp(socket(other_pod(v4), 4000), to, true)), "{attach:?}");
        }
        // Held here by another link: neighbours of this one are told nothing.
        guarding.node.holds(egress(true));
        let mac = guarding.net.world_mac();
        let inside = guarding.net.world.enter();
        let link = if_nametoindex("eth0").unwrap();
        let (own, neighbour) = (world(true), egress(true));
        assert!(!is_answered(&LinkQuestion { link, mac, own, neighbour }).unwrap());
        drop(inside);
        assert_eq!(guarding.node.count("arp_answered"), 0);
        assert_eq!(guarding.node.count("asked_not_held"), 0);
        // An agent that does not know them yet leaves them alone.
        let inside = guarding.node.namespace.enter();
        links.guarded = None;
        guarding.node.config.links = links;
        guarding.node.loaded = load(guarding.node.config.clone()).unwrap();
        drop(inside);
        let (from, to) = (socket(pod(true), 4000), socket(world(true), 9));
        assert!(!guarding.leaves(&tcp(from, to, true)), "{attach:?}");
    }
}
