//! The main loop: snapshot, steering config, datapath, status.
//!
//! State: what this node has last said and has still to say. Written by this loop alone. Always:
//! one write to the store is under way at a time and none is waited for here, so that a store that
//! hangs delays no repair of the kernel.

mod foreign_marks;
mod health_checks;
mod interfaces;
mod lease_events;
mod local_addresses;
mod pod_arrivals;
mod recall;
mod stop;
mod store_sync;
mod tunnel;
mod uninstall;
mod uplinks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use egret_core::model::{EgressNodeStatus, NamespaceName, NodeName, ObjectRef, Snapshot};
use egret_core::node_config::{
    AddressAvailability, PodIdentity, gateways_of, granted_blocks, overridden, steering_config,
};
use egret_core::port_blocks;
use egret_core::reason::{AgentReason, EventReason};
use egret_core::tunnel_network::{ToldEndpoint, crosses_to_ipv6};
use egret_datapath::HostSettings;
use egret_datapath::host::HostFindings;
use egret_datapath::probe::Probe;
use egret_datapath::repair::KernelChange;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::PortError;
use egret_ports::steering::{Applied, SteeredPackets};
use egret_runtime::health::{Health, Pulse};
use egret_runtime::shutdown::Shutdown;
use ipnet::IpNet;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender};
use tracing::{error, info, warn};

use crate::accepted_writes::AcceptedWrites;
use crate::address_status::{ForeignHost, HeldAddress};
use crate::blocks::{AcknowledgedGrants, without_block};
use crate::bypass_watch::BypassWatch;
use crate::cni::{InstalledPlugin, PluginInstallError, PodArrival, PodArrivals};
use crate::error::AgentError;
use crate::events::EventRecorder;
use crate::firewall_reading::FirewallReading;
use crate::guard_file::GuardFile;
use crate::interface_config::named_interfaces;
use crate::interface_memory::InterfaceMemory;
use crate::kernel::Kernel;
use crate::lease_thread::{LeaseCommand, LeaseEvent, LeaseHandle, PlanUpdate};
use crate::local_addresses::{PlacedAddresses, TakeBacks, placed};
use crate::metrics::AgentMetrics;
use crate::node_status;
use crate::odd_pods::OddPods;
use crate::passage_watch::PassageWatch;
use crate::plan_feed::PlanFeed;
use crate::plan_update::attachments;
use crate::pod_owners::PodOwners;
use crate::program_proofs::Proofs;
use crate::reach_survey::ReachSurveys;
use crate::refused_writes::{RefusedWrites, WriteAnswers};
use crate::router_watch::RouterAnswers;
use crate::snapshot_cache::{FormerSteering, SnapshotCache};
use crate::tunnel_watch::{TunnelAnswers, TunnelWatch};

const TICK: Duration = Duration::from_secs(1);
/// Longest wait for a block before `whenUnavailable: Node` applies.
const LONGEST_BLOCK_WAIT: Duration = Duration::from_secs(5);
/// What came back from something that was not waited for.
pub(crate) enum Completion {
    /// The writes under way.
    Synced { events: EventRecorder, answers: WriteAnswers },
    /// The time at which an address of this node's that is missing may have another in its place.
    EndpointDue,
    /// A look at whether traffic passes our hooks.
    Probed(Result<Probe, PortError>),
    /// How far packets of steered connections came.
    PassageRead(Result<SteeredPackets, PortError>),
    /// What was asked on the uplinks to prove that the programs run.
    Proved(Proofs),
    /// Which routers behind the uplinks answer.
    RoutersAsked(RouterAnswers),
    /// Which holders are reached through the tunnel.
    HoldersAsked(Result<TunnelAnswers, PortError>),
    /// What nftables and iptables do with marks, and how long it took to read.
    FirewallsRead(Result<Box<HostFindings>, PortError>, Duration),
}

/// Where the loop hears from.
pub(crate) struct LoopInputs {
    pub(crate) lease_events: UnboundedReceiver<LeaseEvent>,
    pub(crate) changes: Receiver<KernelChange>,
    pub(crate) arrivals: Receiver<PodArrival>,
    pub(crate) chained: Receiver<Result<(), PluginInstallError>>,
    pub(crate) host_stops: Receiver<bool>,
    pub(crate) shutdown: Shutdown,
}

pub(crate) struct MainLoop<S, C> {
    pub(crate) me: NodeName,
    pub(crate) state: Arc<S>,
    pub(crate) clock: C,
    pub(crate) kernel: Kernel,
    pub(crate) lease: LeaseHandle,
    pub(crate) feed: PlanFeed,
    pub(crate) acknowledged: AcknowledgedGrants,
    pub(crate) snapshot_cache: SnapshotCache,
    pub(crate) status: EgressNodeStatus,
    pub(crate) memory: LoopMemory,
    pub(crate) events: EventRecorder,
    pub(crate) completions: UnboundedSender<Completion>,
    pub(crate) health: Health,
    pub(crate) pulse: Pulse,
    pub(crate) system_bus: PathBuf,
    pub(crate) bpffs: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) settings: HostSettings,
    pub(crate) plugin: Option<InstalledPlugin>,
    pub(crate) guard_file: GuardFile,
    pub(crate) measures: AgentMetrics,
}

