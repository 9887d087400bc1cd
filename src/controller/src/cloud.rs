//! The leader's work in a cloud, beside its turns: a call that hangs delays no plan.
//!
//! State: a [`Desk`], for one term of leadership, and the provider that was made with it. Written
//! by the term's own task alone. Always: no call is begun without the leader lease; what a term
//! knows ends with it.

mod call;
mod measures;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use egret_core::fabric::{Desk, Fabric, Failure, Outcome, Task};
use egret_core::model::{Attachment, Millis, ProviderKind, Snapshot};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::{ClusterState, Write};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{Inventory, NoProvider, Provider};
use egret_runtime::backoff::Backoff;
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};
use tracing::{debug, warn};

use crate::leadership::Leadership;
use crate::tell::tell;

pub use measures::CloudMeasures;

/// Looked at again after this at the latest, so that a term without its lease does not go on.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A cloud that this build can talk to.
pub trait Cloud: Send + Sync + 'static {
    /// How it is talked to.
    type Provider: Provider;

    /// Whose pools it serves.
    fn kind(&self) -> ProviderKind;

    /// A provider for one term of leadership; calls nothing yet.
    fn connect(
        &self,
        inventory: watch::Receiver<Arc<Inventory>>,
    ) -> impl Future<Output = Self::Provider> + Send;
}

/// The cloud of a build without one: there is no value of it.
#[derive(Clone, Copy, Debug)]
pub enum NoCloud {}

impl Cloud for NoCloud {
    type Provider = NoProvider;

    fn kind(&self) -> ProviderKind {
        match *self {}
    }

    async fn connect(&self, _: watch::Receiver<Arc<Inventory>>) -> NoProvider {
        match *self {}
    }
}

/// One term of leadership in a cloud; dropping it ends every call.
pub(crate) struct Term {
    facts: watch::Receiver<Option<Arc<Fabric>>>,
    task: AbortHandle,
}

impl Drop for Term {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Term {
    pub(crate) fn begin<S: ClusterState, C: Clock, K: Cloud>(
        cloud: Arc<K>,
        state: Arc<S>,
        clock: Arc<C>,
        leadership: Leadership,
        settings: (Millis, CloudMeasures),
    ) -> Self {
        let (told, facts) = watch::channel(None);
        let (interval, measures) = settings;
        let desk = Desk::new(cloud.kind(), interval);
        let office = Office {
            desk,
            state,
            clock,
            leadership,
            measures,
            cloud,
            provider: None,
            inventory: watch::channel(Arc::default()).0,
            told,
            running: JoinSet::new(),
            tasks: BTreeMap::new(),
            failures: BTreeMap::new(),
        };
        Self { facts, task: tokio::spawn(office.work()).abort_handle() }
    }

    /// What is known; `None` before the first look at the statuses.
    pub(crate) fn fabric(&mut self) -> Option<Arc<Fabric>> {
        self.facts.borrow_and_update().clone()
    }

    /// Waits until something else is known.
    pub(crate) async fn changed(&mut self) {
        if self.facts.changed().await.is_err() {
            // The task is gone only when the process is ending.
            std::future::pending::<()>().await;
        }
    }
}

/// All that one term works with.
struct Office<S, C, K: Cloud> {
    desk: Desk,
    state: Arc<S>,
    clock: Arc<C>,
    leadership: Leadership,
    measures: CloudMeasures,
    cloud: Arc<K>,
    /// Made when there is something to do: finding a region and credentials takes seconds where
    /// there are none.
    provider: Option<Arc<K::Provider>>,
    inventory: watch::Sender<Arc<Inventory>>,
    told: watch::Sender<Option<Arc<Fabric>>>,
    running: JoinSet<Result<Outcome, PortError>>,
    tasks: BTreeMap<Id, Task>,
    failures: BTreeMap<String, Backoff>,
}

impl<S: ClusterState, C: Clock, K: Cloud> Office<S, C, K> {
    async fn work(mut self) {
        let mut snapshots = self.state.watch();
        snapshots.mark_changed();
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            if let Some(snapshot) = snapshot.filter(|_| self.leadership.is_ours()) {
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
            if let Some(ended) = ended {
                let latest = snapshots.borrow().clone();
                self.end(ended, latest).await;
            }
        }
    }

    fn pause(&self) -> Duration {
        let now = self.clock.now();
        let Some(at) = self.desk.wake_at(now) else { return LONGEST_PAUSE };
        Duration::from_millis(at.since(now).0.max(10)).min(LONGEST_PAUSE)
    }

    async fn begin(&mut self, snapshot: &Snapshot) {
        let tasks = self.desk.tasks(snapshot, self.clock.now());
        let inventory = call::inventory(&self.desk, snapshot);
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
        for task in tasks {
            debug!(?task, "begun");
            let (provider, asked) = (provider.clone(), task.clone());
            let handle = self.running.spawn(async move { call::make(&*provider, &asked).await });
            self.tasks.insert(handle.id(), task);
        }
    }

    async fn provider(&mut self) -> Arc<K::Provider> {
        if let Some(provider) = &self.provider {
            return provider.clone();
        }
        let provider = Arc::new(self.cloud.connect(self.inventory.subscribe()).await);
        self.provider = Some(provider.clone());
        provider
    }

    fn publish(&self) {
        self.told.send_if_modified(|before| {
            let changed = before.as_deref() != Some(self.desk.fabric());
            if changed {
                *before = Some(Arc::new(self.desk.fabric().clone()));
            }
            changed
        });
    }

    async fn end(
        &mut self,
        ended: Result<(Id, Result<Outcome, PortError>), tokio::task::JoinError>,
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
        self.measures.count(&task, result.as_ref().err().map(|error| error.class));
        let result = self.judge(&task, result);
        if let (Task::Attach { address, .. }, Ok(Outcome::Attached(at))) = (&task, &result) {
            self.write_attachment(*address, at, snapshot.as_deref()).await;
        }
        let now = self.clock.now();
        let notes = self.desk.done(task, result, now);
        self.publish();
        for note in notes {
            if note.reason == "Drifted" {
                self.measures.drifted();
            }
            tell(&*self.state, &note, now).await;
        }
    }

    /// When what failed is tried again, by the class of its error.
    fn judge(
        &mut self,
        task: &Task,
        result: Result<Outcome, PortError>,
    ) -> Result<Outcome, Failure> {
        let subject = task.subject();
        let error = match result {
            Ok(outcome) => {
                self.failures.remove(&subject);
                return Ok(outcome);
            }
            Err(error) => error,
        };
        let wait = self.failures.entry(subject).or_default().failed(error.class);
        warn!(%error, class = error.class.name(), again_in = ?wait, "the cloud refuses");
        let wait = Millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        Err(Failure { wait, message: error.to_string() })
    }

    /// The new holder waits for this word before it tells directors: it does not wait for a turn.
    /// Where somebody wrote first the next turn writes it.
    async fn write_attachment(
        &self,
        address: std::net::IpAddr,
        at: &Attachment,
        snapshot: Option<&Snapshot>,
    ) {
        let stored = snapshot.and_then(|snapshot| snapshot.addresses.get(&address));
        let Some(stored) = stored else { return };
        let mut status = stored.value.status.clone();
        if status.attachment.as_ref() == Some(at) {
            return;
        }
        status.attachment = Some(at.clone());
        let expect = Some(stored.version.clone());
        let written = self.state.write(Write::AddressStatus { address, expect, status }).await;
        if let Err(error) = written {
            debug!(%error, "the attachment is written by the next turn");
        }
    }
}

#[cfg(test)]
mod tests;
