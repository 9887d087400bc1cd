//! A few real machines, the datagrams under way between them, and the store.

mod datagram;
mod invariants;
mod start;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use egret_core::lease::{
    AddressAnswer, AddressState, Answer, BootTime, Effect, InjectedFaults, Input, LeaseConfig,
    Machine, Message, Now, PersistedLease, PlanView, RawTime, Report, RequestKind, Timing,
    UplinkReach, Vote,
};
use egret_core::model::{Holding, NodeName};

use crate::hash::Quick;

pub use datagram::Datagram;
use datagram::{hash_message, relevant};
pub use start::{lease, set, store, timing};

/// One step of the model's time, in nanoseconds: half of the usual T.
pub const STEP: u64 = 100_000_000;

/// The one address.
pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 17));

const NEVER: u64 = u64::MAX / 4;

/// The name of node `number`.
pub fn name(number: u8) -> NodeName {
    NodeName::new(number.to_string())
}

fn number(node: &NodeName) -> u8 {
    node.as_str().parse().unwrap_or(0)
}

/// How fast a node's clocks run, in percent of true time.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// CLOCK_MONOTONIC_RAW.
    pub raw: u64,
    /// CLOCK_BOOTTIME.
    pub boot: u64,
}

/// A map entry.
#[derive(Clone, Debug, Hash)]
pub struct ModelEntry {
    /// This node's part.
    pub state: AddressState,
    /// On the node's own boot-time clock.
    pub valid_until: BootTime,
}

/// One node.
#[derive(Clone, Debug)]
pub struct ModelNode {
    /// The agent; shared until it acts.
    pub machine: Arc<Machine>,
    /// What it has kept.
    pub kept: Option<Arc<PersistedLease>>,
    /// Names the boot.
    pub boots: u8,
    /// True time of its boot.
    pub booted: u64,
    /// How fast its clocks run.
    pub rates: Rates,
    /// Its map entry of the address.
    pub entry: Option<ModelEntry>,
    /// Which of the store's states it has read the addresses of last.
    pub view: usize,
    /// Which of the store's states it has read the cluster object of last.
    pub set: usize,
    /// It has asked for a consistent read.
    pub wants_read: bool,
    /// Effects that are not carried out yet: the thread was stopped between two of them.
    pub stalled: Arc<[Effect]>,
    /// What it has written into its status.
    pub acknowledged_set: u64,
    /// The fence that it has acknowledged.
    pub acknowledged_fence: u64,
    /// It told that it has let go of the address.
    pub left: bool,
    hash: u64,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct ModelWorld {
    /// True time in nanoseconds.
    pub now: u64,
    /// By number.
    pub nodes: BTreeMap<u8, ModelNode>,
    /// Datagrams under way, by their hash.
    pub network: BTreeMap<u64, Arc<Datagram>>,
    /// The store's states so far; the last is the present one.
    pub store: Vec<Arc<PlanView>>,
    /// How many of the controller's acts were done.
    pub acts: usize,
    /// The controller has given the address to somebody outside Egret.
    pub freed: bool,
    /// In a cloud: the node that it delivers to, whoever has seen that.
    pub fabric: Option<u8>,
    /// A node that told directors to come before the cloud delivered to it, from one that had let go
    /// in good order.
    pub astray: Option<u8>,
    /// The node whose uplink is cut off from the address's network.
    pub cut_off: Option<u8>,
    /// Nodes with greater numbers are never coming.
    pub successors: u8,
    /// It lets go to a successor alone, until the address is revoked.
    pub keeps: Option<u8>,
    /// It has let go with nobody coming.
    pub deserted: bool,
    /// Used up so far: restarts, reboots, stalls, duplicates, stops.
    pub spent: Spent,
    /// Rules that the machines break.
    pub mistakes: InjectedFaults,
    /// The machines' constants.
    pub timing: Arc<Timing>,
    /// Epochs tell states apart: only where a mistake makes safety rest on them.
    pub epochs: bool,
}

/// How much of the adversary's budget is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spent {
    /// Processes killed and started again.
    pub restarts: u8,
    /// Nodes that lost power.
    pub reboots: u8,
    /// Threads stopped between two effects.
    pub stalls: u8,
    /// Datagrams delivered twice.
    pub duplicates: u8,
    /// Agents told to stop.
    pub stops: u8,
}

impl ModelWorld {
    /// The controller writes a new state of the store.
    pub fn publish(&mut self, change: impl FnOnce(&mut PlanView)) {
        let mut view = self.store.last().map(|view| (**view).clone()).unwrap_or_default();
        change(&mut view);
        self.store.push(Arc::new(view));
    }

