//! An egress address that a node has on an interface, or that a pod connects to.

use std::time::Duration;

use egret_ports::gateway::{AddressEntry, AddressMap as _, AddressState, HostPart};

use super::net::{Net, Node, Underlay, egress, ip, socket, world};
use super::packets::{Port, datagram, udp};

/// The gateway has the address on an interface of its own.
fn on_interface(node: &mut Node, holder: &Node, state: AddressState, host: HostPart) {
    node.namespace.run(&format!("ip addr add {}/32 dev lo", egress(true)));
    let entry = node.entry(state, holder, Duration::from_secs(600));
    node.addresses.put(egress(true), &AddressEntry { host, ..entry }).unwrap();
}

#[test]
fn what_nobody_answers_for_stays_the_hosts_own() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    let other = net.node("other", 12);
    on_interface(&mut gateway, &other, AddressState::Standby, HostPart::All);
    gateway.knows_block_of(other.endpoint);
    net.world.run(&format!("ip route add {}/32 dev eth0", egress(true)));
    net.world.run(&format!("ping -c 1 -W 2 {}", egress(true)));
    assert_eq!(gateway.count("asked_not_held") + gateway.count("no_block"), 0);
    // Of a port in a block too.
    let inside = Port::of(&gateway.namespace, "egret0", egress(true));
    let outside = Port::of(&net.world, "eth0", world(true));
    let macs = (net.world_mac(), gateway.uplink.mac);
    outside.send(&udp(macs, socket(world(true), 9), socket(egress(true), 1100), b"x"));
    net.world.run(&format!("ping -c 1 -W 2 {}", egress(true)));
    assert_eq!(gateway.count("to_director"), 0);
    assert_eq!(inside.arrived(|frame| datagram(frame).is_some()), 0);
    assert_eq!(gateway.count("announcement_not_held"), 0);
}

#[test]
fn what_another_answers_for_is_not_answered_here_and_what_arrives_is_the_hosts() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    let other = net.node("other", 12);
    on_interface(&mut gateway, &other, AddressState::Standby, HostPart::Packets);
    gateway.knows_block_of(other.endpoint);
    net.world.run(&format!("ip route add {}/32 dev eth0", egress(true)));
    let refused = net.world.output(&format!("ping -c 1 -W 1 {}", egress(true)));
    assert!(!refused.status.success(), "{refused:?}");
    assert!(gateway.count("asked_not_held") > 0);
    // Who sends it here all the same, as a router that remembers does.
    let neighbour = link_text(gateway.uplink.mac);
    net.world.run(&format!("ip neigh replace {} lladdr {neighbour} dev eth0", egress(true)));
    // A question of its own would claim the address.
    let known =
        format!("ip neigh replace {} lladdr {} dev up0", world(true), link_text(net.world_mac()));
    gateway.namespace.run(&known);
    net.world.run(&format!("ping -c 1 -W 2 {}", egress(true)));
    assert_eq!(gateway.count("no_block"), 0);
}

#[test]
fn a_pods_packet_for_an_egress_address_of_its_own_gateway_is_dropped_by_name() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    let mut director = net.node("director", 12);
    gateway.holds(egress(true));
    director.stands_by(egress(true), &gateway);
    gateway.knows_block_of(director.endpoint);
    director.knows_block_of(director.endpoint);
    let outside = Port::of(&net.world, "eth0", world(true));
    let send = |to: &str| {
        let frame = udp(([0; 6], [0; 6]), socket(egress(true), 1100), socket(ip(to), 9), b"x");
        Port::of(&director.namespace, "egret0", egress(true)).send(&frame);
    };
    let (held, local, elsewhere) = ("192.0.2.201", "192.0.2.202", "192.0.2.203");
    gateway.holds(ip(held));
    let standby = gateway.entry(AddressState::Standby, &director, Duration::ZERO);
    let here = AddressEntry { host: HostPart::Packets, ..standby.clone() };
    gateway.addresses.put(ip(local), &here).unwrap();
    gateway.addresses.put(ip(elsewhere), &standby).unwrap();
    send(held);
    assert_eq!(gateway.await_count("destination_is_here", 1), 1);
    send(local);
    assert_eq!(gateway.await_count("destination_is_here", 2), 2);
    assert_eq!(gateway.count("to_world"), 0, "what went nowhere is not counted as forwarded");
    send(elsewhere);
    assert_eq!(gateway.await_count("to_world", 1), 1, "its holder answers for it");
    assert_eq!(outside.arrived(|frame| datagram(frame).is_some()), 0);
}

