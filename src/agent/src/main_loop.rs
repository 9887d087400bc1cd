//! The main loop: snapshot, programme, datapath, status.
//!
//! State: what this node has last said and has still to say. Written by this loop alone. Always:
//! one write to the store is under way at a time and none is waited for here, so that a store that
//! hangs delays no repair of the kernel.

mod arrivals;
mod checks;
mod reports;
mod sync;
mod uninstall;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use egret_core::blocks;
use egret_core::model::{
    Attachment, EgressNodeStatus, NamespaceName, NodeName, Snapshot, VoterSet,
};
use egret_core::programme::{
    SteeringProgramme, gateways_of, granted_blocks, is_gateway, newest_block_number, overridden,
    planned_for, steering_programme,
};
use egret_core::quorum::{Now, View};
use egret_datapath::Settings;
use egret_datapath::probe::Verdict;
use egret_datapath::repair::Change;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::PortError;
use egret_ports::steering::Applied;
use egret_runtime::health::{Health, Pulse};
use egret_runtime::shutdown::Shutdown;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender};
use tracing::{error, info, warn};

use crate::address_status::Held;
use crate::blocks::{Acknowledged, blockless};
use crate::cni::{Arrival, CniError, Early};
use crate::datapath::Datapath;
use crate::error::AgentError;
use crate::events::Events;
use crate::lease::{Command, LeaseHandle, Link, Notice, Update};
use crate::links::link_for;
use crate::metrics::Measures;
use crate::node_status;
use crate::remembered::{Remembered, RememberedFile};
use crate::update::{attachment, update};

pub(crate) use arrivals::Plugin;
use arrivals::Waiting;

const TICK: Duration = Duration::from_secs(1);
/// Longest wait for a block before `whenUnavailable: Node` applies.
const BLOCKLESS: Duration = Duration::from_secs(5);
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
    pub(crate) arrivals: Receiver<Arrival>,
    pub(crate) chained: Receiver<Result<(), CniError>>,
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
    pub(crate) health: Health,
    pub(crate) pulse: Pulse,
    pub(crate) bpffs: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) plugin: Option<Plugin>,
    pub(crate) measures: Measures,
}

