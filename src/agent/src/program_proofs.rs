//! Whether Egret's programs run on the uplinks, beside the filters of others: whom to ask there, and what is known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use egret_core::model::Family;
use egret_datapath::host::{HostUplink, NextHop};
use egret_datapath::link_proof::{LinkProof, LinkProofs, LinkQuestion, ProvedProtocol};
use egret_ports::error::PortError;
use ipnet::IpNet;

use crate::router_watch::own_beside;

/// Another program's filters may come at any time.
const PROVE_EVERY: Duration = Duration::from_secs(60);

/// What is known so far.
#[derive(Debug, Default)]
pub(crate) struct ProgramProofs {
    /// By a link's index and the protocol of the question.
    known: BTreeMap<(u32, ProvedProtocol), LinkProof>,
    /// Where a proof has failed once, which says nothing yet: somebody may have taken the programs away.
    doubted: BTreeSet<(u32, ProvedProtocol)>,
    /// Links of which a question has shown something, or none could be asked; also to an earlier process of this boot.
    judged: BTreeSet<u32>,
    /// What was asked last, and when.
    asked: Option<(Vec<LinkQuestion>, Instant)>,
}

/// What each question has shown.
pub(crate) type Proofs = Vec<(LinkQuestion, Result<LinkProofs, PortError>)>;

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
        let is_there = |link: u32| uplinks.iter().any(|uplink| uplink.index == link);
        self.known.retain(|(link, _), _| is_there(*link));
        self.doubted.retain(|(link, _)| is_there(*link));
        self.judged.retain(|link| is_there(*link));
    }

    /// Goes on with the links that an earlier process of this boot has judged; a version before did not say which, and
    /// had what is an `uplink` now for one.
    pub(crate) fn recall(&mut self, judged: Option<BTreeSet<u32>>, uplinks: &[HostUplink]) {
        let all = || uplinks.iter().map(|uplink| uplink.index).collect();
        self.judged.extend(judged.unwrap_or_else(all));
    }

    /// What the next process of this boot is told.
    pub(crate) fn judged(&self) -> &BTreeSet<u32> {
        &self.judged
    }

    /// Whether a link's first proof is still to come: until then it carries nothing that another may carry.
    pub(crate) fn awaits(&self, uplink: &HostUplink) -> bool {
        !self.judged.contains(&uplink.index) && !questions(uplink, &[]).is_empty()
    }

    /// Nothing could be asked on this link, which is no reason to wait for it.
    pub(crate) fn note_unasked(&mut self, link: u32) {
        self.judged.insert(link);
    }

    /// True where another thing is known than before. Where nobody answers, what an answer has shown holds. One that
    /// fails is asked for again before it counts.
    pub(crate) fn note(&mut self, link: u32, protocol: ProvedProtocol, proof: LinkProof) -> bool {
        let way = (link, protocol);
        let before = self.known.get(&way).copied();
        let was_doubted = self.doubted.remove(&way);
        if proof == LinkProof::Unanswered && before == Some(LinkProof::IngressPassedBy) {
            return false;
        }
        if proof.is_failed() && before != Some(proof) && !was_doubted {
            self.doubted.insert(way);
            self.asked = None;
            return false;
        }
        self.known.insert(way, proof);
        self.judged.insert(link);
        before != Some(proof)
    }

    /// Whether a proof has just failed that did not before: the programs are to be put back where they are missing,
    /// and [`Self::due`] gives the questions at once.
    pub(crate) fn asks_again(&self) -> bool {
        self.asked.is_none() && !self.doubted.is_empty()
    }

    /// Why a link carries no address, though it could.
    pub(crate) fn trouble(&self, index: u32, name: &str) -> Option<String> {
        let of_link = self.known.iter().filter(|((link, _), _)| *link == index);
        of_link.into_iter().find_map(|((_, protocol), proof)| proof.trouble(name, *protocol))
    }
}

/// One of each family that the link has an address of: another's filter may be for one of them alone.
pub(crate) fn questions(uplink: &HostUplink, peers: &[IpAddr]) -> Vec<LinkQuestion> {
    let families = [Family::IPv4, Family::IPv6].into_iter();
    let asked = families.filter_map(|family| asked(uplink, family, peers));
    let question =
        |(own, neighbour)| LinkQuestion { link: uplink.index, mac: uplink.mac, own, neighbour };
    asked.map(question).collect()
}

