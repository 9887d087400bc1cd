//! What frames say: just what the oracles look at. And the questions that they ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A hardware address.
pub type Mac = [u8; 6];

/// A frame, as far as it was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Who sent it on this segment.
    pub source_mac: Mac,
    /// To whom.
    pub target_mac: Mac,
    /// What it carries.
    pub body: Body,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// ARP, request (1) or reply (2).
    Arp {
        /// 1 or 2.
        operation: u16,
        /// Sender's hardware address, as it says itself.
        sender_mac: Mac,
        /// Sender's address.
        sender: Ipv4Addr,
        /// The address that it is about, or the asker's in a reply.
        target: Ipv4Addr,
    },
    /// A neighbour solicitation or advertisement.
    Neighbour {
        /// Advertisement (true) or solicitation.
        advertisement: bool,
        /// The advertisement's solicited flag.
        solicited: bool,
        /// Who sent it.
        source: Ipv6Addr,
        /// To whom.
        destination: Ipv6Addr,
        /// The address that it is about.
        target: Ipv6Addr,
    },
    /// Any other IP packet.
    Ip {
        /// Source address.
        source: IpAddr,
        /// Destination address.
        destination: IpAddr,
        /// IANA protocol number.
        protocol: u8,
        /// Source port (TCP, UDP) or ICMP id; 0 where there is none.
        source_port: u16,
        /// Destination port; 0 where there is none.
        destination_port: u16,
        /// TCP flags; 0 for others.
        flags: u8,
    },
    /// Something else.
    Other,
}

/// Reads a frame; never fails, what it does not know is [`Body::Other`].
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Packet> {
    let (target_mac, source_mac) = (mac(bytes, 0)?, mac(bytes, 6)?);
    let body = match half(bytes, 12)? {
        0x0806 => arp(bytes.get(14..)?),
        0x0800 => ipv4(bytes.get(14..)?),
        0x86dd => ipv6(bytes.get(14..)?),
        _ => None,
    };
    Some(Packet { source_mac, target_mac, body: body.unwrap_or(Body::Other) })
}

fn arp(bytes: &[u8]) -> Option<Body> {
    let (operation, sender_mac) = (half(bytes, 6)?, mac(bytes, 8)?);
    Some(Body::Arp { operation, sender_mac, sender: four(bytes, 14)?, target: four(bytes, 24)? })
}

fn ipv4(bytes: &[u8]) -> Option<Body> {
    let header = usize::from(bytes.first()? & 0xf) * 4;
    let (source, destination) = (four(bytes, 12)?.into(), four(bytes, 16)?.into());
    let first = half(bytes, 6)? & 0x1fff == 0;
    let rest = if first { bytes.get(header..)? } else { &[] };
    Some(transport(source, destination, *bytes.get(9)?, rest))
}

fn ipv6(bytes: &[u8]) -> Option<Body> {
    let (source, destination) = (sixteen(bytes, 8)?, sixteen(bytes, 24)?);
    let (protocol, rest) = (*bytes.get(6)?, bytes.get(40..)?);
    if protocol == 58 && matches!(rest.first(), Some(135 | 136)) {
        let advertisement = rest.first() == Some(&136);
        let (solicited, target) = (rest.get(4)? & 0x40 != 0, sixteen(rest, 8)?);
        return Some(Body::Neighbour { advertisement, solicited, source, destination, target });
    }
    if protocol == 44 {
        let first = half(rest, 2)? & 0xfff8 == 0;
        let inner = if first { rest.get(8..)? } else { &[] };
        return Some(transport(source.into(), destination.into(), *rest.first()?, inner));
    }
    Some(transport(source.into(), destination.into(), protocol, rest))
}

fn transport(source: IpAddr, destination: IpAddr, protocol: u8, rest: &[u8]) -> Body {
    let (mut source_port, mut destination_port, mut flags) = (0, 0, 0);
    if matches!(protocol, 6 | 17 | 132) {
        source_port = half(rest, 0).unwrap_or(0);
        destination_port = half(rest, 2).unwrap_or(0);
    }
    if protocol == 6 {
        flags = rest.get(13).copied().unwrap_or(0);
    }
    if protocol == 1 || protocol == 58 {
        source_port = half(rest, 4).unwrap_or(0);
    }
    Body::Ip { source, destination, protocol, source_port, destination_port, flags }
}

