use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use egret_core::lease::LeaseConfig;
use egret_core::model::EgressNodeStatus;
use egret_datapath::announce::PacketAnnouncer;
use egret_datapath::{HostSettings, snat_backend};
use egret_peers::{Endpoint, Identity};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_runtime::health::Health;
use egret_runtime::lock::{NamespaceLock, NodeLock};
use egret_runtime::shutdown::Shutdown;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use crate::AgentArgs;
use crate::blocks::AcknowledgedGrants;
use crate::cni::{self, InstalledPlugin, PodArrival};
use crate::error::AgentError;
use crate::events::EventRecorder;
use crate::guard_file::GuardFile;
use crate::host_shutdown;
use crate::kept_settings;
use crate::kernel::Kernel;
use crate::lease_thread::{self, LeasePorts, PersistedLeaseFile};
use crate::metrics::AgentMetrics;
use crate::plan_feed::{FeedPorts, PlanFeed};
use crate::reconcile::{LoopInputs, LoopMemory, MainLoop};
use crate::snapshot_cache::{CachedSnapshot, SnapshotCache};

/// A main loop that takes longer for one turn is taken for dead.
const LONGEST_MAIN_LOOP_TURN: Duration = Duration::from_secs(60);

/// An agent that ends hands over what it holds: no end takes longer.
const LONGEST_END: Duration = Duration::from_secs(30);

/// Runs the agent of this node until the end is asked for.
///
/// What it measures is in `measures` from then on.
///
/// Guarantees: adopts what an earlier process left in the kernel; leaves everything in the kernel
/// when it ends, after handing over what it holds.
///
/// # Errors
/// Where the kernel, the key or the socket cannot be had; where the lease thread fails.
pub async fn run<S: ClusterState, C: Clock>(
    args: AgentArgs,
    state: Arc<S>,
    clock: C,
    health: Health,
    shutdown: Shutdown,
    measures: AgentMetrics,
) -> Result<(), AgentError> {
    health.set_missing("steering", Some("no snapshot of the cluster was programmed".to_owned()));
    let me = args.node();
    let settings = args.settings()?;
    let Some(_node_lock) = lock(&args.run_dir, shutdown.clone().requested()).await? else {
        return Ok(());
    };
    let _namespace_lock = NamespaceLock::acquire(&args.run_dir)?;
    let (kernel, snapshot_cache, guard_file) = open_kernel(&args, &settings)?;
    let identity = Identity::open(&args.state_dir)?;
    let endpoint = Endpoint::bind(kernel.endpoints(), settings.peers_port, identity, me.clone())?;
    measures.attach(&endpoint);
    let status = first_status(&kernel, &endpoint, settings.peers_port);
    let (lease_events, lease_event_receiver) = mpsc::unbounded_channel();
    let ports = LeasePorts {
        endpoint,
        map: kernel.addresses()?,
        announcer: PacketAnnouncer::new(),
        persisted: PersistedLeaseFile::new(&args.run_dir),
    };
    let lease = lease_thread::spawn(LeaseConfig::new(me.clone(), boot_id()?), ports, lease_events)
        .map_err(|source| AgentError::Io { action: "start the lease thread", source })?;
    let (tables, of_feed) = (kernel.gateway_tables()?, lease.clone());
    let send = Box::new(move |command| of_feed.send(command));
    let ports = FeedPorts { gateway: Box::new(tables), send };
    let feed = PlanFeed::spawn(me.clone(), state.clone(), ports)
        .map_err(|source| AgentError::Io { action: "start a thread", source })?;
    let changes = kernel.watch()?;
    let arrivals = arrivals(args.cni_socket.as_deref())?;
    let (plugin, chained) = InstalledPlugin::install(&args)?;
    let (completions, completion_receiver) = mpsc::unbounded_channel();
    let host_stops = host_shutdown::watch(args.system_bus.clone());
    info!(event = "agent_started", node = %me, "agent started");
    let main_loop = MainLoop {
        acknowledged: AcknowledgedGrants::read(&args.run_dir),
        snapshot_cache,
        events: EventRecorder::new(me.clone()),
        memory: LoopMemory::default(),
        me,
        state,
        clock,
        kernel,
        lease,
        feed,
        status,
        completions,
        pulse: health.pulse("main loop", LONGEST_MAIN_LOOP_TURN),
        health,
        system_bus: args.system_bus,
        bpffs: args.bpffs,
        run_dir: args.run_dir,
        settings,
        plugin,
        guard_file,
        measures,
    };
    let lease_events = lease_event_receiver;
    let inputs = LoopInputs { lease_events, changes, arrivals, chained, host_stops, shutdown };
    main_loop.run(inputs, completion_receiver).await
}

