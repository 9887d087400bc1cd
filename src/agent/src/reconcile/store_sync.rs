use std::mem;
use std::sync::Arc;

use egret_core::model::Snapshot;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::{ClusterState, Write};
use egret_ports::error::ErrorClass;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Completion, MainLoop};
use crate::events::EventRecorder;
use crate::refused_writes::WriteAnswers;
use crate::{address_status, node_status};

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Begins the writes that the store still lacks, where none are under way. What fails is found
    /// missing again at the next tick.
    pub(super) fn sync(&mut self) {
        // An unreachable store is tried again when its watcher has found it, not by every status.
        if self.memory.syncing || !*self.state.reachable().borrow() {
            return;
        }
        let Some(snapshot) = self.memory.snapshot.clone() else { return };
        let now = self.clock.now();
        for condition in
            node_status::conditions(&self.memory.problems, self.guard_file.at_boot(), now)
        {
            condition.put_into(&mut self.status.conditions);
        }
        self.status.unprogrammed = node_status::unprogrammed(
            &snapshot,
            &self.me,
            &self.memory.problems,
            &self.memory.rerouted,
        );
        let mut writes = self.node_status_write(&snapshot);
        writes.extend(address_status::missing(&snapshot, &self.me, &self.memory.held, now));
        let writes = self.memory.refused.due(writes, &snapshot, Instant::now());
        let writes = self.memory.accepted.missing(writes, &snapshot);
        if writes.is_empty() && self.events.is_empty() {
            return;
        }
        self.memory.syncing = true;
        let next = EventRecorder::new(self.me.clone());
        let events = mem::replace(&mut self.events, next);
        let (state, completions) = (self.state.clone(), self.completions.clone());
        tokio::spawn(async move {
            let (events, answers) = write_all(&*state, writes, events, snapshot).await;
            // The loop is gone only when the process is ending.
            let _ = completions.send(Completion::Synced { events, answers });
        });
    }

    fn node_status_write(&self, snapshot: &Snapshot) -> Vec<Write> {
        let written = snapshot.egress_nodes.get(&self.me).map(|node| &node.value.status);
        if written.is_some_and(|written| written.is_as_written(&self.status)) {
            return Vec::new();
        }
        vec![Write::NodeStatus { node: self.me.clone(), status: self.status.clone() }]
    }
}

async fn write_all<S: ClusterState>(
    state: &S,
    writes: Vec<Write>,
    mut events: EventRecorder,
    snapshot: Arc<Snapshot>,
) -> (EventRecorder, WriteAnswers) {
    let mut answers = WriteAnswers { accepted: Vec::new(), refused: Vec::new(), snapshot };
    for write in writes {
        if let Err(error) = state.write(write.clone()).await {
            if error.class == ErrorClass::Conflict {
                debug!(%error, "somebody wrote first; deciding again");
            } else {
                warn!(%error, "the store did not take a status; it is written again later");
            }
            answers.refused.push((write, error.class));
        } else {
            answers.accepted.push(write);
        }
    }
    if !answers.refused.is_empty() {
        // A write that fails at once must not be tried again at once.
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    events.flush(state).await;
    (events, answers)
}
