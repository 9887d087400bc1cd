//! Of the long-running commands.

#[cfg(feature = "node")]
use std::path::PathBuf;

use clap::Args as ClapArgs;
#[cfg(feature = "node")]
use egret_agent::AgentArgs;
#[cfg(feature = "controller")]
use egret_controller::ControllerArgs;
use egret_runtime::log::LogArgs;
use egret_runtime::metrics::MetricsArgs;

#[cfg(all(feature = "node", feature = "controller"))]
use super::store::DirectoryArgs;
use super::store::StoreArgs;
#[cfg(feature = "controller")]
use crate::cloud::CloudArgs;

/// What every daemon has.
#[derive(Debug, ClapArgs)]
pub(crate) struct DaemonArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) metrics: MetricsArgs,
}

#[cfg(feature = "controller")]
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  egret controller                                             (in a pod of the cluster)\n  egret controller --manifests /srv/egret --identity $(hostname)"
)]
pub(crate) struct ControllerCommand {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    #[command(flatten)]
    pub(crate) controller: ControllerArgs,
    #[command(flatten)]
    pub(crate) cloud: CloudArgs,
}

#[cfg(feature = "node")]
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  egret agent --manifests /srv/egret --node node-3 --uplink eth0"
)]
pub(crate) struct AgentCommand {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    #[command(flatten)]
    pub(crate) agent: AgentArgs,
}

#[cfg(all(feature = "node", feature = "controller"))]
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  egret standalone --manifests /srv/egret --node $(hostname) --uplink eth0"
)]
pub(crate) struct StandaloneCommand {
    #[command(flatten)]
    pub(crate) store: DirectoryArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) metrics: MetricsArgs,
    #[command(flatten)]
    pub(crate) controller: ControllerArgs,
    #[command(flatten)]
    pub(crate) cloud: CloudArgs,
    #[command(flatten)]
    pub(crate) agent: AgentArgs,
}

#[cfg(feature = "node")]
#[derive(Debug, ClapArgs)]
pub(crate) struct TeardownArgs {
    /// Where the BPF file system is mounted.
    #[arg(long, value_name = "DIR", env = "EGRET_BPFFS", default_value = "/sys/fs/bpf")]
    pub(crate) bpffs: PathBuf,
    /// Where the agent keeps state that a reboot loses, and with it the network flags that it ran with.
    #[arg(long, value_name = "DIR", default_value = "/run/egret")]
    pub(crate) run_dir: PathBuf,
    /// Where it keeps what a reboot leaves: the guard that would be loaded at the next boot goes, the key stays.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/egret")]
    pub(crate) state_dir: PathBuf,
    /// Also take the chained CNI plugin out of the configuration in this folder (/etc/cni/net.d).
    #[arg(long, value_name = "DIR", requires = "cni_bin_dir")]
    pub(crate) cni_conf_dir: Option<PathBuf>,
    /// And delete it from this one (/opt/cni/bin).
    #[arg(long, value_name = "DIR", requires = "cni_conf_dir")]
    pub(crate) cni_bin_dir: Option<PathBuf>,
}
