//! Static egress IPs for Kubernetes that survive node failure: the one binary.
//!
//! State: none of its own. Typed arguments become a validated configuration, which one command
//! carries out. Always: what a person wrote wrongly ends with exit code 2 and a sentence that names
//! the field and the remedy; what failed on the way ends with 1.
#![forbid(unsafe_code)]

mod args;
#[cfg(feature = "controller")]
mod cloud;
mod commands;
mod error;
mod features;
#[cfg(feature = "plugin")]
mod table;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::error::{UsageError, with_causes};

fn main() -> ExitCode {
    // Before anything else: a CNI plugin has no arguments, and must not end by a signal.
    #[cfg(feature = "node")]
    if egret_cni::is_called(std::env::args_os().next().as_deref()) {
        return ended(egret_cni::run().map_err(Into::into));
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => match features::unbuilt(&error) {
            Some(text) => return ended(Err(UsageError(text).into())),
            None => error.exit(),
        },
    };
    if !args.command.is_cni() {
        // `egret status | head` ends quietly, as other tools do.
        sigpipe::reset();
    }
    ended(commands::run(args.command))
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("egret: {}", with_causes(&error));
            ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
        }
    }
}
