//! Whether the holders of the addresses that pods here use are reached through the tunnel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::model::{NodeName, PortRange, Snapshot};
use egret_datapath::tunnel_probe::{TunnelQuestion, TunnelReach};

/// A holder with traffic is asked so often.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// And so often while the controller asks: as many misses are still longer than a move takes.
const HURRIED_EVERY: Duration = Duration::from_secs(3);
/// So many times in a row without an answer: longer than any move takes.
const SAID_AFTER: u32 = 3;

/// A holder, and what to ask it with.
pub(crate) type HolderQuestion = (NodeName, TunnelQuestion);

/// What came of a round of questions.
#[derive(Debug)]
pub(crate) struct TunnelAnswers {
    pub(crate) holders: Vec<(HolderQuestion, TunnelReach)>,
    /// The length of the long questions, in bytes.
    pub(crate) longest: u32,
    /// The standbys that answered.
    pub(crate) standbys: BTreeSet<NodeName>,
}

/// What is known of each holder.
#[derive(Debug, Default)]
pub(crate) struct TunnelWatch {
    /// The egress addresses that connections of pods here have.
    in_use: BTreeSet<IpAddr>,
    asked: Option<Instant>,
    asking: bool,
    holders: BTreeMap<NodeName, SeenHolder>,
}

/// How often in a row a holder has not answered.
#[derive(Debug)]
struct SeenHolder {
    address: IpAddr,
    short: u32,
    longest: u32,
    segments: u32,
}

