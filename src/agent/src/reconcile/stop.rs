//! The end of the process: on a node that stays, and on one that goes.

use std::time::Duration;

use egret_core::lease::StopMode;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tracing::{info, warn};

use super::MainLoop;
use crate::error::AgentError;
use crate::host_shutdown;
use crate::lease_thread::{LeaseCommand, LeaseEvent};

/// How long a hand-over may take before the process ends all the same.
const LONGEST_STOP: Duration = Duration::from_secs(5);
/// How long what this node has may take to leave it, before the process ends all the same. A cloud's
/// calls take seconds.
const LONGEST_LEAVE: Duration = Duration::from_secs(12);

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Hands over what is held, then ends. The kernel keeps what it has.
    pub(super) async fn stop(
        mut self,
        mut lease_events: UnboundedReceiver<LeaseEvent>,
    ) -> Result<(), AgentError> {
        info!(event = "stopping", "handing over");
        self.feed.close();
        self.lease.send(LeaseCommand::Stop(StopMode::Restart));
        self.wait_for_stop(&mut lease_events).await?;
        info!(event = "stopped", "agent stopped");
        Ok(())
    }

    /// Waits until the lease thread has let go of everything.
    pub(super) async fn wait_for_stop(
        &mut self,
        lease_events: &mut UnboundedReceiver<LeaseEvent>,
    ) -> Result<(), AgentError> {
        let deadline = Instant::now() + LONGEST_STOP;
        while !self.memory.stopped {
            match tokio::time::timeout_at(deadline, lease_events.recv()).await {
                Ok(Some(event)) => self.on_lease_event(event)?,
                Ok(None) => break,
                Err(_) => {
                    warn!("letting go took too long: leases end by their deadlines");
                    break;
                }
            }
        }
        Ok(())
    }

    /// The host begins to shut down, or does not after all: the leader drains this node, or takes it
    /// back. This process goes on: pods here may have minutes until they end.
    pub(super) fn on_host_stops(&mut self, stops: bool) {
        if self.status.stopping != stops {
            info!(event = "host_stops", stops, "systemd says whether this host is being shut down");
        }
        self.status.stopping = stops;
    }

    /// Why nobody follows the process on this node; `None` where it is to be waited for.
    pub(super) async fn why_it_leaves(&mut self) -> Option<String> {
        let own = self.memory.snapshot.as_ref().and_then(|all| all.egress_nodes.get(&self.me));
        if let Some(spec) = own.map(|own| &own.value.spec)
            && let Some(why) = spec.leaving.clone().or(spec.drain.then(|| "it is drained".into()))
        {
            return Some(why);
        }
        if !self.status.stopping {
            match host_shutdown::is_stopping(&self.system_bus).await {
                Ok(stopping) => self.status.stopping = stopping,
                Err(error) => info!(%error, "taken for a restart: no word from systemd"),
            }
        }
        self.status.stopping.then(|| "the host is being shut down".into())
    }

    /// Hands over what is held. The loop goes on meanwhile: a cloud tells by the store that it has
    /// followed, and pods here are steered to who holds then.
    pub(super) fn begin_to_leave(&mut self, why: &str) {
        info!(event = "stopping", why, "handing over for good");
        self.memory.leave_by = Some(Instant::now() + LONGEST_LEAVE);
        self.lease.send(LeaseCommand::Stop(StopMode::Leave));
    }

    /// Whether the process may end. Looked at after every input, and so once a second at least.
    pub(super) fn has_left(&self) -> bool {
        let Some(by) = self.memory.leave_by else { return false };
        if self.memory.stopped {
            info!(event = "stopped", "agent stopped: this node has nothing left");
        } else if Instant::now() >= by {
            warn!("what this node has did not leave in time: leases end by their deadlines");
        } else {
            return false;
        }
        true
    }
}
