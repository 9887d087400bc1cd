//! Frames → bytes and back: pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use egret_ports::announcer::ForeignClaim;

const BROADCAST: [u8; 6] = [0xff; 6];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ICMPV6: u8 = 58;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const OVERRIDE: u8 = 0x20;
const SOURCE_LINK_ADDRESS: u8 = 1;
const TARGET_LINK_ADDRESS: u8 = 2;
const PREFIX_INFORMATION: u8 = 3;
/// Of an IPv6 forwarding rule (<https://cloud.google.com/load-balancing/docs/forwarding-rule-concepts>).
const RANGE_LENGTH: u8 = 96;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The request and the reply form: some routers take only one of them as news (RFC 5227 section 3
/// asks for the request).
pub(super) fn gratuitous_arp(address: Ipv4Addr, mac: [u8; 6]) -> [Vec<u8>; 2] {
    [arp(REQUEST, (mac, address), ([0; 6], address)), gratuitous_arp_reply(address, mac)]
}

/// The form that moves an address in Google's network
/// (<https://cloud.google.com/load-balancing/docs/garp-ra-packet-spec>).
pub(super) fn gratuitous_arp_reply(address: Ipv4Addr, mac: [u8; 6]) -> Vec<u8> {
    arp(REPLY, (mac, address), (BROADCAST, address))
}

/// RFC 5227 section 2.1.1: an all-zero sender claims nothing.
pub(super) fn arp_probe(address: Ipv4Addr, mac: [u8; 6]) -> Vec<u8> {
    arp(REQUEST, (mac, Ipv4Addr::UNSPECIFIED), ([0; 6], address))
}

/// Who has `target`? (RFC 826)
pub(crate) fn arp_request(sender: ([u8; 6], Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
    arp(REQUEST, sender, ([0; 6], target))
}

fn arp(operation: u8, sender: ([u8; 6], Ipv4Addr), target: ([u8; 6], Ipv4Addr)) -> Vec<u8> {
    let mut frame = ethernet(BROADCAST, sender.0, ARP);
    frame.extend([0, 1, 0x08, 0, 6, 4, 0, operation]);
    frame.extend(sender.0);
    frame.extend(sender.1.octets());
    frame.extend(target.0);
    frame.extend(target.1.octets());
    frame.resize(60, 0); // the shortest Ethernet frame without its check sequence
    frame
}

/// RFC 4861 section 7.2.6, with the override flag.
pub(super) fn unsolicited_advertisement(address: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0];
    message.extend(address.octets());
    message.extend([TARGET_LINK_ADDRESS, 1]);
    message.extend(mac);
    icmpv6(mac, address, ALL_NODES, message)
}

/// What moves an IPv6 range in Google's network (its page is named above): from the link-local
/// address, the range as Prefix Information (RFC 4861 sections 4.2 and 4.6.2). It says to be no
/// router (lifetime 0), and that the prefix is neither on the link nor to be configured from, so that
/// a host that hears it changes nothing.
///
/// `None` where the address is not the first of its /96: a forwarding rule has a /96, and bits
/// behind the prefix must be zero.
pub(super) fn router_advertisement(address: Ipv6Addr, mac: [u8; 6]) -> Option<Vec<u8>> {
    let first = address.to_bits() & u128::from(u32::MAX) == 0;
    if !first {
        return None;
    }
    let mut message = vec![ROUTER_ADVERTISEMENT, 0, 0, 0];
    // Hop limit, flags, router lifetime, reachable time, retransmission timer: all unspecified.
    message.extend([0; 12]);
    message.extend([PREFIX_INFORMATION, 4, RANGE_LENGTH, 0]);
    // Valid and preferred lifetime, reserved.
    message.extend([0; 12]);
    message.extend(address.octets());
    Some(icmpv6(mac, link_local(mac), ALL_NODES, message))
}

/// RFC 4291 appendix A: what an interface has where nothing else is configured.
fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let pair = u16::from_be_bytes;
    Ipv6Addr::new(0xfe80, 0, 0, 0, pair([a ^ 2, b]), pair([c, 0xff]), pair([0xfe, d]), pair([e, f]))
}

