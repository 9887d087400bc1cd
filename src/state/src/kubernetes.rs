//! [`ClusterState`] over the Kubernetes API.
//!
//! State: an index of what the watches have shown, on a thread of its own, so that no lease waits
//! for a list to be parsed. The API server holds everything else: the leader's Lease and the fence
//! counter (ConfigMap `egret-fences`) are in the system namespace.
//! Always: a snapshot is published when every watch of the scope has been listed, and never while
//! one that it needs has not; plans, blocks and the cluster are replaced by resourceVersion,
//! statuses of agents and controller applied server-side; while the API server is silent the last
//! snapshot stays and nothing counts as deleted.

mod agent;
mod cache;
mod client;
mod connect;
mod decode;
mod events;
mod fences;
mod index;
mod json;
mod kind;
mod leader;
mod list;
mod network_ranges;
mod nirmata;
mod object;
mod scope;
mod teardown_job;
mod uninstall;
mod watch;
mod watch_supervisor;
mod writes;

use std::future::Future;
use std::sync::{Arc, Mutex, mpsc};

use egret_core::model::{NodeName, ResourceVersion, Snapshot};
use egret_ports::cluster_state::{ClusterState, Event, Write};
use egret_ports::error::PortError;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch as channel};

pub use connect::Connection;
pub use scope::WatchScope;

use crate::election::ObservedLease;
use crate::error::StoreError;
use crate::recorded_event::RecordedEvent;
use cache::ObjectCache;
use client::ApiClient;
use events::EventSeries;
use kind::{ObjectId, ResourceKind};

/// The namespace of the Lease and the fence counter where nothing else is said.
pub const SYSTEM_NAMESPACE: &str = "egret-system";

/// How to open the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesOptions {
    /// Which API server.
    pub connection: Connection,
    /// Where the Lease and the fence counter live.
    pub system_namespace: String,
    /// What is read.
    pub scope: WatchScope,
    /// Who writes, in `metadata.managedFields`.
    pub field_manager: String,
}

impl KubernetesOptions {
    /// Options with the usual system namespace and the field manager `egret-agent`,
    /// `egret-controller` or, for a reader, `egret`.
    #[must_use]
    pub fn new(connection: Connection, scope: WatchScope) -> Self {
        let manager = match scope {
            WatchScope::Controller => "egret-controller",
            WatchScope::Agent { .. } => "egret-agent",
            WatchScope::Reader | WatchScope::Pod { .. } => "egret",
        };
        let system_namespace = SYSTEM_NAMESPACE.to_owned();
        Self { connection, system_namespace, scope, field_manager: manager.to_owned() }
    }
}

/// The cluster's state in the Kubernetes API. Dropping it ends its thread and its watches.
#[derive(Debug)]
pub struct KubernetesState {
    cache: Arc<ObjectCache>,
    system_namespace: Arc<str>,
    observed: Arc<Mutex<ObservedLease<String>>>,
    series: Arc<Mutex<EventSeries>>,
    handle: Handle,
    _stop: oneshot::Sender<()>,
}

type Opened = Result<(Arc<ObjectCache>, Handle), StoreError>;

impl KubernetesState {
    /// Reads the configuration and begins to watch. The API server may be unreachable now. To be
    /// called from any thread, with a runtime or without.
    ///
    /// # Errors
    /// Where no usable configuration is found, or the process can have no further thread.
    pub fn open(options: KubernetesOptions) -> Result<Self, StoreError> {
        let (opened, opening) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let system_namespace = options.system_namespace.as_str().into();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || thread(options, &opened, stopped))
            .map_err(|error| StoreError::Configuration(format!("no thread to be had: {error}")))?;
        let (cache, handle) = opening.recv().map_err(|_| StoreError::Closed)??;
        Ok(Self {
            cache,
            system_namespace,
            observed: Arc::default(),
            series: Arc::default(),
            handle,
            _stop: stop,
        })
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        operation: String,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, PortError> {
        let done = self.handle.spawn(work).await;
        done.unwrap_or(Err(StoreError::Closed)).map_err(|error| error.into_port(operation))
    }

    /// Egret's events, oldest first by their last occurrence.
    ///
    /// # Errors
    /// As [`ClusterState::read_consistent`].
    pub async fn events(&self) -> Result<Vec<RecordedEvent>, PortError> {
        let cache = Arc::clone(&self.cache);
        self.on_thread("read events".to_owned(), async move { events::read(&cache.api).await })
            .await
    }

    /// The metrics of the agent on `node`, through the API server's proxy to its pod.
    ///
    /// # Errors
    /// Where no agent runs there, or the right to list pods or to use the proxy is missing.
    pub async fn agent_metrics(&self, node: &NodeName) -> Result<String, PortError> {
        let (cache, namespace) = (Arc::clone(&self.cache), Arc::clone(&self.system_namespace));
        let node = node.to_string();
        let operation = format!("read the metrics of the agent on {node}");
        let work = async move { agent::metrics(&cache.api, &namespace, &node).await };
        self.on_thread(operation, work).await
    }

    /// Stops every controller of the installation and waits until none runs.
    ///
    /// # Errors
    /// Where the Deployment cannot be scaled, or still has pods after a minute.
    pub async fn stop_controller(&self) -> Result<(), PortError> {
        let (cache, namespace) = (Arc::clone(&self.cache), Arc::clone(&self.system_namespace));
        let work = async move { uninstall::stop_controller(&cache.api, &namespace).await };
        self.on_thread("stop the controller".to_owned(), work).await
    }