/// Who asks for whom. A router goes before a peer: it answers whoever asks. Where neither is known on this link,
/// anybody is asked for: the question itself shows whether the program at the egress runs.
fn asked(uplink: &HostUplink, family: Family, peers: &[IpAddr]) -> Option<(IpAddr, IpAddr)> {
    let beside = |neighbour: IpAddr| {
        let is_other = !uplink.lasting.contains(&neighbour);
        Some((own_beside(uplink, neighbour).filter(|_| is_other)?, neighbour))
    };
    let of_main = main_router(uplink, family);
    let router = of_main.or_else(|| other_router(uplink, family)).and_then(beside);
    // Outside its subnets: clouds name such.
    let off_subnet = || Some((own_net(uplink, family)?.addr(), of_main?));
    let peers = peers.iter().filter(|peer| Family::of(**peer) == family);
    let peer = || peers.copied().find_map(beside);
    router.or_else(off_subnet).or_else(peer).or_else(|| anybody(uplink, family))
}

/// Of the same family: IPv4 may lead to a router's IPv6 address, and ARP does not ask for that.
fn main_router(uplink: &HostUplink, family: Family) -> Option<IpAddr> {
    let mut defaults = uplink.defaults.iter().filter(|(of, _)| *of == family);
    defaults.find_map(|(_, router)| router.filter(|router| Family::of(*router) == family))
}

fn other_router(uplink: &HostUplink, family: Family) -> Option<IpAddr> {
    let (NextHop::Given(router) | NextHop::Default(router) | NextHop::Partial(router)) =
        uplink.next_hops.get(&family)?;
    Some(*router).filter(|router| Family::of(*router) == family)
}

/// Its first lasting address of a family.
fn own_net(uplink: &HostUplink, family: Family) -> Option<IpNet> {
    let is_own =
        |net: &&IpNet| Family::of(net.addr()) == family && uplink.lasting.contains(&net.addr());
    uplink.addresses.iter().find(is_own).copied()
}

