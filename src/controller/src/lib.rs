//! The controller: the elected one among several reads the snapshot, plans and writes.
//!
//! State: what the leader remembers of absences ([`egret_core::plan::Memory`]); all else is in the
//! store. Always: nothing is written before a complete snapshot and before the leader lease is
//! ours; a write names the version that its decision was made from; a failed write ends nothing
//! but its own turn, and the next snapshot is planned anew.
#![forbid(unsafe_code)]

mod args;
mod cloud;
mod execute;
mod leadership;
mod tell;
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
pub use cloud::{Cloud, CloudMeasures, NoCloud};

use crate::cloud::Term;
use crate::leadership::Leadership;
use crate::turn::Turn;

/// A controller that takes longer for one turn is taken for dead.
const LONGEST_TURN: Duration = Duration::from_secs(120);

/// What a controller runs on.
#[derive(Debug)]
pub struct Surroundings<K> {
    /// Whether it runs well.
    pub health: Health,
    /// When it is to end.
    pub shutdown: Shutdown,
    /// The cloud whose pools it serves; `None`: those of L2 alone.
    pub cloud: Option<Arc<K>>,
    /// What it counts of its work there.
    pub measures: CloudMeasures,
}

/// Runs until the end is asked for.
///
/// Guarantees: cancel-safe at every await; a controller that stops leaves nothing half-written.
pub async fn run<S: ClusterState, C: Clock, K: Cloud>(
    args: ControllerArgs,
    state: Arc<S>,
    clock: C,
    around: Surroundings<K>,
) {
    let Surroundings { health, mut shutdown, cloud, measures } = around;
    let clock = Arc::new(clock);
    let pulse = health.pulse("controller", LONGEST_TURN);
    health.set_missing("snapshot", Some("no complete snapshot of the cluster was read".to_owned()));
    let identity = args.identity();
    let mut snapshots = state.watch();
    let mut turn = Turn::new(args.settings(), state.clone(), clock.clone());
    let (mut leadership, election) = Leadership::begin(state.clone(), identity.clone());
    let mut term: Option<Term> = None;
    let mut led = false;
    info!(event = "controller_started", identity, "controller started");
    loop {
        let wake = turn.wake_in();
        tokio::select! {
            () = shutdown.requested() => break,
            () = leadership.changed() => {}
            changed = snapshots.changed() => if changed.is_err() { break },
            () = learnt(term.as_mut()) => {}
            () = tokio::time::sleep(wake) => {}
        }
        pulse.beat();
        let leads = leadership.is_ours();
        if leads != led {
            // What another leader has seen meanwhile is not ours to count on.
            turn.forget();
            term = cloud.as_ref().filter(|_| leads).map(|cloud| {
                let settings = (args.cloud_scan_interval, measures.clone());
                let (state, clock) = (state.clone(), clock.clone());
                Term::begin(cloud.clone(), state, clock, leadership.clone(), settings)
            });
            led = leads;
        }
        let snapshot: Option<Arc<Snapshot>> = snapshots.borrow_and_update().clone();
        if snapshot.is_some() {
            health.set_missing("snapshot", None);
        }
        if let (true, Some(snapshot)) = (leads, snapshot)
            && knows(&mut turn, cloud.as_deref(), term.as_mut())
        {
            turn.run(&snapshot, &leadership).await;
        }
    }
    drop(term);
    election.abort();
    if leadership.is_ours() {
        leadership::give_up(&*state, &identity).await;
    }
    info!(event = "controller_stopped", "controller stopped");
}

async fn learnt(term: Option<&mut Term>) {
    match term {
        Some(term) => term.changed().await,
        None => std::future::pending().await,
    }
}

/// Tells the turn what is known of the cloud; false before anything is, when no plan is made: it
/// would call every attachment missing.
fn knows<S: ClusterState, C: Clock, K: Cloud>(
    turn: &mut Turn<S, C>,
    cloud: Option<&K>,
    term: Option<&mut Term>,
) -> bool {
    let (Some(cloud), Some(term)) = (cloud, term) else { return true };
    let fabric = term.fabric();
    if let Some(fabric) = &fabric {
        turn.know(cloud.kind(), fabric);
    }
    fabric.is_some()
}
