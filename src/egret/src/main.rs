//! Static egress IPs for Kubernetes that survive node failure: the one binary.
//!
//! State: none of its own. Typed arguments become a validated configuration, which one command
//! carries out. Always: what a person wrote wrongly ends with exit code 2 and a sentence that names
//! the field and the remedy; what failed on the way ends with 1.
#![forbid(unsafe_code)]

mod args;
mod cloud;
mod commands;
mod table;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

/// The mistake is in what the person wrote.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

fn main() -> ExitCode {
    // Before anything else: a CNI plugin has no arguments, and must not end by a signal.
    if egret_cni::is_called(std::env::args_os().next().as_deref()) {
        return ended(egret_cni::run().map_err(Into::into));
    }
    let args = Args::parse();
    if !matches!(args.command, Command::Cni) {
        // `egret status | head` ends quietly, as other tools do.
        sigpipe::reset();
    }
    ended(run(args.command))
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("egret: {error:#}");
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(args) => commands::init::run(&args),
        Command::Controller(args) => commands::daemon::controller(args),
        Command::Agent(args) => commands::daemon::agent(args),
        Command::Standalone(args) => commands::daemon::standalone(args),
        Command::Status(args) => commands::status::status(&args),
        Command::Voters(args) => commands::voters::run(args),
        Command::Explain(args) => commands::explain::run(&args),
        Command::WhatIf(args) => commands::explain::what_if(&args),
        Command::Drain(args) => commands::node::drain(&args),
        Command::Uncordon(args) => commands::node::uncordon(&args),
        Command::Move(args) => commands::address::move_to(&args),
        Command::Pause(args) => commands::address::pause(&args, true),
        Command::Resume(args) => commands::address::pause(&args, false),
        Command::Release(args) => commands::address::release(&args),
        Command::Uninstall(args) => commands::uninstall::run(&args),
        Command::Crds => commands::check::crds(),
        Command::Check(args) => commands::check::run(&args),
        Command::Events(args) => commands::status::events(&args),
        Command::Teardown(args) => commands::daemon::teardown(&args),
        Command::Cni => Ok(egret_cni::run()?),
    }
}
