//! Every gateway is cordoned, as where a cluster is upgraded by an impatient hand.

use anyhow::Result;
use egret_lab::bench::Bench;
use egret_lab::{NodeMarks, TestBed as _, scenarios, wait_until};

use crate::fixtures::{PATIENCE, settles};

const GATEWAYS: [&str; 3] = ["gateway-1", "gateway-2", "gateway-3"];

/// A holder whose power is cut is succeeded as ever: its standbys are well.
pub fn all(bench: &mut Bench) -> Result<()> {
    mark(bench, true)?;
    scenarios::power_off(bench)?;
    mark(bench, false)
}

/// Cordons every gateway or none, until the controller knows and nothing moves any more.
fn mark(bench: &mut Bench, cordoned: bool) -> Result<()> {
    let fixture = bench.fixture()?;
    let marks = NodeMarks { cordoned, ..NodeMarks::default() };
    GATEWAYS.iter().try_for_each(|name| fixture.lab.write_node_as(name, &marks))?;
    let known = if cordoned { GATEWAYS.len() } else { 0 };
    wait_until("the controller knows who is cordoned", PATIENCE, || {
        let status = fixture.lab.run_egret(&["status"]).unwrap_or_default();
        (status.matches("is cordoned").count() == known).then_some(())
    })?;
    settles(fixture)
}
