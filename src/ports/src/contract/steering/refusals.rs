//! What is dropped, and counted under a name of its own.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use egret_core::model::AddressRange;
use egret_core::node_config::{FlowAction, SteeringConfig};

use super::Factory;
use super::addresses::{
    EGRESS, NEVER, NODE, PEER, POD, PORT, ROUTER, SERVER, idle, refused, steered,
};
use super::fixture::SteeringFixture;
use super::load::{exchange, one_way, udp};
use super::packets::{GRE, ICMP, UDP, send};
use super::steered::{assert_nothing_leaked, one_block};
use crate::steering::SteeringDrop;

/// A UDP flow that began before its node had a block works once the block is there, on the same
/// socket: the drop came before its NAT was decided.
pub fn a_late_block_revives_a_running_flow(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&steered(&[]));
    let flows = flows(&world, PORT);
    for socket in &flows {
        (0..5).for_each(|_| one_way(socket));
    }
    world.settle();
    let dropped = world.dropped(SteeringDrop::NoBlock);
    assert!(dropped >= 10, "five datagrams of each family were sent, {dropped} counted");
    for server in SERVER.each() {
        assert_eq!(world.tunnel.to(server), [], "entered the tunnel without a block");
    }
    world.apply(&one_block());
    for socket in &flows {
        exchange(socket).unwrap_or_else(|error| panic!("after the block came: {error}"));
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// Without an address, without one of the family, or of a protocol without ports: dropped, and
/// counted by reason.
pub fn every_refusal_has_its_counter(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    for (action, reason) in [
        (FlowAction::DropNoAddress, SteeringDrop::NoAddress),
        (FlowAction::DropUnknownRange, SteeringDrop::UnknownRange),
        (FlowAction::DropFamilyWithoutAddress, SteeringDrop::FamilyWithoutAddress),
    ] {
        world.apply(&refused(action));
        for socket in flows(&world, PORT) {
            one_way(&socket);
        }
        world.settle();
        let dropped = world.dropped(reason);
        assert!(dropped >= 2, "one datagram of each family was sent, {reason:?} is {dropped}");
    }
    world.apply(&one_block());
    for (pod, server) in POD.each().into_iter().zip(SERVER.each()) {
        send(&world.pod, pod, server, GRE, &[0, 0, 8, 0]);
    }
    // A timestamp request (RFC 792): conntrack tracks it, and it is no echo.
    let mut timestamp = vec![0; 20];
    timestamp[0] = 13;
    timestamp[2..4].copy_from_slice(&(!(13_u16 << 8)).to_be_bytes());
    send(&world.pod, POD.each()[0], SERVER.each()[0], ICMP, &timestamp);
    world.settle();
    let dropped = world.dropped(SteeringDrop::UnsupportedProtocol);
    assert!(dropped >= 3, "three packets were sent, {dropped} counted");
    for server in SERVER.each() {
        assert_eq!(world.tunnel.to(server), [], "entered the tunnel");
    }
    assert_nothing_leaked(&world);
}

/// A pod that is not yet known sends nothing to where a claim might want it, and everything else as
/// ever; once it is known, what waits is a first packet still, and goes through the tunnel.
pub fn an_unknown_pod_waits(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&unknown());
    let flows = flows(&world, PORT);
    flows.iter().for_each(one_way);
    for (pod, never) in POD.each().into_iter().zip(NEVER.each()) {
        exchange(&udp(&world.pod, pod, SocketAddr::new(never, PORT)))
            .unwrap_or_else(|error| panic!("{pod} to {never}: {error}"));
    }
    world.settle();
    assert_nothing_leaked(&world);
    let dropped = world.dropped(SteeringDrop::UnknownPod);
    assert!(dropped >= 2, "one datagram of each family was sent, {dropped} counted");
    world.apply(&one_block());
    for socket in &flows {
        exchange(socket).unwrap_or_else(|error| panic!("once it is known: {error}"));
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// A pod's datagram to the tunnel's port goes nowhere, neither to a node nor through one; nodes
/// reach both ports, others do not.
pub fn forged_frames_are_dropped(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    let (tunnel, peers) = (world.names.tunnel_port, world.names.peers_port);
    for (pod, router) in POD.each().into_iter().zip(ROUTER.each()) {
        one_way(&udp(&world.pod, pod, SocketAddr::new(router, tunnel)));
    }
    world.settle();
    assert_eq!(world.leaked.seen(|p| p.protocol == UDP && p.destination_port == tunnel), []);
    assert!(world.dropped(SteeringDrop::ForgedTunnelForward) >= 2);
    for port in [tunnel, peers] {
        for (((pod, router), peer), node) in
            POD.each().into_iter().zip(ROUTER.each()).zip(PEER.each()).zip(NODE.each())
        {
            let to = SocketAddr::new(node, port);
            let socket = {
                let _inside = world.director.enter();
                UdpSocket::bind(to).unwrap_or_else(|error| panic!("{to}: {error}"))
            };
            let _ = socket.set_read_timeout(Some(super::oracle::PATIENCE));
            one_way(&udp(&world.pod, pod, to));
            one_way(&udp(&world.outside, router, to));
            one_way(&udp(&world.outside, peer, to));
            let mut bytes = [0; 16];
            let from = socket.recv_from(&mut bytes).map(|(_, from)| from.ip());
            assert_eq!(from.ok(), Some(peer), "only a node may speak to port {port}");
        }
    }
    world.settle();
    let dropped = world.dropped(SteeringDrop::ForgedTunnelInput);
    assert!(dropped >= 8, "eight datagrams came from no node, {dropped} counted");
}

/// A datagram from the tunnel to a port without a connection is dropped once, answered by nothing
/// and not sent back into the tunnel. One that belongs to a connection goes to the pod.
pub fn unsolicited_frames_go_no_further(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    for (server, address) in SERVER.each().into_iter().zip(EGRESS.each()) {
        one_way(&udp(&world.gateway, server, SocketAddr::new(address, 1_030)));
    }
    for (flow, server) in flows(&world, PORT).iter().zip(SERVER.each()) {
        exchange(flow).unwrap_or_else(|error| panic!("a flow through the tunnel: {error}"));
        world.tunnel.wait("the flow", 1, |p| p.destination == server);
    }
    assert!(world.dropped(SteeringDrop::NotEstablished) >= 2, "not counted");
    world.settle();
    for address in EGRESS.each() {
        // The flow's own port may be the same.
        let sent = world.tunnel.seen(|p| {
            p.destination == address && p.destination_port == 1_030 && p.source_port != PORT
        });
        assert_eq!(sent.len(), 1, "seen once, when it was sent: {sent:?}");
    }
}

/// The pod is not known yet, and a claim might want what it sends to the servers.
pub(super) fn unknown() -> SteeringConfig {
    let mut config = idle();
    let single = |address: IpAddr| AddressRange::new(address, address);
    config.unknown.sources = POD.each().into_iter().filter_map(single).collect();
    config.unknown.destinations = SERVER.each().into_iter().filter_map(single).collect();
    config
}

fn flows<F: Factory>(world: &SteeringFixture<F>, port: u16) -> Vec<UdpSocket> {
    let ends = POD.each().into_iter().zip(SERVER.each());
    ends.map(|(pod, server)| udp(&world.pod, pod, SocketAddr::new(server, port))).collect()
}
