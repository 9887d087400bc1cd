//! The long-running commands.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use egret_runtime::clock::SystemClock;
use egret_runtime::health::Health;
use egret_runtime::http;
use egret_runtime::log;
use egret_runtime::metrics::{self, MetricsArgs};
use egret_runtime::prometheus_client::registry::Registry;
use egret_runtime::shutdown::Shutdown;
use egret_state::DirectoryState;
use tokio::net::TcpListener;

use crate::args::{AgentCommand, ControllerCommand, DaemonArgs, StandaloneCommand, TeardownArgs};

/// How long a daemon may take to hand over before the process ends all the same.
const GRACE: Duration = Duration::from_secs(8);

pub(crate) fn controller(args: ControllerCommand) -> anyhow::Result<()> {
    block_on(
        &args.daemon,
        |_| {},
        async |shutdown| {
            let state = open(&args.daemon.store.manifests)?;
            egret_controller::run(args.controller.clone(), state, SystemClock, shutdown).await;
            Ok(())
        },
    )
}

pub(crate) fn agent(args: AgentCommand) -> anyhow::Result<()> {
    let register = |registry: &mut Registry| egret_agent::register_metrics(&args.agent, registry);
    block_on(&args.daemon, register, async |shutdown| {
        let state = open(&args.daemon.store.manifests)?;
        Ok(egret_agent::run(args.agent.clone(), state, SystemClock, shutdown).await?)
    })
}

/// Controller and agent over one store, in one process. Where the agent ends, so does the other.
pub(crate) fn standalone(args: StandaloneCommand) -> anyhow::Result<()> {
    let register = |registry: &mut Registry| egret_agent::register_metrics(&args.agent, registry);
    block_on(&args.daemon, register, async |shutdown| {
        let state = open(&args.daemon.store.manifests)?;
        let controller = egret_controller::run(
            args.controller.clone(),
            state.clone(),
            SystemClock,
            shutdown.clone(),
        );
        let agent = egret_agent::run(args.agent.clone(), state, SystemClock, shutdown);
        let mut controller = std::pin::pin!(controller);
        let mut agent = std::pin::pin!(agent);
        tokio::select! {
            result = &mut agent => return Ok(result?),
            () = &mut controller => {}
        }
        Ok(agent.await?)
    })
}

pub(crate) fn teardown(args: &TeardownArgs) -> anyhow::Result<()> {
    let programs = egret_datapath::bpf::teardown(&args.bpffs.join("egret"));
    let rest = egret_datapath::teardown::all(&egret_datapath::Settings::default());
    for name in ["lease.kept", "blocks.json", "snapshot.json"] {
        let path = args.run_dir.join(name);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("cannot remove {}", path.display()));
        }
    }
    programs.context("BPF programs of Egret's are still in the kernel")?;
    rest.context("something of Egret's is still in the kernel")?;
    println!("nothing of Egret's is left in this node's kernel");
    Ok(())
}

fn open(directory: &Path) -> anyhow::Result<Arc<DirectoryState>> {
    let state = DirectoryState::open(directory)
        .with_context(|| format!("cannot open the store {}", directory.display()))?;
    Ok(Arc::new(state))
}

/// Logging, metrics and signals around a daemon.
fn block_on(
    args: &DaemonArgs,
    register: impl FnOnce(&mut Registry),
    daemon: impl AsyncFnOnce(Shutdown) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let _log = log::init(&args.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (_trigger, shutdown) = Shutdown::install(GRACE)?;
        serve_metrics(&args.metrics, register).await?;
        daemon(shutdown).await
    })
}

async fn serve_metrics(
    args: &MetricsArgs,
    register: impl FnOnce(&mut Registry),
) -> anyhow::Result<()> {
    let Some(address) = args.metrics_listen else { return Ok(()) };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot serve metrics on {address} (--metrics-listen)"))?;
    let mut registry = metrics::registry(env!("CARGO_PKG_VERSION"));
    register(&mut registry);
    tokio::spawn(http::serve(listener, Arc::new(registry), Health::default()));
    Ok(())
}
