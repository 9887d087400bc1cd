//! The controller: the elected one among several reads the snapshot, plans and writes.
//!
//! State: what the leader remembers of absences ([`egret_core::plan::Memory`]); all else is in the
//! store. Always: nothing is written before a complete snapshot and before the leader lease is
//! ours; a write names the version that its decision was made from; a failed write ends nothing
//! but its own turn, and the next snapshot is planned anew.
#![forbid(unsafe_code)]

mod args;
mod cloud;
mod cluster_writes;
mod events;
mod leadership;
mod plan_turn;

use std::sync::Arc;
use std::time::Duration;

use egret_core::model::Snapshot;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_runtime::health::Health;
use egret_runtime::shutdown::Shutdown;
use tracing::info;

pub use args::ControllerArgs;
pub use cloud::{CloudMetrics, CloudSet};

use crate::cloud::{CloudContext, CloudTerms};
use crate::leadership::{LeaderTerm, Leadership};
use crate::plan_turn::Turn;

/// A controller that takes longer for one turn is taken for dead.
const LONGEST_PLAN_TURN: Duration = Duration::from_secs(120);

/// What a controller runs on.
#[derive(Debug)]
pub struct Dependencies {
    /// Whether it runs well.
    pub health: Health,
    /// When it is to end.
    pub shutdown: Shutdown,
    /// The clouds whose pools it serves; without one, those of L2 alone.
    pub clouds: CloudSet,
    /// What it counts of its work there.
    pub measures: CloudMetrics,
}

/// Runs until the end is asked for.
///
/// Guarantees: cancel-safe at every await; a controller that stops leaves nothing half-written.
pub async fn run<S: ClusterState, C: Clock>(
    args: ControllerArgs,
    state: Arc<S>,
    clock: C,
    dependencies: Dependencies,
) {
    let Dependencies { health, mut shutdown, clouds, measures } = dependencies;
    let clock = Arc::new(clock);
    let pulse = health.pulse("controller", LONGEST_PLAN_TURN);
    health.set_missing("snapshot", Some("no complete snapshot of the cluster was read".to_owned()));
    let identity = args.identity();
    let mut snapshots = state.watch();
    let mut turn = Turn::new(args.settings(), state.clone(), clock.clone());
    let (mut leadership, election) = Leadership::begin(state.clone(), identity.clone());
    let mut terms: Option<CloudTerms> = None;
    let mut led: Option<LeaderTerm> = None;
    info!(event = "controller_started", identity, "controller started");
    loop {
        let wake = turn.wake_in();
        tokio::select! {
            () = shutdown.requested() => break,
            () = leadership.changed() => {}
            () = term_ended(led.as_ref()) => {}
            changed = snapshots.changed() => if changed.is_err() { break },
            () = clouds_changed(terms.as_mut()) => {}
            () = tokio::time::sleep(wake) => {}
        }
        pulse.beat();
        let term = leadership.term();
        if term != led {
            // What another leader has seen meanwhile is not ours to count on.
            turn.forget();
            terms = term.as_ref().map(|term| {
                let context = CloudContext {
                    state: state.clone(),
                    clock: clock.clone(),
                    term: term.clone(),
                    interval: args.cloud_scan_interval,
                    metrics: measures.clone(),
                };
                CloudTerms::begin(&clouds, &Arc::new(context))
            });
            led.clone_from(&term);
        }
        let snapshot: Option<Arc<Snapshot>> = snapshots.borrow_and_update().clone();
        if snapshot.is_some() {
            health.set_missing("snapshot", None);
        }
        if let (Some(term), Some(snapshot)) = (term, snapshot)
            && observe_clouds(&mut turn, terms.as_mut())
        {
            turn.run(&snapshot, &term).await;
        }
    }
    drop(terms);
    election.abort();
    if leadership.term().is_some() {
        leadership::give_up(&*state, &identity).await;
    }
    info!(event = "controller_stopped", "controller stopped");
}

async fn term_ended(term: Option<&LeaderTerm>) {
    match term {
        Some(term) => term.ended().await,
        None => std::future::pending().await,
    }
}

async fn clouds_changed(terms: Option<&mut CloudTerms>) {
    match terms {
        Some(terms) => terms.changed().await,
        None => std::future::pending().await,
    }
}

/// Tells the turn what is known of the clouds; false before something is of each of them, when no
/// plan is made: it would call every attachment missing.
fn observe_clouds<S: ClusterState, C: Clock>(
    turn: &mut Turn<S, C>,
    terms: Option<&mut CloudTerms>,
) -> bool {
    let Some(states) = terms.and_then(CloudTerms::states) else { return false };
    for (kind, state) in &states {
        turn.observe_cloud(*kind, state);
    }
    true
}