    /// How many members of the newest set satisfy `wanted`, and how many there are.
    pub fn members(&self, wanted: impl Fn(&ModelNode) -> bool) -> (usize, usize) {
        let cluster = self.store.last().and_then(|view| view.cluster.as_ref());
        let members = cluster.and_then(|cluster| cluster.set.as_ref()).map(|set| &set.members);
        let nodes = members.into_iter().flatten();
        let nodes: Vec<_> = nodes.map(|member| self.nodes.get(&number(&member.node))).collect();
        (nodes.iter().flatten().filter(|node| wanted(node)).count(), nodes.len())
    }

    /// The numbers of the nodes.
    pub fn numbers(&self) -> Vec<u8> {
        self.nodes.keys().copied().collect()
    }

    fn agent(&self, number: u8, boots: u8, kept: Option<PersistedLease>, now: Now) -> Machine {
        let config = LeaseConfig {
            timing: (*self.timing).clone(),
            injected_faults: self.mistakes.clone(),
            ..LeaseConfig::new(name(number), format!("{number}/{boots}"))
        };
        Machine::new(config, kept, now, 0)
    }

    /// The two clocks of a node now.
    pub fn clocks(&self, number: u8) -> Now {
        let Some(node) = self.nodes.get(&number) else { return Now::default() };
        let passed = self.now - node.booted;
        let at = |rate: u64| passed * rate / 100;
        Now { raw: RawTime(at(node.rates.raw)), boot: BootTime(at(node.rates.boot)) }
    }

    /// The process is killed and starts again, reading any state of the store up to its last one.
    pub fn restart(&mut self, number: u8, view: usize, set: usize) {
        let now = self.clocks(number);
        let Some(node) = self.nodes.get(&number) else { return };
        let kept = node.kept.as_deref().cloned();
        let machine = self.agent(number, node.boots, kept, now);
        self.started(number, machine, view, set);
    }

    /// The node loses power and boots.
    pub fn reboot(&mut self, number: u8) {
        let at = self.now;
        let view = self.store.len() - 1;
        let Some(node) = self.nodes.get_mut(&number) else { return };
        node.boots += 1;
        node.booted = at;
        node.kept = None;
        node.entry = None;
        let boots = node.boots;
        let machine = self.agent(number, boots, None, Now::default());
        self.started(number, machine, view, view);
    }

