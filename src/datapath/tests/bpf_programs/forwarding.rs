//! Steering, forwarding, the sender check and the deadline.

use std::time::Duration;

use egret_datapath::bpf::AttachMode;
use egret_ports::gateway::{AddressEntry, AddressMap as _, AddressState, BootTime, HostPart};

use super::net::{Net, Node, Underlay, egress, ip, now, socket, world};
use super::packets::{Datagram, Port, answers, datagram, source_mac, udp};

const NOBODY: ([u8; 6], [u8; 6]) = ([0; 6], [0; 6]);

/// A datagram from the director's stack, source already rewritten, to the world.
fn from_pod(director: &Node, v4: bool, port: u16, payload: &[u8]) {
    let frame = udp(NOBODY, socket(egress(v4), port), socket(world(v4), 9), payload);
    Port::of(&director.namespace, "egret0", egress(v4)).send(&frame);
}

fn there_and_back(underlay: Underlay) {
    let net = Net::new(underlay);
    let (mut gateway, mut director) = net.gateway_and_director();
    for v4 in [true, false] {
        let outside = Port::of(&net.world, "eth0", egress(v4));
        let inside = Port::of(&director.namespace, "egret0", egress(v4));
        from_pod(&director, v4, 1100, b"ask");
        let seen = outside.expect("the pod's packet in the world", |frame| {
            datagram(frame).map(|datagram| (source_mac(frame), datagram))
        });
        let there = Datagram {
            from: socket(egress(v4), 1100),
            to: socket(world(v4), 9),
            payload: b"ask".to_vec(),
        };
        assert_eq!(seen, (gateway.uplink.mac, there));
        let macs = (net.world_mac(), gateway.uplink.mac);
        outside.send(&udp(macs, socket(world(v4), 9), socket(egress(v4), 1100), b"answer"));
        let back = inside.expect("the answer at the director", datagram);
        assert_eq!((back.to, back.payload), (socket(egress(v4), 1100), b"answer".to_vec()));
    }
    assert_eq!(gateway.count("to_world"), 2);
    assert_eq!(gateway.count("to_director"), 2);
    assert_eq!(director.count("to_holder"), 2);
    assert_eq!(director.count("to_pod"), 2);
}

#[test]
fn a_packet_goes_out_at_the_holder_and_its_answer_comes_back_over_ipv4() {
    there_and_back(Underlay::V4);
}

#[test]
fn a_packet_goes_out_at_the_holder_and_its_answer_comes_back_over_ipv6() {
    there_and_back(Underlay::V6);
}

#[test]
fn a_gateway_is_its_own_director() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    for v4 in [true, false] {
        gateway.holds(egress(v4));
    }
    gateway.knows_block_of(gateway.endpoint);
    for v4 in [true, false] {
        let outside = Port::of(&net.world, "eth0", egress(v4));
        let inside = Port::of(&gateway.namespace, "egret0", egress(v4));
        from_pod(&gateway, v4, 1151, b"ask");
        outside.expect("the pod's packet in the world", datagram);
        let macs = (net.world_mac(), gateway.uplink.mac);
        outside.send(&udp(macs, socket(world(v4), 9), socket(egress(v4), 1151), b"answer"));
        let back = inside.expect("the answer on the tunnel device", datagram);
        assert_eq!(back.to, socket(egress(v4), 1151));
        // A port of nobody's, from here, is not let out either.
        from_pod(&gateway, v4, 1152, b"stray");
    }
    assert_eq!(gateway.await_count("no_block", 2), 2);
    assert_eq!(gateway.count("to_local_director"), 2);
    assert_eq!(gateway.count("to_pod"), 2);
}

