use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use egret_core::cloud::CloudState;
use egret_core::memory::{LeaderMemory, UnsureWrite};
use egret_core::model::{ControllerSettings, EventDraft};
use egret_core::model::{
    InvalidObject, NodeName, ProviderKind, ResourceVersion, Snapshot, Timestamp, Write,
};
use egret_core::planner::{self, Draws, Plan, PlannedWrite, WriteStage};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::ErrorClass;
use tokio::task::JoinSet;
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

/// So many writes are under way at once: an API server gives each client a share, and refuses what is beyond it.
const WRITES_AT_ONCE: usize = 8;

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

    /// Begins anew, as a process that has seen nothing; but what this one has written may still be taken.
    pub(crate) fn forget(&mut self) {
        let unsure_of = self.memory.unsure_of.take();
        self.memory = LeaderMemory { unsure_of, ..LeaderMemory::default() };
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
        self.memory.settle_unsure(&snapshot, self.clock.now());
        let plan = self.plan(&snapshot);
        let first = if plan.numbers == 0 {
            0
        } else {
            match self.state.draw_fences(plan.numbers).await {
                Ok(first) => first,
                Err(error) => return warn!(%error, "cannot draw fences; planning again"),
            }
        };
        let stages = planner::stages(plan.fill(first), &snapshot);
        let cluster = snapshot.cluster.as_ref().map(|cluster| &cluster.version);
        self.write(stages, cluster, term).await;
    }

    /// `cluster`: the version of the cluster object before.
    async fn write(
        &mut self,
        stages: Vec<WriteStage>,
        cluster: Option<&ResourceVersion>,
        term: &LeaderTerm,
    ) {
        let (began, now) = (Instant::now(), self.clock.now());
        let (mut wrote, mut goes_on) = (false, true);
        let unsure_of = self.memory.unsure_of.as_ref().map(|unsure| unsure.node.clone());
        for WriteStage { lanes, are_statuses } in stages {
            let at_once = if are_statuses { 1 } else { WRITES_AT_ONCE };
            let (mut lanes, mut under_way) = (lanes.into_iter(), JoinSet::new());
            loop {
                while goes_on && under_way.len() < at_once {
                    let Some(lane) = lanes.next() else { break };
                    // A deletion that fails slowly keeps nothing after it from being tried.
                    let is_left = |planned: &PlannedWrite| {
                        is_left_to_the_next_turn(&planned.write, began.elapsed())
                    };
                    if wrote && lane.first().is_some_and(is_left) {
                        debug!("planning anew in the middle of a long turn");
                        goes_on = false;
                    } else if !term.is_ours() {
                        warn!("the leader lease was lost in the middle of a turn");
                        goes_on = false;
                    } else {
                        let lane = PlannedLane { writes: lane, unsure_of: unsure_of.clone() };
                        under_way.spawn(write_lane(self.state.clone(), lane, term.clone(), now));
                    }
                }
                let Some(done) = under_way.join_next().await else { break };
                // One is never cancelled, and a panic goes on here.
                let done = done.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
                for outcome in done {
                    wrote |= outcome.result.is_ok();
                    goes_on &= !outcome.ends_turn(unsure_of.as_ref());
                    self.note_outcome(outcome, cluster, now);
                }
            }
            if !goes_on {
                return;
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

    /// Remembers the write of an `EgressNode` that may still be taken, until that object has been written; and
    /// what was written of the cluster object.
    fn note_outcome(
        &mut self,
        outcome: WriteOutcome,
        cluster: Option<&ResourceVersion>,
        now: Timestamp,
    ) {
        match (outcome.object, outcome.result) {
            (WrittenObject::NodeSpec { node, expect, draws: true }, Err(class))
                if is_unknown(class) =>
            {
                let since = self.clock.now();
                self.memory.unsure_of = Some(UnsureWrite { node, expect, since });
            }
            (WrittenObject::NodeSpec { node, .. } | WrittenObject::DeletedNode(node), Ok(_)) => {
                self.memory.unsure_of.take_if(|unsure| unsure.node == node);
            }
            (WrittenObject::Cluster(write), Ok(version)) => {
                self.cluster_writes.note(&write, &version, now);
            }
            // A definition before the status had its own place: what is asked for anew is not there either.
            (WrittenObject::Cluster(write), Err(ErrorClass::NotFound)) => {
                if let Some(version) = cluster {
                    self.cluster_writes.note(&write, version, now);
                }
            }
            _ => {}
        }
    }
}

/// What has to be known of a write once it is made.
#[derive(Debug)]
enum WrittenObject {
    /// The cluster object or its status.
    Cluster(Box<Write>),
    NodeSpec {
        node: NodeName,
        /// The version that it has to find.
        expect: Option<ResourceVersion>,
        /// Whether it brings new numbers.
        draws: bool,
    },
    DeletedNode(NodeName),
    Other,
}

impl WrittenObject {
    fn of(planned: &PlannedWrite) -> Self {
        match &planned.write {
            write @ (Write::Cluster { .. } | Write::ClusterStatus { .. }) => {
                Self::Cluster(Box::new(write.clone()))
            }
            Write::NodeSpec { node, expect, .. } => {
                let draws = matches!(&planned.draws, Draws::Blocks(draws) if !draws.is_empty());
                Self::NodeSpec { node: node.clone(), expect: expect.clone(), draws }
            }
            Write::DeleteNode { node, .. } => Self::DeletedNode(node.clone()),
            _ => Self::Other,
        }
    }
}

/// Writes that are made one after the other.
struct PlannedLane {
    writes: Vec<PlannedWrite>,
    /// The node of which an earlier write may still be taken.
    unsure_of: Option<NodeName>,
}

/// What became of a write.
#[derive(Debug)]
struct WriteOutcome {
    object: WrittenObject,
    result: Result<ResourceVersion, ErrorClass>,
}

impl WriteOutcome {
    /// Whether nothing is written after it in this turn. Numbers in node specs must appear in order, so after one
    /// that may still be taken none is written (see `core::planner`); one that was refused never appears, and keeps
    /// nobody else's from being written, but of the node that is `unsure_of`: there an earlier one may still be taken,
    /// which only a write that is made rules out. Deletions and roles were decided with the cluster object: without
    /// it nothing goes on.
    fn ends_turn(&self, unsure_of: Option<&NodeName>) -> bool {
        let Err(class) = self.result else { return false };
        match &self.object {
            WrittenObject::Cluster(write) => matches!(**write, Write::Cluster { .. }),
            WrittenObject::NodeSpec { node, .. } => is_unknown(class) || unsure_of == Some(node),
            WrittenObject::DeletedNode(node) => unsure_of == Some(node),
            WrittenObject::Other => false,
        }
    }
}

/// Makes these writes one after the other, up to one that ends the turn. Aborted, the one under way is made or not.
async fn write_lane<S: ClusterState>(
    state: Arc<S>,
    lane: PlannedLane,
    term: LeaderTerm,
    now: Timestamp,
) -> Vec<WriteOutcome> {
    let mut outcomes = Vec::new();
    for planned in lane.writes {
        if !term.is_ours() {
            break;
        }
        let object = WrittenObject::of(&planned);
        let PlannedWrite { write, notes, .. } = planned;
        debug!(?write, "writing");
        let result = match state.write(write).await {
            Ok(version) => {
                for note in &notes {
                    record_event(&*state, note, now).await;
                }
                Ok(version)
            }
            Err(error) if error.class == ErrorClass::Conflict => {
                debug!(%error, "somebody wrote first; planning again");
                Err(error.class)
            }
            Err(error) => {
                warn!(%error, "write failed; planning again");
                Err(error.class)
            }
        };
        let outcome = WriteOutcome { object, result };
        let ends_turn = outcome.ends_turn(lane.unsure_of.as_ref());
        outcomes.push(outcome);
        if ends_turn {
            break;
        }
    }
    outcomes
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
mod tests;
