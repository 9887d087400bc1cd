//! What a person types.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use egret_agent::AgentArgs;
use egret_controller::ControllerArgs;
use egret_runtime::log::LogArgs;
use egret_runtime::metrics::MetricsArgs;

use crate::cloud::CloudArgs;

/// Static egress IPs for Kubernetes that survive node failure.
///
/// A claim (StaticEgressIP) says: these pods, going to these destinations, leave with this address.
/// A gateway node holds the address by a lease that the nodes grant each other; when it dies,
/// another takes over within about half a second, and no connection is lost.
#[derive(Debug, Parser)]
#[command(name = "egret", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  One host, no Kubernetes:
    egret init --manifests /etc/egret/manifests
    cp deploy/examples/*.yaml /etc/egret/manifests/
    egret standalone --manifests /etc/egret/manifests --node $(hostname) --uplink eth0

  Several hosts that share a directory:
    egret controller --manifests DIR
    egret agent --manifests DIR --node NAME --uplink eth0        (on every node)

  At 3 a.m. (with --manifests DIR where there is no Kubernetes):
    kubectl egret status
    kubectl egret explain pod/settle-1 -n payments --to 198.51.100.20
    kubectl egret what-if node/node-3
    kubectl egret drain NODE
    kubectl egret pause POOL
    egret explain --live                                          (on a node: every drop counter)";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a directory a store of manifests.
    Init(DirectoryArgs),
    /// Run the controller: bind addresses, plan owners and standbys, grant port blocks.
    Controller(ControllerCommand),
    /// Run the agent of one node: steer its pods, carry addresses, vote.
    Agent(AgentCommand),
    /// Run controller and agent on one host over a directory of manifests.
    Standalone(StandaloneCommand),
    /// Show pools, addresses, holders and voters.
    Status(StatusArgs),
    /// Show the voters, or replace the whole set after a majority is gone for good.
    Voters(VotersArgs),
    /// Say what would happen to a packet of a pod; with --live, what this node's kernel dropped.
    Explain(ExplainArgs),
    /// Say what moves where if a node dies.
    WhatIf(WhatIfArgs),
    /// Hand over what a node holds, without losing a packet, and give it nothing new.
    Drain(NodeArgs),
    /// Take a drained node back.
    Uncordon(NodeArgs),
    /// Move an address to a node.
    Move(MoveArgs),
    /// Stop a pool: nothing of it is moved, fenced or freed until `egret resume`.
    Pause(PoolArgs),
    /// Let a paused pool go on.
    Resume(PoolArgs),
    /// End an address at once, without waiting for its open connections.
    Release(ReleaseArgs),
    /// Remove Egret from a Kubernetes cluster: rules, objects, finalizers.
    Uninstall(UninstallArgs),
    /// Print the CustomResourceDefinitions.
    Crds,
    /// Check manifests without applying them.
    Check(CheckArgs),
    /// Show what happened, newest last.
    Events(StoreArgs),
    /// Remove everything that Egret put into this node's kernel.
    Teardown(TeardownArgs),
    /// Be the chained CNI plugin, as a container runtime calls it (variables, standard input).
    #[command(hide = true)]
    Cni,
}

/// Where the objects are: the Kubernetes API by default.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// A directory of manifests (made by `egret init`) instead of Kubernetes.
    #[arg(long, value_name = "DIR", env = "EGRET_MANIFESTS", conflicts_with_all = ["kubeconfig", "context"])]
    pub(crate) manifests: Option<PathBuf>,
    /// How to reach the API server. Default: as a pod of the cluster, else the environment variable
    /// KUBECONFIG, else ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The namespace that Egret is installed in.
    #[arg(long, value_name = "NAME", env = "EGRET_NAMESPACE", default_value = "egret-system")]
    pub(crate) system_namespace: String,
}

/// A directory store.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct DirectoryArgs {
    /// Directory of manifests that is the cluster's store.
    #[arg(long, value_name = "DIR", env = "EGRET_MANIFESTS")]
    pub(crate) manifests: PathBuf,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// JSON, for programs.
    Json,
    /// YAML, for programs.
    Yaml,
}

#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct OutputArgs {
    /// How the answer is printed.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

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

#[derive(Debug, ClapArgs)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Show one line only: the summary.
    #[arg(long)]
    pub(crate) short: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct VotersArgs {
    #[command(subcommand)]
    pub(crate) action: Option<VotersAction>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VotersAction {
    /// Make a new set of voters when a majority of the old one is gone for good. By naming the old
    /// voters you say that they are stopped: one that still ran could grant an address twice.
    Reset {
        /// Every member of the present set that is gone.
        #[arg(long, value_name = "NODE", required = true, num_args = 1..)]
        old_voters_are_stopped: Vec<String>,
    },
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  kubectl egret explain pod/settle-1 -n payments --to 198.51.100.20\n  egret explain --live"
)]
pub(crate) struct ExplainArgs {
    /// The pod, as pod/NAME or NAME.
    #[arg(value_name = "POD", required_unless_present = "live")]
    pub(crate) pod: Option<String>,
    /// Its namespace.
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Where the packet goes.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "live")]
    pub(crate) to: Option<IpAddr>,
    /// Show every drop counter of this node's kernel, with its meaning and what to do.
    #[arg(long)]
    pub(crate) live: bool,
    /// Show counters that are zero too.
    #[arg(long, requires = "live")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Where the BPF file system is mounted.
    #[arg(long, value_name = "DIR", env = "EGRET_BPFFS", default_value = "/sys/fs/bpf")]
    pub(crate) bpffs: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct WhatIfArgs {
    /// The node, as node/NAME or NAME.
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct NodeArgs {
    /// The node's name.
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// Wait until the node holds nothing (drain), at most this many seconds; 0 does not wait.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub(crate) wait: u64,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct MoveArgs {
    /// The egress address.
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: IpAddr,
    /// The node that is to hold it.
    #[arg(long, value_name = "NODE")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PoolArgs {
    /// The pool's name.
    #[arg(value_name = "POOL")]
    pub(crate) pool: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReleaseArgs {
    /// The egress address.
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: IpAddr,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct UninstallArgs {
    /// Do it; without it, what is in use is listed and nothing changes.
    #[arg(long)]
    pub(crate) yes: bool,
    /// How long to wait for the agents to clean their nodes' kernels, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) wait: u64,
    /// Go on though a cloud still has addresses attached: they stay so, and you detach them.
    #[arg(long)]
    pub(crate) leave_attached: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CheckArgs {
    /// Files or directories of manifests.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TeardownArgs {
    /// Where the BPF file system is mounted.
    #[arg(long, value_name = "DIR", env = "EGRET_BPFFS", default_value = "/sys/fs/bpf")]
    pub(crate) bpffs: PathBuf,
    /// Where the agent keeps state that a reboot loses.
    #[arg(long, value_name = "DIR", default_value = "/run/egret")]
    pub(crate) run_dir: PathBuf,
    /// Also take the chained CNI plugin out of the configuration in this folder (/etc/cni/net.d).
    #[arg(long, value_name = "DIR", requires = "cni_bin_dir")]
    pub(crate) cni_conf_dir: Option<PathBuf>,
    /// And delete it from this one (/opt/cni/bin).
    #[arg(long, value_name = "DIR", requires = "cni_conf_dir")]
    pub(crate) cni_bin_dir: Option<PathBuf>,
}
