//! Proof that the programs at both ends of a link run.
//!
//! That they are attached says little: with clsact a filter of another that decides about a packet ends the
//! chain, and what stands behind it never runs. So a question is asked of a neighbour, which a packet socket
//! sees answered before any program does, and the programs count what they see of both. Such a filter may be for
//! one protocol alone: ARP says nothing of IPv4, so the same neighbour is sent an echo too.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{io, thread};

use aya::maps::{HashMap, MapData};
use egret_ports::error::PortError;

use crate::announce::frame;
use crate::announce::tap::AnnounceTap;
use crate::announce::{echo, tap};
use crate::bpf::neighbour_frames;
use crate::netlink::refused;

/// A neighbour on a link, and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkQuestion {
    /// The link's index.
    pub link: u32,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// An address of this host on it.
    pub own: IpAddr,
    /// The neighbour: of the same family.
    pub neighbour: IpAddr,
}

/// What a question has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkProof {
    /// Both programs run.
    Runs,
    /// The one at the egress runs. Nobody answered, so nothing is known of the other.
    Unanswered,
    /// The egress' program did not see the question.
    EgressPassedBy,
    /// The ingress' program did not see the answer.
    IngressPassedBy,
}

/// What filters of others tell apart, and questions show each for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProvedProtocol {
    /// `protocol arp`.
    Arp,
    /// `protocol ip`.
    Ipv4,
    /// `protocol ipv6`, neighbour discovery among it.
    Ipv6,
}

/// What a question has shown, by each protocol that it took.
pub type LinkProofs = Vec<(ProvedProtocol, LinkProof)>;

/// How long an answer may take that shows whether the programs run.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a router's answer may take.
pub const ROUTER_PATIENCE: Duration = Duration::from_millis(500);
/// How long the program may see it after the packet socket does.
const LAG: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(5);

/// Asks once by each protocol that the question takes; blocks for a second for each at most, so it is for a thread
/// of its own. Changes nothing.
///
/// # Errors
/// `NotFound` where the link is gone, `Invalid` where the addresses are of two families.
pub fn prove(pin_dir: &Path, question: &LinkQuestion) -> Result<LinkProofs, PortError> {
    let operation = "prove that the programs of a link run";
    let seen = neighbour_frames(pin_dir).map_err(|error| error.into_port(operation))?;
    let failed = |error| refused(operation, error);
    let by = |protocol, asked: &mut dyn FnMut() -> io::Result<bool>| {
        let seen = |egress| count(&seen, question.link, (protocol, egress));
        let before = (seen(false), seen(true));
        let answered = asked()?;
        if answered {
            thread::sleep(LAG);
        }
        let proof = match (seen(false) > before.0, seen(true) > before.1) {
            (_, false) => LinkProof::EgressPassedBy,
            (true, true) if answered => LinkProof::Runs,
            (false, true) if answered => LinkProof::IngressPassedBy,
            (_, true) => LinkProof::Unanswered,
        };
        Ok((protocol, proof))
    };
    let (IpAddr::V4(own), IpAddr::V4(neighbour)) = (question.own, question.neighbour) else {
        let mut asked = || Ok(ask(question, PATIENCE)?.is_some());
        return Ok(vec![by(ProvedProtocol::Ipv6, &mut asked).map_err(failed)?]);
    };
    let mut at = None;
    let mut asked = || {
        at = ask(question, PATIENCE)?;
        Ok(at.is_some())
    };
    let arp = by(ProvedProtocol::Arp, &mut asked).map_err(failed)?;
    let mut echoed = || echo_comes_back(question, (own, neighbour), at);
    let ipv4 = by(ProvedProtocol::Ipv4, &mut echoed).map_err(failed)?;
    Ok(vec![arp, ipv4])
}

/// Whether the neighbour answers; blocks for [`ROUTER_PATIENCE`] at most. Changes nothing.
///
/// # Errors
/// As [`prove`].
pub fn is_answered(question: &LinkQuestion) -> Result<bool, PortError> {
    ask(question, ROUTER_PATIENCE)
        .map(|at| at.is_some())
        .map_err(|error| refused(format!("ask for the router {}", question.neighbour), error))
}

type SeenFrames = HashMap<MapData, [u8; 8], u64>;

