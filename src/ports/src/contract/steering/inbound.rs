//! What must work as if Egret were not there.

use std::net::{IpAddr, SocketAddr};

use super::Factory;
use super::addresses::{BRIDGE, NODE, OTHER, POD, PORT, ROUTER, SERVER};
use super::fixture::SteeringFixture;
use super::load::{tcp_echo, udp_echo};
use super::steered::{assert_nothing_leaked, one_block};
use crate::steering::SteeringDrop;

/// kube-proxy's part: NodePort 30080, two ClusterIPs (one of them with an external endpoint) and an
/// external address that stands for a pod.
const KUBE_PROXY: &str = "table inet proxy {
    chain pre {
        type nat hook prerouting priority -100; policy accept;
        ip daddr 192.0.2.11 tcp dport 30080 dnat ip to 10.244.1.2:7000
        ip6 daddr 2001:db8:2::11 tcp dport 30080 dnat ip6 to [fd00:244::2]:7000
        ip daddr 10.96.0.10 tcp dport 80 dnat ip to 198.51.100.1:7000
        ip6 daddr fd00:96::10 tcp dport 80 dnat ip6 to [2001:db8:100::1]:7000
        ip daddr 198.51.100.50 tcp dport 80 dnat ip to 10.244.1.1:7000
        ip6 daddr 2001:db8:100::50 tcp dport 80 dnat ip6 to [fd00:244::1]:7000
    }
}
";

/// A connection that the outside opens to a selected pod is answered with the pod's own address,
/// although the client's address is a selected destination.
pub fn inbound_connections_are_answered(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    for pod in POD.each() {
        world.serve(|world| &world.pod, pod);
    }
    world.apply(&one_block());
    for (pod, server) in POD.each().into_iter().zip(SERVER.each()) {
        let to = SocketAddr::new(pod, PORT);
        tcp_echo(&world.outside, server, to).unwrap_or_else(|e| panic!("TCP to {to}: {e}"));
        udp_echo(&world.outside, server, to).unwrap_or_else(|e| panic!("UDP to {to}: {e}"));
        world.outside.run(&format!("ping -c 2 -i 0.05 -W 2 -I {server} {pod}"));
        world.settle();
        assert_eq!(world.tunnel.to(server), [], "replies were steered");
    }
}

/// NodePort to a selected pod, and the pod to a ClusterIP whose endpoint is inside.
pub fn nodeport_and_cluster_addresses_work(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.director.nft(KUBE_PROXY);
    for pod in POD.each() {
        world.serve(|world| &world.pod, pod);
    }
    for bridge in BRIDGE.each() {
        world.serve(|world| &world.director, bridge);
    }
    world.apply(&one_block());
    for (node, router) in NODE.each().into_iter().zip(ROUTER.each()) {
        let to = SocketAddr::new(node, 30_080);
        tcp_echo(&world.outside, router, to).unwrap_or_else(|e| panic!("NodePort {to}: {e}"));
    }
    // Turned to the inside: not steered, although the address before DNAT is selected.
    for (pod, text) in POD.each().into_iter().zip(["198.51.100.50", "2001:db8:100::50"]) {
        let to = SocketAddr::new(address(text), 80);
        tcp_echo(&world.pod, pod, to).unwrap_or_else(|e| panic!("to {to}: {e}"));
    }
    world.settle();
    for server in SERVER.each() {
        assert_eq!(world.tunnel.to(server), []);
    }
}

/// A Service with an external endpoint: the endpoint is what the claim selects.
pub fn the_destination_after_dnat_decides(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.director.nft(KUBE_PROXY);
    world.apply(&one_block());
    for ((pod, text), server) in
        POD.each().into_iter().zip(["10.96.0.10", "fd00:96::10"]).zip(SERVER.each())
    {
        let to = SocketAddr::new(address(text), 80);
        let connected = tcp_echo(&world.pod, pod, to);
        if factory.marks_after_dnat() {
            connected.unwrap_or_else(|error| panic!("to {to}: {error}"));
            world.settle();
            assert!(!world.tunnel.to(server).is_empty(), "not steered");
        } else {
            assert!(connected.is_err(), "left the node unsteered");
        }
    }
    if !factory.marks_after_dnat() {
        assert!(world.dropped(SteeringDrop::NotMarked) > 0, "not counted");
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// The node's own connections and an unselected pod's go the node's way.
pub fn the_nodes_own_traffic_is_left_alone(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    for ((node, other), server) in NODE.each().into_iter().zip(OTHER.each()).zip(SERVER.each()) {
        let to = SocketAddr::new(server, PORT);
        tcp_echo(&world.director, node, to).unwrap_or_else(|e| panic!("the node to {to}: {e}"));
        tcp_echo(&world.pod, other, to).unwrap_or_else(|e| panic!("{other} to {to}: {e}"));
        world.settle();
        assert_eq!(world.tunnel.to(server), [], "steered");
    }
    for (pod, bridge) in POD.each().into_iter().zip(BRIDGE.each()) {
        world.pod.run(&format!("ping -c 2 -i 0.05 -W 2 -I {pod} {bridge}"));
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}
