//! What `egret-kubernetes` does.

use anyhow::Result;

pub(crate) mod conformance;
pub(crate) mod demo;
pub(crate) mod figures;
pub(crate) mod up;

/// Removes the leftovers of dead clusters and laboratories, and says which.
pub(crate) fn cleanup() -> Result<()> {
    let removed = egret_kubernetes::cleanup()?;
    for name in &removed {
        println!("removed {name}");
    }
    if removed.is_empty() {
        println!("nothing was left behind");
    }
    Ok(())
}
