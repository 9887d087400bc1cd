//! Whether the holder of an address is reached through the tunnel, and by how long packets.
//!
//! The question goes the way of a pod's packet from the tunnel's device on, and the holder's program answers it by the way
//! of a reply: a firewall between the nodes, or a way that takes less than its links say, is found out so.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use aya::maps::{HashMap, MapData};
use egret_ports::error::{ErrorClass, PortError};
use nix::sys::socket::bind;
use socket2::{Domain, Socket, Type};

use crate::announce::tap::{link_address, set_packet_option};
use crate::bpf::{address_key, probe_answers};
use crate::netlink::link::LinkRecord;
use crate::netlink::{RouteNetlink, refused};

/// What to ask with: an egress address that another node holds, and a port of it that this node may send from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelQuestion {
    /// The egress address.
    pub address: IpAddr,
    /// A port in a block of this node.
    pub port: u16,
}

/// What to ask a standby with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbyQuestion {
    /// The address that it stands by for, and a port of it.
    pub question: TunnelQuestion,
    /// The end of its tunnel.
    pub standby: IpAddr,
}

/// Which questions were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelReach {
    /// The short one.
    pub short: bool,
    /// The one as long as the tunnel's device lets a packet be.
    pub longest: bool,
    /// The one that a network card, or the kernel for it, has to cut into segments, and its answer, unless the holder's
    /// version answers in short. `None` where the holder does not answer such, or answers nothing.
    pub segments: Option<bool>,
}

/// Of what `struct probe_key` in bpf/tunnel_probe.h names, the number of the last question that was answered.
type AnswerMap = HashMap<MapData, [u8; 20], u64>;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);
/// "For experimentation and testing" (RFC 3692).
const PROTOCOL: u8 = 253;
const MAGIC: u32 = 0x4567_5072;
/// As in bpf/tunnel_probe.h.
const ASKS: u8 = 1;
const ASKS_STANDBY: u8 = 3;
const SHORT: u8 = 0;
const LONGEST: u8 = 1;
const SEGMENTS_TOO: u8 = 2;
/// Of one address so many may be asked at once.
const FIRST_STANDBY: u8 = 4;
const STANDBYS: u8 = 12;
const FIRST_SEGMENT: u8 = 16;
const TAKES_LONG_ANSWERS: u8 = 1;
const SEGMENTS: u8 = 4;
const ETHERNET: usize = 14;
/// Of an IPv4 header with what is asked.
const SHORTEST: u32 = 64;

/// Who asks, by the programs that this node has loaded.
pub struct TunnelProbe {
    pin_dir: PathBuf,
    device: String,
}

impl TunnelProbe {
    /// By the tunnel's device of this name, and the programs that are pinned there.
    #[must_use]
    pub fn new(pin_dir: PathBuf, device: String) -> Self {
        Self { pin_dir, device }
    }

    /// Asks all, in the network namespace of the calling thread; blocks for two seconds at most, so it is for a thread of its
    /// own. Changes nothing. With the answers' length in bytes, which is the MTU of `device`.
    ///
    /// # Errors
    /// `NotFound` where the device is gone or no programs are loaded; `Denied` without CAP_NET_RAW.
    pub fn ask(&self, questions: &[TunnelQuestion]) -> Result<(Vec<TunnelReach>, u32), PortError> {
        let operation = "ask holders through the tunnel";
        let failed = |error| refused(operation, error);
        let (link, answers) = self.open(operation)?;
        let number = number();
        let mut open = BTreeSet::new();
        for (index, question) in questions.iter().enumerate() {
            for (size, length) in [(SHORT, SHORTEST), (LONGEST, link.mtu)] {
                let probe = probe(ASKS, question.port, size, number);
                send(link.index, &frame(question.address, probe, length)).map_err(failed)?;
                open.insert((index, size));
            }
        }
        let is_answered = |index: usize, size: u8| {
            answers.get(&key(questions[index].address, size), 0).ok() == Some(number)
        };
        wait(&mut open, is_answered);
        let mut cut = BTreeSet::new();
        for (index, question) in questions.iter().enumerate() {
            if is_answered(index, SEGMENTS_TOO) {
                send_segments(link.index, question, number, link.mtu).map_err(failed)?;
                cut.extend((0..SEGMENTS).map(|segment| (index, FIRST_SEGMENT + segment)));
            }
        }
        wait(&mut cut, is_answered);
        let reach = |index| TunnelReach {
            short: !open.contains(&(index, SHORT)),
            longest: !open.contains(&(index, LONGEST)),
            segments: is_answered(index, SEGMENTS_TOO)
                .then(|| cut.iter().all(|(of, _)| *of != index)),
        };
        Ok(((0..questions.len()).map(reach).collect(), link.mtu))
    }

