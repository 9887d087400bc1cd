//! Proof that the programs at both ends of a link run.
//!
//! That they are attached says little: with clsact a filter of another that decides about a packet ends the
//! chain, and what stands behind it never runs. So a question is asked of a neighbour, which a packet socket
//! sees answered before any program does, and the programs count what they see of both.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{io, thread};

use aya::maps::{HashMap, MapData};
use egret_ports::error::PortError;

use crate::announce::frame;
use crate::announce::tap::AnnounceTap;
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

/// How long an answer may take that shows whether the programs run.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a router's answer may take.
pub const ROUTER_PATIENCE: Duration = Duration::from_millis(500);
/// How long the program may see it after the packet socket does.
const LAG: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(5);

/// Asks once; blocks for a second at most, so it is for a thread of its own. Changes nothing.
///
/// # Errors
/// `NotFound` where the link is gone, `Invalid` where the addresses are of two families.
pub fn prove(pin_dir: &Path, question: &LinkQuestion) -> Result<LinkProof, PortError> {
    let operation = "prove that the programs of a link run";
    let seen = neighbour_frames(pin_dir).map_err(|error| error.into_port(operation))?;
    let seen = |egress| count(&seen, question, egress);
    let before = (seen(false), seen(true));
    let answered = ask(question, PATIENCE).map_err(|error| refused(operation, error))?;
    if answered {
        thread::sleep(LAG);
    }
    Ok(match (seen(false) > before.0, seen(true) > before.1) {
        (_, false) => LinkProof::EgressPassedBy,
        (true, true) if answered => LinkProof::Runs,
        (false, true) if answered => LinkProof::IngressPassedBy,
        (_, true) => LinkProof::Unanswered,
    })
}

/// Whether the neighbour answers; blocks for [`ROUTER_PATIENCE`] at most. Changes nothing.
///
/// # Errors
/// As [`prove`].
pub fn is_answered(question: &LinkQuestion) -> Result<bool, PortError> {
    ask(question, ROUTER_PATIENCE)
        .map_err(|error| refused(format!("ask for the router {}", question.neighbour), error))
}

type SeenFrames = HashMap<MapData, [u8; 8], u64>;

/// 0 where it has seen none.
fn count(seen: &SeenFrames, question: &LinkQuestion, egress: bool) -> u64 {
    let mut key = [0; 8];
    // As in bpf/neighbour.h.
    let end = u32::from(egress) + 2 * u32::from(question.neighbour.is_ipv6());
    key[..4].copy_from_slice(&question.link.to_ne_bytes());
    key[4..].copy_from_slice(&end.to_ne_bytes());
    seen.get(&key, 0).unwrap_or(0)
}

/// Whether an answer came in. Of other frames some are none of the program's: a bridge floods them.
fn ask(question: &LinkQuestion, patience: Duration) -> io::Result<bool> {
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
    let end = Instant::now() + patience;
    loop {
        // Before the look: where this thread was held up, what came in meanwhile counts.
        let is_over = Instant::now() >= end;
        match tap.receive()? {
            Some(frame) if is_answer(question, &frame) => return Ok(true),
            Some(_) => {}
            None if is_over => return Ok(false),
            None => thread::sleep(PAUSE),
        }
    }
}

/// To this host alone, from the neighbour.
fn is_answer(question: &LinkQuestion, frame: &[u8]) -> bool {
    frame.starts_with(&question.mac)
        && frame::claims(frame).is_some_and(|claim| claim.address == question.neighbour)
}

impl LinkProof {
    /// Whether one of the programs was shown not to run.
    #[must_use]
    pub fn is_failed(self) -> bool {
        matches!(self, Self::EgressPassedBy | Self::IngressPassedBy)
    }

    /// What another's filter does to Egret there, with the remedy; `None` where nothing is wrong that is known.
    #[must_use]
    pub fn trouble(self, link: &str) -> Option<String> {
        let (end, what) = match self {
            Self::Runs | Self::Unanswered => return None,
            Self::EgressPassedBy => ("egress", "it neither fences nor guards what leaves there"),
            Self::IngressPassedBy => ("ingress", "it answers for no address there"),
        };
        Some(format!(
            "Egret's program at the {end} of {link} does not run ({what}): another's filter before it ends the \
             chain; see tc filter show dev {link} {end}, and let that filter continue, or come after priority 490"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_run_is_named_with_its_end() {
        let said = |proof: LinkProof| proof.trouble("eth1").unwrap_or_default();
        assert!(said(LinkProof::IngressPassedBy).contains("tc filter show dev eth1 ingress"));
        assert!(said(LinkProof::EgressPassedBy).contains("tc filter show dev eth1 egress"));
        assert_eq!(said(LinkProof::Runs) + &said(LinkProof::Unanswered), "");
    }
}
