//! The main loop: snapshot, programme, datapath, status.
//!
//! State: what this node has last said and has still to say. Written by this loop alone. Always:
//! one write to the store is under way at a time and none is waited for here, so that a store that
//! hangs delays no repair of the kernel.

mod reports;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use egret_core::blocks;
use egret_core::model::{EgressNodeStatus, NodeName, Snapshot, VoterSet};
use egret_core::programme::{
    SteeringProgramme, gateways_of, granted_blocks, newest_block_number, planned_for,
    steering_programme,
};
use egret_core::quorum::{Now, View};
use egret_datapath::probe::Verdict;
use egret_datapath::repair::Change;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::PortError;
use egret_ports::steering::Applied;
use egret_runtime::shutdown::Shutdown;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender};
use tracing::{error, info, warn};

use crate::address_status::Held;
use crate::blocks::{Acknowledged, pressure};
use crate::datapath::Datapath;
use crate::events::Events;
use crate::lease::{Command, LeaseHandle, Link, Notice, Update};
use crate::links::uplink_for;
use crate::node_status;
use crate::remembered::{Remembered, RememberedFile};
use crate::start::AgentError;
use crate::update::update;

const TICK: Duration = Duration::from_secs(1);
/// The connection table is read every so many ticks: a dump of a large one takes a while.
const CONNECTIONS: u64 = 2;
/// Whether traffic passes our hooks is probed every so many ticks, until it has been seen to.
const PROBES: u64 = 10;
/// How long a hand-over may take before the process ends all the same.
const LONGEST_STOP: Duration = Duration::from_secs(5);

/// What came back from something that was not waited for.
pub(crate) enum Done {
    /// A consistent read.
    Read { began: Now, snapshot: Result<Arc<Snapshot>, PortError> },
    /// The writes under way.
    Synced(Events),
    /// A look at whether traffic passes our hooks.
    Probed(Result<Verdict, PortError>),
}

/// Where the loop hears from.
pub(crate) struct Inputs {
    pub(crate) notices: UnboundedReceiver<Notice>,
    pub(crate) changes: Receiver<Change>,
    pub(crate) shutdown: Shutdown,
}

pub(crate) struct MainLoop<S, C> {
    pub(crate) me: NodeName,
    pub(crate) state: Arc<S>,
    pub(crate) clock: C,
    pub(crate) datapath: Datapath,
    pub(crate) lease: LeaseHandle,
    pub(crate) acknowledged: Acknowledged,
    pub(crate) remembered: RememberedFile,
    pub(crate) status: EgressNodeStatus,
    pub(crate) memory: LoopMemory,
    pub(crate) events: Events,
    pub(crate) done: UnboundedSender<Done>,
}

