//! Agents in simulated time: random latency, loss, partitions, stalls, kills and power cuts, all
//! from one seed.
//!
//! What is checked at every change of a map entry: no two nodes hold an address at one moment of
//! true time, whatever their clocks say.

mod cost;
mod experiments;
mod fault;
mod network;
mod node;
mod random;
mod schedule;
mod setup;
mod store;

use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_core::lease::{
    AddressState, Effect, Input, Message, ProbeFinding, Report, StopMode, UplinkReach,
};
use egret_core::model::NodeName;

pub use cost::{Cost, cost};
pub use experiments::{Rest, cloud_stalls, disorder, drained_takeover, failover, rest};
use fault::{RandomFaults, SimulatedFault};
use network::SimulatedNetwork;
use node::Agent;
use random::Random;
use schedule::{Schedule, SimulationEvent};
pub use setup::{MS, Setup};
use store::SimulatedStore;

/// A running simulation.
pub struct Simulation {
    /// What the nodes have reported so far.
    pub reports: Vec<Report>,
    /// Datagrams sent so far.
    pub datagrams: u64,
    /// Moments in which two nodes held an address: must stay empty.
    pub violations: Vec<String>,
    setup: Setup,
    random: Random,
    schedule: Schedule,
    agents: Vec<Agent>,
    network: SimulatedNetwork,
    store: SimulatedStore,
}

impl Simulation {
    /// All nodes boot at 0.
    pub fn new(setup: Setup) -> Self {
        let mut simulation = Self {
            reports: Vec::new(),
            datagrams: 0,
            violations: Vec::new(),
            random: Random::new(setup.seed),
            schedule: Schedule::default(),
            agents: Vec::new(),
            network: SimulatedNetwork::new(setup.loss),
            store: SimulatedStore::new(&setup),
            setup,
        };
        for node in 0..simulation.setup.nodes {
            let agent = Agent::new(simulation.setup.bent_clocks, &mut simulation.random);
            simulation.agents.push(agent);
            simulation.schedule.plan(0, SimulationEvent::Start { node });
            simulation.plan_stall(node);
        }
        simulation
    }

    /// True time in nanoseconds.
    fn now(&self) -> u64 {
        self.schedule.now()
    }

    fn plan_stall(&mut self, node: usize) {
        if let Some(mean) = (3_600_000 * MS).checked_div(self.setup.stalls) {
            let after = self.random.below(2 * mean);
            self.schedule.plan(after, SimulationEvent::Stall { node });
        }
    }

    fn stall_length(&mut self) -> u64 {
        let Setup { shortest_stall: least, longest_stall: most, .. } = self.setup;
        (least + self.random.below(most.saturating_sub(least) + 1)) * MS
    }

    /// Lets things go wrong at random; in the end all is healed and everything starts again.
    fn plan_faults(&mut self, faults: RandomFaults) {
        for (after, fault) in faults.draw(self.agents.len(), &mut self.random) {
            self.schedule.plan(after, SimulationEvent::Fault(fault));
        }
        self.schedule.plan(faults.length, SimulationEvent::Fault(SimulatedFault::Heal));
        for node in 0..self.agents.len() {
            self.schedule.plan(faults.length, SimulationEvent::Start { node });
        }
    }

    /// Runs for `length` nanoseconds.
    pub fn run(&mut self, length: u64) {
        let end = self.now() + length;
        while let Some(event) = self.schedule.next_until(end) {
            self.happen(event);
        }
    }

    fn happen(&mut self, event: SimulationEvent) {
        let now = self.now();
        match event {
            SimulationEvent::Input { node, boot, input } => {
                let agent = &self.agents[node];
                if agent.machine.is_none() || agent.boots != boot {
                    return;
                }
                if let Some(until) = agent.stalled(now) {
                    let event = SimulationEvent::Input { node, boot, input };
                    return self.schedule.plan(until - now, event);
                }
                let inputs = self.with_waiting_inputs(node, *input);
                self.inputs(node, inputs);
            }
            SimulationEvent::Wake { node, generation } => {
                let agent = &self.agents[node];
                if agent.machine.is_none() || agent.generation != generation {
                    return;
                }
                if let Some(until) = agent.stalled(now) {
                    let event = SimulationEvent::Wake { node, generation };
                    return self.schedule.plan(until - now, event);
                }
                self.input(node, Input::Tick);
            }
            SimulationEvent::Effects { node, boot, process, effects } => {
                let agent = &self.agents[node];
                if agent.boots == boot && agent.processes == process && agent.machine.is_some() {
                    self.carry_out(node, effects);
                }
            }
            SimulationEvent::Start { node } => self.start(node),
            SimulationEvent::Stall { node } => {
                let length = self.stall_length();
                if self.agents[node].stalled(now).is_none() {
                    self.agents[node].stalled_until = now + length;
                }
                self.plan_stall(node);
            }
            SimulationEvent::Written { address, holding } => {
                if self.store.adopt(address, &holding) {
                    let after = 20 * MS + self.random.below(30 * MS);
                    self.schedule.plan(after, SimulationEvent::Published);
                }
            }
            SimulationEvent::Published => self.publish(),
            SimulationEvent::Fault(fault) => self.fault(fault),
        }
    }

