//! What conntrack calls invalid or untracked, and what it never saw begin.

use std::net::{IpAddr, SocketAddr};

use super::Factory;
use super::addresses::{NODE, POD, PORT, SERVER};
use super::fixture::SteeringFixture;
use super::packets::{ACK, RST, SYN, SeenPacket, TCP, XMAS, send, tcp};
use super::steered::{assert_nothing_leaked, one_block};
use crate::steering::SteeringDrop;

/// Port of the datagrams that a foreign rule takes out of conntrack.
const UNTRACKED: u16 = 7_999;

const FOREIGN: &str = "table inet foreign {
    chain p {
        type filter hook prerouting priority -300; policy accept;
        udp dport 7999 notrack
    }
}
";

/// A lone RST, a SYN|ACK, an XMAS, a SYN with a bad checksum, and a datagram that a foreign rule
/// made untracked: from a selected pod to a selected destination, none leaves, by no device.
pub fn invalid_packets_never_leave(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.director.nft(FOREIGN);
    world.apply(&one_block());
    send_all(&world);
    world.settle();
    assert_nothing_leaked(&world);
    for server in SERVER.each() {
        let tunnelled = world.tunnel.to(server);
        assert_eq!(tunnelled, [], "entered the tunnel without NAT");
    }
    let dropped = world.dropped(SteeringDrop::InvalidOrUntracked);
    assert!(dropped >= 10, "five of each family were sent, {dropped} counted");
}

/// The control of [`invalid_packets_never_leave`]: without rules the same packets leave, most of
/// them with the pod's own address. Where this fails, the other check shows nothing.
pub fn control_without_rules(factory: &impl Factory) {
    let world = SteeringFixture::new(factory);
    world.director.nft(FOREIGN);
    send_all(&world);
    world.settle();
    for ((server, pod), node) in SERVER.each().into_iter().zip(POD.each()).zip(NODE.each()) {
        let bare = world.leaked.seen(|p| p.destination == server && p.source == pod);
        assert!(bare.len() >= 4, "with the pod's own address: {bare:?}");
        let ports =
            |seen: &[SeenPacket]| seen.iter().filter(|p| p.destination_port < 60_000).count();
        let all = world.leaked.seen(|p| p.destination == server);
        assert!(ports(&all) >= 5, "left with any source ({node} is the node's): {all:?}");
    }
}

fn send_all<F: Factory>(world: &SteeringFixture<F>) {
    for (pod, server) in POD.each().into_iter().zip(SERVER.each()) {
        let segment = |port: u16, flags: u8, good: bool| {
            let (from, to) = (SocketAddr::new(pod, port), SocketAddr::new(server, PORT));
            send(&world.pod, pod, server, TCP, &tcp(from, to, flags, good));
        };
        segment(41_001, RST, true);
        segment(41_002, SYN | ACK, true);
        segment(41_003, XMAS, true);
        segment(41_004, SYN, false);
        untracked(world, pod, server);
    }
}

fn untracked<F: Factory>(world: &SteeringFixture<F>, pod: IpAddr, server: IpAddr) {
    let socket = super::load::udp(&world.pod, pod, SocketAddr::new(server, UNTRACKED));
    super::load::one_way(&socket);
}