impl TunnelWatch {
    fn rests(&self, pause: Duration, now: Instant) -> bool {
        self.asking || self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < pause)
    }

    /// The questions to ask now, those to `hurried` holders sooner than others; `None` where it is too soon. [`Self::note`] or [`Self::give_up`] follows.
    pub(crate) fn due(
        &mut self,
        questions: Vec<HolderQuestion>,
        hurried: &BTreeSet<NodeName>,
        now: Instant,
    ) -> Option<Vec<HolderQuestion>> {
        let asked: BTreeSet<&NodeName> = questions.iter().map(|(holder, _)| holder).collect();
        // Of who holds nothing for pods here any more nothing is known.
        self.holders.retain(|holder, _| asked.contains(holder));
        if self.rests(HURRIED_EVERY, now) || questions.is_empty() {
            return None;
        }
        let mut due = questions;
        if self.rests(ASK_EVERY, now) {
            due.retain(|(holder, _)| hurried.contains(holder));
            if due.is_empty() {
                return None;
            }
        }
        (self.asked, self.asking) = (Some(now), true);
        Some(due)
    }

    pub(crate) fn note_use(&mut self, in_use: BTreeSet<IpAddr>) {
        self.in_use = in_use;
    }

    pub(crate) fn in_use(&self) -> &BTreeSet<IpAddr> {
        &self.in_use
    }

    /// Nothing is known of any holder.
    pub(crate) fn is_idle(&self) -> bool {
        self.holders.is_empty()
    }

    /// Nobody could be asked.
    pub(crate) fn give_up(&mut self) {
        self.asking = false;
    }

    pub(crate) fn note(&mut self, answers: &[(HolderQuestion, TunnelReach)]) {
        self.asking = false;
        for ((holder, question), reach) in answers {
            let new =
                || SeenHolder { address: question.address, short: 0, longest: 0, segments: 0 };
            let seen = self.holders.entry(holder.clone()).or_insert_with(new);
            seen.address = question.address;
            let count = |missed: u32, answered| if answered { 0 } else { missed.saturating_add(1) };
            seen.short = count(seen.short, reach.short);
            seen.longest = count(seen.longest, reach.longest);
            seen.segments = count(seen.segments, reach.segments != Some(false));
        }
    }

    /// The holders that have not answered for so long that it is said.
    pub(crate) fn unreached(&self) -> BTreeSet<NodeName> {
        let silent = self.holders.iter().filter(|(_, seen)| seen.short >= SAID_AFTER);
        silent.map(|(holder, _)| holder.clone()).collect()
    }

    /// Which holders are not reached, with the remedy; `longest`: the length of a long question in bytes.
    pub(crate) fn problem(&self, port: u16, longest: u32) -> Option<String> {
        let mut silent = Vec::new();
        let mut short_only = Vec::new();
        let mut uncut = Vec::new();
        for (holder, seen) in &self.holders {
            let named = format!("{holder} (it holds {})", seen.address);
            if seen.short >= SAID_AFTER {
                silent.push(named);
            } else if seen.longest >= SAID_AFTER {
                short_only.push(named);
            } else if seen.segments >= SAID_AFTER {
                uncut.push(named);
            }
        }
        let silent = (!silent.is_empty()).then(|| {
            format!(
                "no answer through the tunnel from {}: let UDP port {port} pass between the nodes, both ways (firewalls \
                 of the nodes, security groups, what is on the way)",
                silent.join(", ")
            )
        });
        let short_only = (!short_only.is_empty()).then(|| {
            format!(
                "packets of {longest} bytes are lost in the tunnel to {}, short ones pass: the way between the nodes \
                 carries less than the MTU of their links; set that to what it carries",
                short_only.join(", ")
            )
        });
        let uncut = (!uncut.is_empty()).then(|| {
            format!(
                "long TCP packets that a network card cuts into segments are lost in the tunnel to {}, whole packets of \
                 {longest} bytes pass: `ethtool -K DEV tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off` on \
                 this node and on the other one, DEV being the link between them; where that does not help, `ethtool -K \
                 DEV lro off rx-gro-hw off` on both",
                uncut.join(", ")
            )
        });
        let all: Vec<String> = silent.into_iter().chain(short_only).chain(uncut).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// One question for each other node that holds an address of which `blocks` are this node's and which is `in_use` here.
pub(crate) fn questions(
    snapshot: &Snapshot,
    me: &NodeName,
    blocks: &BTreeMap<IpAddr, BTreeMap<PortRange, u64>>,
    in_use: &BTreeSet<IpAddr>,
) -> Vec<HolderQuestion> {
    let mut questions: BTreeMap<NodeName, TunnelQuestion> = BTreeMap::new();
    for (address, ports) in blocks.iter().filter(|(address, _)| in_use.contains(*address)) {
        let stored = snapshot.addresses.get(address);
        let Some(holding) = stored.and_then(|stored| stored.value.status.holding.as_ref()) else {
            continue;
        };
        let node = snapshot.egress_nodes.get(&holding.node);
        let answers = node.is_some_and(|node| node.value.status.answers_in_tunnel);
        let (Some(ports), true) = (ports.keys().next(), answers && holding.node != *me) else {
            continue;
        };
        let question = TunnelQuestion { address: *address, port: ports.first() };
        questions.entry(holding.node.clone()).or_insert(question);
    }
    questions.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use egret_core::model::{EgressNodeStatus, Epoch, Holding};

    use super::*;
    use crate::testing::{put_address, put_node};

    const REACHED: TunnelReach = TunnelReach { short: true, longest: true, segments: Some(true) };
    const UNCUT: TunnelReach = TunnelReach { segments: Some(false), ..REACHED };
    const SHORT_ONLY: TunnelReach = TunnelReach { longest: false, ..UNCUT };
    const SILENT: TunnelReach = TunnelReach { short: false, longest: false, segments: None };

    fn question(address: &str) -> TunnelQuestion {
        TunnelQuestion { address: address.parse().unwrap(), port: 1024 }
    }

    /// What is said after these rounds.
    fn said(rounds: &[TunnelReach]) -> String {
        let mut watch = TunnelWatch::default();
        for reach in rounds {
            watch.note(&[(("g1".into(), question("203.0.113.17")), *reach)]);
        }
        watch.problem(5480, 1450).unwrap_or_default()
    }

    #[test]
    fn what_is_lost_three_times_in_a_row_is_said_with_its_remedy() {
        assert_eq!(said(&[SILENT, SILENT]), "");
        let silent = said(&[REACHED, SILENT, SILENT, SILENT]);
        assert!(silent.contains("g1 (it holds 203.0.113.17)") && silent.contains("UDP port 5480"));
        let short_only = said(&[SHORT_ONLY; 3]);
        assert!(short_only.contains("packets of 1450 bytes") && short_only.contains("MTU"));
        assert!(!short_only.contains("UDP port"), "{short_only}");
        let uncut = said(&[UNCUT; 3]);
        assert!(uncut.contains("tx-udp_tnl-segmentation off") && !uncut.contains("MTU"), "{uncut}");
        let older = TunnelReach { segments: None, ..REACHED };
        assert_eq!(said(&[older; 3]), "", "it does not answer segments");
        assert_eq!(said(&[UNCUT, UNCUT, older, UNCUT]), "", "not in a row");
        assert_eq!(said(&[SILENT, SILENT, REACHED, SILENT]), "", "not in a row");
        assert_eq!(said(&[SILENT, SILENT, SILENT, REACHED]), "", "it is over");
    }

    #[test]
    fn holders_are_asked_every_five_seconds_and_forgotten_when_they_hold_nothing() {
        let (mut watch, begun) = (TunnelWatch::default(), Instant::now());
        let at = |second| begun + Duration::from_secs(second);
        let asked = || vec![("g1".into(), question("203.0.113.17"))];
        let (nobody, hurried) = (BTreeSet::new(), BTreeSet::from([NodeName::from("g1")]));
        assert!(watch.due(Vec::new(), &nobody, at(0)).is_none());
        assert!(watch.due(asked(), &nobody, at(0)).is_some());
        assert!(watch.due(asked(), &hurried, at(9)).is_none(), "an answer is awaited");
        for _ in 0..3 {
            watch.note(&[(("g1".into(), question("203.0.113.17")), SILENT)]);
        }
        assert_eq!(watch.unreached(), ["g1".into()].into());
        assert!(watch.due(asked(), &nobody, at(4)).is_none());
        assert!(watch.due(asked(), &hurried, at(2)).is_none());
        let both = || [asked(), vec![("g2".into(), question("203.0.113.18"))]].concat();
        assert_eq!(watch.due(both(), &hurried, at(4)), Some(asked()));
        watch.give_up();
        assert!(watch.problem(5480, 1450).is_some());
        assert_eq!(watch.due(both(), &hurried, at(9)), Some(both()));
        watch.give_up();
        assert!(watch.due(Vec::new(), &nobody, at(14)).is_none());
        assert_eq!(watch.problem(5480, 1450), None);
    }

    #[test]
    fn others_that_hold_what_is_used_here_and_can_answer_are_asked_once() {
        let (me, mut snapshot) = (NodeName::from("me"), Snapshot::default());
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (address, holder) in [
            ("203.0.113.17", Some("g1")),
            ("203.0.113.18", Some("g1")),
            ("203.0.113.19", Some("old")),
            ("203.0.113.20", Some("me")),
            ("203.0.113.21", None),
            ("203.0.113.22", Some("idle")),
        ] {
            put_address(&mut snapshot, ip(address), |put| {
                put.status.holding = holder.map(|node| Holding {
                    node: node.into(),
                    epoch: Epoch { counter: 1, node: node.into() },
                });
            });
        }
        for (node, answers_in_tunnel) in
            [("g1", true), ("old", false), ("me", true), ("idle", true)]
        {
            let status = EgressNodeStatus { answers_in_tunnel, ..EgressNodeStatus::default() };
            put_node(&mut snapshot, node, status);
        }
        let ports = PortRange::new(1024, 1151).unwrap();
        let blocks: BTreeMap<IpAddr, BTreeMap<PortRange, u64>> =
            snapshot.addresses.keys().map(|address| (*address, [(ports, 1)].into())).collect();
        let mut in_use: BTreeSet<IpAddr> = blocks.keys().copied().collect();
        in_use.remove(&ip("203.0.113.22"));
        let asked = questions(&snapshot, &me, &blocks, &in_use);
        assert_eq!(asked, [("g1".into(), question("203.0.113.17"))]);
    }
}
