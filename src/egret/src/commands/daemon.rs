//! The long-running commands.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use egret_agent::{Measures, register_metrics};
use egret_controller::{CloudMeasures, Surroundings};
use egret_runtime::clock::SystemClock;
use egret_runtime::health::Health;
use egret_runtime::http;
use egret_runtime::log::{self, LogArgs};
use egret_runtime::metrics::{self, MetricsArgs};
use egret_runtime::prometheus_client::registry::Registry;
use egret_runtime::shutdown::Shutdown;
use egret_state::DirectoryState;
use egret_state::kubernetes::View;

use super::store::Store;
use crate::args::{AgentCommand, ControllerCommand, DaemonArgs, StandaloneCommand, TeardownArgs};

/// How long a daemon may take to hand over before the process ends all the same.
const GRACE: Duration = Duration::from_secs(8);

pub(crate) fn controller(args: ControllerCommand) -> anyhow::Result<()> {
    let DaemonArgs { store, log, metrics } = &args.daemon;
    let mut registry = registry();
    let measures = CloudMeasures::default();
    measures.register(&mut registry);
    let cloud = args.cloud.connect(&mut registry);
    let run = async |health, shutdown| {
        let (args, clock) = (args.controller.clone(), SystemClock);
        let around = Surroundings { health, shutdown, cloud, measures };
        match store.store() {
            Store::Directory(directory) => {
                let state = open(&directory)?;
                egret_controller::run(args, state, clock, around).await;
            }
            store => {
                let state = Arc::new(store.kubernetes(View::Controller)?);
                egret_controller::run(args, state, clock, around).await;
            }
        }
        Ok(())
    };
    block_on(log, metrics, registry, run)
}

pub(crate) fn agent(args: AgentCommand) -> anyhow::Result<()> {
    let DaemonArgs { store, log, metrics } = &args.daemon;
    let measures = Measures::default();
    let mut registry = registry();
    register_metrics(&args.agent, &measures, &mut registry);
    let run = async |health, shutdown| {
        let (args, clock, measures) = (args.agent.clone(), SystemClock, measures.clone());
        match store.store() {
            Store::Directory(directory) => {
                let state = open(&directory)?;
                Ok(egret_agent::run(args, state, clock, health, shutdown, measures).await?)
            }
            store => {
                let view = View::Agent { node: args.node() };
                let state = Arc::new(store.kubernetes(view)?);
                Ok(egret_agent::run(args, state, clock, health, shutdown, measures).await?)
            }
        }
    };
    block_on(log, metrics, registry, run)
}

/// Controller and agent over one store, in one process. Where the agent ends, so does the other.
pub(crate) fn standalone(args: StandaloneCommand) -> anyhow::Result<()> {
    let measures = Measures::default();
    let mut registry = registry();
    register_metrics(&args.agent, &measures, &mut registry);
    let counted = CloudMeasures::default();
    counted.register(&mut registry);
    let cloud = args.cloud.connect(&mut registry);
    let run = async |health: Health, shutdown: Shutdown| {
        let state = open(&args.store.manifests)?;
        let around = Surroundings {
            health: health.clone(),
            shutdown: shutdown.clone(),
            cloud,
            measures: counted,
        };
        let controller =
            egret_controller::run(args.controller.clone(), state.clone(), SystemClock, around);
        let (args, measures) = (args.agent.clone(), measures.clone());
        let agent = egret_agent::run(args, state, SystemClock, health, shutdown, measures);
        let mut controller = std::pin::pin!(controller);
        let mut agent = std::pin::pin!(agent);
        tokio::select! {
            result = &mut agent => return Ok(result?),
            () = &mut controller => {}
        }
        Ok(agent.await?)
    };
    block_on(&args.log, &args.metrics, registry, run)
}

pub(crate) fn teardown(args: &TeardownArgs) -> anyhow::Result<()> {
    if let (Some(bin_dir), Some(conf_dir)) = (&args.cni_bin_dir, &args.cni_conf_dir) {
        egret_agent::remove_cni_plugin(bin_dir, conf_dir, false)?;
    }
    egret_agent::teardown(&args.bpffs, &args.run_dir, &egret_datapath::Settings::default())?;
    println!("nothing of Egret's is left in this node's kernel");
    Ok(())
}

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
        let (_trigger, shutdown) = Shutdown::install(GRACE)?;
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