#[test]
fn a_pods_packet_for_an_address_of_its_gateways_uplink_is_dropped_by_name_while_it_is_there() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    let mut director = net.node("director", 12);
    gateway.holds(egress(true));
    director.stands_by(egress(true), &gateway);
    gateway.knows_block_of(director.endpoint);
    director.knows_block_of(director.endpoint);
    let vip = ip("192.0.2.201");
    gateway.namespace.run(&format!("ip addr add {vip}/32 dev up0"));
    gateway.addresses.set_host(&[vip, gateway.endpoint].into()).unwrap();
    let send = || {
        let frame = udp(([0; 6], [0; 6]), socket(egress(true), 1100), socket(vip, 9), b"x");
        Port::of(&director.namespace, "egret0", egress(true)).send(&frame);
    };
    send();
    assert_eq!(gateway.await_count("destination_is_here", 1), 1);
    assert_eq!(gateway.count("to_world"), 0, "what went nowhere is not counted as forwarded");
    // All that it is to the others is as it was: asked for, answered, announced.
    net.world.run(&format!("ip route add {vip}/32 dev eth0"));
    net.world.run(&format!("ping -c 1 -W 2 {vip}"));
    gateway.namespace.run(&format!("ping -c 1 -W 2 -I {vip} {}", world(true)));
    let taken = ["asked_not_held", "announcement_not_held", "no_block", "not_egress_address"];
    assert_eq!(taken.map(|reason| gateway.count(reason)), [0; 4]);
    gateway.namespace.run(&format!("ip addr del {vip}/32 dev up0"));
    // Also where another process of the agent finds it gone.
    gateway.addresses = gateway.loaded.addresses().unwrap();
    gateway.addresses.set_host(&[gateway.endpoint].into()).unwrap();
    send();
    assert_eq!(gateway.await_count("to_world", 1), 1);
}

#[test]
fn an_address_of_the_uplink_makes_way_for_an_entry() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    let vip = ip("192.0.2.201");
    gateway.addresses.set_host(&[vip].into()).unwrap();
    assert!(gateway.addresses.entries().unwrap().is_empty(), "it is no egress address");
    let entry = gateway.entry(AddressState::Held, &gateway, Duration::from_secs(600));
    gateway.addresses.put(vip, &entry).unwrap();
    for host in [[vip].into(), [].into()] {
        gateway.addresses.set_host(&host).unwrap();
        assert_eq!(gateway.addresses.entries().unwrap(), [(vip, entry.clone())].into());
    }
}

#[test]
fn a_pods_packet_for_an_egress_address_that_a_cloud_maps_goes_to_the_clouds_router() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    let mut director = net.node("director", 12);
    gateway.holds(egress(true));
    director.stands_by(egress(true), &gateway);
    gateway.knows_block_of(director.endpoint);
    director.knows_block_of(director.endpoint);
    let mapped = ip("192.0.2.201");
    let held = gateway.entry(AddressState::Held, &gateway, Duration::from_secs(600));
    let entry = AddressEntry { wire: Some(ip("10.0.0.201")), ..held };
    gateway.addresses.put(mapped, &entry).unwrap();
    let frame = udp(([0; 6], [0; 6]), socket(egress(true), 1100), socket(mapped, 9), b"x");
    Port::of(&director.namespace, "egret0", egress(true)).send(&frame);
    assert_eq!(gateway.await_count("to_world", 1), 1);
    assert_eq!(gateway.count("destination_is_here"), 0);
}

fn link_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
