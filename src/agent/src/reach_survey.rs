//! What this node, as a director, answers to the controller that asks whether a holder is reached.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::{NodeName, PortRange, Reach, ReachAnswer, Snapshot, Timestamp};
use egret_core::tunnel_network::reached_by;
use egret_datapath::tunnel_probe::{StandbyQuestion, TunnelQuestion};

use crate::tunnel_watch::{HolderQuestion, TunnelAnswers};

/// So often in vain, and a holder or a standby is not reached.
const ROUNDS: u32 = 3;

/// The questions of the controller that this node is about to answer, each by the name of its holder.
#[derive(Debug, Default)]
pub(crate) struct ReachSurveys {
    open: BTreeMap<NodeName, Survey>,
}

#[derive(Debug)]
struct Survey {
    asked_at: Timestamp,
    rounds: u32,
    /// Those that have answered, and this node where it is one.
    standbys: BTreeSet<NodeName>,
}

/// What the answers depend on.
pub(crate) struct DirectorView<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) me: &'a NodeName,
    /// The blocks of this node.
    pub(crate) blocks: &'a BTreeMap<IpAddr, BTreeMap<PortRange, u64>>,
    /// The egress addresses that connections of pods here have.
    pub(crate) in_use: &'a BTreeSet<IpAddr>,
    /// What this node has answered.
    pub(crate) answered: &'a BTreeMap<NodeName, ReachAnswer>,
}

impl ReachSurveys {
    /// Takes note of what is asked; `holders`: those that this node asks because its pods use them. Returns what is
    /// answered at once: of what no pod here uses nothing is known.
    pub(crate) fn follow(
        &mut self,
        view: &DirectorView<'_>,
        holders: &[HolderQuestion],
    ) -> BTreeMap<NodeName, ReachAnswer> {
        let asked = view.asked();
        self.open.retain(|holder, survey| asked.get(holder) == Some(&survey.asked_at));
        let mut idle = BTreeMap::new();
        for (holder, asked_at) in asked {
            if holders.iter().any(|(used, _)| *used == holder) {
                let standbys = BTreeSet::new();
                let survey = Survey { asked_at, rounds: 0, standbys };
                self.open.entry(holder).or_insert(survey);
            } else {
                self.open.remove(&holder);
                let (holder_is, standbys) = (Reach::Idle, BTreeSet::new());
                idle.insert(holder, ReachAnswer { asked_at, holder: holder_is, standbys });
            }
        }
        idle
    }

    /// Nothing is about to be answered.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// What to ask standbys of these holders with, each once.
    pub(crate) fn questions(
        &mut self,
        view: &DirectorView<'_>,
    ) -> BTreeMap<NodeName, StandbyQuestion> {
        let mut questions = BTreeMap::new();
        let nodes = &view.snapshot.egress_nodes;
        let Some(me) = nodes.get(view.me) else { return questions };
        for (holder, survey) in &mut self.open {
            for (address, port) in view.used_at(holder) {
                let Some(stored) = view.snapshot.addresses.get(&address) else { continue };
                for standby in &stored.value.plan.standbys {
                    if standby == view.me {
                        survey.standbys.insert(standby.clone());
                        continue;
                    }
                    let Some(node) = nodes.get(standby) else { continue };
                    let ends = (&me.value.status.endpoints, &node.value.status.endpoints);
                    if let Some(end) = reached_by(ends.0, ends.1) {
                        let question = TunnelQuestion { address, port };
                        let question = StandbyQuestion { question, standby: end };
                        questions.entry(standby.clone()).or_insert(question);
                    }
                }
            }
        }
        questions
    }

    /// Takes note of a round of questions. Returns what can be answered now.
    pub(crate) fn note(&mut self, answers: &TunnelAnswers) -> BTreeMap<NodeName, ReachAnswer> {
        let mut ended = BTreeMap::new();
        for ((holder, _), reach) in &answers.holders {
            let Some(survey) = self.open.get_mut(holder) else { continue };
            survey.rounds += 1;
            survey.standbys.extend(answers.standbys.iter().cloned());
            if reach.short || survey.rounds >= ROUNDS {
                let verdict = if reach.short { Reach::Reached } else { Reach::Unreached };
                let (asked_at, standbys) = (survey.asked_at, std::mem::take(&mut survey.standbys));
                let answer = ReachAnswer { asked_at, holder: verdict, standbys };
                self.open.remove(holder);
                ended.insert(holder.clone(), answer);
            }
        }
        ended
    }
}

impl DirectorView<'_> {
    /// The questions that concern this node and that it has not answered.
    fn asked(&self) -> BTreeMap<NodeName, Timestamp> {
        let mut asked = BTreeMap::new();
        for (holder, node) in &self.snapshot.egress_nodes {
            let Some(at) = node.value.spec.reach_asked_at else { continue };
            let known = self.answered.get(holder).is_some_and(|answer| answer.asked_at == at);
            let mut here = self.blocks.keys().filter(|address| self.holds(holder, **address));
            if !known && holder != self.me && here.next().is_some() {
                asked.insert(holder.clone(), at);
            }
        }
        asked
    }

    fn holds(&self, node: &NodeName, address: IpAddr) -> bool {
        let stored = self.snapshot.addresses.get(&address);
        let holding = stored.and_then(|stored| stored.value.status.holding.as_ref());
        holding.is_some_and(|holding| holding.node == *node)
    }

    /// The addresses of a holder that pods here use, each with a port of this node.
    fn used_at(&self, holder: &NodeName) -> Vec<(IpAddr, u16)> {
        let used = self
            .blocks
            .iter()
            .filter(|(address, _)| self.in_use.contains(*address) && self.holds(holder, **address));
        used.filter_map(|(address, ports)| Some((*address, ports.keys().next()?.first()))).collect()
    }
}

