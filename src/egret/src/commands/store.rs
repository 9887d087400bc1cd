//! The store, for commands that read or change one thing and end.

use std::path::Path;

use anyhow::Context as _;
use egret_core::model::Snapshot;
use egret_ports::cluster_state::{ClusterState as _, Write};
use egret_ports::error::{ErrorClass, PortError};
use egret_state::DirectoryState;

/// Tries of a change that others keep overtaking.
const TRIES: u32 = 10;

pub(crate) fn read(directory: &Path) -> anyhow::Result<Snapshot> {
    egret_state::read_once(directory)
        .with_context(|| format!("cannot read the store {}", directory.display()))
}

/// Decides a write from what is there and writes it by compare-and-swap, anew where somebody else
/// wrote first.
pub(crate) fn change(
    directory: &Path,
    decide: impl Fn(&Snapshot) -> anyhow::Result<Write>,
) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        match write(directory, decide(&read(directory)?)?)? {
            Ok(()) => return Ok(()),
            Err(error) if error.class == ErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("others kept writing the same object; try again")
}

/// One write through an opened store.
fn write(directory: &Path, write: Write) -> anyhow::Result<Result<(), PortError>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let state = DirectoryState::open(directory)?;
        Ok(state.write(write).await.map(|_| ()))
    })
}
