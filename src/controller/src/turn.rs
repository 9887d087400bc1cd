use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use egret_core::fabric::Fabric;
use egret_core::model::{Broken, ProviderKind, Snapshot, Timestamp};
use egret_core::plan::{self, Action, Memory, Note, Plan, Settings};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::ErrorClass;
use tracing::{debug, warn};

use crate::execute::{ends_turn, write_of};
use crate::leadership::Leadership;
use crate::tell::tell;

/// Planned again after this at the latest, even if nothing was read: absences grow by time alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One leader's turns: plan, draw numbers, write.
pub(crate) struct Turn<S, C> {
    settings: Settings,
    state: Arc<S>,
    clock: Arc<C>,
    memory: Memory,
    wake_at: Option<Timestamp>,
    told: BTreeSet<Broken>,
}

impl<S: ClusterState, C: Clock> Turn<S, C> {
    pub(crate) fn new(settings: Settings, state: Arc<S>, clock: Arc<C>) -> Self {
        Self {
            settings,
            state,
            clock,
            memory: Memory::default(),
            wake_at: None,
            told: BTreeSet::new(),
        }
    }

    /// Begins anew, as a process that has seen nothing.
    pub(crate) fn forget(&mut self) {
        self.memory = Memory::default();
    }

    /// Takes in what is known of a cloud.
    pub(crate) fn know(&mut self, kind: ProviderKind, fabric: &Fabric) {
        if self.memory.fabrics.get(&kind) != Some(fabric) {
            self.memory.fabrics.insert(kind, fabric.clone());
        }
    }

    /// How long to wait where nothing changes.
    pub(crate) fn wake_in(&self) -> Duration {
        let Some(at) = self.wake_at else { return LONGEST_PAUSE };
        let until = at.since(self.clock.now()).0.max(10);
        Duration::from_millis(until).min(LONGEST_PAUSE)
    }

    pub(crate) async fn run(&mut self, snapshot: &Snapshot, leadership: &Leadership) {
        if !*self.state.reachable().borrow() {
            return;
        }
        self.tell_broken(snapshot).await;
        if self.plan(snapshot).actions.is_empty() {
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
        for action in plan.fill(first) {
            if !leadership.is_ours() {
                return warn!("the leader lease was lost in the middle of a turn");
            }
            if !self.carry_out(&action, now).await && ends_turn(&action) {
                break;
            }
        }
    }

    /// Says once of every object that cannot be understood what is wrong with it.
    async fn tell_broken(&mut self, snapshot: &Snapshot) {
        let broken: BTreeSet<Broken> = snapshot.broken.iter().cloned().collect();
        if broken == self.told {
            return;
        }
        for Broken { place, message } in broken.difference(&self.told) {
            let message = format!("{message}; it is passed over until then");
            let note = Note::warning(place, "NotUnderstood", message);
            tell(&*self.state, &note, self.clock.now()).await;
        }
        self.told = broken;
    }

    fn plan(&mut self, snapshot: &Snapshot) -> Plan {
        let now = self.clock.now();
        self.memory.observe(snapshot, now);
        let plan = plan::plan(snapshot, &self.memory, &self.settings, now);
        self.wake_at = plan.wake_at;
        plan
    }

    async fn carry_out(&self, action: &Action, now: Timestamp) -> bool {
        match self.state.write(write_of(action)).await {
            Ok(version) => {
                debug!(?action, %version, "written");
                for note in action.notes() {
                    tell(&*self.state, note, now).await;
                }
                true
            }
            Err(error) if error.class == ErrorClass::Conflict => {
                debug!(%error, "somebody wrote first; planning again");
                false
            }
            Err(error) => {
                warn!(%error, "write failed; planning again");
                false
            }
        }
    }
}