/// RFC 4862 section 5.4.2: no source, no link-layer option.
pub(super) fn duplicate_address_solicitation(address: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(address.octets());
    icmpv6(mac, Ipv6Addr::UNSPECIFIED, solicited_node_group(address), message)
}

/// RFC 4861 section 7.2.2.
pub(crate) fn solicitation((mac, source): ([u8; 6], Ipv6Addr), target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    message.extend([SOURCE_LINK_ADDRESS, 1]);
    message.extend(mac);
    icmpv6(mac, source, solicited_node_group(target), message)
}

/// RFC 4291 section 2.7.1.
pub(super) fn solicited_node_group(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

/// `destination` is a multicast group: its MAC follows from it (RFC 2464 section 7).
fn icmpv6(mac: [u8; 6], source: Ipv6Addr, destination: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let [.., a, b, c, d] = destination.octets();
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let check = checksum(source, destination, length, &message);
    message[2..4].copy_from_slice(&check.to_be_bytes());
    let mut frame = ethernet([0x33, 0x33, a, b, c, d], mac, IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([ICMPV6, 255]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(message);
    frame
}

pub(super) fn ethernet(to: [u8; 6], from: [u8; 6], kind: [u8; 2]) -> Vec<u8> {
    [to.as_slice(), &from, &kind].concat()
}

/// RFC 4443 section 2.3; the checksum field of `message` is zero.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, length: u16, message: &[u8]) -> u16 {
    let mut bytes = [source.octets(), destination.octets()].concat();
    bytes.extend(u32::from(length).to_be_bytes());
    bytes.extend([0, 0, 0, ICMPV6]);
    bytes.extend(message);
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// What a received frame claims: an ARP sender, the target of an advertisement, the source of a
/// solicitation; or what it probes for: the target of an ARP request without a sender, or of duplicate
/// address detection.
pub(crate) fn claims(frame: &[u8]) -> Option<ForeignClaim> {
    let mac = frame.get(6..12)?.try_into().ok()?;
    let body = frame.get(14..)?;
    let kind = frame.get(12..14)?;
    if kind == ARP {
        claimed_by_arp(body)
    } else if kind == IPV6 {
        claimed_by_neighbour(body, mac)
    } else {
        None
    }
}

fn claimed_by_arp(arp: &[u8]) -> Option<ForeignClaim> {
    let arp: &[u8; 28] = arp.first_chunk()?;
    if arp[..6] != [0, 1, 0x08, 0, 6, 4] {
        return None;
    }
    let at = |from: usize| Ipv4Addr::new(arp[from], arp[from + 1], arp[from + 2], arp[from + 3]);
    let (sender, target) = (at(14), at(24));
    let mac = [arp[8], arp[9], arp[10], arp[11], arp[12], arp[13]];
    let probes = sender.is_unspecified();
    if probes && arp[7] != REQUEST {
        return None;
    }
    let address = if probes { target } else { sender };
    Some(ForeignClaim { address: address.into(), mac, probes })
}

fn claimed_by_neighbour(packet: &[u8], mac: [u8; 6]) -> Option<ForeignClaim> {
    let packet: &[u8; 64] = packet.first_chunk()?;
    // A hop limit under 255 came from beyond the link (RFC 4861 section 7.1).
    if packet[0] >> 4 != 6 || packet[6] != ICMPV6 || packet[7] != 255 {
        return None;
    }
    let at = |from: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&packet[from..from + 16]);
        Ipv6Addr::from(octets)
    };
    let (source, target) = (at(8), at(48));
    let (address, probes) = match packet[40] {
        ADVERTISEMENT => (target, false),
        SOLICITATION if source.is_unspecified() => (target, true),
        SOLICITATION => (source, false),
        _ => return None,
    };
    Some(ForeignClaim { address: address.into(), mac, probes })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    fn claim(frame: &[u8]) -> Option<(IpAddr, [u8; 6])> {
        let claim = claims(frame).filter(|claim| !claim.probes)?;
        Some((claim.address, claim.mac))
    }

    fn probe(frame: &[u8]) -> Option<(IpAddr, [u8; 6])> {
        let claim = claims(frame).filter(|claim| claim.probes)?;
        Some((claim.address, claim.mac))
    }

    #[test]
    fn what_is_announced_is_a_claim_and_what_is_probed_for_is_none() {
        let v4 = Ipv4Addr::new(203, 0, 113, 9);
        let v6 = "2001:db8::abcd:ef01".parse::<Ipv6Addr>().unwrap();
        for frame in gratuitous_arp(v4, MAC) {
            assert_eq!((claim(&frame), probe(&frame)), (Some((v4.into(), MAC)), None));
        }
        let frame = unsolicited_advertisement(v6, MAC);
        assert_eq!((claim(&frame), probe(&frame)), (Some((v6.into(), MAC)), None));
        let frame = arp_probe(v4, MAC);
        assert_eq!((claim(&frame), probe(&frame)), (None, Some((v4.into(), MAC))));
        let frame = duplicate_address_solicitation(v6, MAC);
        assert_eq!((claim(&frame), probe(&frame)), (None, Some((v6.into(), MAC))));
    }

    #[test]
    fn a_question_about_another_address_claims_only_its_sender() {
        let asker = Ipv4Addr::new(203, 0, 113, 1);
        let frame = arp(REQUEST, (MAC, asker), ([0; 6], Ipv4Addr::new(203, 0, 113, 9)));
        assert_eq!(claim(&frame), Some((asker.into(), MAC)));
        let nothing = arp(REPLY, (MAC, Ipv4Addr::UNSPECIFIED), (MAC, asker));
        assert_eq!(claims(&nothing), None);
    }

    #[test]
    fn short_or_foreign_frames_claim_nothing() {
        let v6 = "2001:db8::1".parse::<Ipv6Addr>().unwrap();
        let whole = unsolicited_advertisement(v6, MAC);
        for length in 0..14 + 64 {
            assert_eq!(claims(&whole[..length]), None, "{length} bytes");
        }
        let mut routed = whole;
        routed[14 + 7] = 254;
        assert_eq!(claims(&routed), None);
    }

    #[test]
    fn checksums_verify() {
        let v6 = "2001:db8::".parse::<Ipv6Addr>().unwrap();
        let frames = [
            (unsolicited_advertisement(v6, MAC), v6),
            (router_advertisement(v6, MAC).unwrap(), "fe80::ff:fe00:7".parse().unwrap()),
        ];
        for (frame, source) in frames {
            let length = u16::try_from(frame.len() - 54).unwrap();
            assert_eq!(checksum(source, ALL_NODES, length, &frame[54..]), 0, "{source}");
        }
    }

    /// Field by field as Google's page lists them.
    #[test]
    fn what_google_asks_for_is_in_the_frames() {
        let v4 = Ipv4Addr::new(203, 0, 113, 9);
        let arp = gratuitous_arp_reply(v4, MAC);
        assert_eq!(arp[..14], [BROADCAST.as_slice(), &MAC, &ARP].concat());
        assert_eq!(arp[20..22], [0, 2], "ARPOP_REPLY");
        let body = [MAC.as_slice(), &v4.octets(), &BROADCAST, &v4.octets()].concat();
        assert_eq!(arp[22..42], body);

        let v6 = "2001:db8:7::".parse::<Ipv6Addr>().unwrap();
        let frame = router_advertisement(v6, MAC).unwrap();
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(frame[6..12], MAC);
        assert_eq!(frame[21], 255, "hop limit");
        let source = "fe80::ff:fe00:7".parse::<Ipv6Addr>().unwrap();
        assert_eq!(frame[22..54], [source.octets(), ALL_NODES.octets()].concat());
        assert_eq!(frame[54], 134, "ND_ROUTER_ADVERT");
        assert_eq!(frame[60..62], [0, 0], "router lifetime");
        assert_eq!(frame[70..74], [3, 4, 96, 0], "ND_OPT_PREFIX_INFORMATION, a /96, no flags");
        assert_eq!(frame[86..102], v6.octets());
        assert_eq!(frame.len(), 102);
        assert_eq!(router_advertisement("2001:db8:7::1".parse().unwrap(), MAC), None);
    }

    #[test]
    fn the_group_takes_the_last_24_bits() {
        let group = solicited_node_group("2001:db8::12ab:cdef".parse().unwrap());
        assert_eq!(group, "ff02::1:ffab:cdef".parse::<Ipv6Addr>().unwrap());
    }
}