    fn started(&mut self, number: u8, machine: Machine, view: usize, set: usize) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.machine = Arc::new(machine);
            node.stalled = Arc::from([]);
            node.wants_read = false;
        }
        self.look(number, view, set, None);
    }

    /// A node's watches bring it the addresses of one state of the store and the cluster object
    /// of another.
    pub fn look(&mut self, number: u8, view: usize, set: usize, stall: Option<usize>) -> usize {
        let (Some(addresses), Some(cluster)) = (self.store.get(view), self.store.get(set)) else {
            return 0;
        };
        let mut content = PlanView { cluster: cluster.cluster.clone(), ..(**addresses).clone() };
        if self.cut_off == Some(number) {
            content.addresses.values_mut().for_each(|plan| plan.reach = UplinkReach::Lost);
        }
        if let Some(node) = self.nodes.get_mut(&number) {
            (node.view, node.set) = (view, set);
        }
        self.input(number, Input::View(Box::new(content)), stall)
    }

    /// A consistent read that takes no time.
    pub fn read(&mut self, number: u8) {
        let view = self.store.len() - 1;
        let began = self.clocks(number);
        let content = Box::new((*self.store[view]).clone());
        if let Some(node) = self.nodes.get_mut(&number) {
            node.wants_read = false;
            (node.view, node.set) = (view, view);
        }
        self.input(number, Input::ConsistentRead { began, view: content }, None);
    }

    /// One input to one node; with `stall` its thread stops after so many effects. Returns how
    /// many effects there were.
    pub fn input(&mut self, number: u8, input: Input, stall: Option<usize>) -> usize {
        let now = self.clocks(number);
        let Some(node) = self.nodes.get_mut(&number) else { return 0 };
        let effects = Arc::make_mut(&mut node.machine).handle(now, input);
        let count = effects.len();
        let done = stall.unwrap_or(count).min(count);
        node.stalled = Arc::from(&effects[done..]);
        self.carry_out(number, effects.into_iter().take(done));
        count
    }

    /// The stopped thread goes on.
    pub fn resume(&mut self, number: u8) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let effects = std::mem::replace(&mut node.stalled, Arc::from([]));
        self.carry_out(number, effects.iter().cloned());
    }

    fn carry_out(&mut self, number: u8, effects: impl Iterator<Item = Effect>) {
        let mut willing = Vec::new();
        for effect in effects {
            let Some(node) = self.nodes.get_mut(&number) else { return };
            match effect {
                Effect::Persist(kept) => node.kept = Some(Arc::from(kept)),
                Effect::Send { to, message: Message::Request(request) }
                    if request.kind == RequestKind::PreVote =>
                {
                    let addresses: Vec<IpAddr> =
                        request.asks.iter().map(|ask| ask.address).collect();
                    willing.push((self::number(&to), request.round, addresses));
                }
                Effect::Send { message: Message::Notice(_), .. } => self.notice(number),
                Effect::Send { to, message } if relevant(&message) => {
                    self.send(number, self::number(&to), message);
                }
                Effect::Kernel { state, valid_until, .. } => {
                    let valid_until = valid_until.unwrap_or_default();
                    node.entry = Some(ModelEntry { state, valid_until });
                }
                Effect::Forget { .. } => node.entry = None,
                Effect::ReadConsistently => node.wants_read = true,
                Effect::Report(Report::AcknowledgedSet(set)) => node.acknowledged_set = set,
                Effect::Report(Report::AcknowledgedFence { fence, .. }) => {
                    node.acknowledged_fence = fence;
                }
                Effect::Report(Report::Left { successor, .. }) => {
                    node.left = true;
                    let keeps = self.keeps == Some(number) && successor.is_none();
                    self.deserted |= keeps && !self.is_revoked();
                }
                _ => {}
            }
        }
        self.rehash(number);
        // A pre-vote only keeps a candidate from asking in vain. Here everybody always says yes to
        // it: whatever a candidate does in truth, it does here too, and more.
        for (voter, round, addresses) in willing {
            let yes = |address: &IpAddr| AddressAnswer {
                address: *address,
                vote: Vote::Granted,
                epoch: 0,
            };
            let answers = addresses.iter().map(yes).collect();
            let message = Message::Answer(Answer { round, answers });
            self.input(number, Input::Receive { from: name(voter), message }, None);
        }
    }

    /// `number` tells directors that it has the address.
    fn notice(&mut self, number: u8) {
        let elsewhere = self.fabric.filter(|fabric| *fabric != number);
        let before = elsewhere.and_then(|fabric| self.nodes.get(&fabric));
        if before.is_some_and(|before| before.left) {
            self.astray = Some(number);
        }
    }

    fn send(&mut self, from: u8, to: u8, message: Message) {
        if self.nodes.contains_key(&to) && from != to {
            let sent = self.now;
            let mut state = Quick::default();
            (from, to).hash(&mut state);
            hash_message(&message, self.epochs, &mut state);
            let datagram = Datagram { from, to, message, sent };
            self.network.insert(state.finish(), Arc::new(datagram));
        }
    }

    fn rehash(&mut self, number: u8) {
        let epochs = self.epochs;
        if let Some(node) = self.nodes.get_mut(&number) {
            let mut state = Quick::default();
            node.machine.hash_state(epochs, &mut state);
            (&node.entry, node.boots, node.booted, node.view, node.set, node.wants_read)
                .hash(&mut state);
            (node.acknowledged_set, node.acknowledged_fence, node.left).hash(&mut state);
            node.stalled.len().hash(&mut state);
            node.hash = state.finish();
        }
    }

    /// Tells states apart.
    pub fn fingerprint(&self) -> u64 {
        let mut state = Quick::default();
        (self.now, self.store.len(), self.acts, self.freed, self.spent).hash(&mut state);
        (self.fabric, self.astray, self.cut_off, self.deserted).hash(&mut state);
        for node in self.nodes.values() {
            node.hash.hash(&mut state);
        }
        for hash in self.network.keys() {
            hash.hash(&mut state);
        }
        state.finish()
    }

    /// The holder and epoch that the controller would plan for.
    pub fn holding(&self) -> Option<Holding> {
        let holder =
            self.numbers().into_iter().find(|n| self.open(*n) == Some(AddressState::Held))?;
        self.held_by(holder)
    }

    /// What `holder` writes into the status.
    pub fn held_by(&self, holder: u8) -> Option<Holding> {
        let epoch = *self.nodes.get(&holder)?.kept.as_ref()?.held.get(&ADDRESS)?;
        let node = name(holder);
        let epoch = egret_core::model::Epoch { counter: epoch, node: node.clone() };
        Some(Holding { node, epoch })
    }
}
