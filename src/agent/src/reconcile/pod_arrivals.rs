//! Pods that the chained CNI plugin tells of, and what has come of its installation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use egret_core::model::{NAMED_SHARED_ADDRESSES, ObjectRef, Snapshot};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use ipnet::IpNet;
use tokio::sync::mpsc::Receiver;
use tracing::{info, warn};

use super::MainLoop;
use crate::cni::{AddedPod, PluginInstallError, PodArrival};
use crate::pod_owners::{OwnerChanges, SharedAddress, without};
use egret_core::reason::EventReason;

/// How long the first pod of an address on this node waits for the address's block.
const FIRST_POD_PATIENCE: Duration = egret_cni::PATIENCE;

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Programmes the pods that have just got their addresses, all that wait at once.
    pub(super) fn on_arrivals(&mut self, first: PodArrival, more: &mut Receiver<PodArrival>) {
        let added = self.memory.arrivals.take(first, more, self.memory.watched.as_deref());
        let mut running = BTreeSet::new();
        for AddedPod { pod, addresses, runs } in added {
            self.memory.owners.add(&pod, &addresses);
            // Also where its plugin gives up before the pod is programmed.
            match runs {
                true => running.extend(addresses),
                false => self.kernel.connections().end(self.of_pods(addresses)),
            }
        }
        if let Some(watched) = self.memory.watched.clone() {
            self.on_snapshot(watched);
        }
        // Some of what is there is of the pods before: what leaves otherwise than the rules now say.
        self.kernel.connections().pass_on(self.of_pods(running));
    }

    /// Lets the plugins go whose pods are in `programmed`, which the kernel holds.
    pub(super) fn answer_arrivals(&mut self, programmed: &Snapshot) {
        let given_up = self.memory.arrivals.forget_closed();
        self.kernel.connections().give_up(&given_up);
        // A pod that is steered to an address without a block of this node's would be dropped: the
        // controller grants it in a moment, and the next steering config has it.
        if self.memory.without_block.values().any(|since| since.elapsed() < FIRST_POD_PATIENCE) {
            return;
        }
        for (addresses, programmed) in self.memory.arrivals.take_programmed(programmed) {
            self.kernel.connections().arrive(self.of_pods(addresses), programmed);
        }
    }

    /// The watched snapshot with what the CNI has said, where each address is with one pod, and what
    /// has changed of that.
    pub(super) fn settle_owners(
        &mut self,
        watched: &Arc<Snapshot>,
    ) -> (Arc<Snapshot>, OwnerChanges) {
        let merged = self.memory.arrivals.merge(watched, &self.me);
        let awaited = self.memory.arrivals.awaited();
        let young = self.memory.arrivals.is_young();
        self.memory.owners.settle(merged, &self.me, &awaited, young)
    }

    /// Ends the connections of pods that have ended. The kernel holds the steering config of those that
    /// go on.
    pub(super) fn end_connections(&self, changes: &OwnerChanges) {
        let connections = self.kernel.connections();
        connections.end(self.of_pods(changes.ended.clone()));
        connections.pass_on(self.of_pods(changes.passed_on.clone()));
    }

    /// Says once at a pod that another one has its address, and in the status who has it.
    pub(super) fn note_shared(&mut self, changes: &OwnerChanges) {
        let mut told = BTreeMap::new();
        for (source, SharedAddress { winner, losers }) in &changes.shared {
            for loser in losers {
                let key = (*source, loser.clone());
                if self.memory.shared.get(&key) != Some(winner) {
                    let message = format!(
                        "its address {} is pod {}/{}'s, which the CNI gave it to last or which is \
                         newer: what it sends is taken for that pod's",
                        source.addr(),
                        winner.namespace,
                        winner.name
                    );
                    let about = ObjectRef::pod(&loser.namespace, &loser.name);
                    let now = self.clock.now();
                    self.events.add(true, about, EventReason::AddressShared, message, now);
                }
                told.insert(key, winner.clone());
            }
        }
        self.memory.shared = told;
        let named = changes.shared.iter().take(NAMED_SHARED_ADDRESSES);
        let named = named.map(|(source, SharedAddress { winner, .. })| {
            (*source, format!("{}/{}", winner.namespace, winner.name))
        });
        self.status.shared_pod_addresses = named.collect();
    }

    /// Says once at a pod what of it cannot be read.
    pub(super) fn note_odd_pods(&mut self, snapshot: &Snapshot) {
        for (about, message) in self.memory.odd_pods.untold(snapshot) {
            let now = self.clock.now();
            self.events.add(true, about, EventReason::NotUnderstood, message, now);
        }
    }

    /// Without this node's own addresses, should a pod show one as its own.
    fn of_pods(&self, addresses: BTreeSet<IpNet>) -> BTreeSet<IpNet> {
        let own = self.kernel.endpoints();
        let own: Vec<IpNet> = own.iter().copied().map(IpNet::from).collect();
        without(addresses, own.iter())
    }

    /// Says once what has come of the plugin's installation.
    pub(super) fn on_chained(&mut self, result: Result<(), PluginInstallError>) {
        let problem = result.err().map(|error| error.to_string());
        if problem == self.memory.unchained {
            return;
        }
        match &problem {
            None => info!(event = "cni_chained_again", "the CNI configuration names the plugin"),
            Some(problem) => {
                warn!(event = "cni_not_chained", %problem, "the CNI plugin is not chained");
                let message = format!(
                    "the chained CNI plugin is not installed: {problem}; new pods' first \
                             packets are dropped until the API shows their addresses"
                );
                let about = ObjectRef::egress_node(&self.me);
                self.events.add(true, about, EventReason::CniNotChained, message, self.clock.now());
            }
        }
        self.memory.unchained = problem;
    }
}