/// Its own lasting address, and one beside it that may be somebody's.
fn anybody(uplink: &HostUplink, family: Family) -> Option<(IpAddr, IpAddr)> {
    let net = own_net(uplink, family)?;
    let beside = |bits: u8| match net.addr() {
        IpAddr::V4(own) => IpAddr::from(Ipv4Addr::from_bits(own.to_bits() ^ u32::from(bits))),
        IpAddr::V6(own) => IpAddr::from(Ipv6Addr::from_bits(own.to_bits() ^ u128::from(bits))),
    };
    let is_host = |address: &IpAddr| {
        let is_own = uplink.addresses.iter().any(|net| net.addr() == *address);
        !is_own && *address != net.network() && *address != net.broadcast()
    };
    Some((net.addr(), (1..=u8::MAX).map(beside).find(is_host)?))
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
        let mut note = |proof| proofs.note(3, ProvedProtocol::Arp, proof);
        assert!(note(LinkProof::Unanswered));
        assert!(!note(LinkProof::IngressPassedBy), "once");
        assert!(note(LinkProof::IngressPassedBy));
        assert!(!note(LinkProof::Unanswered));
        assert!(note(LinkProof::Runs));
        assert!(!note(LinkProof::EgressPassedBy));
        assert!(note(LinkProof::EgressPassedBy));
        assert!(note(LinkProof::Unanswered), "the question itself was seen");
    }

    #[test]
    fn a_proof_that_fails_is_asked_for_again_before_anything_is_said() {
        let (mut proofs, start) = (ProgramProofs::default(), Instant::now());
        let mut ask = |proof| {
            assert!(proofs.due(vec![asks(3)], start).is_some());
            proofs.note(3, ProvedProtocol::Arp, proof);
            (proofs.asks_again(), proofs.trouble(3, "eth0").is_some())
        };
        let failed = LinkProof::EgressPassedBy;
        assert_eq!(ask(failed), (true, false));
        assert_eq!(ask(failed), (false, true));
        let mut proofs = ProgramProofs::default();
        for (proof, again) in [(failed, true), (LinkProof::Runs, false), (failed, true)] {
            proofs.due(vec![asks(3)], start);
            proofs.note(3, ProvedProtocol::Arp, proof);
            assert_eq!((proofs.asks_again(), proofs.trouble(3, "eth0")), (again, None));
        }
    }

    #[test]
    fn what_ends_ipv4_alone_is_said_though_arp_passes() {
        let mut proofs = ProgramProofs::default();
        for _ in 0..2 {
            proofs.note(3, ProvedProtocol::Arp, LinkProof::Runs);
            proofs.note(3, ProvedProtocol::Ipv4, LinkProof::IngressPassedBy);
        }
        assert!(proofs.trouble(3, "eth0").unwrap().contains("does not run for IPv4"));
        proofs.note(3, ProvedProtocol::Ipv4, LinkProof::Unanswered);
        assert!(proofs.trouble(3, "eth0").is_some(), "silence ends no trouble");
        proofs.note(3, ProvedProtocol::Ipv4, LinkProof::Runs);
        assert_eq!(proofs.trouble(3, "eth0"), None);
    }

    #[test]
    fn a_link_waits_for_its_first_proof_where_one_can_be_asked_for() {
        let (mut proofs, link) = (ProgramProofs::default(), uplink(3, &["192.0.2.11/24"]));
        assert!(proofs.awaits(&link));
        proofs.note(3, ProvedProtocol::Arp, LinkProof::EgressPassedBy);
        assert!(proofs.awaits(&link), "it is asked for again");
        proofs.note(3, ProvedProtocol::Arp, LinkProof::Unanswered);
        assert!(!proofs.awaits(&link), "nobody is there to answer");
        let mut bare = uplink(4, &["192.0.2.12/24"]);
        assert!(proofs.awaits(&bare));
        proofs.note_unasked(4);
        assert!(!proofs.awaits(&bare));
        bare.index = 5;
        bare.lasting.clear();
        assert!(!proofs.awaits(&bare), "nothing can be asked there");
        proofs.keep(&[bare]);
        assert!(proofs.awaits(&link), "it is another by then");
    }

    #[test]
    fn an_agent_that_begins_anew_waits_for_what_its_boot_has_not_judged() {
        let links = [uplink(3, &["192.0.2.11/24"]), uplink(4, &["203.0.113.11/24"])];
        let awaits = |judged: Option<BTreeSet<u32>>| {
            let mut proofs = ProgramProofs::default();
            proofs.recall(judged, &links);
            links.iter().map(|link| proofs.awaits(link)).collect::<Vec<_>>()
        };
        assert_eq!(awaits(Some([3].into())), [false, true]);
        assert_eq!(awaits(None), [false, false], "of an older version");
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn asked_on(link: &HostUplink, peers: &[&str]) -> Vec<(IpAddr, IpAddr)> {
        let peers: Vec<IpAddr> = peers.iter().map(|text| ip(text)).collect();
        let questions = questions(link, &peers).into_iter();
        questions.map(|question| (question.own, question.neighbour)).collect()
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(IpAddr, IpAddr)> {
        of.iter().map(|(own, neighbour)| (ip(own), ip(neighbour))).collect()
    }

    #[test]
    fn each_family_asks_for_its_router_else_for_a_peer_of_the_subnet_else_for_anybody() {
        let mut link = uplink(3, &["192.0.2.11/24", "2001:db8::11/64"]);
        link.lasting = vec![ip("192.0.2.11"), ip("2001:db8::11")];
        let anybody = [("192.0.2.11", "192.0.2.10"), ("2001:db8::11", "2001:db8::10")];
        assert_eq!(asked_on(&link, &[]), pairs(&anybody));
        let peers = ["192.0.2.11", "203.0.113.4", "2001:db8::12", "192.0.2.12"];
        let both = [("192.0.2.11", "192.0.2.12"), ("2001:db8::11", "2001:db8::12")];
        assert_eq!(asked_on(&link, &peers), pairs(&both), "neither itself nor who is elsewhere");
        link.defaults = vec![(Family::IPv4, None), (Family::IPv6, Some(ip("fe80::1")))];
        link.next_hops.insert(Family::IPv4, NextHop::Default(ip("192.0.2.1")));
        let routers = [("192.0.2.11", "192.0.2.1"), ("2001:db8::11", "fe80::1")];
        assert_eq!(asked_on(&link, &peers), pairs(&routers));
        link.lasting.clear();
        assert_eq!(asked_on(&link, &peers), [], "a temporary address asks nobody");
    }

    #[test]
    fn a_router_outside_the_subnets_is_asked_where_the_main_table_names_it() {
        let mut link = uplink(3, &["203.0.113.254/32"]);
        link.lasting = vec![ip("203.0.113.254")];
        assert_eq!(asked_on(&link, &[]), pairs(&[("203.0.113.254", "203.0.113.255")]));
        link.defaults = vec![(Family::IPv4, Some(ip("169.254.1.1")))];
        assert_eq!(asked_on(&link, &[]), pairs(&[("203.0.113.254", "169.254.1.1")]));
        link.defaults = vec![(Family::IPv4, Some(ip("fe80::1")))];
        assert_eq!(asked_on(&link, &[]), pairs(&[("203.0.113.254", "203.0.113.255")]));
    }
}
