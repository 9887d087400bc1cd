//! ARP and NDP: who answers, with what, and who keeps silent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use egret_ports::gateway::{AddressMap as _, AddressState, BootTime};

use super::net::{Net, Underlay, egress, now, socket, world};
use super::packets::{Mac, Port, datagram, icmpv6_sum, source_mac, udp};

fn v4(address: IpAddr) -> Ipv4Addr {
    let IpAddr::V4(v4) = address else { panic!("{address}") };
    v4
}

fn v6(address: IpAddr) -> Ipv6Addr {
    let IpAddr::V6(v6) = address else { panic!("{address}") };
    v6
}

fn arp_request(mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = [[0xff; 6].as_slice(), &mac, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
    frame.extend(mac);
    frame.extend(sender.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

/// A solicitation; with `source` unspecified one of duplicate address detection.
fn solicitation(mac: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let [.., b, c, d] = target.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, b, c, d]);
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    if !source.is_unspecified() {
        message.extend([1, 1]);
        message.extend(mac);
    }
    let mut packet = vec![0x60, 0, 0, 0, 0, u8::try_from(message.len()).unwrap(), 58, 255];
    packet.extend(source.octets());
    packet.extend(group.octets());
    packet.extend(message);
    let sum = icmpv6_sum(&packet).to_be_bytes();
    packet[42..44].copy_from_slice(&sum);
    [[0x33, 0x33, 0xff, b, c, d].as_slice(), &mac, &[0x86, 0xdd], &packet].concat()
}

#[test]
fn arp_for_a_held_address_is_answered() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    gateway.holds(egress(true));
    let outside = Port::open(&net.world, "eth0", libc::ETH_P_ARP);
    let (mac, asker, target) = (net.world_mac(), v4(world(true)), v4(egress(true)));
    for sender in [asker, Ipv4Addr::UNSPECIFIED] {
        outside.send(&arp_request(mac, sender, target));
        let answer = outside.expect("an ARP reply", |frame| {
            (frame[20..22] == [0, 2]).then(|| frame[..42].to_vec())
        });
        assert_eq!(answer[..6], mac);
        assert_eq!(answer[6..12], gateway.uplink.mac);
        assert_eq!(answer[22..28], gateway.uplink.mac);
        assert_eq!(answer[28..32], target.octets());
        assert_eq!(answer[32..38], mac);
        assert_eq!(answer[38..42], sender.octets());
    }
    // Another's announcement is no question.
    outside.send(&arp_request(mac, target, target));
    assert_eq!(gateway.count("arp_answered"), 2);
}

#[test]
fn solicitations_for_a_held_address_are_answered() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    gateway.holds(egress(false));
    let outside = Port::open(&net.world, "eth0", libc::ETH_P_IPV6);
    let (mac, target) = (net.world_mac(), v6(egress(false)));
    let all_nodes: Ipv6Addr = "ff02::1".parse().unwrap();
    for source in [v6(world(false)), Ipv6Addr::UNSPECIFIED] {
        outside.send(&solicitation(mac, source, target));
        let frame = outside.expect("an advertisement", |frame| {
            (frame[54] == 136 && frame[62..78] == target.octets()).then(|| frame.to_vec())
        });
        let probing = source.is_unspecified();
        let (to, to_mac) = match probing {
            true => (all_nodes, [0x33, 0x33, 0, 0, 0, 1]),
            false => (source, mac),
        };
        assert_eq!(frame.len(), 14 + 40 + 32);
        assert_eq!((&frame[..6], &frame[6..12]), (&to_mac[..], &gateway.uplink.mac[..]));
        assert_eq!(frame[21], 255, "hop limit");
        assert_eq!((&frame[22..38], &frame[38..54]), (&target.octets()[..], &to.octets()[..]));
        // Override always, solicited where somebody asked, router never.
        assert_eq!(frame[58], if probing { 0x20 } else { 0x60 });
        assert_eq!(frame[78..80], [2, 1]);
        assert_eq!(frame[80..86], gateway.uplink.mac);
        assert_eq!(icmpv6_sum(&frame[14..]), 0, "checksum");
    }
    assert_eq!(gateway.count("ndp_answered"), 2);
}

