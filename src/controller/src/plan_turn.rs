use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use egret_core::cloud::CloudState;
use egret_core::memory::LeaderMemory;
use egret_core::model::{ControllerSettings, EventDraft};
use egret_core::model::{InvalidObject, ProviderKind, ResourceVersion, Snapshot, Timestamp, Write};
use egret_core::planner::{self, Plan, PlannedWrite};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::ErrorClass;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::cluster_writes::ClusterWrites;
use crate::events::record_event;
use crate::leadership::LeaderTerm;
use egret_core::reason::EventReason;

/// Planned again after this at the latest, even if nothing was read: absences grow by time alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// After so much writing a turn leaves the deletions that are left to the next one, which plans by
/// what has changed meanwhile: two hundred of them take minutes, and a gateway that dies or comes
/// back is planned for within them. Nothing else is cut off: to plan anew costs a read of everything.
const WRITING_TIME: Duration = Duration::from_secs(10);

/// One leader's turns: plan, draw numbers, write.
pub(crate) struct Turn<S, C> {
    settings: ControllerSettings,
    state: Arc<S>,
    clock: Arc<C>,
    memory: LeaderMemory,
    wake_at: Option<Timestamp>,
    reported: BTreeSet<InvalidObject>,
    cluster_writes: ClusterWrites,
}

impl<S: ClusterState, C: Clock> Turn<S, C> {
    pub(crate) fn new(settings: ControllerSettings, state: Arc<S>, clock: Arc<C>) -> Self {
        Self {
            settings,
            state,
            clock,
            memory: LeaderMemory::default(),
            wake_at: None,
            reported: BTreeSet::new(),
            cluster_writes: ClusterWrites::default(),
        }
    }

    /// Begins anew, as a process that has seen nothing.
    pub(crate) fn forget(&mut self) {
        self.memory = LeaderMemory::default();
        self.cluster_writes = ClusterWrites::default();
    }

    /// Takes in what is known of a cloud.
    pub(crate) fn observe_cloud(&mut self, kind: ProviderKind, cloud_state: &CloudState) {
        if self.memory.clouds.get(&kind) != Some(cloud_state) {
            self.memory.clouds.insert(kind, cloud_state.clone());
        }
    }

    /// How long to wait where nothing changes.
    pub(crate) fn wake_in(&self) -> Duration {
        let Some(at) = self.wake_at else { return LONGEST_PAUSE };
        let until = at.since(self.clock.now()).0.max(10);
        Duration::from_millis(until).min(LONGEST_PAUSE)
    }

    pub(crate) async fn run(&mut self, snapshot: &Snapshot, term: &LeaderTerm) {
        if !*self.state.reachable().borrow() {
            return;
        }
        self.report_invalid(snapshot).await;
        if self.plan(snapshot).writes.is_empty() {
            return;
        }
        // The watched snapshot may be older than this leader's own last writes, and a grant to one
        // node is not checked against another node's object: planned from it, one port block was
        // granted twice.
        let snapshot = match self.state.read_consistent().await {
            Ok(snapshot) => snapshot,
            Err(error) => return warn!(%error, "cannot read what is to be planned; planning again"),
        };
        let plan = self.plan(&snapshot);
        let now = self.clock.now();
        let first = if plan.numbers == 0 {
            0
        } else {
            match self.state.draw_fences(plan.numbers).await {
                Ok(first) => first,
                Err(error) => return warn!(%error, "cannot draw fences; planning again"),
            }
        };
        // A deletion that fails slowly keeps nothing after it from being tried.
        let (began, mut wrote) = (Instant::now(), false);
        for planned in plan.fill(first) {
            if wrote && is_left_to_the_next_turn(&planned.write, began.elapsed()) {
                debug!("planning anew in the middle of a long turn");
                break;
            }
            if !term.is_ours() {
                return warn!("the leader lease was lost in the middle of a turn");
            }
            let (write, version) = (planned.write.clone(), snapshot.cluster.as_ref());
            let version = version.map(|cluster| &cluster.version);
            let failed = self.carry_out(planned, version, now).await.err();
            wrote |= failed.is_none();
            self.note_outcome(&write, failed);
            if failed.is_some_and(|class| ends_turn(&write, class)) {
                break;
            }
        }
    }

    /// Says once of every object that cannot be understood what is wrong with it.
    async fn report_invalid(&mut self, snapshot: &Snapshot) {
        let broken: BTreeSet<InvalidObject> = snapshot.invalid_objects.iter().cloned().collect();
        if broken == self.reported {
            return;
        }
        for InvalidObject { place, message } in broken.difference(&self.reported) {
            let message = format!("{message}; it is passed over until then");
            let note =
                EventDraft::warning(place.as_str().into(), EventReason::NotUnderstood, message);
            record_event(&*self.state, &note, self.clock.now()).await;
        }
        self.reported = broken;
    }

