//! Where a model begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use egret_core::lease::{
    AddressView, ClusterView, InjectedFault, InjectedFaults, Input, Now, PlanView, Timing,
};
use egret_core::model::{AnnouncementForm, Millis, PublicKey, Voter, VoterSet};

use super::{ADDRESS, Datagram, ModelNode, ModelWorld, NEVER, Rates, STEP, Spent, name};

/// A set of voters.
pub fn set(number: u64, members: &[u8]) -> VoterSet {
    let voter = |member: &u8| Voter {
        node: name(*member),
        endpoints: Vec::new(),
        peer_port: 0,
        public_key: PublicKey([0; 32]),
    };
    VoterSet { number, members: members.iter().map(voter).collect() }
}

/// A store in which `ranks` may hold the address.
pub fn store(voters: &VoterSet, ranks: &[u8], lease: Millis, t_max: Millis) -> PlanView {
    let plan = AddressView {
        owner: ranks.first().map(|node| name(*node)),
        standbys: ranks.iter().skip(1).map(|node| name(*node)).collect(),
        fence: 1,
        lease,
        made_for: None,
        holding: None,
        probed: true,
        revoked: false,
        paused: false,
        no_deadline: false,
        attached: None,
        announces: false,
        directors: BTreeSet::new(),
        gateways: BTreeSet::new(),
        announcement: AnnouncementForm::ArpNdp,
        accepted: None,
        foreign_host: false,
        on_interface: false,
        was_held: false,
        reach: Default::default(),
    };
    let cluster = ClusterView { id: "c".into(), set: Some(voters.clone()), t_max };
    PlanView {
        cluster: Some(cluster),
        addresses: BTreeMap::from([(ADDRESS, plan)]),
        nodes: BTreeSet::new(),
    }
}

/// The longest T with which a grant has run out after `steps`: a tight one, since the holder's
/// deadline is past at the same step and not before.
pub fn lease(steps: u64) -> Millis {
    Millis(steps * STEP / 1_000_000 * 100 / 112)
}

/// The constants of the model: coarse, and without what no lease rests on.
pub fn timing(ask_percent: u64) -> Timing {
    let (step, never) = (Duration::from_nanos(STEP), Duration::from_nanos(NEVER));
    Timing {
        ask_percent,
        renewals: 2,
        rank_step: Duration::ZERO,
        round: step,
        repeats: [never, never],
        pause: step,
        pause_rank: Duration::ZERO,
        pause_random: Duration::ZERO,
        ask_step: Duration::ZERO,
        leaving: never,
        successor: step,
        cut_off: step,
        heartbeat: never,
        notice_first: step,
        notice_max: 2 * step,
        read_again: never,
        majority_lost: never,
        ..Timing::default()
    }
}

impl ModelWorld {
    /// Agents on `nodes`, booted together, past their silence, with the fences read; time begins
    /// where the silence has ended.
    pub fn new(
        view: PlanView,
        nodes: &[(u8, Rates)],
        mistakes: InjectedFaults,
        ask_percent: u64,
    ) -> Self {
        let mut world = Self {
            now: 0,
            nodes: BTreeMap::new(),
            network: BTreeMap::new(),
            store: vec![Arc::new(view)],
            acts: 0,
            freed: false,
            fabric: None,
            astray: None,
            cut_off: None,
            successors: 2,
            keeps: None,
            deserted: false,
            spent: Spent::default(),
            epochs: mistakes.0.contains(&InjectedFault::RevokedByEpoch),
            mistakes,
            timing: Arc::new(timing(ask_percent)),
        };
        for (number, rates) in nodes {
            let machine = world.agent(*number, 0, None, Now::default());
            let node = ModelNode {
                machine: Arc::new(machine),
                kept: None,
                boots: 0,
                booted: 0,
                rates: *rates,
                entry: None,
                view: 0,
                set: 0,
                wants_read: false,
                stalled: Arc::from([]),
                acknowledged_set: 0,
                acknowledged_fence: 0,
                left: false,
                hash: 0,
            };
            world.nodes.insert(*number, node);
        }
        world
    }

    /// Several renewals in a step. Before the first input.
    pub fn renew_often(&mut self) {
        self.timing = Arc::new(Timing { renewals: 6, ..(*self.timing).clone() });
        for number in self.numbers() {
            let machine = self.agent(number, 0, None, Now::default());
            if let Some(node) = self.nodes.get_mut(&number) {
                node.machine = Arc::new(machine);
            }
        }
    }

    /// Waits for the end of the silence; then all read consistently, `last` two steps after the
    /// others: who waits for a silent holder has waited long enough to ask then.
    pub fn past_silence(mut self, steps: u64, last: Option<u8>) -> Self {
        let empty = PlanView { addresses: BTreeMap::new(), ..(*self.store[0]).clone() };
        for number in self.numbers() {
            self.input(number, Input::View(Box::new(empty.clone())), None);
        }
        self.now += steps * STEP;
        for number in self.numbers().into_iter().filter(|number| Some(*number) != last) {
            self.read(number);
        }
        self.network.clear();
        self.now += 2 * STEP;
        if let Some(number) = last {
            self.read(number);
        }
        self
    }

    /// Node 1 begins to hold with the votes of `voter` and itself, and nobody else has heard of it.
    pub fn held_with(mut self, voter: u8) -> Self {
        for (from, to) in [(1, voter), (voter, 1)] {
            let under_way: Vec<Arc<Datagram>> = self.network.values().cloned().collect();
            for datagram in under_way.into_iter().filter(|d| (d.from, d.to) == (from, to)) {
                let message = datagram.message.clone();
                self.input(to, Input::Receive { from: name(from), message }, None);
            }
        }
        self.network.clear();
        self
    }
}
