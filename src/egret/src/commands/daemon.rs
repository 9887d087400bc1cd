//! The long-running commands.

#[cfg(feature = "node")]
mod agent;
#[cfg(feature = "controller")]
mod controller;
#[cfg(all(feature = "node", feature = "controller"))]
mod standalone;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use egret_runtime::health::Health;
use egret_runtime::http;
use egret_runtime::log::{self, LogArgs};
use egret_runtime::metrics::{self, MetricsArgs};
use egret_runtime::prometheus_client::registry::Registry;
use egret_runtime::shutdown::Shutdown;
use egret_state::DirectoryState;

#[cfg(feature = "node")]
pub(crate) use agent::{agent, teardown};
#[cfg(feature = "controller")]
pub(crate) use controller::controller;
#[cfg(all(feature = "node", feature = "controller"))]
pub(crate) use standalone::standalone;

/// How long a daemon may take to hand over before the process ends all the same.
const GRACE: Duration = Duration::from_secs(14);

fn open(directory: &Path) -> anyhow::Result<Arc<DirectoryState>> {
    let state = DirectoryState::open(directory)
        .with_context(|| format!("cannot open the store {}", directory.display()))?;
    Ok(Arc::new(state))
}

fn registry() -> Registry {
    metrics::registry(env!("CARGO_PKG_VERSION"))
}

/// Logging, metrics and signals around a daemon.
fn block_on(
    log: &LogArgs,
    metrics: &MetricsArgs,
    registry: Registry,
    daemon: impl AsyncFnOnce(Health, Shutdown) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let _log = log::init(log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = Shutdown::install(GRACE)?;
        let health = Health::default();
        serve_metrics(metrics, health.clone(), registry).await?;
        daemon(health, shutdown).await
    })
}

async fn serve_metrics(
    args: &MetricsArgs,
    health: Health,
    registry: Registry,
) -> anyhow::Result<()> {
    let Some(listen) = args.metrics_listen else { return Ok(()) };
    let listener = listen
        .bind()
        .await
        .with_context(|| format!("cannot serve metrics on {listen} (--metrics-listen)"))?;
    tokio::spawn(http::serve(listener, Arc::new(registry), health));
    Ok(())
}
