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
    finish(async {
        let shutdown = Shutdown::install(GRACE)?;
        let health = Health::default();
        serve_metrics(metrics, health.clone(), registry).await?;
        daemon(health, shutdown).await
    })
}

/// Runs to the end of `daemon` and no longer. Dropping a runtime waits for what blocks its threads: probes that watch
/// a link for seconds, tools, names that are looked up. None of them has to come to its end: what they write is
/// whole or not there.
fn finish<T>(daemon: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(daemon);
    runtime.shutdown_background();
    done
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn an_end_waits_for_nothing_that_blocks() {
        let (answer, asked) = mpsc::channel();
        finish(async {
            let (begun, begins) = tokio::sync::oneshot::channel();
            tokio::task::spawn_blocking(move || {
                let _ = begun.send(());
                // A probe whose answer never comes.
                let _ = asked.recv_timeout(Duration::from_secs(600));
            });
            Ok(begins.await?)
        })
        .unwrap();
        assert!(answer.send(()).is_ok(), "the end has waited until the probe gave up");
    }
}
