use std::io::{self, ErrorKind, Read as _};
use std::os::fd::AsRawFd as _;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, bind};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// linux/if_packet.h (4.20); without it the kernel copies every frame sent before the filter runs.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// A packet socket on one uplink that receives ARP and neighbour discovery, or what another filter lets
/// through, and sends any frame.
///
/// It taps every protocol, since only such a socket sees frames before the uplink's ingress program
/// answers or drops them; a filter in the kernel lets only those through.
#[derive(Debug)]
pub(crate) struct AnnounceTap {
    socket: Socket,
}

impl AnnounceTap {
    pub(crate) fn open(index: u32) -> io::Result<Self> {
        Self::open_with(index, &filter())
    }

    pub(crate) fn open_with(index: u32, filter: &[SockFilter]) -> io::Result<Self> {
        let all = i32::from((libc::ETH_P_ALL as u16).to_be());
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(all)))?;
        socket.attach_filter(filter)?;
        set_packet_option(&socket, PACKET_IGNORE_OUTGOING)?;
        socket.set_nonblocking(true)?;
        bind(socket.as_raw_fd(), &link_address(index)?)?;
        let tap = Self { socket };
        // Between its making and `bind` the socket heard all interfaces.
        while tap.receive()?.is_some() {}
        Ok(tap)
    }

    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).map(drop)
    }

    /// The next frame, at most its first 128 bytes; `None` where there is none.
    pub(crate) fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = [0; 128];
        match (&self.socket).read(&mut buffer) {
            Ok(length) => Ok(Some(buffer[..length].to_vec())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// An address to bind to; its protocol is 0, which leaves the socket's.
pub(crate) fn link_address(index: u32) -> io::Result<LinkAddr> {
    getifaddrs()?
        .filter_map(|interface| interface.address)
        .filter_map(|address| address.as_link_addr().copied())
        .find(|link| u32::try_from(link.ifindex()) == Ok(index))
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
}

/// Turns an option of packet sockets on.
#[expect(unsafe_code, reason = "neither socket2 nor nix has options of packet sockets")]
pub(crate) fn set_packet_option(socket: &Socket, option: libc::c_int) -> io::Result<()> {
    let one: libc::c_int = 1;
    // SAFETY: the descriptor is open as long as `socket` is borrowed; the kernel reads exactly
    // `size_of::<c_int>()` bytes from `one`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const one).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where the kernel says whether a frame has a VLAN's tag.
const TAGGED: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_VLAN_TAG_PRESENT) as u32;

fn load(size: u32, at: u32) -> SockFilter {
    SockFilter::new((libc::BPF_LD | size | libc::BPF_ABS) as u16, 0, 0, at)
}

/// How many instructions to skip where what was loaded is `value`, and where it is not.
fn equal(value: u32, yes: u8, no: u8) -> SockFilter {
    SockFilter::new((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, yes, no, value)
}

fn accept_bytes(length: u32) -> SockFilter {
    SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, length)
}

/// Accepts untagged replies to an echo over IPv4, behind a header without options.
pub(crate) fn echo_replies() -> [SockFilter; 12] {
    [
        load(libc::BPF_B, TAGGED),
        equal(0, 0, 9), // a VLAN above this link is another link
        load(libc::BPF_H, 12),
        equal(libc::ETH_P_IP as u32, 0, 7),
        load(libc::BPF_B, 14),
        equal(0x45, 0, 5),
        load(libc::BPF_B, 23),
        equal(libc::IPPROTO_ICMP as u32, 0, 3),
        load(libc::BPF_B, 34),
        equal(0, 0, 1),
        accept_bytes(128),
        accept_bytes(0),
    ]
}

/// Accepts untagged ARP, and ICMPv6 of types 135 and 136 directly after the IPv6 header.
fn filter() -> [SockFilter; 12] {
    [
        load(libc::BPF_B, TAGGED),
        equal(0, 0, 9), // a VLAN above this link is another link
        load(libc::BPF_H, 12),
        equal(libc::ETH_P_ARP as u32, 6, 0),
        equal(libc::ETH_P_IPV6 as u32, 0, 6),
        load(libc::BPF_B, 20),
        equal(libc::IPPROTO_ICMPV6 as u32, 0, 4),
        load(libc::BPF_B, 54),
        equal(135, 1, 0),
        equal(136, 0, 1),
        accept_bytes(128),
        accept_bytes(0),
    ]
}
