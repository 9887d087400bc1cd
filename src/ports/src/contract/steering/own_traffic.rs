//! What the node itself sends: errors about steered connections, what a proxy in the kernel sends on, and its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use egret_core::node_config::SteeringConfig;
use ipnet::IpNet;

use super::Factory;
use super::addresses::{EGRESS, MTU, NEVER, NODE, POD, PORT, SERVER};
use super::fixture::{SteeringFixture, ip};
use super::foreign_marks::{ends, foreign};
use super::load::{exchange, tcp_echo, udp, udp_echo};
use super::oracle::{Oracle, PATIENCE};
use super::packets::{ICMP, ICMP6, SeenPacket};
use super::steered::{assert_nothing_leaked, one_block};
use crate::steering::SteeringDrop;

/// Another's mark on connections of the node itself, which has the bit of steered ones.
const FOREIGN_BIT: &str = "ct mark set ct mark | 0x1000";

/// They go their way, and so does what the node says of them, here that it refuses an answer.
pub fn the_nodes_own_connections_with_our_bit_go_their_way(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    world.director.nft(&foreign("filter", "output", -150, FOREIGN_BIT));
    for (node, server) in NODE.each().into_iter().zip(SERVER.each()) {
        let to = SocketAddr::new(server, PORT);
        tcp_echo(&world.director, node, to).unwrap_or_else(|e| panic!("TCP to {to}: {e}"));
        udp_echo(&world.director, node, to).unwrap_or_else(|e| panic!("UDP to {to}: {e}"));
    }
    world.director.nft(
        "table inet refuses { chain answers { type filter hook input priority 0; \
           meta l4proto udp udp sport 7000 reject; }; }",
    );
    for (node, server) in NODE.each().into_iter().zip(SERVER.each()) {
        let asked = udp(&world.director, node, SocketAddr::new(server, PORT)).send(b"egret");
        asked.unwrap_or_else(|error| panic!("{node}: {error}"));
        let refused = |p: &SeenPacket| errors_to(server)(p) && p.source == node;
        world.leaked.wait("the error", 1, refused);
    }
    world.settle();
    for server in SERVER.each() {
        assert_eq!(world.tunnel.to(server), [], "was steered");
    }
    for reason in [SteeringDrop::MarkOverwritten, SteeringDrop::WrongDevice] {
        assert_eq!(world.dropped(reason), 0, "{reason:?}");
    }
}

/// What a proxy on the node (IPVS, TPROXY) sends to outside with a pod's source leaves as what the pod sends by itself,
/// also where it has the mark from prerouting and another way than that of the mark.
pub fn what_a_proxy_sends_for_a_pod_is_steered(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    pods_are_local(&world);
    let mark = format!("meta mark set {:#x}", world.names.packet_mark);
    for rule in ["counter", &mark] {
        world.director.nft(&foreign("filter", "output", -150, rule));
        for (pod, to) in ends() {
            tcp_echo(&world.director, pod, to).unwrap_or_else(|e| panic!("TCP {pod}, {rule}: {e}"));
            udp_echo(&world.director, pod, to).unwrap_or_else(|e| panic!("UDP {pod}, {rule}: {e}"));
        }
    }
    for ((server, address), headers) in SERVER.each().into_iter().zip(EGRESS.each()).zip([40, 60]) {
        let seen = world.tunnel.to(server);
        assert!(seen.iter().all(|packet| packet.source == address), "{seen:?}");
        let offered = seen.iter().find_map(|packet| packet.mss);
        assert_eq!(offered.map(u32::from), Some(MTU - headers), "offered to {server}");
    }
    world.settle_uplink();
    assert_nothing_leaked(&world);
}

/// What has nothing to leave with, and what conntrack is kept from, is dropped by name.
pub fn what_a_proxy_sends_is_refused_by_name(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&SteeringConfig { blocks: BTreeMap::new(), ..one_block() });
    pods_are_local(&world);
    for (rule, reason) in
        [("counter", SteeringDrop::NoBlock), ("notrack", SteeringDrop::InvalidOrUntracked)]
    {
        world.director.nft(&foreign("filter", "output", -300, rule));
        for (pod, to) in ends() {
            let before = world.dropped(reason);
            // The rule's verdict comes back as an error of the sender.
            let _ = udp(&world.director, pod, to).send(b"x");
            assert_eq!(world.dropped(reason) - before, 1, "{pod}, {rule}");
        }
    }
    world.settle_uplink();
    assert_nothing_leaked(&world);
}

