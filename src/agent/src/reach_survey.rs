//! What this node, as a director, answers to the controller that asks whether a holder is reached.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::model::{NodeName, PortRange, Reach, ReachAnswer, Snapshot, Timestamp};
use egret_core::tunnel_network::reached_by;
use egret_datapath::tunnel_probe::{StandbyQuestion, TunnelQuestion};

use crate::tunnel_watch::{HolderQuestion, TunnelAnswers};

/// So many rounds at least, before a standby is called not reached.
const ROUNDS: u32 = 2;
/// A node without traffic answers within this: all of a thousand at once would be a burst of writes.
const IDLE_WITHIN: Duration = Duration::from_secs(5);

/// The questions of the controller that this node is about to answer, each by the name of its holder.
#[derive(Debug, Default)]
pub(crate) struct ReachSurveys {
    open: BTreeMap<NodeName, Survey>,
}

#[derive(Debug)]
struct Survey {
    asked_at: Timestamp,
    /// When this node read it.
    read: Instant,
    rounds: u32,
    /// The addresses of the holder that pods here use; none: nothing is asked.
    used: BTreeSet<IpAddr>,
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
    /// Takes note of what is asked; `holders`: those that this node asks because its pods use them. Returns what can
    /// be answered without asking: of what no pod here uses nothing is known.
    pub(crate) fn follow(
        &mut self,
        view: &DirectorView<'_>,
        holders: &[HolderQuestion],
        now: Instant,
    ) -> BTreeMap<NodeName, ReachAnswer> {
        let asked = view.asked();
        self.open.retain(|holder, survey| asked.get(holder) == Some(&survey.asked_at));
        for (holder, asked_at) in asked {
            let is_asked = holders.iter().any(|(used, _)| *used == holder);
            let used = if is_asked { view.used_at(&holder) } else { BTreeMap::new() };
            let new = || Survey {
                asked_at,
                read: now,
                rounds: 0,
                used: BTreeSet::new(),
                standbys: BTreeSet::new(),
            };
            self.open.entry(holder).or_insert_with(new).used = used.into_keys().collect();
        }
        let is_over = |survey: &Survey| {
            let waits = idle_pause(view.me, survey.asked_at);
            survey.used.is_empty() && now.saturating_duration_since(survey.read) >= waits
        };
        let idle: Vec<NodeName> =
            self.open.iter().filter(|(_, of)| is_over(of)).map(|(name, _)| name.clone()).collect();
        idle.into_iter().filter_map(|holder| self.end(holder, Reach::Idle)).collect()
    }

