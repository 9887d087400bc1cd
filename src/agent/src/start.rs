use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use egret_core::model::EgressNodeStatus;
use egret_datapath::announce::PacketAnnouncer;
use egret_datapath::repair;
use egret_peers::{Endpoint, Identity};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_runtime::health::Health;
use egret_runtime::lock::{LockError, NodeLock};
use egret_runtime::shutdown::Shutdown;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::AgentArgs;
use crate::blocks::Acknowledged;
use crate::cni::{self, Arrival};
use crate::datapath::Datapath;
use crate::error::AgentError;
use crate::events::Events;
use crate::lease::{self, KeptFile, LeaseThread};
use crate::main_loop::{Inputs, LoopMemory, MainLoop, Plugin};
use crate::metrics::Measures;
use crate::remembered::RememberedFile;

/// A main loop that takes longer for one turn is taken for dead.
const LONGEST_TURN: Duration = Duration::from_secs(60);

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
    measures: Measures,
) -> Result<(), AgentError> {
    health.set_missing("programme", Some("no snapshot of the cluster was programmed".to_owned()));
    let me = args.node();
    let settings = args.settings();
    let _lock = lock(&args.run_dir)?;
    let boot_id = boot_id()?;
    let datapath = Datapath::open(&args, settings.clone())?;
    let identity = Identity::open(&args.state_dir)?;
    let endpoint = Endpoint::bind(datapath.endpoints(), settings.peers_port, identity, me.clone())?;
    measures.attach(&endpoint);
    let status = EgressNodeStatus {
        endpoints: datapath.endpoints().to_vec(),
        peer_port: settings.peers_port,
        public_key: Some(endpoint.public_key()),
        uplinks: crate::links::published(datapath.uplinks()),
        ..EgressNodeStatus::default()
    };
    let (notices, notice_receiver) = mpsc::unbounded_channel();
    let parts = LeaseThread {
        me: me.clone(),
        boot_id,
        endpoint,
        map: datapath.addresses()?,
        announcer: PacketAnnouncer::new(),
        kept: KeptFile::new(&args.run_dir),
    };
    let lease = lease::spawn(parts, notices)
        .map_err(|source| AgentError::Io { action: "start the lease thread", source })?;
    let changes = repair::watch(&settings)?;
    let arrivals = arrivals(args.cni_socket.as_deref())?;
    let (plugin, chained) = Plugin::install(&args)?;
    let (done, done_receiver) = mpsc::unbounded_channel();
    info!(event = "agent_started", node = %me, "agent started");
    let main_loop = MainLoop {
        acknowledged: Acknowledged::read(&args.run_dir),
        remembered: RememberedFile::new(&args.run_dir),
        events: Events::new(me.clone()),
        memory: LoopMemory::default(),
        me,
        state,
        clock,
        datapath,
        lease,
        status,
        done,
        pulse: health.pulse("main loop", LONGEST_TURN),
        health,
        bpffs: args.bpffs,
        run_dir: args.run_dir,
        settings,
        plugin,
        measures,
    };
    let inputs = Inputs { notices: notice_receiver, changes, arrivals, chained, shutdown };
    main_loop.run(inputs, done_receiver).await
}

/// What the CNI plugin tells, where there is one.
fn arrivals(socket: Option<&Path>) -> Result<mpsc::Receiver<Arrival>, AgentError> {
    let Some(socket) = socket else { return Ok(mpsc::channel(1).1) };
    let action = "listen to the CNI plugin (--cni-socket)";
    cni::listen(socket).map_err(|source| AgentError::Io { action, source })
}

/// docs/leases.md rule 14: one process per node votes, a second one waits for it.
fn lock(run_dir: &Path) -> Result<NodeLock, LockError> {
    NodeLock::acquire(&run_dir.join("agent.lock"), |holder| {
        let holder =
            holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
        warn!("waiting for {holder}, which is this node's agent");
    })
}

fn boot_id() -> Result<String, AgentError> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .map_err(|source| AgentError::Io { action: "read the boot's id", source })
}