/// Then what the director sends has a pod's source.
fn pods_are_local<F: Factory>(world: &SteeringFixture<F>) {
    let [four, six] = POD.each();
    let batch = format!("-4 addr add {four}/32 dev lo\n-6 addr add {six}/128 dev lo nodad\n");
    ip(&world.director, &batch);
}

/// A proxy in the kernel (IPVS) sends on what was selected by another destination: what stays in the
/// cluster passes output and postrouting with our bit, and goes its way.
pub fn what_stays_in_the_cluster_is_not_lost(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    let bit = "ct mark set ct mark | 0x1000";
    let [four, six] = NEVER.each();
    let rules = format!("ip daddr {four} {bit}\nip6 daddr {six} {bit}");
    world.director.nft(&foreign("filter", "output", -150, &rules));
    for (node, never) in NODE.each().into_iter().zip(NEVER.each()) {
        let to = SocketAddr::new(never, PORT);
        udp_echo(&world.director, node, to).unwrap_or_else(|error| panic!("to {to}: {error}"));
        assert_eq!(world.tunnel.to(never), [], "was steered");
    }
    assert_eq!(world.dropped(SteeringDrop::WrongDevice), 0);
    assert_eq!(world.dropped(SteeringDrop::MarkOverwritten), 0);
}

/// What the director itself says of a steered connection, here that a reply is too long for the pod's
/// link: it goes through the tunnel, as the connection does.
pub fn the_directors_own_errors_are_steered(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    let to_pod = Oracle::start(&world.pod);
    short_way(&world);
    let _sockets = ends().map(|(pod, to)| too_long_reply(&world, pod, to));
    for ((pod, server), address) in POD.each().into_iter().zip(SERVER.each()).zip(EGRESS.each()) {
        let errors = errors_to(server);
        world.tunnel.wait("the error", 1, errors);
        let sources: Vec<_> = world.tunnel.seen(errors).iter().map(|p| p.source).collect();
        assert!(sources.iter().all(|source| *source == address), "{sources:?}");
        assert_eq!(to_pod.seen(|p| p.destination == pod && p.source == server), [], "too long");
        assert_eq!(world.leaked.seen(errors), [], "left by the uplink");
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// An open connection to what is not steered any more goes on, and what is said of it too.
pub fn errors_about_what_is_exempt_by_now_are_steered(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    let sockets = ends().map(|(pod, to)| udp(&world.pod, pod, to));
    for socket in &sockets {
        exchange(socket).unwrap_or_else(|error| panic!("before: {error}"));
    }
    let exempt = SERVER.each().map(IpNet::from).into();
    world.apply(&SteeringConfig { exempt, ..one_block() });
    short_way(&world);
    for (socket, server) in sockets.iter().zip(SERVER.each()) {
        socket.send(&[b'x'; 1_350]).unwrap_or_else(|error| panic!("{server}: {error}"));
        world.tunnel.wait("the error", 1, errors_to(server));
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// Where somebody sends them another way, they are dropped under a name of their own.
pub fn the_directors_own_errors_never_leak(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    world.director.nft(
        "table inet foreign { chain own { type route hook output priority 0; meta mark set 0; }; }",
    );
    short_way(&world);
    for (pod, to) in ends() {
        let before = world.dropped(SteeringDrop::MarkOverwritten);
        let _socket = too_long_reply(&world, pod, to);
        let end = Instant::now() + PATIENCE;
        while world.dropped(SteeringDrop::MarkOverwritten) == before {
            assert!(Instant::now() < end, "{pod}: an error was to be dropped");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    world.settle();
    for server in SERVER.each() {
        assert_eq!(world.leaked.seen(errors_to(server)), [], "left by the uplink");
    }
}

/// What is sent to the pod must be shorter than what it may send.
pub(super) fn short_way<F: Factory>(world: &SteeringFixture<F>) {
    world.director.run("ip route replace 10.244.1.0/24 dev pod0 mtu lock 1300");
    world.director.sysctl("net/ipv6/conf/pod0/mtu", "1300");
}

/// Has the server send a datagram that does not fit the director's way to the pod.
fn too_long_reply<F: Factory>(
    world: &SteeringFixture<F>,
    pod: IpAddr,
    to: SocketAddr,
) -> UdpSocket {
    let socket = udp(&world.pod, pod, to);
    socket.send(&[b'x'; 1_350]).unwrap_or_else(|error| panic!("{pod}: {error}"));
    socket
}

pub(super) fn errors_to(server: IpAddr) -> impl Fn(&SeenPacket) -> bool + Copy {
    move |p| p.destination == server && [ICMP, ICMP6].contains(&p.protocol)
}