    /// Asks nodes whether they would be reached if they took an address over that they stand by for, in the network
    /// namespace of the calling thread, each with a packet as long as the tunnel's device lets one be; blocks for a second at
    /// most. In the order of the questions; agents before this question leave it unanswered. Changes nothing.
    ///
    /// # Errors
    /// As of [`Self::ask`]; `Invalid` for more than twelve questions of one address.
    pub fn ask_standbys(&self, questions: &[StandbyQuestion]) -> Result<Vec<bool>, PortError> {
        let operation = "ask standbys through the tunnel";
        let (link, answers) = self.open(operation)?;
        let number = number();
        let (mut open, mut asked) = (BTreeSet::new(), BTreeMap::new());
        for (index, StandbyQuestion { question, standby }) in questions.iter().enumerate() {
            let of_address: &mut u8 = asked.entry(question.address).or_default();
            if *of_address == STANDBYS {
                let message = format!("more than {STANDBYS} questions of {}", question.address);
                return Err(PortError::new(ErrorClass::Invalid, operation, message));
            }
            let size = FIRST_STANDBY + *of_address;
            *of_address += 1;
            let mut probe = probe(ASKS_STANDBY, question.port, size, number);
            probe.extend(address_key(*standby));
            let frame = frame(question.address, probe, link.mtu);
            send(link.index, &frame).map_err(|error| refused(operation, error))?;
            open.insert((index, size));
        }
        let is_answered = |index: usize, size: u8| {
            answers.get(&key(questions[index].question.address, size), 0).ok() == Some(number)
        };
        wait(&mut open, is_answered);
        Ok((0..questions.len()).map(|index| open.iter().all(|(of, _)| *of != index)).collect())
    }

    fn open(&self, operation: &'static str) -> Result<(LinkRecord, AnswerMap), PortError> {
        let failed = |error| refused(operation, error);
        let link = RouteNetlink::route()
            .and_then(|mut netlink| netlink.link(&self.device))
            .map_err(failed)?;
        let link = link.ok_or_else(|| {
            PortError::new(
                ErrorClass::NotFound,
                operation,
                format!("there is no device {}", self.device),
            )
        })?;
        Ok((link, probe_answers(&self.pin_dir).map_err(|error| error.into_port(operation))?))
    }
}

/// Leaves what is not answered in time.
fn wait(open: &mut BTreeSet<(usize, u8)>, is_answered: impl Fn(usize, u8) -> bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        // Before the look: where this thread was held up, what came in meanwhile counts.
        let is_over = Instant::now() >= end;
        open.retain(|(index, size)| !is_answered(*index, *size));
        if open.is_empty() || is_over {
            return;
        }
        thread::sleep(PAUSE);
    }
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
fn frame(address: IpAddr, probe: Vec<u8>, length: u32) -> Vec<u8> {
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(usize::from(u16::MAX));
    let mut frame = headers(address, PROTOCOL, length);
    frame.extend(probe);
    frame.resize(frame.len().max(ETHERNET + length), 0);
    frame
}

