//! A cluster of machines on a perfect network with 0.2 ms of latency, in simulated time.

mod asker;
mod cloud;
mod director;
mod leases;
mod moves;
mod sizes;
mod voters;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) use asker::{AskingNode, sent};

use super::*;
use crate::model::{AnnouncementForm, Holding, Millis, NodeName, PublicKey, Voter, VoterSet};

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;
const LATENCY: u64 = MS / 5;

pub(super) struct TestNetwork {
    pub now: u64,
    pub nodes: BTreeMap<NodeName, Machine>,
    pub view: PlanView,
    /// Nodes that neither send nor receive.
    pub cut: BTreeSet<NodeName>,
    pub kept: BTreeMap<NodeName, PersistedLease>,
    pub kernel: BTreeMap<NodeName, (AddressState, Option<NodeName>, Option<BootTime>)>,
    pub reports: Vec<(NodeName, Report)>,
    pub announced: Vec<(u64, NodeName)>,
    /// Who began to probe, in order.
    pub probed: Vec<NodeName>,
    /// Consistent reads answer.
    pub store_up: bool,
    queue: BTreeMap<(u64, u64), (NodeName, NodeName, Message)>,
    sent: u64,
}

pub(super) fn address() -> IpAddr {
    IpAddr::from([203, 0, 113, 17])
}

pub(super) fn name(number: usize) -> NodeName {
    NodeName::new(format!("n{number}"))
}

pub(super) fn at(ms: u64) -> Now {
    Now { raw: RawTime(ms * MS), boot: BootTime(ms * MS) }
}

pub(super) fn voter_set(number: u64, members: &[usize]) -> VoterSet {
    let voter = |member: &usize| Voter {
        node: name(*member),
        endpoints: vec![IpAddr::from([10, 0, 0, u8::try_from(*member).unwrap()])],
        peer_port: 4790,
        public_key: PublicKey([0; 32]),
    };
    VoterSet { number, members: members.iter().map(voter).collect() }
}

/// Owner n1, standbys n2 and n3, director n4; voters n1, n2, n3.
pub(super) fn view() -> PlanView {
    let plan = AddressView {
        owner: Some(name(1)),
        standbys: vec![name(2), name(3)],
        fence: 7,
        lease: Millis(450),
        made_for: None,
        holding: None,
        probed: true,
        revoked: false,
        paused: false,
        no_deadline: false,
        attached: None,
        announces: true,
        directors: BTreeSet::from([name(4)]),
        gateways: BTreeSet::from([name(1), name(2), name(3)]),
        announcement: AnnouncementForm::ArpNdp,
        accepted: None,
        foreign_host: false,
        on_interface: false,
        was_held: false,
        reach: Default::default(),
    };
    let cluster =
        ClusterView { id: "c".into(), set: Some(voter_set(1, &[1, 2, 3])), t_max: Millis(1000) };
    PlanView {
        cluster: Some(cluster),
        addresses: BTreeMap::from([(address(), plan)]),
        nodes: (1..=4).map(name).collect(),
    }
}

impl TestNetwork {
    /// Booted at 0; voters are silent until 1,120 ms.
    pub fn new() -> Self {
        let mut net = Self {
            now: 0,
            nodes: BTreeMap::new(),
            view: view(),
            cut: BTreeSet::new(),
            kept: BTreeMap::new(),
            kernel: BTreeMap::new(),
            reports: Vec::new(),
            announced: Vec::new(),
            probed: Vec::new(),
            store_up: true,
            queue: BTreeMap::new(),
            sent: 0,
        };
        for number in 1..=4 {
            net.start(number, "boot");
        }
        net
    }

    /// Starts an agent: with its kept state where the boot is the same.
    pub fn start(&mut self, number: usize, boot: &str) {
        let config = LeaseConfig::new(name(number), boot);
        let kept = self.kept.get(&name(number)).cloned();
        let now = self.clocks();
        self.nodes.insert(name(number), Machine::new(config, kept, now, number as u64));
        self.give(number, Input::View(Box::new(self.view.clone())));
    }

    pub fn stop(&mut self, number: usize) {
        self.nodes.remove(&name(number));
    }

    fn clocks(&self) -> Now {
        Now { raw: RawTime(self.now), boot: BootTime(self.now) }
    }

    pub fn give(&mut self, number: usize, input: Input) {
        self.input(&name(number), input);
    }

    /// The store has changed: every node reads it.
    pub fn publish(&mut self) {
        for node in self.nodes.keys().cloned().collect::<Vec<_>>() {
            self.input(&node, Input::View(Box::new(self.view.clone())));
        }
    }

