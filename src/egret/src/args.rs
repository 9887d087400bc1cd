//! What a person types.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use egret_agent::AgentArgs;
use egret_controller::ControllerArgs;
use egret_runtime::log::LogArgs;
use egret_runtime::metrics::MetricsArgs;

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

  At 3 a.m.:
    egret status --manifests DIR
    egret explain --manifests DIR pod/settle-1 -n payments --to 198.51.100.20
    egret explain --live                                          (on a node: every drop counter)
    egret drain NODE --manifests DIR";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a directory a store of manifests.
    Init(StoreArgs),
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
    /// Check manifests without applying them.
    Check(CheckArgs),
    /// Show what happened, newest last.
    Events(StoreArgs),
    /// Remove everything that Egret put into this node's kernel.
    Teardown(TeardownArgs),
}

/// Where the objects are.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct StoreArgs {
    /// Directory of manifests that is the cluster's store (made by `egret init`).
    #[arg(long, value_name = "DIR", env = "EGRET_MANIFESTS")]
    pub(crate) manifests: PathBuf,
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
    after_help = "Example:\n  egret controller --manifests /srv/egret --identity $(hostname)"
)]
pub(crate) struct ControllerCommand {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    #[command(flatten)]
    pub(crate) controller: ControllerArgs,
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
    pub(crate) daemon: DaemonArgs,
    #[command(flatten)]
    pub(crate) controller: ControllerArgs,
    #[command(flatten)]
    pub(crate) agent: AgentArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Show one line only: the summary.
    #[arg(long)]
    pub(crate) short: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct VotersArgs {
    #[command(subcommand)]
    pub(crate) action: Option<VotersAction>,
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
    after_help = "Examples:\n  egret explain --manifests DIR pod/settle-1 -n payments --to 198.51.100.20\n  egret explain --live"
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
    /// Directory of manifests that is the cluster's store.
    #[arg(long, value_name = "DIR", env = "EGRET_MANIFESTS", required_unless_present = "live")]
    pub(crate) manifests: Option<PathBuf>,
    /// Where the BPF file system is mounted.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf")]
    pub(crate) bpffs: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct WhatIfArgs {
    /// The node, as node/NAME or NAME.
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
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
pub(crate) struct CheckArgs {
    /// Files or directories of manifests.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TeardownArgs {
    /// Where the BPF file system is mounted.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf")]
    pub(crate) bpffs: PathBuf,
    /// Where the agent keeps state that a reboot loses.
    #[arg(long, value_name = "DIR", default_value = "/run/egret")]
    pub(crate) run_dir: PathBuf,
}
