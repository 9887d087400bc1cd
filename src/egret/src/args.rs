//! What a person types.

#[cfg(any(feature = "node", feature = "controller"))]
mod daemon;
#[cfg(feature = "plugin")]
mod people;
mod store;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

#[cfg(any(feature = "node", feature = "controller"))]
pub(crate) use daemon::*;
#[cfg(feature = "plugin")]
pub(crate) use people::*;
pub(crate) use store::*;

use crate::features;

/// Static egress IPs for Kubernetes that survive node failure.
///
/// A claim (StaticEgressIP) says: these pods, going to these destinations, leave with this address.
/// A gateway node holds the address by a lease that the nodes grant each other; when it dies,
/// another takes over within about half a second, and no connection is lost.
#[derive(Debug, Parser)]
#[command(
    name = "egret",
    version,
    long_version = features::version(),
    max_term_width = 100,
    after_help = EXAMPLES
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  One host, no Kubernetes:
    egret init --manifests /etc/egret/manifests --node $(hostname) --example 203.0.113.17
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
    Init(InitArgs),
    /// Run the controller: bind addresses, plan owners and standbys, grant port blocks.
    #[cfg(feature = "controller")]
    Controller(Box<ControllerCommand>),
    /// Run the agent of one node: steer its pods, carry addresses, vote.
    #[cfg(feature = "node")]
    Agent(Box<AgentCommand>),
    /// Run controller and agent on one host over a directory of manifests.
    #[cfg(all(feature = "node", feature = "controller"))]
    Standalone(Box<StandaloneCommand>),
    #[cfg(feature = "plugin")]
    #[command(flatten)]
    People(PeopleCommand),
    /// Print the CustomResourceDefinitions.
    #[cfg(feature = "kubernetes")]
    Crds,
    /// Check manifests without applying them.
    Check(CheckArgs),
    /// Remove everything that Egret put into this node's kernel.
    #[cfg(feature = "node")]
    Teardown(TeardownArgs),
    /// Be the chained CNI plugin, as a container runtime calls it (variables, standard input).
    #[cfg(feature = "node")]
    #[command(hide = true)]
    Cni,
}

impl Command {
    /// A container runtime calls: whatever its pipe does, the command must not end by a signal.
    pub(crate) fn is_cni(&self) -> bool {
        #[cfg(feature = "node")]
        let is_cni = matches!(self, Self::Cni);
        #[cfg(not(feature = "node"))]
        let is_cni = false;
        is_cni
    }
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  egret init --manifests /srv/egret --node $(hostname) --example 203.0.113.17"
)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    pub(crate) store: DirectoryArgs,
    /// Write an example too, example.yaml: this host as a gateway, a pool of this address, and a claim. The
    /// address is a free one of the uplink's subnet. A file of that name that is there is not written over: the
    /// command ends with 2.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) example: Option<IpAddr>,
    /// The name of that gateway, as its agent has it; the host's name by default.
    #[arg(long, value_name = "NAME", env = "EGRET_NODE", requires = "example")]
    pub(crate) node: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CheckArgs {
    /// Files or directories of manifests; `-` is standard input.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
}
