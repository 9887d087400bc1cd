//! Pods whose addresses the chained CNI plugin tells before the API shows them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use egret_core::model::{NamespaceName, Snapshot};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use ipnet::IpNet;
use tokio::sync::mpsc::{self, Receiver};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::MainLoop;
use crate::AgentArgs;
use crate::cni::{Arrival, CniError, Installation, Places, PodKey};
use crate::error::AgentError;

/// How long the first pod of an address on this node waits for the address's block.
const BLOCK: Duration = egret_cni::PATIENCE;

/// A plugin that waits for the programme of its pod.
#[derive(Debug)]
pub(super) struct Waiting {
    key: PodKey,
    addresses: BTreeSet<IpNet>,
    programmed: oneshot::Sender<()>,
}

/// The plugin that this agent has installed.
#[derive(Debug)]
pub(crate) struct Plugin {
    installation: Installation,
    keep_file: bool,
}

/// Whether the plugin is in the host's configuration, whenever that changes.
pub(crate) type News = Receiver<Result<(), CniError>>;

impl Plugin {
    /// Begins to install the plugin, where the arguments ask for it.
    pub(crate) fn install(args: &AgentArgs) -> Result<(Option<Self>, News), AgentError> {
        let (news, chained) = mpsc::channel(1);
        let (Some(bin_dir), Some(conf_dir), Some(socket)) =
            (args.cni_bin_dir.clone(), args.cni_conf_dir.clone(), args.cni_socket.clone())
        else {
            return Ok((None, chained));
        };
        let plugin = Places::own_plugin().map_err(|source| AgentError::Io {
            action: "find the CNI plugin to install",
            source,
        })?;
        let installation = Installation::new(Places { bin_dir, conf_dir, socket, plugin });
        let plugin = Self { installation, keep_file: args.cni_keep_plugin };
        if args.cni_remove {
            tokio::spawn(plugin.removed());
            return Ok((None, chained));
        }
        tokio::spawn(plugin.installation.clone().keep(news));
        Ok((Some(plugin), chained))
    }

    async fn removed(self) {
        match self.remove().await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(()) => info!(event = "cni_removed", "the CNI plugin is off this host"),
            Err(error) => warn!(%error, "the CNI plugin is still on this host"),
        }
    }

    /// Takes it off the host, for good.
    pub(super) fn remove(self) -> JoinHandle<Result<(), String>> {
        let Self { installation, keep_file } = self;
        tokio::task::spawn_blocking(move || {
            installation.remove(keep_file).map_err(|error| error.to_string())
        })
    }
}

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Programmes the pods that have just got their addresses, all that wait at once.
    pub(super) fn on_arrivals(&mut self, first: Arrival, more: &mut Receiver<Arrival>) {
        let mut next = Some(first);
        while let Some(Arrival { added, programmed }) = next {
            let key = (NamespaceName::new(added.namespace.clone()), added.name.clone());
            let addresses = added.ips.iter().copied().map(IpNet::from).collect();
            self.memory.early.add(added, self.memory.watched.as_deref(), Instant::now());
            self.memory.waiting.push(Waiting { key, addresses, programmed });
            next = more.try_recv().ok();
        }
        if let Some(watched) = self.memory.watched.clone() {
            self.on_snapshot(watched);
        }
    }

    /// Lets the plugins go whose pods are in `programmed`, which the kernel holds.
    pub(super) fn answer_arrivals(&mut self, programmed: &Snapshot) {
        self.memory.waiting.retain(|waiting| !waiting.programmed.is_closed());
        // A pod that is steered to an address without a block of this node's would be dropped: the
        // controller grants it in a moment, and the next programme has it.
        if self.memory.blockless.values().any(|since| since.elapsed() < BLOCK) {
            return;
        }
        let known = |waiting: &Waiting| {
            let pod = programmed.pods.get(&waiting.key);
            pod.is_some_and(|pod| waiting.addresses.is_subset(&pod.sources))
        };
        for waiting in self.memory.waiting.extract_if(.., |waiting| known(waiting)) {
            // A plugin that has given up is no matter.
            let _ = waiting.programmed.send(());
        }
    }

    /// Says once what has come of the plugin's installation.
    pub(super) fn on_chained(&mut self, result: Result<(), CniError>) {
        let problem = result.err().map(|error| error.to_string());
        if problem == self.memory.unchained {
            return;
        }
        match &problem {
            None => info!(event = "cni_chained_again", "the CNI configuration names the plugin"),
            Some(problem) => {
                warn!(event = "cni_not_chained", %problem, "the CNI plugin is not chained");
                let message = format!(
                    "the chained CNI plugin is not installed: {problem}; new pods' first \
                             packets are dropped until the API shows their addresses"
                );
                let about = format!("EgressNode {}", self.me);
                self.events.add(true, about, "CniNotChained", message, self.clock.now());
            }
        }
        self.memory.unchained = problem;
    }
}
