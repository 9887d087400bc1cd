//! From the store to the lease thread, past the main loop, which runs tools and dumps of connections for seconds.
//!
//! State: what this host is like, as the main loop said last, and what the lease thread was told last, under one
//! lock; nobody holds it while a tool runs. Always: told by the newest snapshot; the port blocks of an address are
//! in the maps before the plan that names this node for it is told; nothing before the main loop has looked
//! through this host's addresses once, and nothing after [`PlanFeed::close`].

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use egret_core::lease::Now;
use egret_core::model::{NodeName, Snapshot, VoterSet};
use egret_core::node_config::{
    gateway_blocks, gateways_of, is_gateway, newest_block_number, planned_for,
};
use egret_datapath::host::{self, HostUplink};
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::PortError;
use egret_ports::gateway::{Director, GatewayMaps};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::lease_thread::{LeaseCommand, PlanUpdate};
use crate::plan_update::{HostState, update};
use crate::uplink_reach::UplinkReaches;

/// What this host is like by now, as far as plans depend on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HostFacts {
    pub(crate) uplinks: Vec<HostUplink>,
    /// They are those of now, else of before.
    pub(crate) knows_uplinks: bool,
    pub(crate) reaches: UplinkReaches,
    /// Egress addresses that it has on an interface, and on which.
    pub(crate) local: BTreeMap<IpAddr, String>,
    /// Where it hears the other nodes.
    pub(crate) heard: Vec<IpAddr>,
}

impl HostFacts {
    fn state(&self) -> HostState<'_> {
        HostState { uplinks: &self.uplinks, reaches: &self.reaches, local: &self.local }
    }

    /// A plan that comes long after the main loop's last look must not find a cable there that was pulled since.
    fn look_at_uplinks(&mut self) {
        match host::carriers(&self.reaches.links(&self.uplinks)) {
            Ok(carriers) => {
                let uplinks = (self.uplinks.as_slice(), self.knows_uplinks);
                self.reaches.note(uplinks, &carriers, Instant::now());
            }
            Err(error) => warn!(%error, "cannot tell whether uplinks reach their networks"),
        }
    }
}

/// Where the feed leads.
pub(crate) struct FeedPorts {
    /// Who may send from which ports.
    pub(crate) gateway: Box<dyn GatewayMaps + Send>,
    /// The lease thread.
    pub(crate) send: Box<dyn Fn(LeaseCommand) + Send>,
}

/// What became of the gateway's part of the newest snapshot.
#[derive(Debug, Default)]
struct GatewayPart {
    /// Every grant up to this number is in the maps.
    applied: u64,
    /// The same, as far as this node has to say so.
    acknowledged: u64,
    failed: Option<PortError>,
}

struct FeedState {
    me: NodeName,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// `None` once it is closed.
    ports: Option<FeedPorts>,
    host: HostFacts,
    is_open: bool,
    /// Of a peer's refusal.
    newer_set: Option<VoterSet>,
    told: Arc<PlanUpdate>,
    gateway: GatewayPart,
}

/// The main loop's end of the feed. Dropping it closes the feed.
pub(crate) struct PlanFeed {
    shared: Arc<Mutex<FeedState>>,
    reads: mpsc::UnboundedSender<()>,
}

impl PlanFeed {
    /// Follows the store on a thread of its own.
    pub(crate) fn spawn<S: ClusterState>(
        me: NodeName,
        state: Arc<S>,
        ports: FeedPorts,
    ) -> io::Result<Self> {
        let feed_state = FeedState {
            me,
            snapshots: state.watch(),
            ports: Some(ports),
            host: HostFacts::default(),
            is_open: false,
            newer_set: None,
            told: Arc::default(),
            gateway: GatewayPart::default(),
        };
        let shared = Arc::new(Mutex::new(feed_state));
        let (reads, wanted) = mpsc::unbounded_channel();
        let of_thread = shared.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("plans".to_owned())
            .spawn(move || runtime.block_on(follow(&of_thread, &state, wanted)))?;
        Ok(Self { shared, reads })
    }

    /// Takes note of this host; plans that it changes are told anew.
    pub(crate) fn note_host(&self, host: HostFacts) {
        let mut state = locked(&self.shared);
        if state.host != host {
            state.host = host;
            state.tell();
        }
    }

    /// The same, and whatever else the newest snapshot says is told from now on. Returns what was told last.
    pub(crate) fn open(&self, host: HostFacts) -> Arc<PlanUpdate> {
        let mut state = locked(&self.shared);
        state.host = host;
        state.is_open = true;
        state.tell();
        state.told.clone()
    }

    /// A peer knows a newer set of voters.
    pub(crate) fn note_set(&self, set: VoterSet) {
        let mut state = locked(&self.shared);
        state.newer_set = Some(set);
        state.tell();
    }