#[test]
fn the_worlds_own_stack_believes_the_answers() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    for family in [true, false] {
        gateway.holds(egress(family));
        net.world.output(&format!("ping -c 1 -W 1 {}", egress(family)));
        let neighbours = net.world.run(&format!("ip neigh show {}", egress(family)));
        let mac = gateway.uplink.mac.map(|byte| format!("{byte:02x}")).join(":");
        assert!(neighbours.contains(&mac), "{neighbours}");
        assert!(!neighbours.contains("router"), "{neighbours}");
    }
}

#[test]
fn who_does_not_hold_it_now_keeps_silent() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    let arp = Port::open(&net.world, "eth0", libc::ETH_P_ARP);
    let ndp = Port::open(&net.world, "eth0", libc::ETH_P_IPV6);
    let mac = net.world_mac();
    let hour = Duration::from_secs(3600);
    let mut entries = [AddressState::Standby, AddressState::Coming, AddressState::Leaving]
        .map(|state| gateway.entry(state, &gateway, hour))
        .to_vec();
    let mut expired = gateway.entry(AddressState::Held, &gateway, hour);
    expired.valid_until = Some(BootTime(now().0));
    let mut elsewhere = gateway.entry(AddressState::Held, &gateway, hour);
    elsewhere.uplink.as_mut().unwrap().index += 1;
    entries.extend([expired, elsewhere]);
    // The stack would answer for others here: it must not get to see the question.
    gateway.namespace.sysctl("net/ipv4/conf/all/proxy_arp", "1");
    gateway.namespace.sysctl("net/ipv4/ip_forward", "1");
    gateway.namespace.run("ip route add 192.0.2.200/32 dev egret0");
    for (number, entry) in (1..).zip(&entries) {
        for family in [true, false] {
            gateway.addresses.put(egress(family), entry).unwrap();
        }
        arp.send(&arp_request(mac, v4(world(true)), v4(egress(true))));
        ndp.send(&solicitation(mac, v6(world(false)), v6(egress(false))));
        gateway.await_count("asked_not_held", 2 * number);
        let from_gateway = |frame: &[u8]| source_mac(frame) == gateway.uplink.mac;
        assert_eq!(arp.arrived(|frame| from_gateway(frame) && frame[20..22] == [0, 2]), 0);
        assert_eq!(ndp.arrived(|frame| from_gateway(frame) && frame[54] == 136), 0);
    }
    assert_eq!((gateway.count("arp_answered"), gateway.count("ndp_answered")), (0, 0));
}

#[test]
fn a_wire_address_that_is_the_nodes_own_stays_the_nodes_too() {
    let net = Net::new(Underlay::V4);
    let mut gateway = net.node("gateway", 11);
    let mut director = net.node("director", 12);
    let mut entry = gateway.entry(AddressState::Standby, &director, Duration::ZERO);
    entry.wire = Some(gateway.endpoint);
    gateway.addresses.put(egress(true), &entry).unwrap();
    gateway.knows_block_of(director.endpoint);
    director.knows_block_of(director.endpoint);
    // ARP, and what is in no block: the node's own.
    net.world.run(&format!("ping -c 1 -W 2 {}", gateway.endpoint));
    // What is in a block: its director's, under the egress address.
    let outside = Port::of(&net.world, "eth0", world(true));
    let inside = Port::of(&director.namespace, "egret0", egress(true));
    let macs = (net.world_mac(), gateway.uplink.mac);
    outside.send(&udp(macs, socket(world(true), 9), socket(gateway.endpoint, 1100), b"x"));
    let back = inside.expect("the datagram at the director", datagram);
    assert_eq!(back.to, socket(egress(true), 1100));
    // The announcements of the node's own address are its own affair.
    gateway.namespace.run("ip neigh flush dev up0");
    gateway.namespace.run(&format!("ping -c 3 -i 0.2 -W 2 {}", world(true)));
    assert_eq!(gateway.count("announcement_not_held"), 0);
}