/// What the loop remembers between turns.
#[derive(Debug, Default)]
pub(crate) struct LoopMemory {
    /// As the store's watch has it.
    watched: Option<Arc<Snapshot>>,
    /// With the addresses that the CNI has told.
    snapshot: Option<Arc<Snapshot>>,
    early: Early,
    waiting: Vec<Waiting>,
    unchained: Option<String>,
    update: Update,
    held: BTreeMap<IpAddr, Held>,
    unavailable: BTreeSet<IpAddr>,
    blockless: BTreeMap<IpAddr, Instant>,
    done_without: BTreeSet<IpAddr>,
    newer_set: Option<VoterSet>,
    problems: BTreeMap<&'static str, String>,
    asked: BTreeMap<IpAddr, u64>,
    pressure: BTreeMap<IpAddr, u32>,
    host_network: BTreeSet<(NamespaceName, String)>,
    ticks: u64,
    passed: bool,
    unheld_drops: u64,
    syncing: bool,
    stopped: bool,
    uninstalling: bool,
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
                Some(arrival) = inputs.arrivals.recv() => {
                    self.on_arrivals(arrival, &mut inputs.arrivals);
                }
                Some(chained) = inputs.chained.recv() => self.on_chained(chained),
                Some(done) = done.recv() => self.on_done(done),
                _ = tick.tick() => self.on_tick(),
            }
            self.pulse.beat();
            if self.memory.uninstalling {
                return self.uninstall(inputs.notices, inputs.shutdown).await;
            }
            self.sync();
        }
        self.stop(inputs.notices).await
    }

    /// Hands over what is held, then ends. The kernel keeps what it has.
    async fn stop(mut self, mut notices: UnboundedReceiver<Notice>) -> Result<(), AgentError> {
        info!(event = "stopping", "handing over");
        self.lease.tell(Command::Stop { handover: true });
        self.wait_for_stop(&mut notices).await?;
        info!(event = "stopped", "agent stopped");
        Ok(())
    }

    /// Waits until the lease thread has let go of everything.
    async fn wait_for_stop(
        &mut self,
        notices: &mut UnboundedReceiver<Notice>,
    ) -> Result<(), AgentError> {
        let deadline = tokio::time::Instant::now() + LONGEST_STOP;
        while !self.memory.stopped {
            match tokio::time::timeout_at(deadline, notices.recv()).await {
                Ok(Some(notice)) => self.on_notice(notice)?,
                Ok(None) => break,
                Err(_) => {
                    warn!("letting go took too long: leases end by their deadlines");
                    break;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn on_snapshot(&mut self, watched: Arc<Snapshot>) {
        if watched.cluster.as_ref().is_some_and(|cluster| cluster.value.uninstalling) {
            self.memory.uninstalling = true;
            return;
        }
        let snapshot = self.memory.early.merge(&watched, &self.me, Instant::now());
        self.memory.watched = Some(watched);
        self.memory.snapshot = Some(snapshot.clone());
        self.tell_lease_thread(&snapshot);
        self.status.block_needs = blocks::needs(&snapshot, &self.me, &self.memory.pressure);
        self.note_pods(&snapshot);
        self.programme(&snapshot);
        self.gateway(&snapshot);
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
        let used = self.status.block_needs.keys().copied();
        self.memory.blockless = blockless(&self.memory.blockless, used, &open, Instant::now());
        let unavailable = self.unavailable();
        let programme = steering_programme(snapshot, &self.me, &open, &unavailable);
        self.memory.done_without = unavailable;
        self.status.overridden = overridden(snapshot, &self.me);
        self.remember(snapshot, &programme);
        let applied = self.datapath.apply(programme);
        if let Ok(Applied::Changed) = applied {
            info!(event = "programmed", "the kernel holds the new programme");
        }
        if applied.is_ok() {
            self.answer_arrivals(snapshot);
        }
        let failed = applied.as_ref().err().map(ToString::to_string);
        self.health.set_missing("programme", failed);
        self.record("RulesNotApplied", applied.map(|_| ()));
    }

    /// The addresses that claims with `whenUnavailable: Node` do without: nobody holds them, or
    /// this node has had no block of them for 5 s.
    fn unavailable(&self) -> BTreeSet<IpAddr> {
        let blockless = self.memory.blockless.iter();
        let blockless = blockless.filter(|(_, since)| since.elapsed() >= BLOCKLESS);
        self.memory
            .unavailable
            .iter()
            .chain(blockless.map(|(address, _)| address))
            .copied()
            .collect()
    }

    fn remember(&mut self, snapshot: &Snapshot, programme: &SteeringProgramme) {
        let Update { view, peers, endpoints, .. } = self.memory.update.clone();
        let here = |address: &IpAddr| {
            let at = attachment(snapshot, *address, &self.me)?;
            Some((*address, at.clone()))
        };
        let attachments = view.addresses.keys().filter_map(here).collect();
        let programme = programme.clone();
        let remembered = Remembered { view, peers, endpoints, programme, attachments };
        if let Err(error) = self.remembered.write(remembered) {
            warn!(%error, "cannot keep the snapshot for the next process");
        }
    }

    /// Goes on with what an earlier process knew, until the store has answered.
    fn recall(&mut self) {
        let Some(remembered) = self.remembered.read() else { return };
        info!(event = "recalled", "going on with the snapshot of an earlier process");
        let Remembered { view, peers, endpoints, programme, attachments } = remembered;
        let links = self.links(&view, &attachments);
        let update = Update { view, peers, endpoints, links };
        self.lease.tell(Command::Update(Box::new(update)));
        let applied = self.datapath.apply(programme);
        self.record("RulesNotApplied", applied.map(|_| ()));
    }

    /// How this node would carry the addresses that a kept plan gives it.
    fn links(
        &self,
        view: &View,
        attachments: &BTreeMap<IpAddr, Attachment>,
    ) -> BTreeMap<IpAddr, Link> {
        view.addresses
            .iter()
            .filter(|(_, plan)| plan.ranks().any(|node| *node == self.me))
            .map(|(address, plan)| {
                let at = attachments.get(address);
                (*address, link_for(*address, at, plan.unarmed, self.datapath.uplinks()))
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
            if is_gateway(snapshot, &self.me) {
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
            && let Some(watched) = self.memory.watched.clone()
        {
            self.publish_uplinks();
            self.on_snapshot(watched);
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
