use std::time::Duration;

use egret_core::lease::StopMode;
use egret_core::model::{Condition, ConditionType};
use egret_core::reason::AgentReason;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::{ClusterState, Write};
use egret_runtime::shutdown::Shutdown;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::{error, info, warn};

use super::MainLoop;
use crate::error::AgentError;
use crate::lease_thread::{LeaseCommand, LeaseEvent};
use crate::teardown::teardown;

const STATUS_RETRY: Duration = Duration::from_secs(1);

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Lets go of everything, takes it out of the kernel, says so once, and waits for the end:
    /// whoever uninstalls deletes this node's object then, which must not be made anew.
    pub(super) async fn uninstall(
        mut self,
        mut lease_events: UnboundedReceiver<LeaseEvent>,
        mut shutdown: Shutdown,
    ) -> Result<(), AgentError> {
        info!(event = "uninstalling", "Egret is being uninstalled: cleaning this node's kernel");
        let plugin = self.plugin.take().map(|plugin| plugin.remove());
        self.feed.close();
        self.lease.send(LeaseCommand::Stop(StopMode::AtOnce));
        self.wait_for_stop(&mut lease_events).await?;
        let Self {
            me, state, clock, kernel, mut status, bpffs, run_dir, settings, guard_file, ..
        } = self;
        // Attached programs live as long as a descriptor of theirs.
        drop(kernel);
        let state_dir = guard_file.stop();
        let done =
            teardown(&bpffs, &run_dir, &state_dir, &settings).map_err(|error| error.to_string());
        let removed = match plugin {
            Some(removal) => removal.await.unwrap_or_else(|error| Err(error.to_string())),
            None => Ok(()),
        };
        let done = done.and(removed);
        if let Err(error) = &done {
            error!(%error, "the kernel is not clean");
        }
        let reason = if done.is_ok() { AgentReason::Clean } else { AgentReason::LeftBehind };
        let kind = ConditionType::TornDown;
        let message = done.as_ref().err().map_or("nothing is left", String::as_str);
        let condition = Condition::new(kind, done.is_ok(), reason, message, clock.now());
        condition.put_into(&mut status.conditions);
        loop {
            let write = Write::NodeStatus { node: me.clone(), status: status.clone() };
            match state.write(write).await {
                Ok(_) => break,
                Err(error) => warn!(%error, "cannot say that this node is clean; trying again"),
            }
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = tokio::time::sleep(STATUS_RETRY) => {}
            }
        }
        shutdown.requested().await;
        Ok(())
    }
}