    fn plan(&mut self, snapshot: &Snapshot) -> Plan {
        let now = self.clock.now();
        self.memory.observe(snapshot, now);
        let plan = planner::plan(snapshot, &self.memory, &self.settings, now);
        self.memory.note_awaited(&plan.timed, now);
        self.wake_at = plan.wake_at;
        let done =
            |planned: &PlannedWrite| self.cluster_writes.are_done(&planned.write, snapshot, now);
        Plan { writes: plan.writes.into_iter().filter(|planned| !done(planned)).collect(), ..plan }
    }

    /// Remembers the write of an `EgressNode` that may still be taken, until that object has been written.
    fn note_outcome(&mut self, write: &Write, failed: Option<ErrorClass>) {
        let Write::NodeSpec { node, .. } = write else { return };
        if failed.is_some_and(is_unknown) {
            self.memory.unsure_of = Some(node.clone());
        } else if failed.is_none() && self.memory.unsure_of.as_ref() == Some(node) {
            self.memory.unsure_of = None;
        }
    }

    /// How it failed, where the store has not taken it. `cluster`: the version of the cluster object before.
    async fn carry_out(
        &mut self,
        planned: PlannedWrite,
        cluster: Option<&ResourceVersion>,
        now: Timestamp,
    ) -> Result<(), ErrorClass> {
        let PlannedWrite { write, notes, .. } = planned;
        match self.state.write(write.clone()).await {
            Ok(version) => {
                debug!(?write, %version, "written");
                self.cluster_writes.note(&write, &version, now);
                for note in &notes {
                    record_event(&*self.state, note, now).await;
                }
                Ok(())
            }
            Err(error) if error.class == ErrorClass::Conflict => {
                debug!(%error, "somebody wrote first; planning again");
                Err(error.class)
            }
            Err(error) => {
                warn!(%error, "write failed; planning again");
                // A definition before the status had its own place: what is asked for anew is not there either.
                if let (ErrorClass::NotFound, Some(version)) = (error.class, cluster) {
                    self.cluster_writes.note(&write, version, now);
                }
                Err(error.class)
            }
        }
    }
}

/// Whether such a failure of this write ends the turn. Numbers in node specs must appear in order, so
/// after one that may still be taken none is written (see `core::planner`); one that was refused never
/// appears, and keeps nobody else's from being written. Deletions and roles were decided with the cluster
/// object: without it nothing goes on.
fn ends_turn(write: &Write, failed: ErrorClass) -> bool {
    match write {
        Write::Cluster { .. } => true,
        Write::NodeSpec { .. } => is_unknown(failed),
        _ => false,
    }
}

/// Whether a write that failed like this may still be taken.
fn is_unknown(failed: ErrorClass) -> bool {
    match failed {
        ErrorClass::Transient => true,
        ErrorClass::Throttled { .. }
        | ErrorClass::NotFound
        | ErrorClass::Conflict
        | ErrorClass::Denied
        | ErrorClass::Quota
        | ErrorClass::Invalid => false,
    }
}

/// Whether a turn that has been writing for so long leaves this write to the next one.
fn is_left_to_the_next_turn(write: &Write, writing: Duration) -> bool {
    writing > WRITING_TIME && matches!(write, Write::DeleteAddress { .. })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn what_is_refused_for_good_keeps_no_other_node_from_being_written() {
        let node = Write::NodeSpec { node: "n1".into(), expect: None, spec: Default::default() };
        let status = Write::AgentAbsent { node: "n1".into(), condition: None };
        let cluster = Write::Cluster {
            expect: None,
            cluster: egret_core::model::Cluster {
                id: String::new(),
                set: None,
                t_max: egret_core::model::Millis(1),
                ranges: Default::default(),
                uninstalling: false,
            },
        };
        let refused = [
            ErrorClass::Invalid,
            ErrorClass::Denied,
            ErrorClass::Throttled { after: None },
            ErrorClass::NotFound,
            ErrorClass::Conflict,
            ErrorClass::Quota,
        ];
        for class in refused {
            assert!(!ends_turn(&node, class) && !ends_turn(&status, class), "{class:?}");
            assert!(ends_turn(&cluster, class), "{class:?}");
        }
        let unknown = ErrorClass::Transient;
        assert!(ends_turn(&node, unknown) && ends_turn(&cluster, unknown));
        assert!(!ends_turn(&status, unknown));
    }

    #[test]
    fn a_long_turn_leaves_only_deletions_to_the_next_one() {
        let address = IpAddr::from([203, 0, 113, 17]);
        let deletion = Write::DeleteAddress { address, expect: None };
        let taint = Write::AdmitPods { node: "node-1".into() };
        let long = WRITING_TIME + Duration::from_millis(1);
        assert!(is_left_to_the_next_turn(&deletion, long));
        assert!(!is_left_to_the_next_turn(&deletion, WRITING_TIME));
        assert!(!is_left_to_the_next_turn(&taint, long));
    }
}
