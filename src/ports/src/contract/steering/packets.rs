//! Packets: read for the oracle, and made by hand where no socket would make them.

use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use egret_netns::{NetworkNamespace, enter};
use socket2::{Domain, Protocol, Socket, Type};

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const GRE: u8 = 47;
pub(super) const ICMP6: u8 = 58;
pub(super) const SCTP: u8 = 132;

pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;
/// FIN, PSH and URG: a Christmas tree.
pub(super) const XMAS: u8 = 0x29;

/// A packet as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeenPacket {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    /// The port, or the id of an echo request or reply.
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    /// Of a TCP SYN: the MSS that it offers.
    pub(super) mss: Option<u16>,
}

/// Reads a packet that begins with its IP header.
pub(super) fn parse(packet: &[u8]) -> Option<SeenPacket> {
    let (source, destination, protocol, payload): (IpAddr, IpAddr, u8, &[u8]) =
        match packet.first()? >> 4 {
            4 => {
                let header = usize::from(packet.first()? & 0x0f) * 4;
                let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
                let destination: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
                let ends = (Ipv4Addr::from(source).into(), Ipv4Addr::from(destination).into());
                (ends.0, ends.1, *packet.get(9)?, packet.get(header..)?)
            }
            6 => {
                let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
                let destination: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
                let ends = (Ipv6Addr::from(source).into(), Ipv6Addr::from(destination).into());
                (ends.0, ends.1, *packet.get(6)?, packet.get(40..)?)
            }
            _ => return None,
        };
    let word = |at: usize| -> Option<u16> {
        Some(u16::from_be_bytes(payload.get(at..at + 2)?.try_into().ok()?))
    };
    let (source_port, destination_port) = match protocol {
        ICMP | ICMP6 => (word(4).unwrap_or(0), 0),
        _ => (word(0).unwrap_or(0), word(2).unwrap_or(0)),
    };
    let mss = if protocol == TCP { offered_mss(payload) } else { None };
    Some(SeenPacket { source, destination, protocol, source_port, destination_port, mss })
}

fn offered_mss(tcp: &[u8]) -> Option<u16> {
    if tcp.get(13)? & SYN == 0 {
        return None;
    }
    let header = usize::from(tcp.get(12)? >> 4) * 4;
    let mut options = tcp.get(20..header.min(tcp.len()))?;
    loop {
        match options {
            [2, 4, high, low, ..] => return Some(u16::from_be_bytes([*high, *low])),
            [0, ..] | [] => return None,
            [1, rest @ ..] => options = rest,
            [_, length, ..] => options = options.get(usize::from(*length).max(2)..)?,
            [_] => return None,
        }
    }
}

/// Sends a payload of a protocol from an address of a namespace; the kernel adds the IP header.
pub(super) fn send(
    namespace: &NetworkNamespace,
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    payload: &[u8],
) {
    let _inside = enter(&namespace.path());
    let domain = if from.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(protocol))))
        .unwrap_or_else(|error| panic!("a raw socket needs root: {error}"));
    socket
        .bind(&SocketAddr::new(from, 0).into())
        .unwrap_or_else(|error| panic!("bind {from}: {error}"));
    // An ICMP error about an earlier packet is reported at the next send, once.
    let sent = socket.send_to(payload, &SocketAddr::new(to, 0).into());
    let sent = sent.or_else(|_| socket.send_to(payload, &SocketAddr::new(to, 0).into()));
    sent.unwrap_or_else(|error| panic!("send from {from} to {to}: {error}"));
    let mut rest = [MaybeUninit::uninit(); 1];
    let _ = socket.set_nonblocking(true);
    let _ = socket.recv(&mut rest);
}

/// A TCP segment without payload.
pub(super) fn tcp(from: SocketAddr, to: SocketAddr, flags: u8, good_checksum: bool) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[0..2].copy_from_slice(&from.port().to_be_bytes());
    segment[2..4].copy_from_slice(&to.port().to_be_bytes());
    segment[4..8].copy_from_slice(&1_000_u32.to_be_bytes());
    segment[12] = 5 << 4;
    segment[13] = flags;
    segment[14..16].copy_from_slice(&1024_u16.to_be_bytes());
    let checksum = checksum(from.ip(), to.ip(), TCP, &segment);
    let checksum = if good_checksum { checksum } else { !checksum };
    segment[16..18].copy_from_slice(&checksum.to_be_bytes());
    segment
}

/// An SCTP INIT chunk (RFC 9260 section 3.3.2), which opens an association.
pub(super) fn sctp_init(from: u16, to: u16) -> Vec<u8> {
    let mut packet = vec![0; 32];
    packet[0..2].copy_from_slice(&from.to_be_bytes());
    packet[2..4].copy_from_slice(&to.to_be_bytes());
    packet[12] = 1;
    packet[14..16].copy_from_slice(&20_u16.to_be_bytes());
    packet[16..20].copy_from_slice(&0x0102_0304_u32.to_be_bytes());
    packet[20..24].copy_from_slice(&65_535_u32.to_be_bytes());
    packet[24..26].copy_from_slice(&1_u16.to_be_bytes());
    packet[26..28].copy_from_slice(&1_u16.to_be_bytes());
    packet[28..32].copy_from_slice(&7_u32.to_be_bytes());
    let crc = crc32c(&packet);
    packet[8..12].copy_from_slice(&crc.to_le_bytes());
    packet
}

/// CRC-32C (RFC 9260 appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 }
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

/// The Internet checksum with the pseudo header.
fn checksum(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let mut bytes = Vec::new();
    for address in [from, to] {
        match address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    bytes.extend([0, protocol]);
    bytes.extend(u16::try_from(payload.len()).unwrap_or(0).to_be_bytes());
    bytes.extend(payload);
    let sum = bytes.chunks(2).fold(0_u32, |sum, pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        sum + u32::from(u16::from_be_bytes([pair[0], low]))
    });
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_the_known_one() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn an_offered_mss_is_found_behind_other_options() {
        let mut tcp = vec![0; 28];
        tcp[12] = 7 << 4;
        tcp[13] = SYN;
        tcp[20..28].copy_from_slice(&[1, 3, 3, 7, 2, 4, 5, 180]);
        assert_eq!(offered_mss(&tcp), Some(1460));
    }
}