    /// The lease protocol asks for a consistent read (docs/leases.md rule 13): it is told what comes of it.
    pub(crate) fn read_consistently(&self) {
        // The thread is gone only when the process is ending.
        let _ = self.reads.send(());
    }

    /// The number up to which this node has to say that every grant of port blocks is in its maps; or why not all are.
    pub(crate) fn acknowledged_blocks(&self) -> (u64, Result<(), PortError>) {
        let state = locked(&self.shared);
        let failed = state.gateway.failed.as_ref();
        let failed =
            failed.map(|e| PortError::new(e.class, e.operation.clone(), e.source.to_string()));
        (state.gateway.acknowledged, failed.map_or(Ok(()), Err))
    }

    /// Tells nothing more, and lets go of the maps.
    pub(crate) fn close(&self) {
        locked(&self.shared).ports = None;
    }
}

impl Drop for PlanFeed {
    fn drop(&mut self) {
        self.close();
    }
}

/// Each change is whole, also where another thread panicked.
fn locked(state: &Mutex<FeedState>) -> MutexGuard<'_, FeedState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow<S: ClusterState>(
    shared: &Arc<Mutex<FeedState>>,
    state: &Arc<S>,
    mut wanted: mpsc::UnboundedReceiver<()>,
) {
    let mut snapshots = state.watch();
    // What was read before counts as new.
    snapshots.mark_changed();
    loop {
        tokio::select! {
            changed = snapshots.changed() => {
                if changed.is_err() {
                    return;
                }
                // The lock comes first, then the look: whoever tells has the newest.
                let mut state = locked(shared);
                state.host.look_at_uplinks();
                state.tell();
            }
            asked = wanted.recv() => {
                if asked.is_none() {
                    return;
                }
                let (shared, state) = (shared.clone(), state.clone());
                tokio::spawn(async move {
                    let began = crate::lease_thread::now();
                    match state.read_consistent().await {
                        Ok(snapshot) => locked(&shared).tell_consistent(began, &snapshot),
                        Err(error) => {
                            warn!(%error, "a consistent read failed; the lease protocol asks again");
                        }
                    }
                });
            }
        }
    }
}

impl FeedState {
    /// Puts the newest snapshot's blocks into the maps, and tells what it plans.
    fn tell(&mut self) {
        let Some(snapshot) = self.snapshots.borrow().clone() else { return };
        let uninstalling = snapshot.cluster.as_ref().is_some_and(|its| its.value.uninstalling);
        // Nobody has it any more where Egret is taken off.
        if !self.is_open || uninstalling {
            return;
        }
        let Some(ports) = &mut self.ports else { return };
        self.gateway.failed =
            apply_gateway(&mut *ports.gateway, &snapshot, &self.me, &self.host.heard).err();
        let told = update(&snapshot, &self.me, self.host.state(), self.newer_set.as_ref());
        if *self.told != told {
            self.told = Arc::new(told.clone());
            (ports.send)(LeaseCommand::Update(Box::new(told)));
        }
        if self.gateway.failed.is_none() {
            self.gateway.applied = newest_block_number(&snapshot);
            if is_gateway(&snapshot, &self.me) {
                self.gateway.acknowledged = self.gateway.applied;
            }
            (ports.send)(LeaseCommand::GrantsApplied(self.gateway.applied));
        }
    }

    fn tell_consistent(&mut self, began: Now, snapshot: &Snapshot) {
        let Some(ports) = &self.ports else { return };
        let update = update(snapshot, &self.me, self.host.state(), self.newer_set.as_ref());
        (ports.send)(LeaseCommand::Consistent { began, update: Box::new(update.clone()) });
        self.told = Arc::new(update);
    }
}

/// The blocks that this node must know: of the addresses that it may carry, and its own.
fn apply_gateway(
    maps: &mut dyn GatewayMaps,
    snapshot: &Snapshot,
    me: &NodeName,
    heard: &[IpAddr],
) -> Result<(), PortError> {
    let planned = planned_for(snapshot, me);
    let blocks: BTreeMap<_, _> = gateway_blocks(snapshot)
        .into_iter()
        .filter(|((address, _), holder)| planned.contains_key(address) || holder.node == *me)
        .map(|(block, holder)| {
            // What the store says of this node itself may be older than what its programs know.
            let own = holder.node == *me;
            let endpoints = if own { heard.to_vec() } else { holder.endpoints };
            (block, Director { endpoints })
        })
        .collect();
    maps.set_blocks(&blocks)?;
    maps.set_gateways(&gateways_of(snapshot).into_values().flatten().collect())
}

#[cfg(test)]
mod tests;
