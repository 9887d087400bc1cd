//! Whether the holder of an address is reached through the tunnel, and by how long packets.
//!
//! The question goes the way of a pod's packet from the tunnel's device on, and the holder's program answers it by the way
//! of a reply: a firewall between the nodes, or a way that takes less than its links say, is found out so.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use egret_ports::error::{ErrorClass, PortError};
use nix::sys::socket::bind;
use socket2::{Domain, Socket, Type};

use crate::announce::tap::link_address;
use crate::bpf::{address_key, probe_answers};
use crate::netlink::{RouteNetlink, refused};

/// What to ask with: an egress address that another node holds, and a port of it that this node may send from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelQuestion {
    /// The egress address.
    pub address: IpAddr,
    /// A port in a block of this node.
    pub port: u16,
}

/// Which questions were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelReach {
    /// The short one.
    pub short: bool,
    /// The one as long as the tunnel's device lets a packet be.
    pub longest: bool,
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);
/// "For experimentation and testing" (RFC 3692).
const PROTOCOL: u8 = 253;
const MAGIC: u32 = 0x4567_5072;
const ASKS: u8 = 1;
const SHORT: u8 = 0;
const LONGEST: u8 = 1;
const ETHERNET: usize = 14;
/// Of an IPv4 header with what is asked.
const SHORTEST: u32 = 64;

/// Asks all, in the network namespace of the calling thread; blocks for a second at most, so it is for a thread of its
/// own. Changes nothing. With the answers' length in bytes, which is the MTU of `device`.
///
/// # Errors
/// `NotFound` where the device is gone or no programs are loaded; `Denied` without CAP_NET_RAW.
pub fn ask(
    pin_dir: &Path,
    device: &str,
    questions: &[TunnelQuestion],
) -> Result<(Vec<TunnelReach>, u32), PortError> {
    let operation = "ask holders through the tunnel";
    let failed = |error| refused(operation, error);
    let link =
        RouteNetlink::route().and_then(|mut netlink| netlink.link(device)).map_err(failed)?;
    let link = link.ok_or_else(|| {
        PortError::new(ErrorClass::NotFound, operation, format!("there is no device {device}"))
    })?;
    let answers = probe_answers(pin_dir).map_err(|error| error.into_port(operation))?;
    let number = number();
    let mut open = BTreeSet::new();
    for (index, question) in questions.iter().enumerate() {
        for (size, length) in [(SHORT, SHORTEST), (LONGEST, link.mtu)] {
            send(link.index, &frame(question, size, number, length)).map_err(failed)?;
            open.insert((index, size));
        }
    }
    let end = Instant::now() + PATIENCE;
    loop {
        // Before the look: where this thread was held up, what came in meanwhile counts.
        let is_over = Instant::now() >= end;
        open.retain(|(index, size)| {
            let key = key(questions[*index].address, *size);
            answers.get(&key, 0).ok() != Some(number)
        });
        if open.is_empty() || is_over {
            break;
        }
        thread::sleep(PAUSE);
    }
    let reach = |index| TunnelReach {
        short: !open.contains(&(index, SHORT)),
        longest: !open.contains(&(index, LONGEST)),
    };
    Ok(((0..questions.len()).map(reach).collect(), link.mtu))
}

/// Another one for each moment; nobody has to be kept from guessing it, since no pod can send an answer.
fn number() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_secs() << 20 | u64::from(now.subsec_micros())
}

/// As `struct probe_key` in bpf/tunnel_probe.h.
fn key(address: IpAddr, size: u8) -> [u8; 20] {
    let mut key = [0; 20];
    key[..16].copy_from_slice(&address_key(address));
    key[16..].copy_from_slice(&u32::from(size).to_ne_bytes());
    key
}

/// What goes into the tunnel's device, with an IP packet of `length` bytes.
fn frame(question: &TunnelQuestion, size: u8, number: u64, length: u32) -> Vec<u8> {
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(usize::from(u16::MAX));
    let (ether_type, mut packet) = match question.address {
        IpAddr::V4(address) => {
            let total = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            let mut header = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, PROTOCOL, 0, 0];
            header.extend([address.octets(), address.octets()].concat());
            let sum = checksum(&header).to_be_bytes();
            header[10..12].copy_from_slice(&sum);
            ([0x08, 0x00], header)
        }
        IpAddr::V6(address) => {
            let payload =
                u16::try_from(length.saturating_sub(40)).unwrap_or(u16::MAX).to_be_bytes();
            let mut header = vec![0x60, 0, 0, 0, payload[0], payload[1], PROTOCOL, 64];
            header.extend([address.octets(), address.octets()].concat());
            ([0x86, 0xdd], header)
        }
    };
    packet.extend(MAGIC.to_be_bytes());
    packet.extend([ASKS, size]);
    packet.extend(question.port.to_be_bytes());
    packet.extend(number.to_ne_bytes());
    packet.resize(length.max(packet.len()), 0);
    let mut frame = vec![0; ETHERNET - 2];
    frame.extend(ether_type);
    frame.extend(packet);
    frame
}

/// Of an IPv4 header (RFC 791).
fn checksum(header: &[u8]) -> u16 {
    let words =
        header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)
}

/// One that the programs drop is sent too: its reason is counted.
fn send(device: u32, frame: &[u8]) -> io::Result<()> {
    // Of protocol 0: it receives nothing.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    bind(socket.as_raw_fd(), &link_address(device)?)?;
    match socket.send(frame) {
        Err(error) if error.raw_os_error() != Some(libc::ENOBUFS) => Err(error),
        _ => Ok(()),
    }
}
