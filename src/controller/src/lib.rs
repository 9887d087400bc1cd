//! The controller: the elected one among several reads the snapshot, plans and writes.
//!
//! State: what the leader remembers of absences ([`egret_core::plan::Memory`]); all else is in the
//! store. Always: nothing is written before a complete snapshot and before the leader lease is
//! ours; a write names the version that its decision was made from; a failed write ends nothing
//! but its own turn, and the next snapshot is planned anew.
#![forbid(unsafe_code)]

mod args;
mod execute;
mod leadership;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use egret_core::model::Snapshot;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_runtime::health::Health;
use egret_runtime::shutdown::Shutdown;
use tracing::info;

pub use args::ControllerArgs;

use crate::leadership::Leadership;
use crate::turn::Turn;

/// A controller that takes longer for one turn is taken for dead.
const LONGEST_TURN: Duration = Duration::from_secs(120);

/// Runs until the end is asked for.
///
/// Guarantees: cancel-safe at every await; a controller that stops leaves nothing half-written.
pub async fn run<S: ClusterState, C: Clock>(
    args: ControllerArgs,
    state: Arc<S>,
    clock: C,
    health: Health,
    mut shutdown: Shutdown,
) {
    let pulse = health.pulse("controller", LONGEST_TURN);
    health.set_missing("snapshot", Some("no complete snapshot of the cluster was read".to_owned()));
    let identity = args.identity();
    let mut snapshots = state.watch();
    let mut turn = Turn::new(args.settings(), state.clone(), clock);
    let (mut leadership, election) = Leadership::begin(state.clone(), identity.clone());
    let mut led = false;
    info!(event = "controller_started", identity, "controller started");
    loop {
        let wake = turn.wake_in();
        tokio::select! {
            () = shutdown.requested() => break,
            () = leadership.changed() => {}
            changed = snapshots.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(wake) => {}
        }
        pulse.beat();
        let leads = leadership.is_ours();
        if leads != led {
            // What another leader has seen meanwhile is not ours to count on.
            turn.forget();
            led = leads;
        }
        let snapshot: Option<Arc<Snapshot>> = snapshots.borrow_and_update().clone();
        if snapshot.is_some() {
            health.set_missing("snapshot", None);
        }
        if let (true, Some(snapshot)) = (leads, snapshot) {
            turn.run(&snapshot, &leadership).await;
        }
    }
    election.abort();
    if leadership.is_ours() {
        leadership::give_up(&*state, &identity).await;
    }
    info!(event = "controller_stopped", "controller stopped");
}
