//! The leader's work in clouds, beside its turns: a call that hangs delays no plan, nor another
//! cloud.
//!
//! State: for one term of leadership in one cloud a [`Reconciler`], and the provider that was made
//! with it. Written by the term's own task alone. Always: no call is begun without the leader lease, and none goes
//! on without it; what comes back late is written nowhere; what a term knows ends with it.

mod call;
mod metrics;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use egret_core::cloud::{CloudState, CloudTask, Reconciler, TaskFailure, TaskOutcome};
use egret_core::model::{Millis, ProviderKind, Snapshot};
use egret_ports::backoff::Backoff;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::{ClusterState, Write};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{Cloud, DynProvider, Inventory};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};
use tracing::{debug, info, warn};

use crate::events::record_event;
use crate::leadership::LeaderTerm;
use egret_core::reason::EventReason;

pub use metrics::CloudMetrics;

/// Looked at again after this at the latest: what the reconciler takes for refused, it forgets by time alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The clouds that a controller serves: none, one or several, by kind.
#[derive(Clone, Debug, Default)]
pub struct CloudSet(BTreeMap<ProviderKind, Arc<dyn Cloud>>);

impl CloudSet {
    /// All of these.
    ///
    /// # Errors
    /// `Invalid` where two serve the pools of one kind: each would undo what the other does.
    pub fn new(clouds: impl IntoIterator<Item = Arc<dyn Cloud>>) -> Result<Self, PortError> {
        let mut by_kind = BTreeMap::new();
        for cloud in clouds {
            let kind = cloud.kind();
            if by_kind.insert(kind, cloud).is_some() {
                let twice = format!("two serve pools of {kind:?}: connect one of each kind");
                return Err(PortError::new(ErrorClass::Invalid, "connect clouds", twice));
            }
        }
        Ok(Self(by_kind))
    }
}

/// What is known of each cloud that has been looked at.
type CloudStates = BTreeMap<ProviderKind, Arc<CloudState>>;

/// What every cloud's work needs.
#[derive(Debug)]
pub(crate) struct CloudContext<S, C> {
    pub(crate) state: Arc<S>,
    pub(crate) clock: Arc<C>,
    pub(crate) term: LeaderTerm,
    /// A cloud is read at least as often.
    pub(crate) interval: Millis,
    pub(crate) metrics: CloudMetrics,
}

/// One term of leadership in all clouds. Its work ends with the lease, at that moment, whoever still has this; dropping
/// it ends the work too. A lease that comes back is another term.
pub(crate) struct CloudTerms {
    known: watch::Receiver<CloudStates>,
    terms: Vec<CloudTerm>,
}

/// One term of leadership in one cloud.
struct CloudTerm(AbortHandle);

impl Drop for CloudTerm {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl CloudTerms {
    pub(crate) fn begin<S: ClusterState, C: Clock>(
        clouds: &CloudSet,
        context: &Arc<CloudContext<S, C>>,
    ) -> Self {
        let (states, known) = watch::channel(CloudStates::new());
        let begin = |cloud: &Arc<dyn Cloud>| {
            let controller = CloudController {
                reconciler: Reconciler::new(cloud.kind(), context.interval),
                context: context.clone(),
                cloud: cloud.clone(),
                provider: None,
                inventory: watch::channel(Arc::default()).0,
                states: states.clone(),
                running: JoinSet::new(),
                tasks: BTreeMap::new(),
                unwritten: BTreeMap::new(),
            };
            CloudTerm(tokio::spawn(controller.work()).abort_handle())
        };
        Self { known, terms: clouds.0.values().map(begin).collect() }
    }

    /// What is known of every cloud; `None` before each has had its first look at the statuses.
    pub(crate) fn states(&mut self) -> Option<CloudStates> {
        let known = self.known.borrow_and_update();
        (known.len() == self.terms.len()).then(|| known.clone())
    }

    /// Waits until something else is known.
    pub(crate) async fn changed(&mut self) {
        if self.known.changed().await.is_err() {
            // There is no cloud, or the term has ended.
            std::future::pending::<()>().await;
        }
    }
}

/// All that one term works with.
struct CloudController<S, C> {
    reconciler: Reconciler,
    context: Arc<CloudContext<S, C>>,
    cloud: Arc<dyn Cloud>,
    /// Made when there is something to do: finding a region and credentials takes seconds where
    /// there are none.
    provider: Option<Arc<dyn DynProvider>>,
    inventory: watch::Sender<Arc<Inventory>>,
    states: watch::Sender<CloudStates>,
    running: JoinSet<Result<TaskOutcome, PortError>>,
    tasks: BTreeMap<Id, CloudTask>,
    /// What somebody else's write came before; tried again on what is read next.
    unwritten: BTreeMap<IpAddr, TaskOutcome>,
}

impl<S: ClusterState, C: Clock> CloudController<S, C> {
    /// Until the lease is lost.
    async fn work(mut self) {
        let term = self.context.term.clone();
        tokio::select! {
            biased;
            () = term.ended() => {}
            () = self.reconcile() => {}
        }
        // Another leader may be at it already. Every call is safe to repeat after a cancellation.
        if !self.tasks.is_empty() {
            info!(tasks = self.tasks.len(), "the term has ended: what was under way is given up");
        }
        self.running.shutdown().await;
    }

