//! [`ClusterState`] over the Kubernetes API.
//!
//! State: an index of what the watches have shown, on a thread of its own, so that no lease waits
//! for a list to be parsed. The API server holds everything else: the leader's Lease and the fence
//! counter (ConfigMap `egret-fences`) are in the system namespace.
//! Always: a snapshot is published when every watch of the view has been listed, and never while
//! one that it needs has not; plans, blocks and the cluster are replaced by resourceVersion,
//! statuses of agents and controller applied server-side; while the API server is silent the last
//! snapshot stays and nothing counts as deleted.

mod agent;
mod client;
mod connect;
mod decode;
mod error;
mod events;
mod fences;
mod foreign;
mod index;
mod keeper;
mod kind;
mod leader;
mod list;
mod nirmata;
mod shared;
mod uninstall;
mod watch;
mod writes;

use std::future::Future;
use std::sync::{Arc, mpsc};

use egret_core::model::{NamespaceName, NodeName, Snapshot, Version};
use egret_ports::cluster_state::{ClusterState, Event, Write};
use egret_ports::error::PortError;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch as channel};

pub use connect::Connection;
pub use error::ApiError;

use crate::directory::RecordedEvent;
use client::Api;
use kind::{Id, Kind};
use shared::Shared;

/// The namespace of the Lease and the fence counter where nothing else is said.
pub const SYSTEM_NAMESPACE: &str = "egret-system";

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// Everything but pods, watched.
    Controller,
    /// What one node's agent needs, watched: no Nodes, Namespaces and Services, its own node's
    /// pods, and of the `EgressNode`s its own and those with roles (all, where it has one itself).
    Agent {
        /// The node.
        node: NodeName,
    },
    /// Everything but pods, and only when it is asked for: for commands that end.
    Reader,
    /// As a reader, and one pod: a cluster may have a hundred thousand.
    Pod {
        /// Its namespace.
        namespace: NamespaceName,
        /// Its name.
        name: String,
    },
}

impl View {
    fn is_watched(&self) -> bool {
        matches!(self, Self::Controller | Self::Agent { .. })
    }
}

/// How to open the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which API server.
    pub connection: Connection,
    /// Where the Lease and the fence counter live.
    pub system_namespace: String,
    /// What is read.
    pub view: View,
    /// Who writes, in `metadata.managedFields`.
    pub field_manager: String,
}

impl Options {
    /// Options with the usual system namespace and the field manager `egret-agent`,
    /// `egret-controller` or, for a reader, `egret`.
    #[must_use]
    pub fn new(connection: Connection, view: View) -> Self {
        let manager = match view {
            View::Controller => "egret-controller",
            View::Agent { .. } => "egret-agent",
            View::Reader | View::Pod { .. } => "egret",
        };
        let system_namespace = SYSTEM_NAMESPACE.to_owned();
        Self { connection, system_namespace, view, field_manager: manager.to_owned() }
    }
}

/// The cluster's state in the Kubernetes API. Dropping it ends its thread and its watches.
#[derive(Debug)]
pub struct KubernetesState {
    shared: Arc<Shared>,
    handle: Handle,
    _stop: oneshot::Sender<()>,
}

type Opened = Result<(Arc<Shared>, Handle), ApiError>;

impl KubernetesState {
    /// Reads the configuration and begins to watch. The API server may be unreachable now. To be
    /// called from any thread, with a runtime or without.
    ///
    /// # Errors
    /// Where no usable configuration is found, or the process can have no further thread.
    pub fn open(options: Options) -> Result<Self, ApiError> {
        let (opened, opening) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || thread(options, &opened, stopped))
            .map_err(|error| ApiError::Configuration(format!("no thread to be had: {error}")))?;
        let (shared, handle) = opening.recv().map_err(|_| ApiError::Closed)??;
        Ok(Self { shared, handle, _stop: stop })
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        operation: String,
        work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, PortError> {
        let done = self.handle.spawn(work).await;
        done.unwrap_or(Err(ApiError::Closed)).map_err(|error| error.into_port(operation))
    }

    /// Egret's events, oldest first by their last occurrence.
    ///
    /// # Errors
    /// As [`ClusterState::read_consistent`].
    pub async fn events(&self) -> Result<Vec<RecordedEvent>, PortError> {
        let shared = Arc::clone(&self.shared);
        self.on_thread("read events".to_owned(), async move { events::read(&shared).await }).await
    }

    /// The metrics of the agent on `node`, through the API server's proxy to its pod.
    ///
    /// # Errors
    /// Where no agent runs there, or the right to list pods or to use the proxy is missing.
    pub async fn agent_metrics(&self, node: &NodeName) -> Result<String, PortError> {
        let (shared, node) = (Arc::clone(&self.shared), node.to_string());
        let operation = format!("read the metrics of the agent on {node}");
        self.on_thread(operation, async move { agent::metrics(&shared, &node).await }).await
    }

