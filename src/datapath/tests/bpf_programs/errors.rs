//! ICMP errors, and answers about packets that do not fit the tunnel.

use std::net::IpAddr;

use super::net::{Net, Underlay, egress, socket, world};
use super::packets::{Port, datagram, icmpv6_sum, internet_sum, set_fragment, udp};

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// An IP packet that carries an ICMP "port unreachable" about `quoted`.
fn unreachable(from: IpAddr, to: IpAddr, quoted: &[u8]) -> Vec<u8> {
    let mut packet;
    if from.is_ipv4() {
        let length = u16::try_from(28 + quoted.len()).unwrap().to_be_bytes();
        packet = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, 1, 0, 0];
        packet.extend([octets(from), octets(to)].concat());
        let sum = internet_sum(&[&packet]).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
        packet.extend([3, 3, 0, 0, 0, 0, 0, 0]);
        packet.extend(quoted);
        let sum = internet_sum(&[&packet[20..]]).to_be_bytes();
        packet[22..24].copy_from_slice(&sum);
    } else {
        let length = u16::try_from(8 + quoted.len()).unwrap().to_be_bytes();
        packet = vec![0x60, 0, 0, 0, length[0], length[1], 58, 64];
        packet.extend([octets(from), octets(to)].concat());
        packet.extend([1, 4, 0, 0, 0, 0, 0, 0]);
        packet.extend(quoted);
        let sum = icmpv6_sum(&packet).to_be_bytes();
        packet[42..44].copy_from_slice(&sum);
    }
    packet
}

fn frame(macs: ([u8; 6], [u8; 6]), packet: &[u8]) -> Vec<u8> {
    let kind = if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
    [macs.1.as_slice(), &macs.0, &kind, packet].concat()
}

fn is_error(frame: &[u8], quoted: &[u8]) -> bool {
    let (kind, header) = if frame[14] >> 4 == 4 { ([3, 3], 34) } else { ([1, 4], 54) };
    frame.len() >= header + 8 + quoted.len()
        && frame[header..header + 2] == kind
        && frame[header + 8..].starts_with(quoted)
}

const NOBODY: ([u8; 6], [u8; 6]) = ([0; 6], [0; 6]);

#[test]
fn an_icmp_error_finds_the_director_of_the_quoted_port() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = net.gateway_and_director();
    for v4 in [true, false] {
        let (from, to) = (socket(egress(v4), 1100), socket(world(v4), 9));
        let outside = Port::of(&net.world, "eth0", egress(v4));
        let inside = Port::of(&director.namespace, "egret0", egress(v4));
        let quoted = &udp(NOBODY, from, to, b"what was sent")[14..];
        let macs = (net.world_mac(), gateway.uplink.mac);
        outside.send(&frame(macs, &unreachable(world(v4), egress(v4), quoted)));
        inside.expect("the error at the director", |frame| is_error(frame, quoted).then_some(()));
        // An error about a packet of another source is no error for this address.
        let foreign = &udp(NOBODY, socket(world(v4), 1100), to, b"x")[14..];
        outside.send(&frame(macs, &unreachable(world(v4), egress(v4), foreign)));
        gateway.await_count("malformed", if v4 { 1 } else { 2 });
    }
    assert_eq!(gateway.count("to_director"), 2);
}

#[test]
fn an_icmp_error_of_a_pod_leaves_by_the_quoted_port() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = net.gateway_and_director();
    for v4 in [true, false] {
        let (from, to) = (socket(world(v4), 9), socket(egress(v4), 1100));
        let outside = Port::of(&net.world, "eth0", egress(v4));
        let inside = Port::of(&director.namespace, "egret0", egress(v4));
        let quoted = &udp(NOBODY, from, to, b"an answer to nobody")[14..];
        inside.send(&frame(NOBODY, &unreachable(egress(v4), world(v4), quoted)));
        outside.expect("the error in the world", |frame| is_error(frame, quoted).then_some(()));
        // The same about a port that is not the director's.
        let foreign = &udp(NOBODY, from, socket(egress(v4), 1152), b"x")[14..];
        inside.send(&frame(NOBODY, &unreachable(egress(v4), world(v4), foreign)));
        gateway.await_count("no_block", if v4 { 1 } else { 2 });
    }
    assert_eq!(gateway.count("to_world"), 2);
}

#[test]
fn what_does_not_fit_the_tunnel_is_answered_with_the_size_that_does() {
    for (underlay, mtu) in [(Underlay::V4, 1450_u16), (Underlay::V6, 1430)] {
        let net = Net::new(underlay);
        let (mut gateway, _director) = net.gateway_and_director();
        for v4 in [true, false] {
            let outside = Port::of(&net.world, "eth0", egress(v4));
            let macs = (net.world_mac(), gateway.uplink.mac);
            let headers = if v4 { 28 } else { 48 };
            let send = |length: u16| {
                let payload = vec![7; usize::from(length) - headers];
                let (from, to) = (socket(world(v4), 9), socket(egress(v4), 1100));
                let mut frame = udp(macs, from, to, &payload);
                if v4 {
                    set_fragment(&mut frame, 0x4000);
                }
                outside.send(&frame);
                frame
            };
            let sent = send(mtu + 1);
            let answer = outside.expect("frag needed, or packet too big", |frame| {
                let kind = if v4 { &[3, 4] } else { &[2, 0] };
                let at = if v4 { 34 } else { 54 };
                (frame[at..at + 2] == *kind).then(|| frame.to_vec())
            });
            assert_eq!((&answer[..6], &answer[6..12]), (&macs.0[..], &macs.1[..]));
            let (header, sum) = if v4 {
                assert_eq!(internet_sum(&[&answer[14..34]]), 0, "IP header checksum");
                assert_eq!(answer[26..34], [octets(egress(v4)), octets(world(v4))].concat());
                (34, internet_sum(&[&answer[34..]]))
            } else {
                assert_eq!(answer[22..54], [octets(egress(v4)), octets(world(v4))].concat());
                (54, icmpv6_sum(&answer[14..]))
            };
            assert_eq!(sum, 0, "ICMP checksum");
            assert_eq!(answer[header + 6..header + 8], mtu.to_be_bytes());
            assert_eq!(answer[header + 8..], sent[14..14 + 512]);
            // A second at once is not worth a second answer.
            send(mtu + 1);
            gateway.await_count("too_big", if v4 { 1 } else { 1 + u64::from(!v4) });
            let before = gateway.count("to_director");
            send(mtu);
            gateway.await_count("to_director", before + 1);
        }
        assert_eq!(gateway.count("too_big_answered"), 2);
    }
}

#[test]
fn without_the_dont_fragment_bit_the_outer_packet_is_fragmented() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = net.gateway_and_director();
    let outside = Port::of(&net.world, "eth0", egress(true));
    let inside = Port::of(&director.namespace, "egret0", egress(true));
    let macs = (net.world_mac(), gateway.uplink.mac);
    let payload = vec![7; 1472];
    let mut frame = udp(macs, socket(world(true), 9), socket(egress(true), 1100), &payload);
    set_fragment(&mut frame, 0);
    outside.send(&frame);
    let whole = inside.expect("the whole datagram at the director", datagram);
    assert_eq!(whole.payload, payload);
    assert_eq!((gateway.count("too_big_answered"), gateway.count("too_big")), (0, 0));
}
