//! Messages to nf_tables (linux/netfilter/nfnetlink.h) and the kernel's yes or no.

use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};

use crate::attributes::Attributes;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u8 = 10;
const FAMILY_UNSPEC: u8 = 0;
const FAMILY_INET: u8 = 1;
/// struct nlmsghdr, and with it struct nfgenmsg.
const HEADER: usize = 16;
const WITH_FAMILY: usize = 20;

/// One message to nf_tables, about family inet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NftMessage {
    pub(crate) kind: u8,
    /// Beside `NLM_F_REQUEST` and the acknowledgement.
    pub(crate) flags: u16,
    pub(crate) attributes: Attributes,
}

impl NftMessage {
    fn render(&self, sequence: u32, out: &mut Vec<u8>) {
        let kind = (u16::from(SUBSYSTEM) << 8) | u16::from(self.kind);
        let flags = NLM_F_REQUEST | NLM_F_ACK | self.flags;
        header((kind, flags, sequence), (FAMILY_INET, 0), self.attributes.as_bytes(), out);
    }
}

fn header(
    (kind, flags, sequence): (u16, u16, u32),
    (family, resource): (u8, u16),
    body: &[u8],
    out: &mut Vec<u8>,
) {
    let length = u32::try_from(WITH_FAMILY + body.len()).unwrap_or(u32::MAX);
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; 4]);
    out.extend([family, 0]);
    out.extend(resource.to_be_bytes());
    out.extend(body);
}

/// All messages as one transaction.
fn batch(messages: &[NftMessage]) -> (Vec<u8>, u32) {
    let mut out = Vec::new();
    let of = (FAMILY_UNSPEC, u16::from(SUBSYSTEM));
    header((BATCH_BEGIN, NLM_F_REQUEST, 0), of, &[], &mut out);
    let mut sequence = 0;
    for message in messages {
        sequence += 1;
        message.render(sequence, &mut out);
    }
    header((BATCH_END, NLM_F_REQUEST, sequence + 1), of, &[], &mut out);
    (out, sequence)
}

/// A socket in the network namespace of the thread that made it.
pub(crate) struct NfTables(Socket);

impl NfTables {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // The kernel answers a request before `send` returns.
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// Whether what is asked for is there.
    pub(crate) fn ask(&mut self, message: &NftMessage) -> io::Result<bool> {
        let mut request = Vec::new();
        message.render(1, &mut request);
        match self.send(&request, 1) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Carries out all or none. The error is the first that the kernel names.
    pub(crate) fn batch(&mut self, messages: &[NftMessage]) -> io::Result<()> {
        let (bytes, last) = batch(messages);
        // A message is no longer than the buffer; a cluster of thousands of nodes has a long one.
        let _ = setsockopt(&self.0, sockopt::SndBufForce, &(2 * bytes.len() + 4096));
        // Every message is acknowledged, in a buffer of the kernel's record for each.
        let _ = self.0.set_rx_buf_sz(u32::try_from(messages.len() * 2048).unwrap_or(u32::MAX));
        self.send(&bytes, last)
    }

    fn send(&mut self, bytes: &[u8], last: u32) -> io::Result<()> {
        self.0.send(bytes, 0)?;
        let mut accepted = false;
        loop {
            let received = match self.0.recv_from_full() {
                Ok((received, _)) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            for (sequence, error) in verdicts(&received) {
                if error != 0 {
                    return Err(io::Error::from_raw_os_error(-error));
                }
                accepted |= sequence == last;
            }
        }
        if accepted { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// Sequence and error of each acknowledgement (struct nlmsgerr); 0 is a yes.
fn verdicts(mut bytes: &[u8]) -> Vec<(u32, i32)> {
    let number = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).unwrap_or_default()
    };
    let mut found = Vec::new();
    while bytes.len() >= HEADER {
        let length = u32::from_ne_bytes(number(bytes, 0)) as usize;
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        if length < HEADER || length > bytes.len() {
            break;
        }
        if kind == NLMSG_ERROR {
            let sequence = u32::from_ne_bytes(number(bytes, 8));
            found.push((sequence, i32::from_ne_bytes(number(bytes, HEADER))));
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    found
}