#[test]
fn past_the_deadline_nothing_is_forwarded() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = net.gateway_and_director();
    for v4 in [true, false] {
        let outside = Port::of(&net.world, "eth0", egress(v4));
        let mut entry = gateway.entry(AddressState::Held, &gateway, Duration::ZERO);
        entry.valid_until = Some(BootTime(now().0));
        gateway.addresses.put(egress(v4), &entry).unwrap();
        from_pod(&director, v4, 1100, b"late");
        gateway.await_count("lease_expired", if v4 { 1 } else { 2 });
        assert_eq!(outside.arrived(|frame| datagram(frame).is_some()), 0);
    }
    assert_eq!(gateway.count("to_world"), 0);
    // Not armed: no deadline (clouds).
    let entry = gateway.entry(AddressState::Held, &gateway, Duration::ZERO);
    let unarmed = AddressEntry { valid_until: None, ..entry };
    gateway.addresses.put(egress(true), &unarmed).unwrap();
    from_pod(&director, true, 1100, b"in time");
    gateway.await_count("to_world", 1);
}

#[test]
fn a_running_deadline_ends_without_any_process() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = net.gateway_and_director();
    let entry = gateway.entry(AddressState::Held, &gateway, Duration::from_millis(300));
    gateway.addresses.put(egress(true), &entry).unwrap();
    let end = entry.valid_until.unwrap();
    from_pod(&director, true, 1100, b"in time");
    while now() <= end {
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = gateway.count("to_world");
    from_pod(&director, true, 1100, b"late");
    gateway.await_count("lease_expired", 1);
    assert_eq!(gateway.count("to_world"), before);
}

#[test]
fn only_the_ports_of_the_sender_leave() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = net.gateway_and_director();
    let mut thief = net.node("thief", 13);
    for v4 in [true, false] {
        thief.stands_by(egress(v4), &gateway);
        from_pod(&thief, v4, 1100, b"forged");
        from_pod(&director, v4, 1152, b"of nobody");
    }
    assert_eq!(gateway.await_count("foreign_block", 2), 2);
    assert_eq!(gateway.await_count("no_block", 2), 2);
    assert_eq!(gateway.count("to_world"), 0);
    // The block changes hands: the old director may not use it any more.
    gateway.knows_block_of(thief.endpoint);
    from_pod(&thief, true, 1100, b"leased");
    gateway.await_count("to_world", 1);
    from_pod(&director, true, 1100, b"too late");
    assert_eq!(gateway.await_count("foreign_block", 3), 3);
}

#[test]
fn a_datagram_to_a_port_of_nobody_dies_at_the_gateway_without_an_answer() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, mut director) = net.gateway_and_director();
    for v4 in [true, false] {
        let outside = Port::of(&net.world, "eth0", egress(v4));
        let macs = (net.world_mac(), gateway.uplink.mac);
        outside.send(&udp(macs, socket(world(v4), 9), socket(egress(v4), 7000), b"scan"));
        gateway.await_count("no_block", if v4 { 1 } else { 2 });
        assert_eq!(outside.arrived(|frame| answers(frame, world(v4))), 0);
    }
    assert_eq!(gateway.count("to_director"), 0);
    assert_eq!(director.count("to_pod"), 0);
}

#[test]
fn a_director_takes_only_its_own_ports() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, mut director) = net.gateway_and_director();
    // The gateway is wrong about the block: the director knows better.
    director.tables = director.loaded.gateway_tables().unwrap();
    director.knows_block_of(gateway.endpoint);
    let inside = Port::of(&director.namespace, "egret0", egress(true));
    let outside = Port::of(&net.world, "eth0", egress(true));
    let macs = (net.world_mac(), gateway.uplink.mac);
    outside.send(&udp(macs, socket(world(true), 9), socket(egress(true), 1100), b"x"));
    assert_eq!(director.await_count("not_director", 1), 1);
    assert_eq!(gateway.count("to_director"), 1);
    assert_eq!(inside.arrived(|frame| datagram(frame).is_some()), 0);
}

