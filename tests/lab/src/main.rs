//! `egret-lab`: the demonstration, the figures and the long scenarios, in network namespaces.
#![forbid(unsafe_code)]

mod command;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Egret in a laboratory of network namespaces, with real packets and real processes.
///
/// Needs Linux, root and the binary `egret` (in the environment variable EGRET, or beside this
/// one). Touches nothing of the host: everything lies in namespaces of its own and is removed
/// afterwards, on Ctrl-C too.
#[derive(Debug, Parser)]
#[command(name = "egret-lab", version, max_term_width = 100, after_help = EXAMPLES)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  egret-lab demo                      the demonstration, about two minutes
  egret-lab demo --pictures /tmp      the same, with the picture elsewhere
  egret-lab figures --power-offs 30 --outages 10
  egret-lab soak --minutes 10         long outages and many starts
  egret-lab up                        a laboratory to look around in, until Ctrl-C
  egret-lab cleanup                   remove what a killed laboratory left";

#[derive(Debug, Subcommand)]
enum Command {
    /// Claim an address, power off its gateways, and show what the outside saw.
    Demo {
        /// Where the example manifests are.
        #[arg(long, value_name = "DIR", default_value = "deploy/examples")]
        examples: PathBuf,
        /// Where the picture is written.
        #[arg(long, value_name = "DIR", default_value = "target/demo")]
        pictures: PathBuf,
        /// TCP connections per pod and family; four times as many run.
        #[arg(long, value_name = "COUNT", default_value_t = 50,
              value_parser = clap::value_parser!(u16).range(2..=500))]
        connections: u16,
    },
    /// Measure: failovers, planned moves, load at rest, memory.
    Figures {
        /// Power-offs with the store up.
        #[arg(long, value_name = "COUNT", default_value_t = 30)]
        power_offs: u32,
        /// Power-offs with the store down.
        #[arg(long, value_name = "COUNT", default_value_t = 10)]
        outages: u32,
        /// Planned moves.
        #[arg(long, value_name = "COUNT", default_value_t = 10)]
        moves: u32,
    },
    /// Run for long what the ordinary suite runs shortened.
    Soak {
        /// Length of the outage of the store.
        #[arg(long, value_name = "MINUTES", default_value_t = 10)]
        minutes: u32,
        /// Pods that are started one after another.
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        starts: u32,
    },
    /// Build a laboratory with Egret and the example claim, and keep it until Ctrl-C.
    Up {
        /// Where the example manifests are.
        #[arg(long, value_name = "DIR", default_value = "deploy/examples")]
        examples: PathBuf,
    },
    /// Remove what laboratories that were killed have left behind.
    Cleanup,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !nix::unistd::geteuid().is_root() {
        eprintln!("egret-lab: network namespaces need root: run it with sudo");
        return ExitCode::from(2);
    }
    if !matches!(args.command, Command::Cleanup)
        && let Err(error) = egret_lab::binary(None)
    {
        eprintln!("egret-lab: {error:#}");
        return ExitCode::from(2);
    }
    egret_lab::end_on_signal();
    let outcome = match &args.command {
        Command::Demo { examples, pictures, connections } => {
            command::demo::run(examples, pictures, *connections)
        }
        Command::Figures { power_offs, outages, moves } => {
            command::figures::run(*power_offs, *outages, *moves)
        }
        Command::Soak { minutes, starts } => command::soak::run(*minutes, *starts),
        Command::Up { examples } => command::up::run(examples),
        Command::Cleanup => command::cleanup(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("egret-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
