//! What an earlier process of the agent knew: kept for the next one, and gone on with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use egret_core::lease::PlanView;
use egret_core::model::{Attachment, Snapshot};
use egret_core::node_config::{SteeringConfig, keep_unreadable};
use egret_core::reason::AgentReason;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use tracing::{info, warn};

use super::MainLoop;
use crate::interface_config::named_interfaces;
use crate::lease_thread::{CarryingLink, PlanUpdate};
use crate::local_addresses::placed_before;
use crate::plan_update::{attachment, host_addresses};
use crate::snapshot_cache::{CachedSnapshot, FormerSteering};
use crate::uplink_selection::link_for;

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    pub(super) fn cache_snapshot(&mut self, snapshot: &Snapshot, config: &SteeringConfig) {
        let PlanUpdate { view, peers, endpoints, .. } = PlanUpdate::clone(&self.memory.update);
        let here = |address: &IpAddr| {
            let at = attachment(snapshot, *address, &self.me)?;
            Some((*address, at.clone()))
        };
        let attachments = view.addresses.keys().filter_map(here).collect();
        let (steering, owners) = (config.clone(), self.memory.owners.clone());
        let told = self.memory.told.clone();
        let routers = self.memory.interfaces.routers.kept(Instant::now());
        let judged = Some(self.memory.interfaces.proofs.judged().clone());
        let cached = CachedSnapshot {
            view,
            peers,
            endpoints,
            steering,
            attachments,
            owners,
            told,
            routers,
            judged,
        };
        if let Err(error) = self.snapshot_cache.write(cached) {
            warn!(%error, "cannot keep the snapshot for the next process");
        }
    }

    /// Goes on with what an earlier process knew, until the store has answered.
    pub(super) fn restore_snapshot(&mut self) {
        let Some(cached) = self.snapshot_cache.read() else { return };
        info!(event = "recalled", "going on with the snapshot of an earlier process");
        self.memory.told = Some(cached.told());
        let CachedSnapshot {
            view,
            peers,
            endpoints,
            steering: config,
            attachments,
            owners,
            routers,
            judged,
            ..
        } = cached;
        self.memory.interfaces.proofs.recall(judged, self.kernel.uplinks());
        self.memory.owners = owners.clone();
        self.memory.former = Some(FormerSteering { config: config.clone(), owners });
        self.set_egress(view.addresses.keys().copied(), placed_before(&attachments));
        self.set_named(named_interfaces(attachments.iter().map(|(address, at)| (*address, at))));
        let links = self.links(&view, &attachments);
        let local = self.recall_local(&view);
        let harmless = BTreeMap::new();
        let host = match attachments.is_empty() {
            true => host_addresses(&view, self.kernel.uplinks()),
            false => BTreeSet::new(),
        };
        let update = PlanUpdate { view, peers, endpoints, links, local, host, harmless };
        self.note_reaches();
        self.memory.interfaces.recall_routers(routers, Instant::now());
        self.feed.note_host(self.host_facts());
        self.send_recalled(update);
        let applied = self.kernel.apply(config);
        self.record(AgentReason::RulesNotApplied, applied.map(|_| ()));
    }

    /// Claims that this process has never been able to read are steered as before.
    pub(super) fn keep_unreadable(&mut self, snapshot: &Snapshot, config: &mut SteeringConfig) {
        if snapshot.unreadable_claims.is_empty() {
            self.memory.former = None;
        }
        if let Some(former) = &self.memory.former {
            let sources = self.memory.owners.unchanged_since(&former.owners);
            keep_unreadable(config, &former.config, (snapshot, &self.me), &sources);
        }
    }

    /// How this node would carry the addresses that a kept plan gives it.
    fn links(
        &self,
        view: &PlanView,
        attachments: &BTreeMap<IpAddr, Attachment>,
    ) -> BTreeMap<IpAddr, CarryingLink> {
        view.addresses
            .iter()
            .filter(|(_, plan)| plan.ranks().any(|node| *node == self.me))
            .map(|(address, plan)| {
                let at = attachments.get(address);
                (*address, link_for(*address, at, plan.no_deadline, self.kernel.uplinks()))
            })
            .collect()
    }
}