    /// The process of a node starts: after a boot without anything, else with what it kept.
    fn start(&mut self, node: usize) {
        if self.agents[node].machine.is_some() {
            return;
        }
        let seed = self.random.below(u64::MAX);
        let now = self.now();
        let mistakes = self.setup.mistakes.clone();
        self.agents[node].start(now, seed, node, mistakes);
        let view = self.agents[node].sees(self.store.read());
        self.input(node, Input::View(view));
    }

    /// A thread that was stalled finds what has come meanwhile and takes it in together.
    fn with_waiting_inputs(&mut self, node: usize, input: Input) -> Vec<Input> {
        let mut inputs = vec![input];
        let boot = self.agents[node].boots;
        while let Some(input) = self.schedule.next_input(node, boot) {
            inputs.push(input);
        }
        inputs
    }

    fn input(&mut self, node: usize, input: Input) {
        self.inputs(node, vec![input]);
    }

    fn inputs(&mut self, node: usize, inputs: Vec<Input>) {
        let now = self.now();
        let agent = &mut self.agents[node];
        let clocks = agent.clocks(now);
        let Some(machine) = agent.machine.as_mut() else { return };
        let effects = machine.handle_all(clocks, inputs);
        let wake = machine.next_wakeup();
        agent.generation += 1;
        let generation = agent.generation;
        if let Some(wake) = wake {
            let at = agent.true_time(wake).max(now + 1);
            self.schedule.plan(at - now, SimulationEvent::Wake { node, generation });
        }
        self.carry_out_or_stall(node, effects);
    }

    /// Now and then the thread is stopped between two effects.
    fn carry_out_or_stall(&mut self, node: usize, mut effects: Vec<Effect>) {
        if self.setup.stalls > 0 && effects.len() > 1 && self.random.below(20_000) == 0 {
            let place = 1 + self.random.below(effects.len() as u64 - 1) as usize;
            let late = effects.split_off(place);
            let until = self.now() + self.stall_length();
            let agent = &mut self.agents[node];
            agent.stalled_until = until;
            let (boot, process) = (agent.boots, agent.processes);
            let event = SimulationEvent::Effects { node, boot, process, effects: late };
            // One nanosecond before anything that waits for the end of the stall.
            self.schedule.plan(until - 1 - self.now(), event);
        }
        self.carry_out(node, effects);
    }

