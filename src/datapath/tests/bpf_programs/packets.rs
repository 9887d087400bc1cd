use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use egret_netns::NetworkNamespace;
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{LinkAddr, bind, setsockopt};
use socket2::{Domain, Protocol, Socket, Type};

pub type Mac = [u8; 6];

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A packet socket on one interface for one EtherType: sends any frame, receives what the tc
/// programs let through.
pub struct Port {
    socket: Socket,
}

pub fn link_address(name: &str) -> LinkAddr {
    getifaddrs()
        .unwrap()
        .filter(|interface| interface.interface_name == name)
        .find_map(|interface| interface.address.and_then(|a| a.as_link_addr().copied()))
        .unwrap_or_else(|| panic!("no interface {name}"))
}

impl Port {
    pub fn open(namespace: &NetworkNamespace, link: &str, ether_type: i32) -> Self {
        let _inside = namespace.enter();
        let protocol = i32::from((ether_type as u16).to_be());
        let socket =
            Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(protocol))).unwrap();
        // Room for what comes while this thread is not scheduled.
        setsockopt(&socket, RcvBufForce, &(8 << 20)).unwrap();
        bind(socket.as_raw_fd(), &link_address(link)).unwrap();
        Self { socket }
    }

    pub fn of(namespace: &NetworkNamespace, link: &str, address: IpAddr) -> Self {
        let v4 = address.is_ipv4();
        Self::open(namespace, link, if v4 { libc::ETH_P_IP } else { libc::ETH_P_IPV6 })
    }

    /// A frame that a tc program drops on its way out is sent too (ENOBUFS).
    pub fn send(&self, frame: &[u8]) {
        match self.socket.send(frame) {
            Err(error) if error.raw_os_error() != Some(libc::ENOBUFS) => panic!("send: {error}"),
            _ => {}
        }
    }

    /// The first frame within [`PATIENCE`] that `read` makes something of.
    pub fn expect<T>(&self, what: &str, read: impl Fn(&[u8]) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
            if let Some(found) = self.read().and_then(|frame| read(&frame)) {
                return found;
            }
        }
        panic!("{what}: not seen within {PATIENCE:?}");
    }

    /// How many frames that have arrived by now match.
    pub fn arrived(&self, matches: impl Fn(&[u8]) -> bool) -> usize {
        self.socket.set_nonblocking(true).unwrap();
        let mut count = 0;
        while let Some(frame) = self.read() {
            count += usize::from(matches(&frame));
        }
        self.socket.set_nonblocking(false).unwrap();
        count
    }

    fn read(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        match (&self.socket).read(&mut buffer) {
            Ok(length) => Some(buffer[..length].to_vec()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => None,
            Err(error) => panic!("receive: {error}"),
        }
    }
}

/// A UDP datagram in an Ethernet frame.
pub fn udp(macs: (Mac, Mac), from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(macs.0, macs.1);
    let builder = match (from.ip(), to.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => builder.ipv4(a.octets(), b.octets(), 64),
        (IpAddr::V6(a), IpAddr::V6(b)) => builder.ipv6(a.octets(), b.octets(), 64),
        _ => panic!("two families"),
    };
    let builder = builder.udp(from.port(), to.port());
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    frame
}

/// A received UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub payload: Vec<u8>,
}

/// `None` for what is no UDP datagram; panics on a wrong checksum.
pub fn datagram(frame: &[u8]) -> Option<Datagram> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let TransportSlice::Udp(udp) = sliced.transport? else { return None };
    let header = udp.to_header();
    let (from, to, sum) = match sliced.net? {
        NetSlice::Ipv4(ip) => {
            let sum = header.calc_checksum_ipv4(&ip.header().to_header(), udp.payload()).unwrap();
            (IpAddr::from(ip.header().source_addr()), ip.header().destination_addr().into(), sum)
        }
        NetSlice::Ipv6(ip) => {
            let sum = header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload()).unwrap();
            (IpAddr::from(ip.header().source_addr()), ip.header().destination_addr().into(), sum)
        }
        NetSlice::Arp(_) => return None,
    };
    assert_eq!(header.checksum, sum, "UDP checksum of {from} → {to}");
    Some(Datagram {
        from: SocketAddr::new(from, header.source_port),
        to: SocketAddr::new(to, header.destination_port),
        payload: udp.payload().to_vec(),
    })
}

/// Sets bytes 6 and 7 of a frame's IPv4 header (flags and fragment offset), and its checksum.
pub fn set_fragment(frame: &mut [u8], value: u16) {
    frame[20..22].copy_from_slice(&value.to_be_bytes());
    frame[24..26].fill(0);
    let sum = internet_sum(&[&frame[14..34]]).to_be_bytes();
    frame[24..26].copy_from_slice(&sum);
}

/// Whether it is a packet to `address` of somebody who answers; what a kernel asks its neighbours of
/// its own accord (RFC 4861, types 133 to 137) is none.
pub fn answers(frame: &[u8], address: IpAddr) -> bool {
    let Ok(sliced) = SlicedPacket::from_ethernet(frame) else { return false };
    let to = match &sliced.net {
        Some(NetSlice::Ipv4(ip)) => IpAddr::from(ip.header().destination_addr()),
        Some(NetSlice::Ipv6(ip)) => IpAddr::from(ip.header().destination_addr()),
        _ => return false,
    };
    let neighbour_discovery = matches!(
        &sliced.transport,
        Some(TransportSlice::Icmpv6(icmp)) if (133..=137).contains(&icmp.type_u8())
    );
    to == address && !neighbour_discovery
}

pub fn source_mac(frame: &[u8]) -> Mac {
    frame[6..12].try_into().unwrap()
}

/// The Internet checksum over everything, 0 where a contained checksum is right.
pub fn internet_sum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An ICMPv6 message's sum with its pseudo header, 0 where right.
pub fn icmpv6_sum(packet: &[u8]) -> u16 {
    let length = u32::try_from(packet.len() - 40).unwrap().to_be_bytes();
    internet_sum(&[&packet[8..40], &length, &[0, 0, 0, 58], &packet[40..]])
}
