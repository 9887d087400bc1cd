//! What `egret-lab` does.

use anyhow::Result;

pub(crate) mod demo;
pub(crate) mod figures;
pub(crate) mod soak;
pub(crate) mod up;

use egret_lab::{Lab, LabBuilder, PodOptions};

/// The usual topology: three gateways, two directors, a selected and another pod on each director.
pub(crate) fn topology() -> LabBuilder {
    let mut builder = Lab::builder();
    for number in 1..=2 {
        let node = format!("director-{number}");
        let settle = PodOptions::new(&node, "payments", &format!("settle-{number}"));
        let other = PodOptions::new(&node, "payments", &format!("other-{number}"));
        builder = builder.pod(settle.label("app", "settle")).pod(other.label("app", "other"));
    }
    builder
}

/// Removes the leftovers of dead laboratories and says which.
pub(crate) fn cleanup() -> Result<()> {
    let removed = egret_lab::cleanup()?;
    for name in &removed {
        println!("removed {name}");
    }
    if removed.is_empty() {
        println!("nothing was left behind");
    }
    Ok(())
}