    /// Stops every controller of the installation and waits until none runs.
    ///
    /// # Errors
    /// Where the Deployment cannot be scaled, or still has pods after a minute.
    pub async fn stop_controller(&self) -> Result<(), PortError> {
        let shared = Arc::clone(&self.shared);
        let work = async move { uninstall::stop_controller(&shared).await };
        self.on_thread("stop the controller".to_owned(), work).await
    }

    /// Deletes the cluster object, the leader's Lease and the fence counter: the last step of an
    /// uninstallation. Idempotent.
    ///
    /// # Errors
    /// As a write.
    pub async fn forget_cluster(&self) -> Result<(), PortError> {
        let shared = Arc::clone(&self.shared);
        let work = async move { uninstall::forget_cluster(&shared).await };
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
        answered.recv().unwrap_or_else(|_| Err(ApiError::Closed.into_port("read the store")))
    }
}

/// The store's thread.
fn thread(options: Options, opened: &mpsc::Sender<Opened>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = opened.send(Err(ApiError::Configuration(error.to_string())));
            return;
        }
    };
    runtime.block_on(async {
        let watching = options.view.is_watched();
        let shared = match open(options).await {
            Ok(shared) => shared,
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        // The opener is gone only when its process ends.
        let _ = opened.send(Ok((Arc::clone(&shared), Handle::current())));
        let watches = async {
            if watching {
                tokio::join!(keeper::discover(&shared), keeper::keep(Arc::clone(&shared)));
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = stopped => {}
            () = watches => {}
            () = shared.api.probe() => {}
        }
    });
}

async fn open(options: Options) -> Result<Arc<Shared>, ApiError> {
    let named = match &options.view {
        View::Agent { node } => Some(Id::cluster(Kind::Node, node.as_str())),
        View::Pod { namespace, name } => Some(Id::namespaced(Kind::Pod, namespace.as_str(), name)),
        View::Controller | View::Reader => None,
    };
    named.map(Id::checked).transpose()?;
    let client = connect::client(&options.connection).await?;
    let api = Api::new(client, options.field_manager);
    Ok(Arc::new(Shared::new(api, options.view, options.system_namespace)))
}

impl ClusterState for KubernetesState {
    fn watch(&self) -> channel::Receiver<Option<Arc<Snapshot>>> {
        self.shared.snapshot.subscribe()
    }

    fn reachable(&self) -> channel::Receiver<bool> {
        self.shared.api.reachable()
    }

    async fn read_consistent(&self) -> Result<Arc<Snapshot>, PortError> {
        let shared = Arc::clone(&self.shared);
        self.on_thread("read the store".to_owned(), async move { shared.read_all().await }).await
    }

    async fn write(&self, write: Write) -> Result<Version, PortError> {
        let shared = Arc::clone(&self.shared);
        let operation = format!("write {}", writes::subject(&write));
        self.on_thread(operation, async move { writes::apply(&shared, write).await }).await
    }

    async fn draw_fences(&self, count: u64) -> Result<u64, PortError> {
        let shared = Arc::clone(&self.shared);
        let operation = format!("draw {count} fences");
        self.on_thread(operation, async move { fences::draw(&shared, count).await }).await
    }

    async fn lead(&self, holder: &str, for_seconds: u32) -> Result<bool, PortError> {
        let (shared, holder) = (Arc::clone(&self.shared), holder.to_owned());
        let operation = format!("lead as {holder}");
        let work = async move { leader::lead(&shared, &holder, for_seconds).await };
        self.on_thread(operation, work).await
    }

    async fn event(&self, event: Event) -> Result<(), PortError> {
        let shared = Arc::clone(&self.shared);
        let operation = format!("record {} of {}", event.reason, event.about);
        self.on_thread(operation, async move { events::write(&shared, event).await }).await
    }
}

/// A snapshot of everything but pods, for a command that only reads. Blocks.
///
/// # Errors
/// Where there is no usable configuration, or the API server does not answer or refuses.
pub fn read_once(connection: &Connection) -> Result<Arc<Snapshot>, PortError> {
    let state = reader(connection)?;
    let shared = Arc::clone(&state.shared);
    state.block_on(async move {
        shared.read_all().await.map_err(|error| error.into_port("read the store"))
    })
}

/// Egret's events, oldest first by their last occurrence. Blocks.
///
/// # Errors
/// As [`read_once`].
pub fn events(connection: &Connection) -> Result<Vec<RecordedEvent>, PortError> {
    let state = reader(connection)?;
    let shared = Arc::clone(&state.shared);
    state.block_on(async move {
        events::read(&shared).await.map_err(|error| error.into_port("read events"))
    })
}

fn reader(connection: &Connection) -> Result<KubernetesState, PortError> {
    let options = Options::new(connection.clone(), View::Reader);
    KubernetesState::open(options).map_err(|error| error.into_port("open the store"))
}