/// The answers that a question still stands for.
pub(crate) fn retain_asked(answers: &mut BTreeMap<NodeName, ReachAnswer>, snapshot: &Snapshot) {
    answers.retain(|holder, answer| {
        let node = snapshot.egress_nodes.get(holder);
        node.is_some_and(|node| node.value.spec.reach_asked_at == Some(answer.asked_at))
    });
}

#[cfg(test)]
mod tests {
    use egret_core::model::{EgressNodeStatus, Epoch, Holding};
    use egret_datapath::tunnel_probe::TunnelReach;

    use super::*;
    use crate::testing::{put_address, put_node};

    const ASKED: Timestamp = Timestamp(7);

    /// g1 holds an address of which `me` has ports, and its directors are asked; g2 and `me` stand by.
    struct World {
        snapshot: Snapshot,
        me: NodeName,
        blocks: BTreeMap<IpAddr, BTreeMap<PortRange, u64>>,
        in_use: BTreeSet<IpAddr>,
        answered: BTreeMap<NodeName, ReachAnswer>,
    }

    impl World {
        fn new() -> Self {
            let (address, mut snapshot) = ("203.0.113.17".parse().unwrap(), Snapshot::default());
            put_address(&mut snapshot, address, |put| {
                let epoch = Epoch { counter: 1, node: "g1".into() };
                put.status.holding = Some(Holding { node: "g1".into(), epoch });
                put.plan.standbys = vec!["g2".into(), "me".into(), "gone".into()];
            });
            for (node, end) in [("me", 1), ("g1", 2), ("g2", 3)] {
                let endpoints = vec![IpAddr::from([203, 0, 113, end])];
                let status = EgressNodeStatus { endpoints, ..EgressNodeStatus::default() };
                put_node(&mut snapshot, node, status);
            }
            let node = snapshot.egress_nodes.get_mut(&"g1".into()).unwrap();
            node.value.spec.reach_asked_at = Some(ASKED);
            let ports = BTreeMap::from([(PortRange::new(1024, 1151).unwrap(), 1)]);
            Self {
                snapshot,
                me: "me".into(),
                blocks: [(address, ports)].into(),
                in_use: [address].into(),
                answered: BTreeMap::new(),
            }
        }

        fn view(&self) -> DirectorView<'_> {
            let Self { snapshot, me, blocks, in_use, answered } = self;
            DirectorView { snapshot, me, blocks, in_use, answered }
        }
    }

    fn holder() -> HolderQuestion {
        let address = "203.0.113.17".parse().unwrap();
        ("g1".into(), TunnelQuestion { address, port: 1024 })
    }

    fn answers(short: bool, standbys: &[&str]) -> TunnelAnswers {
        let reach = TunnelReach { short, ..TunnelReach::default() };
        let standbys = standbys.iter().map(|node| NodeName::from(*node)).collect();
        TunnelAnswers { holders: vec![(holder(), reach)], longest: 1450, standbys }
    }

    #[test]
    fn a_director_with_traffic_answers_after_three_rounds_in_vain_with_who_answered_instead() {
        let (world, mut surveys) = (World::new(), ReachSurveys::default());
        assert!(surveys.follow(&world.view(), &[holder()]).is_empty());
        let questions = surveys.questions(&world.view());
        let asked: Vec<_> =
            questions.iter().map(|(node, ask)| (node.as_str(), ask.standby)).collect();
        assert_eq!(asked, [("g2", IpAddr::from([203, 0, 113, 3]))]);
        assert!(surveys.note(&answers(false, &[])).is_empty());
        assert!(surveys.follow(&world.view(), &[holder()]).is_empty(), "it is on its way");
        assert!(surveys.note(&answers(false, &["g2"])).is_empty());
        let answer = &surveys.note(&answers(false, &[]))[&"g1".into()];
        assert_eq!((answer.asked_at, answer.holder), (ASKED, Reach::Unreached));
        assert_eq!(answer.standbys, ["g2".into(), "me".into()].into());
        assert!(surveys.is_empty());
    }

    #[test]
    fn a_question_is_answered_once_and_only_by_who_has_ports() {
        let (mut world, mut surveys) = (World::new(), ReachSurveys::default());
        surveys.follow(&world.view(), &[holder()]);
        let answer = surveys.note(&answers(true, &[])).remove(&"g1".into()).unwrap();
        assert_eq!(answer.holder, Reach::Reached);
        world.answered.insert("g1".into(), answer);
        assert!(surveys.follow(&world.view(), &[holder()]).is_empty() && surveys.is_empty());
        // Another question; nothing here uses the address.
        let node = world.snapshot.egress_nodes.get_mut(&"g1".into()).unwrap();
        node.value.spec.reach_asked_at = Some(Timestamp(8));
        let idle = surveys.follow(&world.view(), &[]);
        assert_eq!((idle[&"g1".into()].holder, surveys.is_empty()), (Reach::Idle, true));
        retain_asked(&mut world.answered, &world.snapshot);
        assert!(world.answered.is_empty(), "the former question is over");
        world.blocks.clear();
        assert!(surveys.follow(&world.view(), &[]).is_empty(), "it has no ports");
    }
}
