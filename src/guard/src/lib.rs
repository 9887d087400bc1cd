//! The guard: what a node's pods do not send while nothing else of Egret's is in the kernel.
//!
//! After a boot pods start before the agent, and a selected pod's first packets would leave with the
//! node's address. The agent keeps on disk which ranges its pods have and what claims select
//! ([`keep`]); what starts first, the chained CNI plugin or a unit of systemd, loads it ([`load`]).
//!
//! State: a file, written by the agent alone, and the nft table `inet egret` until the agent's first
//! transaction, which replaces a table of that name as a whole. Always: a table that is there is left
//! alone; one batch makes the whole guard or nothing.
#![forbid(unsafe_code)]

mod attributes;
mod error;
mod file;
mod rules;
mod socket;

use std::io;
use std::path::Path;

pub use error::GuardError;
pub use file::{FILE, keep, remove};

use crate::socket::NfTables;

/// What came of a look at the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardLoad {
    /// There is no file: this node has nothing to hold off.
    Nothing,
    /// A table of Egret's is there: the agent's, or the guard.
    AlreadyThere,
    /// The kernel has it now.
    Now,
}

/// Loads the guard that `path` describes, where no table of Egret's is there. Idempotent.
///
/// # Errors
/// Where the file is there and cannot be read, and where the kernel refuses. Nothing is half loaded.
pub fn load(path: &Path) -> Result<GuardLoad, GuardError> {
    let Some(guard) = file::read(path)? else { return Ok(GuardLoad::Nothing) };
    let refused = |action| move |source| GuardError::Kernel { action, source };
    let mut kernel = NfTables::open().map_err(refused("open a netlink socket"))?;
    let there = kernel.ask(&rules::get_table()).map_err(refused("ask for the nft table egret"))?;
    if there {
        return Ok(GuardLoad::AlreadyThere);
    }
    match kernel.batch(&rules::messages(&guard)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Ok(GuardLoad::AlreadyThere);
        }
        done => done.map_err(refused("load the guard"))?,
    }
    // Whoever takes Egret off this node deletes the file first and the table then.
    if !path.exists() {
        lift()?;
        return Ok(GuardLoad::Nothing);
    }
    Ok(GuardLoad::Now)
}

/// Whether the guard that `path` describes is in the kernel; `None` where there is no file, and where an agent's table
/// is in its place. Changes nothing.
///
/// # Errors
/// As [`load`].
pub fn is_loaded(path: &Path) -> Result<Option<bool>, GuardError> {
    if file::read(path)?.is_none() {
        return Ok(None);
    }
    let refused = |source| GuardError::Kernel { action: "ask for the guard", source };
    let mut kernel = NfTables::open().map_err(refused)?;
    if kernel.ask(&rules::get_own_chain()).map_err(refused)? {
        return Ok(Some(true));
    }
    let agents = kernel.ask(&rules::get_table()).map_err(refused)?;
    Ok((!agents).then_some(false))
}

/// Takes the guard out of the kernel. An agent's table is left alone. Idempotent.
///
/// # Errors
/// Where the kernel refuses.
pub fn lift() -> Result<(), GuardError> {
    let refused = |source| GuardError::Kernel { action: "lift the guard", source };
    let mut kernel = NfTables::open().map_err(refused)?;
    if !kernel.ask(&rules::get_own_chain()).map_err(refused)? {
        return Ok(());
    }
    match kernel.batch(&[rules::delete_table()]) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(refused),
    }
}
