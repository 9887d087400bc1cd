//! Stale steering: one hop more, once, and only between gateways.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::Duration;

use egret_ports::gateway::{AddressMap as _, AddressState, GatewayMaps as _};

use super::net::{Net, Node, TUNNEL_PORT, Underlay, VNI, egress, socket, world};
use super::packets::{Port, datagram, source_mac, udp};

const NOBODY: ([u8; 6], [u8; 6]) = ([0; 6], [0; 6]);

/// Two gateways, the director steers to the first.
fn three(net: &Net) -> (Node, Node, Node) {
    let mut first = net.node("first", 11);
    let mut second = net.node("second", 12);
    let mut director = net.node("director", 13);
    let gateways = BTreeSet::from([first.endpoint, second.endpoint]);
    for gateway in [&mut first, &mut second] {
        gateway.tables.set_gateways(&gateways).unwrap();
        gateway.knows_block_of(director.endpoint);
    }
    for v4 in [true, false] {
        director.stands_by(egress(v4), &first);
    }
    (first, second, director)
}

fn from_pod(director: &Node, v4: bool) {
    let frame = udp(NOBODY, socket(egress(v4), 1100), socket(world(v4), 9), b"x");
    Port::of(&director.namespace, "egret0", egress(v4)).send(&frame);
}

fn a_former_holder_sends_on(underlay: Underlay, state: AddressState) {
    let net = Net::new(underlay);
    let (mut first, mut second, director) = three(&net);
    for v4 in [true, false] {
        let entry = first.entry(state, &second, Duration::ZERO);
        first.addresses.put(egress(v4), &entry).unwrap();
        second.holds(egress(v4));
        let outside = Port::of(&net.world, "eth0", egress(v4));
        from_pod(&director, v4);
        let mac = outside.expect("the relayed packet in the world", |frame| {
            datagram(frame).map(|_| source_mac(frame))
        });
        assert_eq!(mac, second.uplink.mac);
    }
    assert_eq!((first.count("relayed"), first.count("to_world")), (2, 0));
    assert_eq!((second.count("relayed"), second.count("to_world")), (0, 2));
}

#[test]
fn a_standby_sends_on_to_the_holder_over_ipv4() {
    a_former_holder_sends_on(Underlay::V4, AddressState::Standby);
}

#[test]
fn a_leaving_gateway_sends_on_to_the_holder_over_ipv6() {
    a_former_holder_sends_on(Underlay::V6, AddressState::Leaving);
}

#[test]
fn two_that_take_each_other_for_the_holder_relay_once() {
    let net = Net::new(Underlay::V4);
    let (mut first, mut second, director) = three(&net);
    for v4 in [true, false] {
        first.stands_by(egress(v4), &second);
        second.stands_by(egress(v4), &first);
        let outside = Port::of(&net.world, "eth0", egress(v4));
        from_pod(&director, v4);
        second.await_count("relayed_twice", if v4 { 1 } else { 2 });
        assert_eq!(outside.arrived(|frame| datagram(frame).is_some()), 0);
    }
    assert_eq!((first.count("relayed"), first.count("relayed_twice")), (2, 0));
    assert_eq!((second.count("relayed"), second.count("relayed_twice")), (0, 2));
}

#[test]
fn a_coming_gateway_forwards_while_another_is_named_the_holder() {
    let net = Net::new(Underlay::V4);
    let (mut first, second, director) = three(&net);
    let entry = first.entry(AddressState::Coming, &second, Duration::from_secs(60));
    first.addresses.put(egress(true), &entry).unwrap();
    from_pod(&director, true);
    assert_eq!(first.await_count("to_world", 1), 1);
    assert_eq!(first.count("relayed"), 0);
}

#[test]
fn from_the_world_every_state_delivers_to_the_director() {
    let net = Net::new(Underlay::V4);
    let (mut first, second, mut director) = three(&net);
    director.knows_block_of(director.endpoint);
    let states =
        [AddressState::Standby, AddressState::Coming, AddressState::Held, AddressState::Leaving];
    let outside = Port::of(&net.world, "eth0", egress(true));
    for (number, state) in (1..).zip(states) {
        let entry = first.entry(state, &second, Duration::ZERO);
        first.addresses.put(egress(true), &entry).unwrap();
        let macs = (net.world_mac(), first.uplink.mac);
        outside.send(&udp(macs, socket(world(true), 9), socket(egress(true), 1100), b"x"));
        director.await_count("to_pod", number);
    }
}

/// A VXLAN frame made by a plain UDP socket, as any pod or host could.
fn forge(from: &Node, to: &Node, vni: u32, inner: &[u8]) {
    let _inside = from.namespace.enter();
    let forger = UdpSocket::bind((from.endpoint, 0)).unwrap();
    let mut bytes = vec![0x08, 0, 0, 0];
    bytes.extend((vni << 8).to_be_bytes());
    bytes.extend(inner);
    forger.send_to(&bytes, (to.endpoint, TUNNEL_PORT)).unwrap();
}

#[test]
fn forged_frames_are_dropped_by_name() {
    let net = Net::new(Underlay::V4);
    let (mut first, second, director) = three(&net);
    first.holds(egress(true));
    let inner = udp(NOBODY, socket(egress(true), 1100), socket(world(true), 9), b"forged");
    // On the relay's VNI, from a director: only gateways may.
    forge(&director, &first, VNI + 1, &inner);
    assert_eq!(first.await_count("relay_from_stranger", 1), 1);
    forge(&director, &first, VNI + 2, &inner);
    assert_eq!(first.await_count("unknown_vni", 1), 1);
    // With the director's ports, from a gateway.
    forge(&second, &first, VNI, &inner);
    assert_eq!(first.await_count("foreign_block", 1), 1);
    let stranger = udp(NOBODY, socket(world(true), 9), socket(first.endpoint, 22), b"to the host");
    forge(&director, &first, VNI, &stranger);
    assert_eq!(first.await_count("not_director", 1), 1);
    forge(&director, &first, VNI + 1, &stranger);
    assert_eq!(first.await_count("not_egress_address", 1), 1);
    let mut short_header = inner.clone();
    short_header[14] = 0x44;
    forge(&director, &first, VNI, &short_header);
    assert_eq!(first.await_count("malformed", 1), 1);
    let mut other = inner.clone();
    other[12..14].copy_from_slice(&[0x88, 0xcc]);
    forge(&director, &first, VNI, &other);
    assert_eq!(first.await_count("not_ip", 1), 1);
    assert_eq!((first.count("to_world"), first.count("to_pod")), (0, 0));
    // The same from the director's own address and on the right VNI is what the tunnel carries.
    forge(&director, &first, VNI, &inner);
    first.await_count("to_world", 1);
}
