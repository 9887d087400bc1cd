use std::time::Duration;

use egret_core::model::Condition;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::{ClusterState, Write};
use egret_runtime::shutdown::Shutdown;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::{error, info, warn};

use super::MainLoop;
use crate::error::AgentError;
use crate::lease::{Command, Notice};
use crate::node_status;
use crate::teardown::teardown;

const AGAIN: Duration = Duration::from_secs(1);

/// The type of the condition by which a node says that its kernel is clean.
pub(crate) const TORN_DOWN: &str = "TornDown";

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Lets go of everything, takes it out of the kernel, says so once, and waits for the end:
    /// whoever uninstalls deletes this node's object then, which must not be made anew.
    pub(super) async fn uninstall(
        mut self,
        mut notices: UnboundedReceiver<Notice>,
        mut shutdown: Shutdown,
    ) -> Result<(), AgentError> {
        info!(event = "uninstalling", "Egret is being uninstalled: cleaning this node's kernel");
        let plugin = self.plugin.take().map(|plugin| plugin.remove());
        self.lease.tell(Command::Stop { handover: false });
        self.wait_for_stop(&mut notices).await?;
        let Self { me, state, clock, datapath, mut status, bpffs, run_dir, settings, .. } = self;
        // Attached programs live as long as a descriptor of theirs.
        drop(datapath);
        let done = teardown(&bpffs, &run_dir, &settings).map_err(|error| error.to_string());
        let removed = match plugin {
            Some(removal) => removal.await.unwrap_or_else(|error| Err(error.to_string())),
            None => Ok(()),
        };
        let done = done.and(removed);
        if let Err(error) = &done {
            error!(%error, "the kernel is not clean");
        }
        let condition = Condition {
            kind: TORN_DOWN.to_owned(),
            status: done.is_ok(),
            reason: if done.is_ok() { "Clean" } else { "LeftBehind" }.to_owned(),
            message: done.err().unwrap_or("nothing is left".to_owned()),
            observed_generation: 0,
            last_transition: clock.now(),
        };
        node_status::put(&mut status.conditions, condition);
        loop {
            let write = Write::NodeStatus { node: me.clone(), status: status.clone() };
            match state.write(write).await {
                Ok(_) => break,
                Err(error) => warn!(%error, "cannot say that this node is clean; trying again"),
            }
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        shutdown.requested().await;
        Ok(())
    }
}