/// 0 where it has seen none.
fn count(seen: &SeenFrames, link: u32, (protocol, egress): (ProvedProtocol, bool)) -> u64 {
    let mut key = [0; 8];
    // As in bpf/neighbour.h.
    let first = match protocol {
        ProvedProtocol::Arp => 0,
        ProvedProtocol::Ipv6 => 2,
        ProvedProtocol::Ipv4 => 4,
    };
    let end: u32 = first + u32::from(egress);
    key[..4].copy_from_slice(&link.to_ne_bytes());
    key[4..].copy_from_slice(&end.to_ne_bytes());
    seen.get(&key, 0).unwrap_or(0)
}

/// Who answered. Of other frames some are none of the program's: a bridge floods them.
fn ask(question: &LinkQuestion, patience: Duration) -> io::Result<Option<[u8; 6]>> {
    let frame = match (question.own, question.neighbour) {
        (IpAddr::V4(own), IpAddr::V4(neighbour)) => {
            frame::arp_request((question.mac, own), neighbour)
        }
        (IpAddr::V6(own), IpAddr::V6(neighbour)) => {
            frame::solicitation((question.mac, own), neighbour)
        }
        _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
    };
    let tap = AnnounceTap::open(question.link)?;
    tap.send(&frame)?;
    wait(&tap, patience, |frame| answered_by(question, frame))
}

/// The first frame by which something is `found`.
fn wait<T>(
    tap: &AnnounceTap,
    patience: Duration,
    found: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Option<T>> {
    let end = Instant::now() + patience;
    loop {
        // Before the look: where this thread was held up, what came in meanwhile counts.
        let is_over = Instant::now() >= end;
        match tap.receive()? {
            Some(frame) => {
                let found = found(&frame);
                if found.is_some() {
                    return Ok(found);
                }
            }
            None if is_over => return Ok(None),
            None => thread::sleep(PAUSE),
        }
    }
}

/// To this host alone, from the neighbour: its hardware address.
fn answered_by(question: &LinkQuestion, frame: &[u8]) -> Option<[u8; 6]> {
    let claim = frame::claims(frame).filter(|claim| claim.address == question.neighbour)?;
    frame.starts_with(&question.mac).then_some(claim.mac)
}

/// Sends an echo to the neighbour `at` this hardware address, and waits for its reply. Where nobody is known to be
/// there it goes to this link's own: no switch delivers that to anybody, and the egress has seen it all the same.
fn echo_comes_back(
    question: &LinkQuestion,
    (own, neighbour): (Ipv4Addr, Ipv4Addr),
    at: Option<[u8; 6]>,
) -> io::Result<bool> {
    let tap = AnnounceTap::open_with(question.link, &tap::echo_replies())?;
    let sender = (question.mac, own);
    tap.send(&echo::request(sender, (at.unwrap_or(question.mac), neighbour)))?;
    let Some(at) = at else { return Ok(false) };
    let comes = |frame: &[u8]| echo::is_reply(frame, sender, (at, neighbour)).then_some(());
    Ok(wait(&tap, PATIENCE, comes)?.is_some())
}

impl LinkProof {
    /// Whether one of the programs was shown not to run.
    #[must_use]
    pub fn is_failed(self) -> bool {
        matches!(self, Self::EgressPassedBy | Self::IngressPassedBy)
    }

    /// What another's filter does to Egret there, with the remedy; `None` where nothing is wrong that is known.
    #[must_use]
    pub fn trouble(self, link: &str, protocol: ProvedProtocol) -> Option<String> {
        let protocol = match protocol {
            ProvedProtocol::Arp => "ARP",
            ProvedProtocol::Ipv4 => "IPv4",
            ProvedProtocol::Ipv6 => "IPv6",
        };
        let (end, what) = match self {
            Self::Runs | Self::Unanswered => return None,
            Self::EgressPassedBy => ("egress", "it neither fences nor guards what leaves there"),
            Self::IngressPassedBy => ("ingress", "it answers for no address there"),
        };
        Some(format!(
            "Egret's program at the {end} of {link} does not run for {protocol} ({what}): another's filter before it ends the \
             chain; see tc filter show dev {link} {end}, and let that filter continue, or come after priority 490"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_run_is_named_with_its_end() {
        let said =
            |proof: LinkProof| proof.trouble("eth1", ProvedProtocol::Ipv4).unwrap_or_default();
        assert!(said(LinkProof::IngressPassedBy).contains("tc filter show dev eth1 ingress"));
        assert!(said(LinkProof::EgressPassedBy).contains("tc filter show dev eth1 egress"));
        assert!(said(LinkProof::EgressPassedBy).contains("does not run for IPv4"));
        assert_eq!(said(LinkProof::Runs) + &said(LinkProof::Unanswered), "");
    }
}