    fn carry_out(&mut self, node: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(kept) => self.agents[node].kept = Some(*kept),
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
                    let began = self.agents[node].clocks(self.now());
                    let view = self.agents[node].sees(self.store.read());
                    let after = 2 * MS + self.random.below(10 * MS);
                    self.plan_input(after, node, Input::ConsistentRead { began, view });
                }
                Effect::Report(report) => self.report(report),
                // Nobody else has it (RFC 5227).
                Effect::Probe { address } => {
                    let input = Input::Probed { address, found: ProbeFinding::Nobody };
                    self.plan_input(setup::PROBING, node, input);
                }
                Effect::Announce { .. } => {}
            }
        }
    }

    /// An input that the present boot of a node takes.
    fn plan_input(&mut self, after: u64, node: usize, input: Input) {
        let (boot, input) = (self.agents[node].boots, Box::new(input));
        self.schedule.plan(after, SimulationEvent::Input { node, boot, input });
    }

    fn report(&mut self, report: Report) {
        if let Report::Held { address, holding, .. } = &report {
            let after = 5 * MS + self.random.below(25 * MS);
            let event = SimulationEvent::Written { address: *address, holding: holding.clone() };
            self.schedule.plan(after, event);
        }
        self.reports.push(report);
    }

    fn send(&mut self, from: usize, to: &NodeName, message: Message) {
        self.datagrams += 1;
        let Some(to) = node::number(to) else { return };
        if let Some(after) = self.network.deliver(from, to, &mut self.random) {
            self.plan_input(after, to, Input::Receive { from: node::name(from), message });
        }
    }

    /// Every node reads the store, each after a while of its own.
    fn publish(&mut self) {
        for node in 0..self.agents.len() {
            let after = MS + self.random.below(20 * MS);
            let view = self.agents[node].sees(self.store.read());
            self.plan_input(after, node, Input::View(view));
        }
    }

    /// Something goes wrong now.
    fn fault(&mut self, fault: SimulatedFault) {
        match fault {
            SimulatedFault::PowerOff(node, off) => {
                let now = self.now();
                self.agents[node].power_off(now);
                if off > 0 {
                    self.schedule.plan(off, SimulationEvent::Start { node });
                }
            }
            SimulatedFault::Kill(node, off) => {
                self.agents[node].machine = None;
                self.schedule.plan(off, SimulationEvent::Start { node });
            }
            SimulatedFault::Freeze(node, length) => {
                let until = self.now() + length;
                let agent = &mut self.agents[node];
                agent.stalled_until = agent.stalled_until.max(until);
            }
            SimulatedFault::Cut(inside) => self.network.cut_off(&inside, self.agents.len()),
            SimulatedFault::OneWay(from, to) => self.network.cut_one_way(from, to),
            SimulatedFault::Heal => {
                self.network.heal();
                for node in 0..self.agents.len() {
                    self.reach(node, UplinkReach::Steady);
                }
            }
            SimulatedFault::Reach(node, reach) => self.reach(node, reach),
            SimulatedFault::Drain(node) => {
                if self.store.drain(&node::name(node)) {
                    self.publish();
                }
            }
            SimulatedFault::Loss(loss) => self.network.loss = loss,
            SimulatedFault::Stop(node, again) => {
                self.input(node, Input::Stop(StopMode::Restart));
                let kill = SimulatedFault::Kill(node, 20 * MS);
                self.schedule.plan(again, SimulationEvent::Fault(kill));
            }
        }
    }

    fn reach(&mut self, node: usize, reach: UplinkReach) {
        if self.agents[node].reach != reach {
            self.agents[node].reach = reach;
            let view = self.agents[node].sees(self.store.read());
            self.plan_input(MS, node, Input::View(view));
        }
    }

    /// The nodes that hold an address now.
    fn holders(&self, address: IpAddr) -> Vec<usize> {
        let holds = |agent: &Agent| {
            let entry = agent.entries.get(&address);
            entry.is_some_and(|(state, until)| *state == AddressState::Held && *until > self.now())
        };
        (0..self.agents.len()).filter(|node| holds(&self.agents[*node])).collect()
    }

    /// A successor forwards before its own lease.
    fn is_coming(&self, address: IpAddr) -> bool {
        self.agents
            .iter()
            .filter_map(|agent| agent.entries.get(&address))
            .any(|(state, until)| *state == AddressState::Coming && *until > self.now())
    }

    fn check(&mut self, address: IpAddr) {
        let holders = self.holders(address);
        if holders.len() > 1 {
            let what = format!("{address} is held by {holders:?} at {} ms", self.now() / MS);
            self.violations.push(what);
        }
    }

    /// Addresses whose holder is not in their plan.
    fn strays(&self) -> Vec<IpAddr> {
        let strays = |address: &IpAddr| {
            let mut holders = self.holders(*address).into_iter();
            holders.any(|node| !self.store.ranks(*address, &node::name(node)))
        };
        self.store.addresses().filter(strays).collect()
    }

    /// Addresses that nobody holds now.
    fn orphans(&self) -> Vec<IpAddr> {
        let unheld = |address: &IpAddr| self.holders(*address).is_empty();
        self.store.addresses().filter(unheld).collect()
    }
}

/// How often a lease began or ended against its holder's will.
pub fn counts(reports: &[Report]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for report in reports {
        let kind = match report {
            Report::TookOver { previous: Some(_), .. } => "takeovers",
            Report::TookOver { previous: None, .. } => "leases begun or had back",
            Report::Lost { .. } => "leases lost",
            _ => continue,
        };
        *counts.entry(kind).or_default() += 1;
    }
    counts
}