/// What this node says of itself before it knows of any other.
fn first_status(kernel: &Kernel, endpoint: &Endpoint, peer_port: u16) -> EgressNodeStatus {
    EgressNodeStatus {
        endpoints: kernel.published_endpoints(),
        peer_port,
        public_key: Some(endpoint.public_key()),
        uplinks: crate::uplink_selection::published(kernel.uplinks()),
        answers_in_tunnel: true,
        follows_endpoint: true,
        ..EgressNodeStatus::default()
    }
}

/// The kernel, with the egress addresses that an earlier process has kept; looks for the guard before.
fn open_kernel(
    args: &AgentArgs,
    settings: &HostSettings,
) -> Result<(Kernel, SnapshotCache, GuardFile), AgentError> {
    let failed = |source| AgentError::Io { action: "keep this agent's settings", source };
    kept_settings::keep(&args.run_dir, settings).map_err(failed)?;
    let guard_file = GuardFile::new(args)?;
    let mut cache = SnapshotCache::new(&args.run_dir);
    let cached = cache.read();
    let told = cached.as_ref().map(CachedSnapshot::told);
    let known = (cached.map(|cached| cached.egress()).unwrap_or_default(), told.as_ref());
    let kernel = Kernel::open(args, settings.clone(), snat_backend::choose(settings), known)?;
    Ok((kernel, cache, guard_file))
}

/// What the CNI plugin tells, where there is one.
fn arrivals(socket: Option<&Path>) -> Result<mpsc::Receiver<PodArrival>, AgentError> {
    let Some(socket) = socket else { return Ok(mpsc::channel(1).1) };
    let action = "listen to the CNI plugin (--cni-socket)";
    cni::listen(socket).map_err(|source| AgentError::Io { action, source })
}

/// docs/leases.md rule 14: one process per node votes. A second one changes nothing before, and waits as
/// long as a first one may take to end; `None` where it is to `stop` meanwhile. It waits in a thread of
/// its own, so that signals are heard and probes answered.
async fn lock(
    run_dir: &Path,
    stop: impl Future<Output = ()>,
) -> Result<Option<NodeLock>, AgentError> {
    let path = run_dir.join("agent.lock");
    let (sender, acquired) = oneshot::channel();
    let wait = move || {
        let lock = NodeLock::acquire(&path, LONGEST_END, |holder| {
            warn!("waiting for {holder}, which is this node's agent");
        });
        // Nobody waits for it any more: it is let go.
        let _ = sender.send(lock);
    };
    let action = "wait for this node's lock";
    let failed = |source| AgentError::Io { action, source };
    std::thread::Builder::new().name("egret-lock".to_owned()).spawn(wait).map_err(failed)?;
    tokio::select! {
        biased;
        () = stop => Ok(None),
        lock = acquired => match lock {
            Ok(lock) => Ok(Some(lock?)),
            Err(_) => Err(failed(std::io::ErrorKind::Interrupted.into())),
        },
    }
}

fn boot_id() -> Result<String, AgentError> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .map_err(|source| AgentError::Io { action: "read the boot's id", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_agent_waits_and_can_be_stopped() {
        let run_dir = tempfile::tempdir().unwrap();
        let never = std::future::pending;
        let first = lock(run_dir.path(), never()).await.unwrap();
        assert!(first.is_some());
        assert!(lock(run_dir.path(), std::future::ready(())).await.unwrap().is_none());
        let waits = lock(run_dir.path(), never());
        tokio::pin!(waits);
        tokio::select! {
            biased;
            _ = &mut waits => panic!("two hold the lock of one node"),
            () = std::future::ready(()) => {}
        }
        drop(first);
        assert!(waits.await.unwrap().is_some());
    }
}
