use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::conflist::PluginEntry;
use super::install::{HostPaths, Installation, PluginInstallError};
use crate::AgentArgs;
use crate::error::AgentError;

/// The plugin that this agent has installed.
#[derive(Debug)]
pub(crate) struct InstalledPlugin {
    installation: Installation,
    keep_file: bool,
}

/// Whether the plugin is in the host's configuration, whenever that changes.
pub(crate) type PluginNews = Receiver<Result<(), PluginInstallError>>;

impl InstalledPlugin {
    /// Begins to install the plugin, where the arguments ask for it.
    pub(crate) fn install(args: &AgentArgs) -> Result<(Option<Self>, PluginNews), AgentError> {
        let (news, chained) = mpsc::channel(1);
        let (Some(bin_dir), Some(conf_dir), Some(socket)) =
            (args.cni_bin_dir.clone(), args.cni_conf_dir.clone(), args.cni_socket.clone())
        else {
            return Ok((None, chained));
        };
        let guard = Some(args.state_dir.join(egret_guard::FILE));
        let entry = PluginEntry { socket, guard, fail_closed: args.cni_fail_closed };
        let plugin = HostPaths::own_plugin().map_err(|source| AgentError::Io {
            action: "find the CNI plugin to install",
            source,
        })?;
        let installation = Installation::new(HostPaths { bin_dir, conf_dir, entry, plugin });
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
    pub(crate) fn remove(self) -> JoinHandle<Result<(), String>> {
        let Self { installation, keep_file } = self;
        tokio::task::spawn_blocking(move || {
            installation.remove(keep_file).map_err(|error| error.to_string())
        })
    }
}
