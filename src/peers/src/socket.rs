//! One UDP socket that says how long a datagram has waited in it.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

/// Room for a burst of all peers of a large cluster; the kernel caps it at `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 1 << 20;
/// DSCP CS6, network control (RFC 4594 section 3.1): a renewal must not wait behind bulk traffic.
const TRAFFIC_CLASS: u32 = 0xc0;

/// A bound socket that never blocks.
pub(crate) struct Bound {
    socket: UdpSocket,
    address: IpAddr,
}

/// A datagram read.
pub(crate) struct Received {
    /// Its bytes in the buffer; one of more bytes than the buffer has was cut.
    pub(crate) length: usize,
    pub(crate) source: IpAddr,
    /// How long the kernel has kept it for the reader. Zero for what came before the kernel's work
    /// queue had switched stamps on, a moment after the first socket asked for them.
    pub(crate) waited: Duration,
}

impl Bound {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        // An address that is gone for a while, or not there yet, is no reason to end.
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
            socket.set_tclass_v6(TRAFFIC_CLASS)?;
            socket.set_freebind_v6(true)?;
        } else {
            socket.set_tos_v4(TRAFFIC_CLASS)?;
            socket.set_freebind_v4(true)?;
        }
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(Self { socket: socket.into(), address: address.ip() })
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whether it can send to an address of this family.
    pub(crate) fn reaches(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
    }

    /// What it was to be bound to.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    pub(crate) fn send_to(&self, datagram: &[u8], target: SocketAddr) -> io::Result<()> {
        self.socket.send_to(datagram, target).map(drop)
    }

    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut control = nix::cmsg_space!(TimeSpec);
        let mut pieces = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut pieces,
            Some(&mut control),
            MsgFlags::empty(),
        )?;
        let source = message.address.as_ref().and_then(ip).ok_or(io::ErrorKind::InvalidData)?;
        let stamped = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(at) => Some(at),
            _ => None,
        });
        Ok(Received {
            length: message.bytes,
            source,
            waited: stamped.map_or(Duration::ZERO, since),
        })
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
}

/// The kernel stamps with the time of day: where that was set back meanwhile, nothing has waited.
fn since(stamp: TimeSpec) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from(stamp))
}
