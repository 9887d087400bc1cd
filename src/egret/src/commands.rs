//! What each subcommand does.

pub(crate) mod address;
pub(crate) mod check;
#[cfg(test)]
mod counters;
pub(crate) mod daemon;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod node;
pub(crate) mod output;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod uninstall;
pub(crate) mod voters;
