//! Of the commands for people.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::store::StoreArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum PeopleCommand {
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
    #[cfg(feature = "kubernetes")]
    Uninstall(UninstallArgs),
    /// Show what happened, newest last.
    Events(StoreArgs),
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
    after_help = "Examples:\n  kubectl egret explain pod/settle-1 -n payments --to 198.51.100.20\n  egret explain --live\n  kubectl egret explain --live --node node-3"
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
    /// Show every counter of this node's kernel that has counted, with its meaning and what to do.
    #[arg(long)]
    pub(crate) live: bool,
    /// Of that node's kernel instead, as its agent says through the Kubernetes API.
    #[arg(long, value_name = "NODE", requires = "live")]
    pub(crate) node: Option<String>,
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
    /// Wait until the node holds nothing (drain), at most this many seconds; 0 does not wait. In a
    /// cloud an address may wait for 60 s until another gateway is ready.
    #[arg(long, default_value_t = 90, value_name = "SECONDS")]
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

#[cfg(feature = "kubernetes")]
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
