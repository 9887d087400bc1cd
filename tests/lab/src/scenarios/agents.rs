//! What happens to an agent's process, not to its node.

use anyhow::{Result, ensure};

use super::undisturbed;
use crate::bench::Bench;
use crate::checks::{PATIENCE, alive, holder, load, none_lost, run_for};
use crate::clock::WallTime;
use crate::fixture::LabFixture;
use crate::load::{Load, LoadReport};
use crate::test_bed::TestBed;

/// S06 on a director: the kernel goes on, not one packet is lost.
///
/// # Errors
/// With what is not so.
pub fn director_killed(bench: &mut Bench<impl TestBed>) -> Result<()> {
    let (fixture, director) = (bench.fixture()?, "director-1");
    undisturbed(fixture, "s06 director", "while a director's agent was dead", |fixture| {
        let killed = fixture.lab.kill_agent(director)?;
        run_for(3000);
        fixture.lab.start_agent(director)?;
        fixture.lab.await_agent(director, killed)?;
        run_for(2000);
        Ok(())
    })
    .map(drop)
}

/// S06 on the holder: back within the lease, or the standby takes over; no connection is lost.
///
/// # Errors
/// With what is not so.
pub fn holder_killed(bench: &mut Bench<impl TestBed>) -> Result<()> {
    let fixture = bench.fixture()?;
    let load = load(fixture, "s06 holder")?;
    run_for(500);
    let old = holder(fixture)?;
    let killed = fixture.lab.kill_agent(&old)?;
    fixture.lab.start_agent(&old)?;
    fixture.lab.await_agent(&old, killed)?;
    run_for(4000);
    fixture.await_held(PATIENCE)?;
    let report = alive(fixture, &load, killed)?;
    crate::note!("    longest stall {} ms", report.stall.as_millis());
    fixture.check_invariants(killed)
}

/// Every agent is replaced, as S08 and an upgrade do it: no connection of a load that runs since
/// before `begun` and no packet is lost, and nobody answers for another; `when` says so in a failure.
///
/// # Errors
/// With what is not so, and where `work`, which replaces them, fails.
pub fn agents_replaced<G: TestBed>(
    fixture: &mut LabFixture<G>,
    (load, begun): (&Load, WallTime),
    when: &str,
    work: impl FnOnce(&mut LabFixture<G>) -> Result<()>,
) -> Result<LoadReport> {
    let (step, answered) = (WallTime::now(), load.unanswered());
    work(fixture)?;
    fixture.lab.await_egret()?;
    fixture.await_held(PATIENCE)?;
    let took = WallTime::now().since(step);
    run_for(2000);
    let report = alive(fixture, load, begun)?;
    let doubles = fixture.answers.doubles(begun);
    ensure!(doubles.is_empty(), "two answered one question: {:?}", doubles.first());
    none_lost(load, &answered, when)?;
    crate::note!(
        "    {when}: {:.1} s, longest stall {} ms",
        took.as_secs_f64(),
        report.stall.as_millis()
    );
    Ok(report)
}
