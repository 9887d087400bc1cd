//! The controller: the elected one among several reads the snapshot, plans and writes.
//!
//! State: what the leader remembers of absences ([`egret_core::plan::Memory`]); all else is in the
//! store. Always: nothing is written before a complete snapshot and before the leader lease is
//! ours; a write names the version that its decision was made from; a failed write ends nothing
//! but its own turn, and the next snapshot is planned anew.
#![forbid(unsafe_code)]

mod args;
mod execute;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use egret_core::model::Snapshot;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_runtime::shutdown::Shutdown;
use tracing::{info, warn};

pub use args::ControllerArgs;

use crate::turn::Turn;

/// How long a leader lease lasts, in seconds; renewed after [`RENEW`].
const LEAD_SECONDS: u32 = 4;
const RENEW: Duration = Duration::from_secs(2);

/// Runs until the end is asked for.
///
/// Guarantees: cancel-safe at every await; a controller that stops leaves nothing half-written.
pub async fn run<S: ClusterState, C: Clock>(
    args: ControllerArgs,
    state: Arc<S>,
    clock: C,
    mut shutdown: Shutdown,
) {
    let identity = args.identity();
    let mut snapshots = state.watch();
    let mut turn = Turn::new(args.settings(), state.clone(), clock);
    let mut renew = tokio::time::interval(RENEW);
    renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut leading = false;
    info!(event = "controller_started", identity, "controller started");
    loop {
        let wake = turn.wake_in();
        tokio::select! {
            () = shutdown.requested() => break,
            _ = renew.tick() => {
                let leads = lead(&*state, &identity).await;
                if leads != leading {
                    info!(event = "leading", leading = leads, identity, "leadership changed");
                    leading = leads;
                    turn.forget();
                }
            }
            changed = snapshots.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(wake) => {}
        }
        let snapshot: Option<Arc<Snapshot>> = snapshots.borrow_and_update().clone();
        if let (true, Some(snapshot)) = (leading, snapshot) {
            turn.run(&snapshot).await;
        }
    }
    info!(event = "controller_stopped", "controller stopped");
}

async fn lead<S: ClusterState>(state: &S, identity: &str) -> bool {
    match state.lead(identity, LEAD_SECONDS).await {
        Ok(leads) => leads,
        Err(error) => {
            warn!(%error, "cannot renew the leader lease");
            false
        }
    }
}
