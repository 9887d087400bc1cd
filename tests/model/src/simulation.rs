//! Agents in simulated time: random latency, loss, partitions, stalls, kills and power cuts, all
//! from one seed.
//!
//! What is checked at every change of a map entry: no two nodes hold an address at one moment of
//! true time, whatever their clocks say.

mod cost;
mod event;
mod experiments;
mod faults;
mod node;
mod store;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::IpAddr;
use std::sync::Arc;

use egret_core::model::NodeName;
use egret_core::quorum::{AddressState, Effect, Input, Message, Mistakes, Report, View};

pub use cost::{Cost, cost};
use event::{Event, Planned};
pub use experiments::{disorder, failover};
pub use faults::{Fault, Faults};
pub use node::Agent;

/// A millisecond in nanoseconds.
pub const MS: u64 = 1_000_000;

/// What a simulation is made with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The only source of chance.
    pub seed: u64,
    /// How many nodes; all are gateways.
    pub nodes: usize,
    /// How many of them vote.
    pub voters: usize,
    /// How many addresses.
    pub addresses: usize,
    /// T in milliseconds.
    pub lease: u64,
    /// T_max in milliseconds.
    pub t_max: u64,
    /// Lost datagrams in a thousand.
    pub loss: u64,
    /// A node's stalls in an hour, each of 50 to `longest_stall` milliseconds.
    pub stalls: u64,
    /// Milliseconds.
    pub longest_stall: u64,
    /// The clocks of the nodes run apart: CLOCK_BOOTTIME by up to 8.3 %.
    pub bent_clocks: bool,
    /// Rules that the machines break: the simulation must notice.
    pub mistakes: Mistakes,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 1,
            nodes: 5,
            voters: 3,
            addresses: 1,
            lease: 450,
            t_max: 1000,
            loss: 0,
            stalls: 0,
            longest_stall: 350,
            bent_clocks: false,
            mistakes: Mistakes::default(),
        }
    }
}

/// Something that was reported, with the true time and the node.
#[derive(Clone, Debug)]
pub struct Said {
    /// True time in nanoseconds.
    pub at: u64,
    /// Which node.
    pub node: usize,
    /// What.
    pub report: Report,
}

/// A running simulation.
pub struct Simulation {
    /// True time in nanoseconds.
    pub now: u64,
    /// The nodes.
    pub agents: Vec<Agent>,
    /// What was reported so far.
    pub said: Vec<Said>,
    /// Datagrams sent so far.
    pub datagrams: u64,
    /// Moments in which two nodes held an address: must stay empty.
    pub violations: Vec<String>,
    setup: Setup,
    queue: BinaryHeap<Reverse<Planned>>,
    planned: u64,
    chance: u64,
    /// Pairs of nodes that do not reach each other.
    cut: BTreeSet<(usize, usize)>,
    store: Arc<View>,
}

impl Simulation {
    /// All nodes boot at 0.
    pub fn new(setup: Setup) -> Self {
        let mut simulation = Self {
            now: 0,
            agents: Vec::new(),
            said: Vec::new(),
            datagrams: 0,
            violations: Vec::new(),
            queue: BinaryHeap::new(),
            planned: 0,
            chance: setup.seed,
            cut: BTreeSet::new(),
            store: Arc::new(store::first(&setup)),
            setup,
        };
        for node in 0..simulation.setup.nodes {
            let agent = Agent::new(&mut simulation);
            simulation.agents.push(agent);
            simulation.plan(0, Event::Start { node });
            simulation.plan_stall(node);
        }
        simulation
    }

    fn plan(&mut self, after: u64, event: Event) {
        self.planned += 1;
        self.queue.push(Reverse(Planned(self.now + after, self.planned, event)));
    }

