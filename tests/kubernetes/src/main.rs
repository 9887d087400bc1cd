//! `egret-kubernetes`: the demonstration on a real Kubernetes cluster, and a cluster to look around
//! in.
#![forbid(unsafe_code)]

mod command;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Egret on real Kubernetes, in network namespaces, with the chart as it is installed.
///
/// Needs Linux, root, the programs that `tests/setup.sh kubernetes` builds, the image that `make
/// image` builds, and the binary `egret` (in the environment variable EGRET, or beside this one).
/// Touches nothing of the host: everything lies in namespaces and control groups of its own and is
/// removed afterwards, on Ctrl-C too.
#[derive(Debug, Parser)]
#[command(name = "egret-kubernetes", version, max_term_width = 100, after_help = EXAMPLES)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  egret-kubernetes demo               install, claim, power off; about two minutes
  egret-kubernetes figures --power-offs 30 --outages 10
  egret-kubernetes up                 a cluster with Egret to look around in, until Ctrl-C
  egret-kubernetes up --bare --network overlay --proxy iptables
  egret-kubernetes cleanup            remove what a killed one left";

#[derive(Debug, Subcommand)]
enum Command {
    /// Install the chart, claim an address, power off its gateways, show what the outside saw.
    Demo {
        /// TCP connections per pod and family; four times as many run.
        #[arg(long, value_name = "COUNT", default_value_t = 20,
              value_parser = clap::value_parser!(u16).range(2..=500))]
        connections: u16,
    },
    /// Measure: writes at rest, memory, failovers.
    Figures {
        /// Power-offs with the API server up.
        #[arg(long, value_name = "COUNT", default_value_t = 30)]
        power_offs: u32,
        /// Power-offs with the API server down.
        #[arg(long, value_name = "COUNT", default_value_t = 10)]
        outages: u32,
        /// Planned moves.
        #[arg(long, value_name = "COUNT", default_value_t = 10)]
        moves: u32,
    },
    /// Run what Kubernetes itself tests of its network while one claim selects every pod.
    ///
    /// What fails is run again alone, and then on such a cluster without Egret: what fails there, too, is the cluster's.
    Conformance {
        /// Only specs whose names have one of these in them.
        #[arg(long, value_name = "TEXT")]
        only: Vec<String>,
        /// Specs that run at once.
        #[arg(long, value_name = "COUNT", default_value_t = 4,
              value_parser = clap::value_parser!(u8).range(1..=16))]
        jobs: u8,
    },
    /// Bring a cluster up, and keep it until Ctrl-C.
    Up {
        /// Without Egret.
        #[arg(long)]
        bare: bool,
        /// How pods of different workers reach each other.
        #[arg(long, value_enum, default_value_t = Network::Bridge)]
        network: Network,
        /// How kube-proxy works.
        #[arg(long, value_enum, default_value_t = Proxy::Nftables)]
        proxy: Proxy,
        /// Workers labelled as gateways.
        #[arg(long, value_name = "COUNT", default_value_t = 3)]
        gateways: u8,
        /// Other workers.
        #[arg(long, value_name = "COUNT", default_value_t = 2)]
        directors: u8,
        /// Archives of images that every worker gets.
        #[arg(long, value_name = "FILE")]
        image: Vec<PathBuf>,
    },
    /// Remove what clusters that were killed have left behind.
    Cleanup,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Network {
    /// Plugin bridge, routes over the LAN, masquerading by nftables.
    Bridge,
    /// Plugin ptp, a VXLAN, masquerading by iptables.
    Overlay,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Proxy {
    /// By nftables.
    Nftables,
    /// By iptables.
    Iptables,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !nix::unistd::geteuid().is_root() {
        eprintln!("egret-kubernetes: namespaces need root: run it with sudo");
        return ExitCode::from(2);
    }
    egret_kubernetes::end_on_signal();
    let outcome = match args.command {
        Command::Demo { connections } => command::demo::run(connections),
        Command::Figures { power_offs, outages, moves } => {
            command::figures::run(egret_lab::figures::Counts { power_offs, outages, moves })
        }
        Command::Conformance { only, jobs } => command::conformance::run(&only, jobs),
        Command::Up { bare, network, proxy, gateways, directors, image } => {
            let network = match network {
                Network::Bridge => egret_kubernetes::Network::Bridge,
                Network::Overlay => egret_kubernetes::Network::Overlay,
            };
            let proxy = match proxy {
                Proxy::Nftables => egret_kubernetes::Proxy::Nftables,
                Proxy::Iptables => egret_kubernetes::Proxy::Iptables,
            };
            let images = image;
            let options = egret_kubernetes::ClusterOptions {
                gateways,
                directors,
                network,
                proxy,
                images,
                ..egret_kubernetes::ClusterOptions::default()
            };
            command::up::run(options, bare)
        }
        Command::Cleanup => command::cleanup(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("egret-kubernetes: {error:#}");
            ExitCode::FAILURE
        }
    }
}