/// What the loop remembers between turns.
#[derive(Debug, Default)]
pub(crate) struct LoopMemory {
    /// As the store's watch has it.
    watched: Option<Arc<Snapshot>>,
    /// With the addresses that the CNI has told.
    snapshot: Option<Arc<Snapshot>>,
    arrivals: PodArrivals,
    owners: PodOwners,
    /// Of an earlier process, while there is a claim that this one has never been able to read.
    former: Option<FormerSteering>,
    /// Where the tunnel is to end, as the store said last.
    told: Option<ToldEndpoint>,
    /// The pods that have lost an address, and to whom.
    shared: BTreeMap<(IpNet, PodIdentity), PodIdentity>,
    odd_pods: OddPods,
    unchained: Option<String>,
    /// What the lease thread was told when this loop last told it of this host.
    update: Arc<PlanUpdate>,
    /// What an earlier process knew, until the store has answered.
    recalled: Option<PlanUpdate>,
    held: BTreeMap<IpAddr, HeldAddress>,
    foreign_hosts: BTreeMap<IpAddr, ForeignHost>,
    unavailable: BTreeSet<IpAddr>,
    without_block: BTreeMap<IpAddr, Instant>,
    unavailable_applied: BTreeSet<IpAddr>,
    undelivered: BTreeSet<IpAddr>,
    problems: BTreeMap<AgentReason, String>,
    asked: BTreeMap<IpAddr, u64>,
    pressure: BTreeMap<IpAddr, u32>,
    host_network: BTreeSet<(NamespaceName, String)>,
    placed: PlacedAddresses,
    /// This host may have got, or lost, an address of its own.
    local_changed: bool,
    take_backs: TakeBacks,
    interfaces: InterfaceMemory,
    rerouted: egret_datapath::host::ReroutedPods,
    firewalls: FirewallReading,
    ticks: u64,
    bypass: BypassWatch,
    passage: PassageWatch,
    tunnel: TunnelWatch,
    surveys: ReachSurveys,
    unheld_drops: u64,
    /// When this process ends although not everything has left this node, which goes.
    leave_by: Option<tokio::time::Instant>,
    syncing: bool,
    accepted: AcceptedWrites,
    refused: RefusedWrites,
    stopped: bool,
    uninstalling: bool,
}

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    pub(crate) async fn run(
        mut self,
        mut inputs: LoopInputs,
        mut completions: UnboundedReceiver<Completion>,
    ) -> Result<(), AgentError> {
        self.restore_snapshot();
        let mut snapshots = self.state.watch();
        // What was read before this loop began counts as new.
        snapshots.mark_changed();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = inputs.shutdown.requested(), if self.memory.leave_by.is_none() => {
                    match self.why_it_leaves().await {
                        Some(why) => self.begin_to_leave(&why),
                        None => break,
                    }
                }
                Some(stops) = inputs.host_stops.recv() => self.on_host_stops(stops),
                Some(event) = inputs.lease_events.recv() => self.on_lease_event(event)?,
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
                Some(completion) = completions.recv() => self.on_completion(completion),
                _ = tick.tick() => self.on_tick(),
            }
            self.pulse.beat();
            if self.has_left() {
                return Ok(());
            }
            if self.memory.uninstalling {
                return self.uninstall(inputs.lease_events, inputs.shutdown).await;
            }
            self.sync();
        }
        self.stop(inputs.lease_events).await
    }

    pub(crate) fn on_snapshot(&mut self, watched: Arc<Snapshot>) {
        if watched.cluster.as_ref().is_some_and(|cluster| cluster.value.uninstalling) {
            self.memory.uninstalling = true;
            return;
        }
        let (snapshot, changes) = self.settle_owners(&watched);
        let known = self.memory.snapshot.as_ref().map(|before| before.addresses.keys());
        let first = known.is_none();
        let same = known.is_some_and(|known| known.eq(snapshot.addresses.keys()));
        self.memory.local_changed |= !same;
        self.memory.watched = Some(watched);
        self.memory.snapshot = Some(snapshot.clone());
        self.set_egress(snapshot.addresses.keys().copied(), placed(&snapshot, &self.me));
        if first {
            // What the lease thread writes of them into the kernel is right from the start.
            self.take_back_local();
        }
        self.follow_told(&snapshot);
        self.recall_unusable(&snapshot);
        self.set_named(named_interfaces(attachments(&snapshot, &self.me)));
        self.update_lease_thread();
        self.note_silence();
        self.status.block_needs = port_blocks::needs(&snapshot, &self.me, &self.memory.pressure);
        self.note_pods(&snapshot);
        self.note_shared(&changes);
        self.note_odd_pods(&snapshot);
        self.apply_steering(&snapshot);
        self.end_connections(&changes);
        self.note_gateway(&snapshot);
        let addresses = snapshot.addresses.keys().copied().collect();
        node_status::forget_fences(&mut self.status, &addresses);
        self.memory.unavailable.retain(|address| addresses.contains(address));
    }

    /// Has the lease thread told what the store says, by what this host is like now.
    fn update_lease_thread(&mut self) {
        self.note_reaches();
        self.memory.recalled = None;
        self.memory.update = self.feed.open(self.host_facts());
    }

    /// The director's part: the guard first, blocks that the holder knows, flows.
    fn apply_steering(&mut self, snapshot: &Snapshot) {
        let granted = granted_blocks(snapshot, &self.me);
        for (address, epoch) in self.acknowledged.to_ask(&granted) {
            if self.memory.asked.insert(address, epoch) != Some(epoch) {
                self.lease.send(LeaseCommand::AskGrants { address, epoch });
            }
        }
        let open = self.acknowledged.open(&granted);
        let used = self.status.block_needs.keys().copied();
        self.memory.without_block =
            without_block(&self.memory.without_block, used, &open, Instant::now());
        let availability = AddressAvailability {
            open_blocks: open,
            unavailable: self.unavailable(),
            undelivered: self.memory.undelivered.clone(),
        };
        let mut config = steering_config(snapshot, &self.me, &availability);
        self.keep_unreadable(snapshot, &mut config);
        self.memory.unavailable_applied = availability.unavailable;
        self.status.overridden = overridden(snapshot, &self.me);
        self.cache_snapshot(snapshot, &config);
        self.guard_file.keep(snapshot, &self.me);
        let applied = self.kernel.apply(config);
        if let Ok(Applied::Changed) = applied {
            info!(event = "programmed", "the kernel holds the new steering config");
        }
        if applied.is_ok() {
            self.answer_arrivals(snapshot);
        }
        let failed = applied.as_ref().err().map(ToString::to_string);
        self.health.set_missing("steering", failed);
        self.record(AgentReason::RulesNotApplied, applied.map(|_| ()));
    }

    /// The gateway's part, who may send from which ports, is in the maps with the plan: says so.
    fn note_gateway(&mut self, snapshot: &Snapshot) {
        let crosses = crosses_to_ipv6(self.kernel.endpoints(), &gateways_of(snapshot));
        let crosses = self.kernel.set_crosses_to_ipv6(crosses);
        let (acknowledged, applied) = self.feed.acknowledged_blocks();
        self.status.acknowledged_blocks = acknowledged;
        self.record(AgentReason::BlocksNotApplied, applied.and(crosses));
    }

    /// Somebody has changed the kernel: what is missing is put back.
    fn on_change(&mut self, change: &KernelChange) {
        if change.what.may_make_local() {
            self.on_local_change();
        }
        let repaired = self.kernel.repair();
        if let Ok(true) = repaired {
            warn!(event = "repaired", what = %change.what, "a foreign change was repaired");
            let about = ObjectRef::egress_node(&self.me);
            let message = format!(
                "{}: repaired {:.1} ms later; {} did it",
                change.what,
                change.at.elapsed().as_secs_f64() * 1000.0,
                change.by.as_deref().unwrap_or("somebody unknown"),
            );
            self.events.add(true, about, EventReason::Repaired, message, self.clock.now());
        }
        self.adopt_uplinks();
        if change.what.may_make_local() {
            self.tend_reaches();
            self.tend_interfaces();
        }
        self.record(AgentReason::RulesNotApplied, repaired.map(|_| ()));
    }

    fn on_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Synced { events, answers } => {
                self.memory.syncing = false;
                self.memory.refused.note(&answers, tokio::time::Instant::now());
                self.memory.accepted.note(answers.accepted);
                self.events.put_back(events);
            }
            Completion::EndpointDue => self.on_endpoint_due(),
            Completion::Probed(result) => self.on_probed(result),
            Completion::PassageRead(result) => self.on_passage_read(result),
            Completion::Proved(proofs) => self.on_proved(proofs),
            Completion::RoutersAsked(answers) => self.on_routers_asked(&answers),
            Completion::HoldersAsked(answers) => self.on_holders_asked(answers),
            Completion::FirewallsRead(found, took) => self.on_firewalls_read(found, took),
        }
    }

    /// Keeps or clears a problem of this node, and logs it when it is new.
    fn record(&mut self, reason: AgentReason, result: Result<(), PortError>) {
        match result {
            Ok(()) => {
                self.memory.problems.remove(&reason);
            }
            Err(error) => {
                let message = error.to_string();
                if self.memory.problems.get(&reason) != Some(&message) {
                    error!(reason = reason.to_string(), %error, "this node cannot do its part");
                }
                self.memory.problems.insert(reason, message);
            }
        }
    }
}