#[test]
fn nobody_holds_it_or_it_is_no_egress_address() {
    let net = Net::new(Underlay::V4);
    let (_gateway, mut director) = net.gateway_and_director();
    let nobody = AddressEntry {
        state: AddressState::Standby,
        holder: None,
        valid_until: None,
        wire: None,
        uplink: None,
        host: HostPart::Nothing,
    };
    director.addresses.put(egress(true), &nobody).unwrap();
    director.addresses.remove(egress(false)).unwrap();
    from_pod(&director, true, 1100, b"x");
    from_pod(&director, false, 1100, b"x");
    assert_eq!(director.await_count("no_holder", 1), 1);
    assert_eq!(director.await_count("not_egress_address", 1), 1);
    assert_eq!(director.count("to_holder"), 0);
}

#[test]
fn clsact_does_what_tcx_does() {
    let net = Net::new(Underlay::V4);
    let mut gateway = Node::new(&net, "gateway", 11, AttachMode::Clsact);
    let mut director = Node::new(&net, "director", 12, AttachMode::Clsact);
    gateway.holds(egress(true));
    director.stands_by(egress(true), &gateway);
    gateway.knows_block_of(director.endpoint);
    from_pod(&director, true, 1100, b"x");
    gateway.await_count("to_world", 1);
    let filters = gateway.namespace.run("tc filter show dev up0 ingress");
    assert!(filters.contains("egret_up_in"), "{filters}");
}

#[test]
fn a_next_hop_is_used_where_the_uplink_has_no_route() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = net.gateway_and_director();
    let beyond = [(true, "198.51.100.7", world(true)), (false, "2001:db8:9::7", world(false))];
    for (v4, beyond, router) in beyond {
        let outside = Port::of(&net.world, "eth0", egress(v4));
        let to = socket(ip(beyond), 9);
        let frame = udp(NOBODY, socket(egress(v4), 1100), to, b"far");
        let tunnel = Port::of(&director.namespace, "egret0", egress(v4));
        let mut entry = gateway.entry(AddressState::Held, &gateway, Duration::from_secs(60));
        // Without a route and without a next hop the kernel drops it.
        tunnel.send(&frame);
        gateway.await_count("to_world", if v4 { 1 } else { 3 });
        let is_it = |frame: &[u8]| datagram(frame).is_some_and(|datagram| datagram.to == to);
        assert_eq!(outside.arrived(is_it), 0);
        entry.uplink.as_mut().unwrap().next_hop = Some(router);
        gateway.addresses.put(egress(v4), &entry).unwrap();
        tunnel.send(&frame);
        outside.expect("the packet at its next hop", |frame| is_it(frame).then_some(()));
    }
}

#[test]
fn what_a_switch_floods_is_not_delivered_twice() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, mut director) = net.gateway_and_director();
    for v4 in [true, false] {
        let outside = Port::of(&net.world, "eth0", egress(v4));
        let frame = |to| {
            let (from, egress) = (socket(world(v4), 9), socket(egress(v4), 1100));
            udp((net.world_mac(), to), from, egress, b"x")
        };
        outside.send(&frame([2, 0, 0, 0, 0, 0x77]));
        outside.send(&frame(gateway.uplink.mac));
        director.await_count("to_pod", if v4 { 1 } else { 2 });
    }
    assert_eq!(gateway.count("to_director"), 2);
}

#[test]
fn extension_headers_are_stepped_over() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = net.gateway_and_director();
    let inside = Port::of(&director.namespace, "egret0", egress(false));
    let outside = Port::of(&net.world, "eth0", egress(false));
    let macs = (net.world_mac(), gateway.uplink.mac);
    let mut frame = udp(macs, socket(world(false), 9), socket(egress(false), 1100), b"x");
    // A destination options header with a PadN option of 4 bytes.
    let options = [17, 0, 1, 4, 0, 0, 0, 0];
    frame[20] = 60;
    frame[19] += 8;
    frame.splice(54..54, options);
    outside.send(&frame);
    let back = inside.expect("the datagram at the director", datagram);
    assert_eq!(back.to, socket(egress(false), 1100));
    assert_eq!(gateway.count("to_director"), 1);
}