    /// The holders that this node asks for the controller's sake.
    pub(crate) fn asked(&self) -> BTreeSet<NodeName> {
        let busy = self.open.iter().filter(|(_, survey)| !survey.used.is_empty());
        busy.map(|(holder, _)| holder.clone()).collect()
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

    /// Takes note of a round of questions; `unreached`: who has been silent for longer than any move takes. Returns
    /// what can be answered now.
    pub(crate) fn note(
        &mut self,
        answers: &TunnelAnswers,
        unreached: &BTreeSet<NodeName>,
    ) -> BTreeMap<NodeName, ReachAnswer> {
        let mut ended = BTreeMap::new();
        for ((holder, _), reach) in &answers.holders {
            let Some(survey) = self.open.get_mut(holder) else { continue };
            survey.rounds += 1;
            survey.standbys.extend(answers.standbys.iter().cloned());
            let verdict = match reach.short {
                true => Some(Reach::Reached),
                false if survey.rounds >= ROUNDS && unreached.contains(holder) => {
                    Some(Reach::Unreached)
                }
                false => None,
            };
            ended.extend(verdict.and_then(|verdict| self.end(holder.clone(), verdict)));
        }
        ended
    }

    fn end(&mut self, holder: NodeName, verdict: Reach) -> Option<(NodeName, ReachAnswer)> {
        let Survey { asked_at, used, standbys, .. } = self.open.remove(&holder)?;
        Some((holder, ReachAnswer { asked_at, holder: verdict, used, standbys }))
    }
}

/// Another one for each node and question.
fn idle_pause(me: &NodeName, asked_at: Timestamp) -> Duration {
    let mut hasher = DefaultHasher::new();
    (me, asked_at).hash(&mut hasher);
    IDLE_WITHIN.mul_f64(f64::from(hasher.finish() as u32) / f64::from(u32::MAX))
}

impl DirectorView<'_> {
    /// The questions that concern this node and that it has not answered.
    fn asked(&self) -> BTreeMap<NodeName, Timestamp> {
        let mut asked = BTreeMap::new();
        for (holder, node) in &self.snapshot.egress_nodes {
            let Some(question) = node.value.spec.reach_question else { continue };
            let known = self.answered.get(holder);
            let known = known.is_some_and(|answer| answer.asked_at == question.at);
            let mut here = self.blocks.keys().filter(|address| self.holds(holder, **address));
            if !known && holder != self.me && here.next().is_some() {
                asked.insert(holder.clone(), question.at);
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
    fn used_at(&self, holder: &NodeName) -> BTreeMap<IpAddr, u16> {
        let used = self
            .blocks
            .iter()
            .filter(|(address, _)| self.in_use.contains(*address) && self.holds(holder, **address));
        used.filter_map(|(address, ports)| Some((*address, ports.keys().next()?.first()))).collect()
    }
}

/// Answers to questions that nobody asks any more go with the next one: to take them back would be a write of each node.
pub(crate) fn answer(
    answers: &mut BTreeMap<NodeName, ReachAnswer>,
    new: BTreeMap<NodeName, ReachAnswer>,
    snapshot: &Snapshot,
) {
    if new.is_empty() {
        return;
    }
    answers.retain(|holder, answer| {
        let node = snapshot.egress_nodes.get(holder);
        let question = node.and_then(|node| node.value.spec.reach_question);
        question.is_some_and(|question| question.at == answer.asked_at)
    });
    answers.extend(new);
}

#[cfg(test)]
mod tests {
    use egret_core::model::{EgressNodeStatus, Epoch, Holding, ReachQuestion};
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
            let ports = BTreeMap::from([(PortRange::new(1024, 1151).unwrap(), 1)]);
            let mut world = Self {
                snapshot,
                me: "me".into(),
                blocks: [(address, ports)].into(),
                in_use: [address].into(),
                answered: BTreeMap::new(),
            };
            ask(&mut world, ASKED);
            world
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

    fn ask(world: &mut World, at: Timestamp) {
        let node = world.snapshot.egress_nodes.get_mut(&"g1".into()).unwrap();
        node.value.spec.reach_question = Some(ReachQuestion { at, times: 1 });
    }

    #[test]
    fn a_director_with_traffic_answers_once_it_is_sure_with_who_answered_instead() {
        let (world, mut surveys, now) = (World::new(), ReachSurveys::default(), Instant::now());
        assert!(surveys.follow(&world.view(), &[holder()], now).is_empty());
        let questions = surveys.questions(&world.view());
        let asked: Vec<_> =
            questions.iter().map(|(node, ask)| (node.as_str(), ask.standby)).collect();
        assert_eq!(asked, [("g2", IpAddr::from([203, 0, 113, 3]))]);
        let (nobody, silent) = (BTreeSet::new(), BTreeSet::from(["g1".into()]));
        assert!(surveys.note(&answers(false, &[]), &silent).is_empty(), "standbys are asked twice");
        assert!(surveys.follow(&world.view(), &[holder()], now).is_empty(), "it is on its way");
        assert!(surveys.note(&answers(false, &["g2"]), &nobody).is_empty(), "it may be moving");
        let answer = &surveys.note(&answers(false, &[]), &silent)[&"g1".into()];
        assert_eq!((answer.asked_at, answer.holder), (ASKED, Reach::Unreached));
        assert_eq!(answer.standbys, ["g2".into(), "me".into()].into());
        assert_eq!(answer.used, world.in_use);
        assert!(surveys.asked().is_empty());
    }

    #[test]
    fn a_question_is_answered_once_and_only_by_who_has_ports() {
        let (mut world, mut surveys, now) = (World::new(), ReachSurveys::default(), Instant::now());
        surveys.follow(&world.view(), &[holder()], now);
        assert_eq!(surveys.asked(), ["g1".into()].into());
        let said = surveys.note(&answers(true, &[]), &BTreeSet::new());
        assert_eq!(said[&"g1".into()].holder, Reach::Reached);
        answer(&mut world.answered, said, &world.snapshot);
        assert!(surveys.follow(&world.view(), &[holder()], now + IDLE_WITHIN).is_empty());
        assert!(surveys.asked().is_empty());
        // Another question; nothing here uses the address.
        ask(&mut world, Timestamp(8));
        assert!(surveys.follow(&world.view(), &[], now).is_empty(), "not all at once");
        assert!(surveys.asked().is_empty());
        let idle = surveys.follow(&world.view(), &[], now + IDLE_WITHIN);
        let said = &idle[&"g1".into()];
        assert_eq!((said.holder, said.used.is_empty()), (Reach::Idle, true));
        answer(&mut world.answered, BTreeMap::new(), &world.snapshot);
        assert_eq!(world.answered[&"g1".into()].asked_at, ASKED, "not for its own sake");
        answer(&mut world.answered, idle, &world.snapshot);
        assert_eq!(world.answered[&"g1".into()].asked_at, Timestamp(8));
        ask(&mut world, Timestamp(9));
        world.blocks.clear();
        assert!(
            surveys.follow(&world.view(), &[], now + IDLE_WITHIN).is_empty(),
            "it has no ports"
        );
    }
}
