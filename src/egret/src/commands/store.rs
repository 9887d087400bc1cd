//! The store, for commands that read or change one thing and end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use egret_core::model::{NamespaceName, Snapshot};
use egret_ports::cluster_state::{ClusterState, Write};
use egret_ports::error::{ErrorClass, PortError};
use egret_runtime::backoff::Backoff;
use egret_state::DirectoryState;
use egret_state::kubernetes::{Connection, KubernetesState, Options, View};

use crate::args::StoreArgs;

/// How long a change is tried that others keep overtaking: after an outage of the API server
/// everybody has something to write.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the objects are.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// A directory of manifests.
    Directory(PathBuf),
    /// The Kubernetes API.
    Kubernetes {
        /// How to reach it.
        connection: Connection,
        /// Where Egret is installed.
        system_namespace: String,
    },
}

impl StoreArgs {
    /// The store that is meant.
    pub(crate) fn store(&self) -> Store {
        match &self.manifests {
            Some(directory) => Store::Directory(directory.clone()),
            None => Store::Kubernetes {
                connection: Connection {
                    kubeconfig: self.kubeconfig.clone(),
                    context: self.context.clone(),
                },
                system_namespace: self.system_namespace.clone(),
            },
        }
    }
}

impl Store {
    /// Everything, as it is now; of the Kubernetes API no pods.
    pub(crate) fn read(&self) -> anyhow::Result<Snapshot> {
        self.read_view(View::Reader)
    }

    /// Everything with this pod, as it is now.
    pub(crate) fn read_with_pod(
        &self,
        namespace: &NamespaceName,
        name: &str,
    ) -> anyhow::Result<Snapshot> {
        self.read_view(View::Pod { namespace: namespace.clone(), name: name.to_owned() })
    }

    fn read_view(&self, view: View) -> anyhow::Result<Snapshot> {
        match self {
            Self::Directory(directory) => egret_state::read_once(directory)
                .with_context(|| format!("cannot read the store {}", directory.display())),
            Self::Kubernetes { .. } => block_on(async {
                let state = self.kubernetes(view)?;
                Ok((*state.read_consistent().await?).clone())
            }),
        }
    }

    /// Decides a write from what is there and writes it by compare-and-swap, anew where somebody
    /// else wrote first.
    pub(crate) fn change(
        &self,
        decide: impl Fn(&Snapshot) -> anyhow::Result<Write>,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut backoff = Backoff::default();
        loop {
            let error = match self.write(decide(&self.read()?)?)? {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if error.class != ErrorClass::Conflict {
                return Err(error.into());
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "others kept writing the same object for {} s; try again",
                PATIENCE.as_secs()
            );
            std::thread::sleep(backoff.failed(ErrorClass::Conflict));
        }
    }

    /// One write.
    pub(crate) fn write(&self, write: Write) -> anyhow::Result<Result<(), PortError>> {
        self.with(Ask::Write(Box::new(write))).map(|done| done.map(|_| ()))
    }

    /// A number of the fence counter that nobody else has.
    pub(crate) fn draw_fence(&self) -> anyhow::Result<u64> {
        Ok(self.with(Ask::Fence)??)
    }

    fn with(&self, ask: Ask) -> anyhow::Result<Result<u64, PortError>> {
        block_on(async {
            match self {
                Self::Directory(directory) => {
                    Ok(ask.carry_out(&DirectoryState::open(directory)?).await)
                }
                Self::Kubernetes { .. } => Ok(ask.carry_out(&self.kubernetes(View::Reader)?).await),
            }
        })
    }

    /// A state over the Kubernetes API.
    pub(crate) fn kubernetes(&self, view: View) -> anyhow::Result<KubernetesState> {
        let Self::Kubernetes { connection, system_namespace } = self else {
            anyhow::bail!("a directory of manifests is no Kubernetes: leave --manifests out")
        };
        let options = Options {
            system_namespace: system_namespace.clone(),
            ..Options::new(connection.clone(), view)
        };
        KubernetesState::open(options).context("cannot reach the Kubernetes API")
    }
}

enum Ask {
    Write(Box<Write>),
    Fence,
}

impl Ask {
    async fn carry_out<S: ClusterState>(self, state: &S) -> Result<u64, PortError> {
        match self {
            Self::Write(write) => state.write(*write).await.map(|_| 0),
            Self::Fence => state.draw_fences(1).await,
        }
    }
}

/// Runs a future to its end on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(future);
    runtime.shutdown_timeout(Duration::from_millis(100));
    done
}
