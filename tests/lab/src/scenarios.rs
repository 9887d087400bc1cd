//! Scenarios that every laboratory has: one body each, over whatever its nodes are made of.
//!
//! Numbers as in `S01` are those of the scenario table. A scenario whose cause is a laboratory's own
//! (a rollout, a kubelet that stands still) is that laboratory's, and gives it to [`undisturbed`] or
//! [`agents_replaced`].

use std::time::Duration;

use anyhow::Result;

mod agents;
mod claims;
pub mod cloud;
mod gateways;

pub use agents::{agents_replaced, director_killed, holder_killed};
pub use claims::{claim_made_anew, claim_over_busy_pods, claimed, no_gateway};
pub use gateways::{drain, partition, power_off, power_off_without_store};

use crate::bench::Bench;
use crate::checks::{alive, holders, load, none_lost, nothing_moved, run_for};
use crate::clock::WallTime;
use crate::fixture::LabFixture;
use crate::load::LoadReport;
use crate::test_bed::TestBed;

/// Under a load of that name nothing moves and no packet is lost while `work` is done; `when` says
/// so in a failure.
///
/// # Errors
/// With what is not so, and where `work` fails.
pub fn undisturbed<G: TestBed>(
    fixture: &mut LabFixture<G>,
    name: &str,
    when: &str,
    work: impl FnOnce(&mut LabFixture<G>) -> Result<()>,
) -> Result<LoadReport> {
    let load = load(fixture, name)?;
    run_for(500);
    let (before, answered, begun) = (holders(fixture), load.unanswered(), WallTime::now());
    work(fixture)?;
    let report = alive(fixture, &load, begun)?;
    nothing_moved(fixture, begun, &before)?;
    none_lost(&load, &answered, when)?;
    fixture.check_invariants(begun)?;
    Ok(report)
}

/// S11: the store is gone for so long; nothing moves then, and nothing when it is back.
///
/// # Errors
/// With what is not so.
pub fn outage<G: TestBed>(bench: &mut Bench<G>, long: Duration) -> Result<()> {
    let fixture = bench.fixture()?;
    undisturbed(fixture, "s11", "while the store was away", |fixture| {
        fixture.lab.cut_store()?;
        std::thread::sleep(long);
        fixture.lab.restore_store()?;
        run_for(5000);
        Ok(())
    })?;
    fixture.lab.await_nodes()
}