/// Of Ethernet and of IP, for an IP packet of `length` bytes.
fn headers(address: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET - 2];
    match address {
        IpAddr::V4(address) => {
            let total = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            let mut header = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
            header.extend([address.octets(), address.octets()].concat());
            let sum = checksum(&header).to_be_bytes();
            header[10..12].copy_from_slice(&sum);
            frame.extend([0x08, 0x00]);
            frame.extend(header);
        }
        IpAddr::V6(address) => {
            let payload =
                u16::try_from(length.saturating_sub(40)).unwrap_or(u16::MAX).to_be_bytes();
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, payload[0], payload[1], protocol, 64]);
            frame.extend([address.octets(), address.octets()].concat());
        }
    }
    frame
}

/// As `struct probe` in bpf/tunnel_probe.h.
fn probe(kind: u8, port: u16, size: u8, number: u64) -> Vec<u8> {
    let mut probe = MAGIC.to_be_bytes().to_vec();
    probe.extend([kind, size]);
    probe.extend(port.to_be_bytes());
    probe.extend(number.to_ne_bytes());
    probe
}

/// One long packet for [`SEGMENTS`] of the tunnel's MTU, which somebody behind the tunnel's device cuts: each is a question.
fn send_segments(device: u32, question: &TunnelQuestion, number: u64, mtu: u32) -> io::Result<()> {
    let is_v4 = question.address.is_ipv4();
    let ip = if is_v4 { 20 } else { 40 };
    let invalid = |_| io::Error::from_raw_os_error(libc::EINVAL);
    let each = usize::try_from(mtu).map_err(invalid)?.saturating_sub(ip + TCP_HEADER);
    let length = ip + TCP_HEADER + usize::from(SEGMENTS) * each;
    let mut packet = headers(question.address, TCP, length);
    let tcp = packet.len();
    // From port 0 to port 0; sequence 1, nothing acknowledged, 5 words, ACK.
    packet.extend([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    for segment in 0..SEGMENTS {
        let end = packet.len() + each;
        packet.extend(probe(ASKS, question.port, segment, number));
        packet.push(TAKES_LONG_ANSWERS);
        packet.resize(end, 0);
    }
    // Of the pseudo header alone: whoever cuts sums up the rest.
    let addresses = &packet[ETHERNET + if is_v4 { 12 } else { 8 }..tcp];
    let payload = u16::try_from(length - ip).map_err(invalid)?.to_be_bytes();
    let sum = !checksum(&[addresses, &[0, TCP], &payload].concat());
    packet[tcp + 16..tcp + 18].copy_from_slice(&sum.to_be_bytes());
    // `struct virtio_net_hdr` (linux/virtio_net.h): in the byte order of this machine.
    let mut frame = vec![NEEDS_CHECKSUM, if is_v4 { GSO_TCPV4 } else { GSO_TCPV6 }];
    for value in [tcp + TCP_HEADER, each, tcp, 16] {
        frame.extend(u16::try_from(value).map_err(invalid)?.to_ne_bytes());
    }
    frame.extend(packet);
    let socket = open(device)?;
    set_packet_option(&socket, PACKET_VNET_HDR)?;
    sent(socket.send(&frame))
}

const TCP: u8 = 6;
const TCP_HEADER: usize = 20;
/// linux/if_packet.h and linux/virtio_net.h.
const PACKET_VNET_HDR: libc::c_int = 15;
const NEEDS_CHECKSUM: u8 = 1;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;

/// The Internet checksum (RFC 1071) over words.
fn checksum(header: &[u8]) -> u16 {
    let words =
        header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)
}

fn send(device: u32, frame: &[u8]) -> io::Result<()> {
    sent(open(device)?.send(frame))
}

fn open(device: u32) -> io::Result<Socket> {
    // Of protocol 0: it receives nothing.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    bind(socket.as_raw_fd(), &link_address(device)?)?;
    Ok(socket)
}

/// What the programs drop is sent too: its reason is counted.
fn sent(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() != Some(libc::ENOBUFS) => Err(error),
        _ => Ok(()),
    }
}
