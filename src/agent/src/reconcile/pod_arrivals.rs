//! Pods that the chained CNI plugin tells of, and what has come of its installation.

use std::time::Duration;

use egret_core::model::{ObjectRef, Snapshot};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use tokio::sync::mpsc::Receiver;
use tracing::{info, warn};

use super::MainLoop;
use crate::cni::{PluginInstallError, PodArrival};
use egret_core::reason::EventReason;

/// How long the first pod of an address on this node waits for the address's block.
const FIRST_POD_PATIENCE: Duration = egret_cni::PATIENCE;

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Programmes the pods that have just got their addresses, all that wait at once.
    pub(super) fn on_arrivals(&mut self, first: PodArrival, more: &mut Receiver<PodArrival>) {
        self.memory.arrivals.take(first, more, self.memory.watched.as_deref());
        if let Some(watched) = self.memory.watched.clone() {
            self.on_snapshot(watched);
        }
    }

    /// Lets the plugins go whose pods are in `programmed`, which the kernel holds.
    pub(super) fn answer_arrivals(&mut self, programmed: &Snapshot) {
        self.memory.arrivals.forget_closed();
        // A pod that is steered to an address without a block of this node's would be dropped: the
        // controller grants it in a moment, and the next steering config has it.
        if self.memory.without_block.values().any(|since| since.elapsed() < FIRST_POD_PATIENCE) {
            return;
        }
        self.memory.arrivals.answer(programmed);
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
