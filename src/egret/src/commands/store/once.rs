use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use egret_core::model::{NamespaceName, Snapshot};
use egret_ports::backoff::Backoff;
use egret_ports::cluster_state::{ClusterState, Write};
use egret_ports::error::{ErrorClass, PortError};
use egret_state::DirectoryState;
#[cfg(feature = "kubernetes")]
use egret_state::kubernetes::WatchScope;

use super::Store;

/// How long a write is tried that others keep overtaking (after an outage of the API server
/// everybody has something to write), or that meets a failure which may pass.
const PATIENCE: Duration = Duration::from_secs(10);

impl Store {
    /// Everything, as it is now; of the Kubernetes API no pods.
    pub(crate) fn read(&self) -> anyhow::Result<Snapshot> {
        match self {
            Self::Directory(directory) => read(directory),
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes(api) => api.read(WatchScope::Reader),
        }
    }

    /// Everything with this pod, as it is now.
    #[cfg_attr(
        not(feature = "kubernetes"),
        expect(unused_variables, reason = "a directory has every pod")
    )]
    pub(crate) fn read_with_pod(
        &self,
        namespace: &NamespaceName,
        name: &str,
    ) -> anyhow::Result<Snapshot> {
        match self {
            Self::Directory(directory) => read(directory),
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes(api) => {
                api.read(WatchScope::Pod { namespace: namespace.clone(), name: name.to_owned() })
            }
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

    /// One write, repeated where it meets what may pass. A try that was carried out although it
    /// failed makes the next one a conflict.
    pub(crate) fn write(&self, write: Write) -> anyhow::Result<Result<(), PortError>> {
        self.insist(&Request::Write(Box::new(write))).map(|done| done.map(|_| ()))
    }

    /// A number of the fence counter that nobody else has.
    pub(crate) fn draw_fence(&self) -> anyhow::Result<u64> {
        Ok(self.insist(&Request::Fence)??)
    }

    fn insist(&self, request: &Request) -> anyhow::Result<Result<u64, PortError>> {
        let deadline = Instant::now() + PATIENCE;
        let mut backoff = Backoff::default();
        loop {
            match self.send(request)? {
                Err(error) if passes(error.class) && Instant::now() < deadline => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    std::thread::sleep(backoff.failed(error.class).min(left));
                }
                done => return Ok(done),
            }
        }
    }

    fn send(&self, request: &Request) -> anyhow::Result<Result<u64, PortError>> {
        block_on(async {
            match self {
                Self::Directory(directory) => {
                    Ok(request.send_to(&DirectoryState::open_unwatched(directory)).await)
                }
                #[cfg(feature = "kubernetes")]
                Self::Kubernetes(api) => Ok(request.send_to(&api.open(WatchScope::Reader)?).await),
            }
        })
    }
}

fn passes(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::Transient | ErrorClass::Throttled { .. })
}

fn read(directory: &Path) -> anyhow::Result<Snapshot> {
    egret_state::read_once(directory)
        .with_context(|| format!("cannot read the store {}", directory.display()))
}

#[cfg(feature = "kubernetes")]
impl super::Api {
    fn read(&self, scope: WatchScope) -> anyhow::Result<Snapshot> {
        block_on(async { Ok((*self.open(scope)?.read_consistent().await?).clone()) })
    }
}

enum Request {
    Write(Box<Write>),
    Fence,
}

impl Request {
    async fn send_to<S: ClusterState>(&self, state: &S) -> Result<u64, PortError> {
        match self {
            Self::Write(write) => state.write((**write).clone()).await.map(|_| 0),
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