fn mac(bytes: &[u8], at: usize) -> Option<Mac> {
    bytes.get(at..at + 6)?.try_into().ok()
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn four(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(octets.into())
}

fn sixteen(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(octets.into())
}

/// The frame that asks, by broadcast, who has `target`.
#[must_use]
pub fn arp_request(from: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    arp_frame(1, from, sender, [0; 6], target)
}

/// A gratuitous ARP, in request form (1) or reply form (2).
#[must_use]
pub fn gratuitous_arp(operation: u16, from: Mac, address: Ipv4Addr) -> Vec<u8> {
    let target = if operation == 1 { [0; 6] } else { [0xff; 6] };
    arp_frame(operation, from, address, target, address)
}

fn arp_frame(op: u16, from: Mac, sender: Ipv4Addr, target_mac: Mac, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = [&[0xff; 6][..], &from, &[8, 6, 0, 1, 8, 0, 6, 4]].concat();
    frame.extend(op.to_be_bytes());
    frame.extend(from);
    frame.extend(sender.octets());
    frame.extend(target_mac);
    frame.extend(target.octets());
    frame.resize(60, 0);
    frame
}

/// The frame that solicits `target`, to its solicited-node multicast group.
#[must_use]
pub fn solicitation(from: Mac, sender: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let [.., x, y, z] = target.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, x, y, z]);
    let mut body = vec![135, 0, 0, 0, 0, 0, 0, 0];
    body.extend(target.octets());
    body.extend([1, 1]);
    body.extend(from);
    neighbour_frame(from, [0x33, 0x33, 0xff, x, y, z], sender, group, body)
}

/// An unsolicited advertisement with the override flag, to all nodes.
#[must_use]
pub fn advertisement(from: Mac, address: Ipv6Addr) -> Vec<u8> {
    let all = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let mut body = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    body.extend(address.octets());
    body.extend([2, 1]);
    body.extend(from);
    neighbour_frame(from, [0x33, 0x33, 0, 0, 0, 1], address, all, body)
}

fn neighbour_frame(
    from: Mac,
    to: Mac,
    source: Ipv6Addr,
    target: Ipv6Addr,
    mut body: Vec<u8>,
) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let mut pseudo = [source.octets(), target.octets()].concat();
    pseudo.extend([0, 0, length[0], length[1], 0, 0, 0, 58]);
    let sum = checksum(&[pseudo, body.clone()].concat());
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [&to[..], &from, &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    frame.extend(length);
    frame.extend([58, 255]);
    frame.extend(source.octets());
    frame.extend(target.octets());
    frame.extend(body);
    frame
}

/// The Internet checksum (RFC 1071).
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let pairs = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = pairs.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Mac = [2, 0, 0, 0, 0, 9];

    #[test]
    fn questions_read_back_as_what_they_ask() {
        let (asker, target) = (Ipv4Addr::new(203, 0, 113, 200), Ipv4Addr::new(203, 0, 113, 17));
        let read = decode(&arp_request(FROM, asker, target)).unwrap();
        assert_eq!(read.target_mac, [0xff; 6]);
        let expected = Body::Arp { operation: 1, sender_mac: FROM, sender: asker, target };
        assert_eq!(read.body, expected);
        let (asker, target) = ("fe80::9".parse().unwrap(), "2001:db8:5::11".parse().unwrap());
        let read = decode(&solicitation(FROM, asker, target)).unwrap();
        assert_eq!(read.target_mac, [0x33, 0x33, 0xff, 0, 0, 0x11]);
        assert!(
            matches!(read.body, Body::Neighbour { advertisement: false, target: t, .. } if t == target)
        );
    }

    #[test]
    fn the_checksum_of_rfc_1071s_example() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn short_and_strange_frames_are_other() {
        assert_eq!(decode(&[1, 2, 3]), None);
        let frame = [&[0; 12][..], &[0x08, 0x00, 0x45]].concat();
        assert_eq!(decode(&frame).unwrap().body, Body::Other);
    }
}
