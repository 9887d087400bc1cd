//! What is steered, and with which ports it leaves.

use std::net::{IpAddr, SocketAddr};

use egret_core::model::PortRange;
use egret_core::node_config::SteeringConfig;
use ipnet::IpNet;

use super::Factory;
use super::addresses::{EGRESS, MTU, NEVER, OTHER, POD, PORT, SERVER, block, steered};
use super::fixture::SteeringFixture;
use super::load::{tcp_echo, udp_echo};
use super::packets::{ICMP, ICMP6, SCTP, SeenPacket, sctp_init, send};

/// TCP, UDP, SCTP and ICMP echo leave through the tunnel with the egress address and a port (or
/// echo id) of the blocks, of all of them; nothing leaves by the uplink. Both families.
pub fn ports_are_of_the_blocks(factory: &impl Factory) {
    let blocks = [block(1024, 1151), block(4096, 4223), block(4224, 4351)];
    let mut world = SteeringFixture::new(factory);
    world.apply(&steered(&blocks));
    let before = world.selected();
    for (pod, server) in POD.each().into_iter().zip(SERVER.each()) {
        for _ in 0..20 {
            let to = SocketAddr::new(server, PORT);
            tcp_echo(&world.pod, pod, to).unwrap_or_else(|e| panic!("TCP {pod} to {to}: {e}"));
            udp_echo(&world.pod, pod, to).unwrap_or_else(|e| panic!("UDP {pod} to {to}: {e}"));
        }
        world.pod.run(&format!("ping -c 3 -i 0.05 -W 2 -I {pod} {server}"));
        for port in 0..3 {
            send(&world.pod, pod, server, SCTP, &sctp_init(30_000 + port, 9_899));
        }
    }
    let selected = world.selected() - before;
    assert!(selected >= 80, "80 connections were opened, {selected} counted");
    for (address, server) in EGRESS.each().into_iter().zip(SERVER.each()) {
        world.tunnel.wait("SCTP", 3, |p| p.protocol == SCTP && p.destination == server);
        let seen = world.tunnel.to(server);
        for packet in &seen {
            assert_eq!(packet.source, address, "{packet:?}");
            let port = packet.source_port;
            assert!(within(&blocks, port), "port {port} is in no block: {packet:?}");
        }
        // 46 draws: all from one side once in 10^8 runs.
        for half in [&blocks[..1], &blocks[1..]] {
            assert!(seen.iter().any(|p| within(half, p.source_port)), "{half:?} was never used");
        }
        let echoes = |p: &SeenPacket| [ICMP, ICMP6].contains(&p.protocol);
        assert!(seen.iter().filter(|p| echoes(p)).count() >= 3, "no echo requests: {seen:?}");
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// A flow may cover what is never steered: that still goes the node's way, and so does a source
/// that no flow selects.
pub fn never_steered_wins_over_a_wide_flow(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    let mut config = steered(&[block(1024, 1151)]);
    for flow in &mut config.flows {
        flow.destination = widest(flow.destination);
    }
    world.apply(&config);
    for ((pod, other), (server, never)) in
        POD.each().into_iter().zip(OTHER.each()).zip(SERVER.each().into_iter().zip(NEVER.each()))
    {
        for (from, to) in [(pod, server), (pod, never), (other, server)] {
            tcp_echo(&world.pod, from, SocketAddr::new(to, PORT))
                .unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
        }
        world.settle();
        assert!(!world.tunnel.to(server).is_empty(), "{server} was not steered");
        assert_eq!(world.tunnel.to(never), [], "{never} was steered");
        assert!(!world.leaked.to(never).is_empty(), "{never} did not go the node's way");
        assert!(!world.leaked.to(server).is_empty(), "{other} did not go the node's way");
    }
}

/// The MSS that a pod offers, and that it is offered, is lowered to what fits the tunnel, and a
/// smaller one stays.
pub fn segments_fit_the_tunnel(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&steered(&[block(1024, 1151)]));
    let from_pod = super::oracle::Oracle::start(&world.pod);
    for (pod, server) in POD.each().into_iter().zip(SERVER.each()) {
        tcp_echo(&world.pod, pod, SocketAddr::new(server, PORT))
            .unwrap_or_else(|error| panic!("{pod} to {server}: {error}"));
    }
    world.settle();
    for ((pod, server), headers) in POD.each().into_iter().zip(SERVER.each()).zip([40, 60]) {
        let answers = |packet: &SeenPacket| packet.destination == pod && packet.source == server;
        from_pod.wait("the answer", 1, answers);
        let fits = u16::try_from(MTU - headers).unwrap_or_else(|e| panic!("{e}"));
        let offered = |seen: Vec<SeenPacket>| seen.iter().find_map(|packet| packet.mss);
        assert_eq!(offered(world.tunnel.to(server)), Some(fits), "offered by the pod");
        let answered = from_pod.seen(answers);
        assert_eq!(offered(answered), Some(fits), "offered to the pod");
    }
    world.pod.run("ip link set eth0 mtu 1300");
    world.tunnel.clear();
    for ((pod, server), headers) in POD.each().into_iter().zip(SERVER.each()).zip([40, 60]) {
        tcp_echo(&world.pod, pod, SocketAddr::new(server, PORT))
            .unwrap_or_else(|error| panic!("{pod} to {server}: {error}"));
        world.settle();
        let offered = world.tunnel.to(server).iter().find_map(|packet| packet.mss);
        assert_eq!(offered, Some(1300 - headers), "a smaller MSS was raised or lost");
    }
}

/// Nothing but markers went to a server by the uplink, with whatever source.
pub(super) fn assert_nothing_leaked<F: Factory>(world: &SteeringFixture<F>) {
    for server in SERVER.each() {
        let leaked = world.leaked.seen(|p| p.destination == server && p.destination_port < 60_000);
        assert_eq!(leaked, [], "left by the uplink");
    }
}

fn within(blocks: &[PortRange], port: u16) -> bool {
    blocks.iter().any(|block| block.first() <= port && port <= block.last())
}

fn widest(net: IpNet) -> IpNet {
    let zero: IpAddr = if net.addr().is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    IpNet::new(zero, 0).unwrap_or(net)
}

/// A steering config with one block, for the other checks.
pub(super) fn one_block() -> SteeringConfig {
    steered(&[block(1024, 1151)])
}