/// What the loop remembers between turns.
#[derive(Debug, Default)]
pub(crate) struct LoopMemory {
    snapshot: Option<Arc<Snapshot>>,
    update: Update,
    held: BTreeMap<IpAddr, Held>,
    unavailable: BTreeSet<IpAddr>,
    newer_set: Option<VoterSet>,
    problems: BTreeMap<&'static str, String>,
    asked: BTreeMap<IpAddr, u64>,
    pressure: BTreeMap<IpAddr, u32>,
    ticks: u64,
    passed: bool,
    unheld_drops: u64,
    syncing: bool,
    stopped: bool,
}

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    pub(crate) async fn run(
        mut self,
        mut inputs: Inputs,
        mut done: UnboundedReceiver<Done>,
    ) -> Result<(), AgentError> {
        self.recall();
        let mut snapshots = self.state.watch();
        // What was read before this loop began counts as new.
        snapshots.mark_changed();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = inputs.shutdown.requested() => break,
                Some(notice) = inputs.notices.recv() => self.on_notice(notice)?,
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let snapshot = snapshots.borrow_and_update().clone();
                    if let Some(snapshot) = snapshot {
                        self.on_snapshot(snapshot);
                    }
                }
                Some(change) = inputs.changes.recv() => self.on_change(&change),
                Some(done) = done.recv() => self.on_done(done),
                _ = tick.tick() => self.on_tick(),
            }
            self.sync();
        }
        self.stop(inputs.notices).await
    }

    /// Hands over what is held, then ends. The kernel keeps what it has.
    async fn stop(mut self, mut notices: UnboundedReceiver<Notice>) -> Result<(), AgentError> {
        info!(event = "stopping", "handing over");
        self.lease.tell(Command::Stop { handover: true });
        let deadline = tokio::time::Instant::now() + LONGEST_STOP;
        while !self.memory.stopped {
            match tokio::time::timeout_at(deadline, notices.recv()).await {
                Ok(Some(notice)) => self.on_notice(notice)?,
                Ok(None) => break,
                Err(_) => {
                    warn!("the hand-over took too long: leases end by their deadlines");
                    break;
                }
            }
        }
        info!(event = "stopped", "agent stopped");
        Ok(())
    }

    pub(crate) fn on_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        self.memory.snapshot = Some(snapshot.clone());
        self.tell_lease_thread(&snapshot);
        self.programme(&snapshot);
        self.gateway(&snapshot);
        self.status.block_needs = blocks::needs(&snapshot, &self.me, &self.memory.pressure);
        let addresses = snapshot.addresses.keys().copied().collect();
        node_status::forget_fences(&mut self.status, &addresses);
        self.memory.unavailable.retain(|address| addresses.contains(address));
    }

    fn tell_lease_thread(&mut self, snapshot: &Snapshot) {
        let newer = self.memory.newer_set.as_ref();
        let update = update(snapshot, &self.me, self.datapath.uplinks(), newer);
        if update != self.memory.update {
            self.memory.update = update.clone();
            self.lease.tell(Command::Update(Box::new(update)));
        }
    }

    /// The director's part: the guard first, blocks that the holder knows, flows.
    fn programme(&mut self, snapshot: &Snapshot) {
        let granted = granted_blocks(snapshot, &self.me);
        for (address, epoch) in self.acknowledged.to_ask(&granted) {
            if self.memory.asked.insert(address, epoch) != Some(epoch) {
                self.lease.tell(Command::AskGrants { address, epoch });
            }
        }
        let open = self.acknowledged.open(&granted);
        let programme = steering_programme(snapshot, &self.me, &open, &self.memory.unavailable);
        self.remember(&programme);
        let applied = self.datapath.apply(programme);
        if let Ok(Applied::Changed) = applied {
            info!(event = "programmed", "the kernel holds the new programme");
        }
        self.record("RulesNotApplied", applied.map(|_| ()));
    }

    fn remember(&mut self, programme: &SteeringProgramme) {
        let Update { view, peers, endpoints, .. } = self.memory.update.clone();
        let remembered = Remembered { view, peers, endpoints, programme: programme.clone() };
        if let Err(error) = self.remembered.write(remembered) {
            warn!(%error, "cannot keep the snapshot for the next process");
        }
    }

    /// Goes on with what an earlier process knew, until the store has answered.
    fn recall(&mut self) {
        let Some(remembered) = self.remembered.read() else { return };
        info!(event = "recalled", "going on with the snapshot of an earlier process");
        let Remembered { view, peers, endpoints, programme } = remembered;
        let links = self.links(&view);
        let update = Update { view, peers, endpoints, links };
        self.lease.tell(Command::Update(Box::new(update)));
        let applied = self.datapath.apply(programme);
        self.record("RulesNotApplied", applied.map(|_| ()));
    }

    /// How this node would carry the addresses that a kept plan gives it.
    fn links(&self, view: &View) -> BTreeMap<IpAddr, Link> {
        view.addresses
            .iter()
            .filter(|(_, plan)| plan.ranks().any(|node| *node == self.me))
            .map(|(address, _)| {
                let uplink = uplink_for(*address, self.datapath.uplinks());
                (*address, Link { uplink, wire: None })
            })
            .collect()
    }

    /// The gateway's part: who may send from which ports.
    fn gateway(&mut self, snapshot: &Snapshot) {
        let planned: BTreeSet<IpAddr> = planned_for(snapshot, &self.me).into_keys().collect();
        let applied = self.datapath.set_blocks(snapshot, &self.me, &planned);
        let gateways = gateways_of(snapshot).into_values().flatten().collect();
        let applied = applied.and_then(|()| self.datapath.set_gateways(&gateways));
        if applied.is_ok() {
            let epoch = newest_block_number(snapshot);
            self.lease.tell(Command::GrantsApplied(epoch));
            if !planned.is_empty() {
                self.status.acknowledged_blocks = epoch;
            }
        }
        self.record("BlocksNotApplied", applied);
    }

    /// Somebody has changed the kernel: what is missing is put back.
    fn on_change(&mut self, change: &Change) {
        let repaired = self.datapath.repair();
        if let Ok(true) = repaired {
            warn!(event = "repaired", what = %change.what, "a foreign change was repaired");
            let about = format!("EgressNode {}", self.me);
            let message = format!(
                "{}: repaired {:.1} ms later; {} did it",
                change.what,
                change.at.elapsed().as_secs_f64() * 1000.0,
                change.by.as_deref().unwrap_or("somebody unknown"),
            );
            self.events.add(true, about, "Repaired", message, self.clock.now());
        }
        if self.datapath.take_new_uplinks()
            && let Some(snapshot) = self.memory.snapshot.clone()
        {
            self.publish_uplinks();
            self.on_snapshot(snapshot);
        }
        self.record("RulesNotApplied", repaired.map(|_| ()));
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Read { began, snapshot: Ok(snapshot) } => {
                let newer = self.memory.newer_set.as_ref();
                let update = update(&snapshot, &self.me, self.datapath.uplinks(), newer);
                self.lease.tell(Command::Consistent { began, update: Box::new(update) });
            }
            Done::Read { snapshot: Err(error), .. } => {
                warn!(%error, "a consistent read failed; the lease protocol asks again");
            }
            Done::Synced(events) => {
                self.memory.syncing = false;
                self.events.put_back(events);
            }
            Done::Probed(verdict) => self.on_probed(verdict),
        }
    }

    fn on_tick(&mut self) {
        self.ask_for_holders();
        if self.memory.ticks.is_multiple_of(CONNECTIONS) {
            self.read_connections();
        }
        self.memory.ticks += 1;
        self.probe_bypass();
    }

    /// LEASES.md rule 10: traffic for an address that nobody is known to hold.
    fn ask_for_holders(&mut self) {
        let drops = self.datapath.unheld_drops();
        if drops > self.memory.unheld_drops {
            for address in self.datapath.directed() {
                self.lease.tell(Command::NeedHolder(address));
            }
        }
        self.memory.unheld_drops = drops;
    }

    /// Reads the connection table: which addresses are in use, and how full their blocks are.
    fn read_connections(&mut self) {
        let Some(snapshot) = self.memory.snapshot.clone() else { return };
        let granted = granted_blocks(&snapshot, &self.me);
        if granted.is_empty() {
            return self.status.idle_addresses.clear();
        }
        let usage = match self.datapath.usage() {
            Ok(usage) => usage,
            Err(error) => return warn!(%error, "cannot read the connection table"),
        };
        // LEASES.md rule 18: a director says once that it has no connection of it left.
        let ending = |address: &IpAddr| {
            snapshot.addresses.get(address).is_some_and(|stored| stored.value.plan.end.is_some())
        };
        self.status.idle_addresses = granted
            .keys()
            .filter(|address| ending(address) && !usage.contains_key(address))
            .copied()
            .collect();
        self.memory.pressure = pressure(&usage, &granted, &self.memory.pressure);
        self.status.block_needs = blocks::needs(&snapshot, &self.me, &self.memory.pressure);
    }

    /// Looks from time to time whether pods' traffic passes our hooks, until it has been seen to.
    fn probe_bypass(&mut self) {
        if self.memory.passed || !self.memory.ticks.is_multiple_of(PROBES) {
            return;
        }
        let Some(probe) = self.datapath.bypass_probe() else { return };
        let done = self.done.clone();
        tokio::task::spawn_blocking(move || {
            // The loop is gone only when the process is ending.
            let _ = done.send(Done::Probed(probe()));
        });
    }

    fn on_probed(&mut self, verdict: Result<Verdict, PortError>) {
        match verdict {
            Ok(Verdict::Bypassed { evidence }) => {
                let message = format!(
                    "pods' traffic does not pass this host's netfilter ({evidence}): claims with \
                     pods here are not served; turn off eBPF host routing in the CNI"
                );
                warn!(event = "datapath_bypassed", "{message}");
                self.memory.problems.insert("DatapathBypassed", message);
            }
            Ok(Verdict::Passed) => {
                self.memory.passed = true;
                self.memory.problems.remove("DatapathBypassed");
            }
            Ok(_) => {}
            Err(error) => warn!(%error, "cannot tell whether pods' traffic passes netfilter"),
        }
    }

    /// Keeps or clears a problem of this node, and logs it when it is new.
    fn record(&mut self, reason: &'static str, result: Result<(), PortError>) {
        match result {
            Ok(()) => {
                self.memory.problems.remove(reason);
            }
            Err(error) => {
                let message = error.to_string();
                if self.memory.problems.get(reason) != Some(&message) {
                    error!(reason, %error, "the kernel was not programmed");
                }
                self.memory.problems.insert(reason, message);
            }
        }
    }

    pub(crate) fn publish_uplinks(&mut self) {
        self.status.uplinks = crate::links::published(self.datapath.uplinks());
    }
}