    /// Leaves a Job behind that takes Egret out of the kernel of `node` when that is back, and the guard off its
    /// disk; returns its name, and `None` where the cluster has no such Node. Idempotent.
    ///
    /// # Errors
    /// Where the agents' DaemonSet is gone, or the right to read it or to create Jobs is missing.
    pub async fn leave_teardown(&self, node: &NodeName) -> Result<Option<String>, PortError> {
        let (cache, namespace) = (Arc::clone(&self.cache), Arc::clone(&self.system_namespace));
        let node = node.to_string();
        let operation = format!("leave a Job for {node}");
        let work = async move { teardown_job::leave(&cache.api, &namespace, &node).await };
        self.on_thread(operation, work).await
    }

    /// Deletes the cluster object, the leader's Lease and the fence counter: the last step of an
    /// uninstallation. Idempotent.
    ///
    /// # Errors
    /// As a write.
    pub async fn forget_cluster(&self) -> Result<(), PortError> {
        let (cache, namespace) = (Arc::clone(&self.cache), Arc::clone(&self.system_namespace));
        let work = async move { uninstall::forget_cluster(&cache.api, &namespace).await };
        self.on_thread("delete the cluster object".to_owned(), work).await
    }

    fn block_on<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Result<T, PortError> {
        let (answer, answered) = mpsc::channel();
        self.handle.spawn(async move {
            let _ = answer.send(work.await);
        });
        answered.recv().unwrap_or_else(|_| Err(StoreError::Closed.into_port("read the store")))
    }
}

/// The store's thread.
fn thread(
    options: KubernetesOptions,
    opened: &mpsc::Sender<Opened>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = opened.send(Err(StoreError::Configuration(error.to_string())));
            return;
        }
    };
    runtime.block_on(async {
        let watching = options.scope.is_watched();
        let cache = match open(options).await {
            Ok(cache) => cache,
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        // The opener is gone only when its process ends.
        let _ = opened.send(Ok((Arc::clone(&cache), Handle::current())));
        let watches = async {
            if watching {
                tokio::join!(
                    watch_supervisor::discover(&cache),
                    watch_supervisor::run(Arc::clone(&cache))
                );
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = stopped => {}
            () = watches => {}
            () = cache.api.probe() => {}
        }
    });
}

async fn open(options: KubernetesOptions) -> Result<Arc<ObjectCache>, StoreError> {
    let named = match &options.scope {
        WatchScope::Agent { node } => Some(ObjectId::cluster(ResourceKind::Node, node.as_str())),
        WatchScope::Pod { namespace, name } => {
            Some(ObjectId::namespaced(ResourceKind::Pod, namespace.as_str(), name))
        }
        WatchScope::Controller | WatchScope::Reader => None,
    };
    named.map(ObjectId::checked).transpose()?;
    let client = connect::client(&options.connection).await?;
    let api = ApiClient::new(client, options.field_manager);
    Ok(Arc::new(ObjectCache::new(api, options.scope)))
}

impl ClusterState for KubernetesState {
    fn watch(&self) -> channel::Receiver<Option<Arc<Snapshot>>> {
        self.cache.snapshot()
    }

    fn reachable(&self) -> channel::Receiver<bool> {
        self.cache.api.reachable()
    }

    async fn read_consistent(&self) -> Result<Arc<Snapshot>, PortError> {
        let cache = Arc::clone(&self.cache);
        self.on_thread("read the store".to_owned(), async move { cache.read_all().await }).await
    }

    async fn write(&self, write: Write) -> Result<ResourceVersion, PortError> {
        let cache = Arc::clone(&self.cache);
        let operation = format!("write {}", writes::subject(&write));
        self.on_thread(operation, async move { writes::apply(&cache, write).await }).await
    }

    async fn draw_fences(&self, count: u64) -> Result<u64, PortError> {
        let (cache, namespace) = (Arc::clone(&self.cache), Arc::clone(&self.system_namespace));
        let work = async move { fences::draw(&cache, &namespace, count).await };
        self.on_thread(format!("draw {count} fences"), work).await
    }

    async fn lead(&self, holder: &str, for_seconds: u32) -> Result<bool, PortError> {
        let (cache, namespace) = (Arc::clone(&self.cache), Arc::clone(&self.system_namespace));
        let (observed, holder) = (Arc::clone(&self.observed), holder.to_owned());
        let operation = format!("lead as {holder}");
        let work = async move {
            leader::lead(&cache.api, &namespace, &observed, &holder, for_seconds).await
        };
        self.on_thread(operation, work).await
    }

    async fn event(&self, event: Event) -> Result<(), PortError> {
        let (cache, series) = (Arc::clone(&self.cache), Arc::clone(&self.series));
        let operation = format!("record {} of {}", event.reason, event.about);
        self.on_thread(operation, async move { events::write(&cache, &series, event).await }).await
    }
}

/// A snapshot of everything but pods, for a command that only reads. Blocks.
///
/// # Errors
/// Where there is no usable configuration, or the API server does not answer or refuses.
pub fn read_once(connection: &Connection) -> Result<Arc<Snapshot>, PortError> {
    let state = reader(connection)?;
    let cache = Arc::clone(&state.cache);
    state.block_on(async move {
        cache.read_all().await.map_err(|error| error.into_port("read the store"))
    })
}

/// Egret's events, oldest first by their last occurrence. Blocks.
///
/// # Errors
/// As [`read_once`].
pub fn events(connection: &Connection) -> Result<Vec<RecordedEvent>, PortError> {
    let state = reader(connection)?;
    let cache = Arc::clone(&state.cache);
    state.block_on(async move {
        events::read(&cache.api).await.map_err(|error| error.into_port("read events"))
    })
}

fn reader(connection: &Connection) -> Result<KubernetesState, PortError> {
    let options = KubernetesOptions::new(connection.clone(), WatchScope::Reader);
    KubernetesState::open(options).map_err(|error| error.into_port("open the store"))
}
