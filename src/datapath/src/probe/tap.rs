//! A packet socket that sees the TCP SYNs that enter this node's network stack on any device.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// Enough of a packet for an IPv4 header with options and the ports.
const SNAP: usize = 96;

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const TCP: u8 = 6;

pub(super) struct ProbeTap(Socket);

impl ProbeTap {
    pub(super) fn open() -> io::Result<Self> {
        // ETH_P_ALL, in network byte order as packet(7) wants it.
        let all = i32::from(0x0003_u16.to_be());
        // DGRAM: packets begin with their IP header whatever the device.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(all)))?;
        socket.attach_filter(&filter())?;
        Ok(Self(socket))
    }

    /// Source and destination of the next SYN; `None` where none came in time.
    pub(super) fn next(&self, within: Duration) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
        self.0.set_read_timeout(Some(within))?;
        let mut bytes = [0; SNAP];
        match (&self.0).read(&mut bytes) {
            Ok(length) => Ok(bytes.get(..length).and_then(syn)),
            Err(error) => match error.raw_os_error() {
                // ENETDOWN: one of the devices went down, as pods' devices do.
                Some(libc::EAGAIN | libc::EINTR | libc::ENETDOWN) => Ok(None),
                _ => Err(error),
            },
        }
    }
}

/// Reads a SYN without ACK. Checks everything again: the first packets may have come before the
/// filter did.
fn syn(packet: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, destination, tcp): (IpAddr, IpAddr, &[u8]) = match packet.first()? >> 4 {
        4 if packet.get(9) == Some(&TCP) && (*packet.get(6)? & 0x1f, *packet.get(7)?) == (0, 0) => {
            let header = usize::from(packet.first()? & 0x0f) * 4;
            let address =
                |from: usize| -> Option<[u8; 4]> { packet.get(from..from + 4)?.try_into().ok() };
            let (source, destination) = (address(12)?, address(16)?);
            let (source, destination) = (Ipv4Addr::from(source), Ipv4Addr::from(destination));
            (source.into(), destination.into(), packet.get(header..)?)
        }
        6 if packet.get(6) == Some(&TCP) => {
            let address =
                |from: usize| -> Option<[u8; 16]> { packet.get(from..from + 16)?.try_into().ok() };
            let (source, destination) = (address(8)?, address(24)?);
            let (source, destination) = (Ipv6Addr::from(source), Ipv6Addr::from(destination));
            (source.into(), destination.into(), packet.get(40..)?)
        }
        _ => return None,
    };
    let port = |from: usize| Some(u16::from_be_bytes(tcp.get(from..from + 2)?.try_into().ok()?));
    let flags = *tcp.get(13)?;
    (flags & (SYN | ACK) == SYN)
        .then_some((SocketAddr::new(source, port(0)?), SocketAddr::new(destination, port(2)?)))
}

/// Classic BPF (linux/filter.h): received SYNs only, so that no bulk traffic is copied.
fn filter() -> Vec<SockFilter> {
    // Instruction codes of linux/bpf_common.h.
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_BYTE_INDEXED: u16 = 0x50;
    const INDEX_HEADER: u16 = 0xb1;
    const AND: u16 = 0x54;
    const IF_EQUAL: u16 = 0x15;
    const IF_SET: u16 = 0x45;
    const JUMP: u16 = 0x05;
    const INDEX: u16 = 0x01;
    const RETURN: u16 = 0x06;
    // Ancillary data: SKF_AD_OFF + SKF_AD_PKTTYPE, SKF_AD_OFF + SKF_AD_PROTOCOL.
    const PACKET_TYPE: u32 = 0xffff_f004;
    const PROTOCOL: u32 = 0xffff_f000;
    const OUTGOING: u32 = 4;
    let op = SockFilter::new;
    let flags = u32::from(SYN | ACK);
    vec![
        op(LOAD_WORD, 0, 0, PACKET_TYPE),
        op(IF_EQUAL, 16, 0, OUTGOING),
        op(LOAD_WORD, 0, 0, PROTOCOL),
        op(IF_EQUAL, 1, 0, 0x0800),
        op(IF_EQUAL, 6, 13, 0x86dd),
        // IPv4: TCP, no later fragment; the header's length is in X.
        op(LOAD_BYTE, 0, 0, 9),
        op(IF_EQUAL, 0, 11, u32::from(TCP)),
        op(LOAD_HALF, 0, 0, 6),
        op(IF_SET, 9, 0, 0x1fff),
        op(INDEX_HEADER, 0, 0, 0),
        op(JUMP, 0, 0, 3),
        // IPv6: TCP without extension headers; X is 40 by the fixed header.
        op(LOAD_BYTE, 0, 0, 6),
        op(IF_EQUAL, 0, 5, u32::from(TCP)),
        op(INDEX, 0, 0, 40),
        op(LOAD_BYTE_INDEXED, 0, 0, 13),
        op(AND, 0, 0, flags),
        op(IF_EQUAL, 0, 1, u32::from(SYN)),
        op(RETURN, 0, 0, 96),
        op(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syns_are_read_and_nothing_else() {
        let mut packet = vec![0_u8; 40];
        packet[0] = 0x45;
        packet[9] = TCP;
        packet[12..16].copy_from_slice(&[10, 244, 1, 2]);
        packet[16..20].copy_from_slice(&[198, 51, 100, 7]);
        packet[20..24].copy_from_slice(&[0x9c, 0x40, 0x01, 0xbb]);
        packet[33] = SYN;
        let expected = ("10.244.1.2:40000".parse().unwrap(), "198.51.100.7:443".parse().unwrap());
        assert_eq!(syn(&packet), Some(expected));
        packet[33] = SYN | ACK;
        assert_eq!(syn(&packet), None);
        packet[33] = SYN;
        packet[7] = 1;
        assert_eq!(syn(&packet), None, "a later fragment has no ports");
        for length in 0..packet.len() {
            assert_eq!(syn(&packet[..length.min(30)]), None);
        }
    }
}