    async fn reconcile(&mut self) {
        let mut snapshots = self.context.state.watch();
        snapshots.mark_changed();
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            if let Some(snapshot) = snapshot {
                for (address, outcome) in std::mem::take(&mut self.unwritten) {
                    self.write_attachment(address, outcome, Some(&snapshot)).await;
                }
                self.begin(&snapshot).await;
            }
            let pause = self.pause();
            let ended = tokio::select! {
                changed = snapshots.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return,
                },
                ended = self.running.join_next_with_id(), if !self.running.is_empty() => ended,
                () = tokio::time::sleep(pause) => None,
            };
            // A process that was stopped for a while goes on here before any timer has fired.
            if !self.context.term.is_ours() {
                return;
            }
            if let Some(ended) = ended {
                let latest = snapshots.borrow().clone();
                self.end(ended, latest).await;
            }
        }
    }

    fn pause(&self) -> Duration {
        let now = self.context.clock.now();
        let Some(at) = self.reconciler.wake_at(now) else { return LONGEST_PAUSE };
        Duration::from_millis(at.since(now).0.max(10)).min(LONGEST_PAUSE)
    }

    async fn begin(&mut self, snapshot: &Snapshot) {
        let tasks = self.reconciler.tasks(snapshot, self.context.clock.now());
        let inventory = call::inventory(&self.reconciler, snapshot);
        self.inventory.send_if_modified(|before| {
            let changed = **before != inventory;
            if changed {
                *before = Arc::new(inventory);
            }
            changed
        });
        self.publish();
        if tasks.is_empty() {
            return;
        }
        let provider = self.provider().await;
        if !self.context.term.is_ours() {
            return;
        }
        for task in tasks {
            debug!(?task, "begun");
            let (provider, asked) = (provider.clone(), task.clone());
            let handle = self.running.spawn(async move { call::make(&*provider, &asked).await });
            self.tasks.insert(handle.id(), task);
        }
    }

    async fn provider(&mut self) -> Arc<dyn DynProvider> {
        if let Some(provider) = &self.provider {
            return provider.clone();
        }
        let provider = self.cloud.connect(self.inventory.subscribe()).await;
        self.provider = Some(provider.clone());
        provider
    }

    fn publish(&self) {
        let kind = self.cloud.kind();
        self.states.send_if_modified(|known| {
            let changed = known.get(&kind).map(|known| &**known) != Some(self.reconciler.state());
            if changed {
                known.insert(kind, Arc::new(self.reconciler.state().clone()));
            }
            changed
        });
    }

    async fn end(
        &mut self,
        ended: Result<(Id, Result<TaskOutcome, PortError>), tokio::task::JoinError>,
        snapshot: Option<Arc<Snapshot>>,
    ) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => {
                let id = error.id();
                (id, Err(PortError::new(ErrorClass::Transient, "a task of the cloud", error)))
            }
        };
        let Some(task) = self.tasks.remove(&id) else { return };
        if let CloudTask::Attach { address, .. }
        | CloudTask::Observe { address, .. }
        | CloudTask::Detach { address, .. } = &task
        {
            self.unwritten.remove(address);
        }
        self.context.metrics.count(&task, result.as_ref().err().map(|error| error.class));
        let result = self.judge(&task, result);
        if let CloudTask::Attach { address, .. } | CloudTask::Observe { address, .. } = &task
            && let Ok(outcome) = &result
        {
            self.write_attachment(*address, outcome.clone(), snapshot.as_deref()).await;
        }
        let now = self.context.clock.now();
        let notes = self.reconciler.done(task, result, now);
        self.publish();
        for note in notes {
            if note.reason == EventReason::Drifted {
                self.context.metrics.drifted();
            }
            record_event(&*self.context.state, &note, now).await;
        }
    }

    /// How long what failed waits, by the class of its error and how often it has failed before; the
    /// reconciler keeps count, and the time.
    fn judge(
        &self,
        task: &CloudTask,
        result: Result<TaskOutcome, PortError>,
    ) -> Result<TaskOutcome, TaskFailure> {
        let error = match result {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        let wait = Backoff::after(self.reconciler.failures(task)).failed(error.class);
        warn!(%error, class = error.class.name(), again_in = ?wait, "the cloud refuses");
        let wait = Millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        Err(TaskFailure { wait, message: error.to_string() })
    }

    /// The new holder waits for this word before it tells directors: it does not wait for a turn.
    /// Where somebody wrote first, perhaps this task itself, the next snapshot has the version to write on.
    async fn write_attachment(
        &mut self,
        address: IpAddr,
        outcome: TaskOutcome,
        snapshot: Option<&Snapshot>,
    ) {
        let stored = snapshot.and_then(|snapshot| snapshot.addresses.get(&address));
        let Some(stored) = stored else { return };
        let mut status = stored.value.status.clone();
        let (TaskOutcome::Attached(at) | TaskOutcome::Accepted(at)) = &outcome else { return };
        if status.holding.as_ref().map(|holding| &holding.node) != Some(&at.node) {
            // Somebody else took it over meanwhile, whose word this is not.
            return;
        }
        match &outcome {
            TaskOutcome::Attached(_) => {
                (status.attachment, status.accepted) = (Some(at.clone()), None);
            }
            TaskOutcome::Accepted(_) if stored.value.plan.facts().fabric_fences() => {
                status.accepted = Some(at.clone());
            }
            _ => return,
        }
        if status == stored.value.status {
            return;
        }
        let expect = Some(stored.version.clone());
        let written =
            self.context.state.write(Write::AddressStatus { address, expect, status }).await;
        if let Err(error) = written {
            debug!(%error, "the attachment is written once more");
            if error.class == ErrorClass::Conflict {
                self.unwritten.insert(address, outcome);
            }
        }
    }
}

#[cfg(test)]
mod tests;