    fn input(&mut self, node: &NodeName, input: Input) {
        let now = self.clocks();
        let Some(machine) = self.nodes.get_mut(node) else { return };
        let effects = machine.handle(now, input);
        for (place, effect) in effects.into_iter().enumerate() {
            assert!(place == 0 || !matches!(effect, Effect::Persist(_)), "kept first");
            self.carry_out(node, effect);
        }
    }

    fn carry_out(&mut self, node: &NodeName, effect: Effect) {
        match effect {
            Effect::Persist(kept) => {
                self.kept.insert(node.clone(), *kept);
            }
            Effect::Send { to, message } => {
                assert!(!self.cut.contains(node) || *node != to);
                if !self.cut.contains(node) && !self.cut.contains(&to) {
                    self.sent += 1;
                    let key = (self.now + LATENCY, self.sent);
                    self.queue.insert(key, (node.clone(), to, message));
                }
            }
            Effect::Kernel { state, holder, valid_until, .. } => {
                self.kernel.insert(node.clone(), (state, holder, valid_until));
                self.at_most_one();
            }
            Effect::Forget { .. } => {
                self.kernel.remove(node);
            }
            Effect::Announce { .. } => self.announced.push((self.now, node.clone())),
            // Nobody else has what was probed before.
            Effect::Probe { address } => {
                self.probed.push(node.clone());
                if self.view.addresses[&address].probed {
                    self.input(node, Input::Probed { address, found: ProbeFinding::Nobody });
                }
            }
            Effect::ReadConsistently if self.store_up => {
                let began = self.clocks();
                let view = Box::new(self.view.clone());
                self.input(node, Input::ConsistentRead { began, view });
            }
            Effect::ReadConsistently => {}
            Effect::Report(report) => self.reports.push((node.clone(), report)),
        }
    }

    fn at_most_one(&self) {
        let fence = self.view.addresses.values().any(|plan| plan.no_deadline);
        assert!(fence || self.holders().len() <= 1, "{:?}", self.kernel);
    }

    /// Nodes whose kernel entry is held and open now.
    pub fn holders(&self) -> Vec<NodeName> {
        let open = |entry: &(AddressState, Option<NodeName>, Option<BootTime>)| {
            entry.0 == AddressState::Held && entry.2.is_none_or(|until| until.0 > self.now)
        };
        let holders = self.kernel.iter().filter(|(_, entry)| open(entry));
        holders.map(|(node, _)| node.clone()).collect()
    }

    /// Runs for `ms`.
    pub fn run(&mut self, ms: u64) {
        let end = self.now + ms * MS;
        loop {
            let message = self.queue.keys().next().map(|(at, _)| *at);
            let due = |machine: &Machine| machine.next_wakeup().map(|due| due.0);
            let tick = self.nodes.values().filter_map(due).min();
            let next = [message, tick].into_iter().flatten().min().unwrap_or(end);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if let Some(key) = self.queue.keys().next().copied().filter(|key| key.0 <= self.now) {
                let (from, to, message) = self.queue.remove(&key).unwrap();
                self.input(&to, Input::Receive { from, message });
                continue;
            }
            let late = |machine: &Machine| due(machine).is_some_and(|due| due <= self.now);
            let node = self.nodes.iter().find(|(_, machine)| late(machine));
            let Some(node) = node.map(|(node, _)| node.clone()) else { continue };
            self.input(&node, Input::Tick);
            let again = due(&self.nodes[&node]);
            assert!(again.is_none_or(|due| due > self.now), "{node} wakes for ever");
        }
    }

    /// Runs until somebody holds; the time it took in milliseconds.
    pub fn run_until_held(&mut self, limit: u64) -> u64 {
        let begin = self.now;
        while self.holders().is_empty() {
            assert!(self.now < begin + limit * MS, "nobody holds after {limit} ms");
            self.run(1);
        }
        (self.now - begin) / MS
    }

    pub fn has_report(&self, wanted: impl Fn(&NodeName, &Report) -> bool) -> bool {
        self.reports.iter().any(|(node, report)| wanted(node, report))
    }

    pub fn plan(&mut self) -> &mut AddressView {
        self.view.addresses.get_mut(&address()).unwrap()
    }

    /// The controller adopts the present holder, as it does after a takeover.
    pub fn adopt(&mut self) -> Holding {
        let mut held = self.reports.iter().rev().filter_map(|(_, report)| match report {
            Report::Held { holding, .. } => Some(holding.clone()),
            _ => None,
        });
        let holding = held.next().unwrap();
        let others = (1..=3).map(name).filter(|node| *node != holding.node).collect();
        let plan = self.plan();
        plan.owner = Some(holding.node.clone());
        plan.standbys = others;
        plan.holding = Some(holding.clone());
        plan.made_for = Some(holding.clone());
        self.publish();
        holding
    }
}
