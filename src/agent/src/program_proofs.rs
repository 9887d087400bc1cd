//! Whether Egret's programs run on the uplinks, beside the filters of others: whom to ask there, and what is known.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::model::Family;
use egret_datapath::host::{HostUplink, NextHop};
use egret_datapath::link_proof::{LinkProof, LinkQuestion};
use egret_ports::error::PortError;

/// Another program's filters may come at any time.
const PROVE_EVERY: Duration = Duration::from_secs(60);

/// What is known so far.
#[derive(Debug, Default)]
pub(crate) struct ProgramProofs {
    /// By a link's index.
    known: BTreeMap<u32, LinkProof>,
    /// What was asked last, and when.
    asked: Option<(Vec<LinkQuestion>, Instant)>,
}

/// The proof that each question has brought.
pub(crate) type Proofs = Vec<(u32, Result<LinkProof, PortError>)>;

impl ProgramProofs {
    /// The questions, where they are due: others than before, or for the next time.
    pub(crate) fn due(
        &mut self,
        questions: Vec<LinkQuestion>,
        now: Instant,
    ) -> Option<Vec<LinkQuestion>> {
        let is_fresh = |(asked, at): &(Vec<LinkQuestion>, Instant)| {
            *asked == questions && now.saturating_duration_since(*at) < PROVE_EVERY
        };
        if questions.is_empty() || self.asked.as_ref().is_some_and(is_fresh) {
            return None;
        }
        self.asked = Some((questions.clone(), now));
        Some(questions)
    }

    /// Forgets what is no uplink any more.
    pub(crate) fn keep(&mut self, uplinks: &[HostUplink]) {
        self.known.retain(|link, _| uplinks.iter().any(|uplink| uplink.index == *link));
    }

    /// True where another thing is known than before. Where nobody answers, what an answer has shown holds.
    pub(crate) fn note(&mut self, link: u32, proof: LinkProof) -> bool {
        let before = self.known.get(&link).copied();
        if proof == LinkProof::Unanswered && before == Some(LinkProof::IngressPassedBy) {
            return false;
        }
        self.known.insert(link, proof);
        before != Some(proof)
    }

    /// Why a link carries no address, though it could.
    pub(crate) fn trouble(&self, index: u32, name: &str) -> Option<String> {
        self.known.get(&index)?.trouble(name)
    }
}

/// A router goes before a peer: it answers whoever asks. `None` where neither is known on this link.
pub(crate) fn question(uplink: &HostUplink, peers: &[IpAddr]) -> Option<LinkQuestion> {
    let routers =
        [Family::IPv4, Family::IPv6].into_iter().filter_map(|family| router(uplink, family));
    let (own, neighbour) = routers
        .chain(peers.iter().copied())
        .find_map(|neighbour| Some((beside(uplink, neighbour)?, neighbour)))?;
    Some(LinkQuestion { link: uplink.index, mac: uplink.mac, own, neighbour })
}

fn router(uplink: &HostUplink, family: Family) -> Option<IpAddr> {
    let mut defaults = uplink.defaults.iter().filter(|(of, _)| *of == family);
    let by_main_table = defaults.find_map(|(_, router)| *router);
    by_main_table.or_else(|| match uplink.next_hops.get(&family)? {
        NextHop::Given(router) | NextHop::Default(router) | NextHop::Partial(router) => {
            Some(*router)
        }
    })
}

/// Its own lasting address of the family that shares a subnet with `neighbour`, who is another.
fn beside(uplink: &HostUplink, neighbour: IpAddr) -> Option<IpAddr> {
    let is_own = |address: &IpAddr| uplink.lasting.contains(address);
    if is_own(&neighbour) {
        return None;
    }
    let around = uplink.addresses.iter().filter(|net| net.contains(&neighbour));
    around.map(|net| net.addr()).find(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::uplink;

    fn asks(link: u32) -> LinkQuestion {
        let ip = |last| IpAddr::from([192, 0, 2, last]);
        LinkQuestion { link, mac: [2, 0, 0, 0, 0, 1], own: ip(11), neighbour: ip(1) }
    }

    #[test]
    fn links_are_proved_once_a_minute_and_when_they_are_others() {
        let (mut proofs, start) = (ProgramProofs::default(), Instant::now());
        let mut asked = |links: &[u32], second| {
            let questions = links.iter().map(|link| asks(*link)).collect();
            proofs.due(questions, start + Duration::from_secs(second)).map(|due| due.len())
        };
        assert_eq!(asked(&[], 0), None);
        assert_eq!(asked(&[3], 1), Some(1));
        assert_eq!(asked(&[3], 60), None);
        assert_eq!(asked(&[3, 4], 60), Some(2));
        assert_eq!(asked(&[3, 4], 119), None);
        assert_eq!(asked(&[3, 4], 120), Some(2));
    }

    #[test]
    fn silence_ends_no_trouble_and_makes_none() {
        let mut proofs = ProgramProofs::default();
        assert!(proofs.note(3, LinkProof::Unanswered));
        assert_eq!(proofs.trouble(3, "eth0"), None);
        assert!(proofs.note(3, LinkProof::IngressPassedBy));
        assert!(!proofs.note(3, LinkProof::Unanswered));
        assert!(proofs.trouble(3, "eth0").is_some());
        assert!(proofs.note(3, LinkProof::Runs));
        assert_eq!(proofs.trouble(3, "eth0"), None);
        assert!(proofs.note(3, LinkProof::EgressPassedBy));
        assert!(proofs.note(3, LinkProof::Unanswered), "the question itself was seen");
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_router_is_asked_for_else_a_peer_of_the_subnet() {
        let mut link = uplink(3, &["192.0.2.11/24", "2001:db8::11/64"]);
        link.lasting = vec![ip("192.0.2.11"), ip("2001:db8::11")];
        let asked = |link: &HostUplink, peers: &[&str]| {
            let peers: Vec<IpAddr> = peers.iter().map(|text| ip(text)).collect();
            question(link, &peers).map(|question| (question.own, question.neighbour))
        };
        assert_eq!(asked(&link, &[]), None);
        let peers = ["192.0.2.11", "203.0.113.4", "2001:db8::12", "192.0.2.12"];
        let v6 = Some((ip("2001:db8::11"), ip("2001:db8::12")));
        assert_eq!(asked(&link, &peers), v6, "neither itself nor who is elsewhere");
        link.defaults = vec![(Family::IPv4, None), (Family::IPv6, Some(ip("fe80::1")))];
        assert_eq!(asked(&link, &peers), v6, "a router outside of its subnets is left out");
        link.next_hops.insert(Family::IPv4, NextHop::Default(ip("192.0.2.1")));
        assert_eq!(asked(&link, &peers), Some((ip("192.0.2.11"), ip("192.0.2.1"))));
        link.lasting.clear();
        assert_eq!(asked(&link, &peers), None, "a temporary address asks nobody");
    }
}
