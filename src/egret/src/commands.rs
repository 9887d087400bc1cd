//! What each subcommand does.

#[cfg(feature = "plugin")]
mod address;
mod check;
#[cfg(test)]
#[cfg(feature = "node")]
mod counters;
#[cfg(any(feature = "node", feature = "controller"))]
mod daemon;
#[cfg(feature = "plugin")]
mod explain;
mod init;
#[cfg(feature = "plugin")]
mod node;
#[cfg(feature = "plugin")]
mod output;
#[cfg(feature = "plugin")]
mod status;
#[cfg(any(feature = "node", feature = "controller", feature = "plugin"))]
mod store;
#[cfg(all(feature = "plugin", feature = "kubernetes"))]
mod uninstall;
#[cfg(feature = "plugin")]
mod voters;

use crate::args::Command;
#[cfg(feature = "plugin")]
use crate::args::PeopleCommand;

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(args) => init::run(&args),
        #[cfg(feature = "controller")]
        Command::Controller(args) => daemon::controller(*args),
        #[cfg(feature = "node")]
        Command::Agent(args) => daemon::agent(*args),
        #[cfg(all(feature = "node", feature = "controller"))]
        Command::Standalone(args) => daemon::standalone(*args),
        #[cfg(feature = "plugin")]
        Command::People(command) => people(command),
        #[cfg(feature = "kubernetes")]
        Command::Crds => check::crds(),
        Command::Check(args) => check::run(&args),
        #[cfg(feature = "node")]
        Command::Teardown(args) => daemon::teardown(&args),
        #[cfg(feature = "node")]
        Command::Cni => Ok(egret_cni::run()?),
    }
}

#[cfg(feature = "plugin")]
fn people(command: PeopleCommand) -> anyhow::Result<()> {
    match command {
        PeopleCommand::Status(args) => status::status(&args),
        PeopleCommand::Voters(args) => voters::run(args),
        PeopleCommand::Explain(args) => explain::run(&args),
        PeopleCommand::WhatIf(args) => explain::what_if(&args),
        PeopleCommand::Drain(args) => node::drain(&args),
        PeopleCommand::Uncordon(args) => node::uncordon(&args),
        PeopleCommand::Move(args) => address::move_to(&args),
        PeopleCommand::Pause(args) => address::pause(&args, true),
        PeopleCommand::Resume(args) => address::pause(&args, false),
        PeopleCommand::Release(args) => address::release(&args),
        #[cfg(feature = "kubernetes")]
        PeopleCommand::Uninstall(args) => uninstall::run(&args),
        PeopleCommand::Events(args) => status::events(&args),
    }
}
