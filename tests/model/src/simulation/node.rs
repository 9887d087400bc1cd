use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_core::lease::{
    AddressState, BootTime, InjectedFaults, LeaseConfig, Machine, Now, PersistedLease, PlanView,
    RawTime, UplinkReach,
};
use egret_core::model::NodeName;

use super::random::Random;

/// One node.
#[derive(Debug)]
pub(super) struct Agent {
    /// Its process; `None` while it is dead or the node is off.
    pub(super) machine: Option<Machine>,
    /// What it has kept since the boot.
    pub(super) kept: Option<PersistedLease>,
    /// Boots so far.
    pub(super) boots: u32,
    /// Processes so far.
    pub(super) processes: u32,
    /// Its map entries, with the deadline in true time.
    pub(super) entries: BTreeMap<IpAddr, (AddressState, u64)>,
    /// True time until which its threads do not run.
    pub(super) stalled_until: u64,
    /// Whether its uplink reaches the addresses' network.
    pub(super) reach: UplinkReach,
    /// Of its planned ticks: only the newest counts.
    pub(super) generation: u64,
    booted: u64,
    /// How fast its clocks run, in parts in a million of true time.
    raw_rate: u64,
    boot_rate: u64,
}

pub(super) fn name(node: usize) -> NodeName {
    NodeName::new(format!("n{node}"))
}

pub(super) fn number(node: &NodeName) -> Option<usize> {
    node.as_str().strip_prefix('n')?.parse().ok()
}

impl Agent {
    /// With `bent_clocks` its clocks run apart from true time.
    pub(super) fn new(bent_clocks: bool, random: &mut Random) -> Self {
        let mut rate = |most: u64| {
            let off = if bent_clocks { random.below(2 * most + 1) } else { most };
            1_000_000 - most + off
        };
        Self {
            machine: None,
            kept: None,
            boots: 0,
            processes: 0,
            entries: BTreeMap::new(),
            stalled_until: 0,
            reach: UplinkReach::Steady,
            generation: 0,
            booted: 0,
            raw_rate: rate(200),
            boot_rate: rate(83_000),
        }
    }

    /// What its own uplink makes of a state of the store.
    pub(super) fn sees(&self, mut view: Box<PlanView>) -> Box<PlanView> {
        view.addresses.values_mut().for_each(|plan| plan.reach = self.reach);
        view
    }

    /// When its stall ends, where it is stalled now.
    pub(super) fn stalled(&self, now: u64) -> Option<u64> {
        (self.stalled_until > now).then_some(self.stalled_until)
    }

    pub(super) fn start(&mut self, now: u64, seed: u64, node: usize, mistakes: InjectedFaults) {
        self.processes += 1;
        let boot = format!("{node}/{}", self.boots);
        let config =
            LeaseConfig { injected_faults: mistakes, ..LeaseConfig::new(name(node), boot) };
        let clocks = self.clocks(now);
        self.machine = Some(Machine::new(config, self.kept.clone(), clocks, seed));
    }

    /// Loses power: the kernel's state and what was kept are gone.
    pub(super) fn power_off(&mut self, now: u64) {
        self.machine = None;
        self.kept = None;
        self.entries.clear();
        self.boots += 1;
        self.booted = now;
        self.stalled_until = 0;
    }

    pub(super) fn clocks(&self, now: u64) -> Now {
        let passed = u128::from(now - self.booted);
        let clock = |rate: u64| (passed * u128::from(rate) / 1_000_000) as u64;
        Now { raw: RawTime(clock(self.raw_rate)), boot: BootTime(clock(self.boot_rate)) }
    }

    /// The true time at which its boot-time clock shows `at`.
    pub(super) fn true_time(&self, at: BootTime) -> u64 {
        let passed = u128::from(at.0) * 1_000_000;
        self.booted + passed.div_ceil(u128::from(self.boot_rate)) as u64
    }
}
