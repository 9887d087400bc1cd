//! The figures: failovers, planned moves, load at rest, time to program, memory.

use std::time::Duration;

use anyhow::Result;
use egret_lab::figures::{self, Counts};
use egret_lab::{LabFixture, say};

use super::{demo, topology};

mod rest;

const LIMIT: Duration = Duration::from_secs(20);

/// Measures and prints.
pub(crate) fn run(power_offs: u32, outages: u32, moves: u32) -> Result<()> {
    egret_lab::cleanup()?;
    let mut fixture = boot()?;
    say::head("At rest, five nodes, two addresses held");
    rest::report(&fixture)?;
    say::head("From a Pod's manifest to the kernel of its node");
    rest::programming(&mut fixture, 20)?;
    figures::failovers(&mut fixture, Counts { power_offs, outages, moves })?;
    rest::memory(&fixture);
    Ok(())
}

/// A laboratory with the example claim, held.
pub(crate) fn boot() -> Result<LabFixture> {
    let lab = say::step("a laboratory with Egret (T_max 1 s)", || {
        let mut lab = topology().build()?;
        lab.start_egret()?;
        Ok(lab)
    })?;
    demo::apply(&lab, std::path::Path::new("deploy/examples"))?;
    let addresses = say::step("two addresses are held", || egret_lab::demonstration::held(&lab))?;
    let fixture = LabFixture::new(lab, &addresses)?;
    fixture.await_held(LIMIT)?;
    Ok(fixture)
}