    /// A random number below `bound` (splitmix64).
    pub fn random(&mut self, bound: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).checked_rem(bound).unwrap_or(0)
    }

    /// Half of a round trip of 0.3 ms, with a tail: one in a hundred takes up to 5 ms, one in two
    /// thousand up to 60 ms.
    fn latency(&mut self) -> u64 {
        let tail = match self.random(2000) {
            0 => self.random(60 * MS),
            1..20 => self.random(5 * MS),
            _ => self.random(MS / 20),
        };
        MS * 13 / 100 + tail
    }

    fn plan_stall(&mut self, node: usize) {
        if let Some(mean) = (3_600_000 * MS).checked_div(self.setup.stalls) {
            let after = self.random(2 * mean);
            self.plan(after, Event::Stall { node });
        }
    }

    fn stall_length(&mut self) -> u64 {
        let longest = self.setup.longest_stall;
        (50 + self.random(longest.saturating_sub(50) + 1)) * MS
    }

    /// Runs for `length` nanoseconds.
    pub fn run(&mut self, length: u64) {
        let end = self.now + length;
        while let Some(next) = self.queue.peek().map(|planned| planned.0.0) {
            if next > end {
                break;
            }
            let Some(Reverse(Planned(at, _, event))) = self.queue.pop() else { break };
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Input { node, boot, input } => {
                let agent = &self.agents[node];
                if agent.machine.is_none() || agent.boots != boot {
                    return;
                }
                if let Some(until) = agent.stalled(self.now) {
                    return self.plan(until - self.now, Event::Input { node, boot, input });
                }
                let inputs = self.with_what_waits(node, *input);
                self.inputs(node, inputs);
            }
            Event::Wake { node, generation } => {
                let agent = &self.agents[node];
                if agent.machine.is_none() || agent.generation != generation {
                    return;
                }
                if let Some(until) = agent.stalled(self.now) {
                    return self.plan(until - self.now, Event::Wake { node, generation });
                }
                self.input(node, Input::Tick);
            }
            Event::Effects { node, boot, process, effects } => {
                let agent = &self.agents[node];
                if agent.boots == boot && agent.processes == process && agent.machine.is_some() {
                    self.carry_out(node, effects);
                }
            }
            Event::Start { node } => self.start(node),
            Event::Stall { node } => {
                let length = self.stall_length();
                if self.agents[node].stalled(self.now).is_none() {
                    self.agents[node].stalled_until = self.now + length;
                }
                self.plan_stall(node);
            }
            Event::Written { report } => self.store_written(&report),
            Event::Published => self.store_published(),
            Event::Fault(fault) => self.fault(fault),
        }
    }

    /// The process of a node starts: after a boot without anything, else with what it kept.
    fn start(&mut self, node: usize) {
        if self.agents[node].machine.is_some() {
            return;
        }
        let seed = self.random(u64::MAX);
        let now = self.now;
        let mistakes = self.setup.mistakes.clone();
        self.agents[node].start(now, seed, node, mistakes);
        let view = Box::new((*self.store).clone());
        self.input(node, Input::View(view));
    }

    /// A thread that was stalled finds what has come meanwhile and takes it in together.
    fn with_what_waits(&mut self, node: usize, input: Input) -> Vec<Input> {
        let mut inputs = vec![input];
        let boot = self.agents[node].boots;
        while let Some(Reverse(Planned(at, _, Event::Input { node: its, boot: of, .. }))) =
            self.queue.peek()
            && (*at, *its, *of) == (self.now, node, boot)
            && let Some(Reverse(Planned(_, _, Event::Input { input, .. }))) = self.queue.pop()
        {
            inputs.push(*input);
        }
        inputs
    }

    fn input(&mut self, node: usize, input: Input) {
        self.inputs(node, vec![input]);
    }

    fn inputs(&mut self, node: usize, inputs: Vec<Input>) {
        let clocks = self.agents[node].clocks(self.now);
        let agent = &mut self.agents[node];
        let Some(machine) = agent.machine.as_mut() else { return };
        let effects = machine.handle_all(clocks, inputs);
        let wake = machine.next_wakeup();
        agent.generation += 1;
        let generation = agent.generation;
        if let Some(wake) = wake {
            let at = agent.true_time(wake).max(self.now + 1);
            self.plan(at - self.now, Event::Wake { node, generation });
        }
        self.carry_out_or_stall(node, effects);
    }

    /// Now and then the thread is stopped between two effects.
    fn carry_out_or_stall(&mut self, node: usize, mut effects: Vec<Effect>) {
        if self.setup.stalls > 0 && effects.len() > 1 && self.random(20_000) == 0 {
            let place = 1 + self.random(effects.len() as u64 - 1) as usize;
            let late = effects.split_off(place);
            let length = self.stall_length();
            let agent = &mut self.agents[node];
            agent.stalled_until = self.now + length;
            let (boot, process) = (agent.boots, agent.processes);
            // One nanosecond before anything that waits for the end of the stall.
            self.plan(length - 1, Event::Effects { node, boot, process, effects: late });
        }
        self.carry_out(node, effects);
    }

    fn carry_out(&mut self, node: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Keep(kept) => self.agents[node].kept = Some(*kept),
                Effect::Send { to, message } => self.send(node, &to, message),
                Effect::Kernel { address, state, valid_until, .. } => {
                    let until = valid_until.map_or(0, |until| self.agents[node].true_time(until));
                    self.agents[node].entries.insert(address, (state, until));
                    self.check(address);
                }
                Effect::Forget { address } => {
                    self.agents[node].entries.remove(&address);
                }
                Effect::ReadConsistently => {
                    let began = self.agents[node].clocks(self.now);
                    let boot = self.agents[node].boots;
                    let view = Box::new((*self.store).clone());
                    let input = Box::new(Input::ConsistentRead { began, view });
                    let after = 2 * MS + self.random(10 * MS);
                    self.plan(after, Event::Input { node, boot, input });
                }
                Effect::Report(report) => self.report(node, report),
                Effect::Announce { .. } | Effect::Probe { .. } => {}
            }
        }
    }

    fn report(&mut self, node: usize, report: Report) {
        if matches!(report, Report::Held { .. }) {
            let after = 5 * MS + self.random(25 * MS);
            self.plan(after, Event::Written { report: report.clone() });
        }
        self.said.push(Said { at: self.now, node, report });
    }

    fn send(&mut self, from: usize, to: &NodeName, message: Message) {
        self.datagrams += 1;
        let lost = self.random(1000) < self.setup.loss;
        let Some(to) = node::number(to).filter(|to| !self.cut.contains(&(from, *to)) && !lost)
        else {
            return;
        };
        let boot = self.agents[to].boots;
        let after = self.latency();
        let input = Box::new(Input::Receive { from: node::name(from), message });
        self.plan(after, Event::Input { node: to, boot, input });
    }

    /// The nodes that hold an address now.
    pub fn holders(&self, address: IpAddr) -> Vec<usize> {
        let holds = |agent: &Agent| {
            let entry = agent.entries.get(&address);
            entry.is_some_and(|(state, until)| *state == AddressState::Held && *until > self.now)
        };
        (0..self.agents.len()).filter(|node| holds(&self.agents[*node])).collect()
    }

    fn check(&mut self, address: IpAddr) {
        let holders = self.holders(address);
        if holders.len() > 1 {
            let what = format!("{address} is held by {holders:?} at {} ms", self.now / MS);
            self.violations.push(what);
        }
    }

    /// The addresses.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.store.addresses.keys().copied().collect()
    }

    /// Addresses that nobody holds now.
    pub fn orphans(&self) -> Vec<IpAddr> {
        self.addresses().into_iter().filter(|a| self.holders(*a).is_empty()).collect()
    }
}

/// How often a lease began or ended against its holder's will.
pub fn counts(said: &[Said]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for said in said {
        let kind = match said.report {
            Report::TookOver { previous: Some(_), .. } => "takeovers",
            Report::TookOver { previous: None, .. } => "leases begun or had back",
            Report::Lost { .. } => "leases lost",
            _ => continue,
        };
        *counts.entry(kind).or_default() += 1;
    }
    counts
}
