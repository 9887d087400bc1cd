use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind,
    recvmsg, sendmsg, setsockopt, socket, sockopt,
};

use crate::clock::WallTime;

/// How much of a frame is kept: all headers that anybody here looks at.
const SNAP: usize = 192;
/// Room for a second of bursts while this process is not scheduled.
const BUFFER: usize = 32 << 20;

/// A captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When the kernel took it up.
    pub at: WallTime,
    /// Its first bytes, from the Ethernet header on.
    pub bytes: &'a [u8],
    /// Sent by this host (true) or received.
    pub outgoing: bool,
    /// The device that it passed.
    pub device: usize,
}

/// A packet socket: sees every frame of a namespace or of one device, and can send frames.
#[derive(Debug)]
pub struct FrameTap {
    socket: OwnedFd,
    bytes: [u8; SNAP],
    control: Vec<u8>,
}

impl FrameTap {
    /// Opens a tap in the namespace that the calling thread is in, on one device or on all.
    ///
    /// # Errors
    /// Without CAP_NET_RAW, and where there is no such device.
    pub fn open(device: Option<&str>) -> io::Result<Self> {
        let (family, kind) = (AddressFamily::Packet, SockType::Raw);
        let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        if let Some(device) = device {
            bind(socket.as_raw_fd(), &link_address(device)?)?;
        }
        Ok(Self { socket, bytes: [0; SNAP], control: nix::cmsg_space!(nix::sys::time::TimeSpec) })
    }

    /// The next frame; `None` where none comes within `limit`.
    ///
    /// # Errors
    /// Where the device is gone.
    pub fn next(&mut self, limit: Duration) -> io::Result<Option<Frame<'_>>> {
        let millis = u16::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::from(millis)) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut slices = [IoSliceMut::new(&mut self.bytes)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let message = match recvmsg::<LinkAddr>(fd, &mut slices, Some(&mut self.control), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stamp = message.cmsgs()?.find_map(|part| match part {
            ControlMessageOwned::ScmTimestampns(time) => Some(WallTime(
                time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned(),
            )),
            _ => None,
        });
        let (outgoing, device) = message
            .address
            .map_or((false, 0), |link| (link.pkttype() == PACKET_OUTGOING, link.ifindex()));
        let (at, length) = (stamp.unwrap_or_else(WallTime::now), message.bytes.min(SNAP));
        Ok(Some(Frame { at, bytes: &self.bytes[..length], outgoing, device }))
    }

    /// Sends a whole frame out of the device.
    ///
    /// # Errors
    /// Where the tap is on no device or the kernel refuses it (ENOBUFS: a filter dropped it).
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        let slices = [IoSlice::new(frame)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        sendmsg::<LinkAddr>(fd, &slices, &[], flags, None)?;
        Ok(())
    }
}

/// `PACKET_OUTGOING` of linux/if_packet.h.
const PACKET_OUTGOING: u8 = 4;

/// The link-level address of a device of this thread's namespace. Its protocol is 0, which `bind`
/// reads as the protocol that the socket was opened with.
pub(crate) fn link_address(device: &str) -> io::Result<LinkAddr> {
    getifaddrs()?
        .filter(|found| found.interface_name == device)
        .find_map(|found| found.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no device {device}")))
}
