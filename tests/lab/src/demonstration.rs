//! What demonstrations show: power-off, drain, power-off without a store, under load.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;

mod steps;
mod window;

pub use steps::run;
pub use window::{mark, marks, window};

use crate::address::{AddressFamily, OUTSIDE};
use crate::clock::{WallTime, wait_until};
use crate::fixture::LabFixture;
use crate::load::{Load, source_seen};
use crate::picture::PictureWindow;
use crate::say;
use crate::test_bed::TestBed;

/// What the demo has result so far.
pub struct DemoResult {
    /// For the picture.
    pub windows: Vec<PictureWindow>,
    /// Everything so far ended as it should.
    pub good: bool,
}

/// Waits until an address of each family is held; returns them.
pub fn held(lab: &impl TestBed) -> Result<Vec<IpAddr>> {
    let limit = Duration::from_secs(60);
    wait_until("addresses of both families that are held", limit, || {
        let events = lab.journal().events("held", WallTime(0));
        let mut found: Vec<IpAddr> =
            events.iter().filter_map(crate::JournalEntry::address).collect();
        found.sort();
        found.dedup();
        let both =
            AddressFamily::BOTH.iter().all(|f| found.iter().any(|a| AddressFamily::of(*a) == *f));
        both.then_some(found)
    })
}

/// What `egret status` says.
pub fn status(lab: &impl TestBed) -> Result<()> {
    say::line("egret status:");
    for line in lab.run_egret(&["status"])?.lines().filter(|line| !line.is_empty()) {
        say::line(&format!("  {line}"));
    }
    Ok(())
}

/// Says which source the outside sees of each pod.
///
/// # Errors
/// Where one does not reach it.
pub fn sources(lab: &mut impl TestBed, pods: &[&str]) -> Result<()> {
    for pod in pods {
        let mut seen = Vec::new();
        for family in AddressFamily::BOTH {
            seen.push(source_seen(lab, pod, family)?.to_string());
        }
        let to = OUTSIDE[0];
        say::line(&format!("{pod:<9} → {to}: the outside sees {}", seen.join(" and ")));
    }
    Ok(())
}

/// Prints what became of the load since `begun`; false where something is wrong.
pub fn outcome(fixture: &LabFixture<impl TestBed>, load: &Load, since: WallTime) -> (bool, String) {
    let report = load.report(since);
    let wrong = fixture.sources.wrong();
    let doubles = fixture.answers.doubles(since).len();
    let twice = fixture.gateways.twice(since, crate::LEASE).len();
    let text = format!(
        "{} of {} connections lost, longest stall {} ms, UDP silent for {} ms",
        report.lost.len(),
        report.connections,
        report.stall.as_millis(),
        report.udp_gap.as_millis()
    );
    say::verdict(report.lost.is_empty(), &text);
    for lost in report.lost.iter().take(3) {
        say::line(&format!("    {}: {}", lost.name, lost.why));
    }
    let right = fixture.sources.right();
    let text = format!("{wrong} packets with a wrong source ({right} with the right one)");
    say::verdict(wrong == 0 && right > 0, &text);
    let text =
        format!("{doubles} questions that two nodes answered, of {}", fixture.answers.asked());
    say::verdict(doubles == 0 && fixture.answers.asked() > 0, &text);
    let good = report.lost.is_empty() && wrong == 0 && right > 0 && doubles == 0;
    if twice > 0 {
        say::line(&format!("    ({twice} changes back and forth between gateways at the move)"));
    }
    let stall = report.stall.as_millis();
    (
        good,
        format!("{} of {} lost, longest stall {stall} ms", report.lost.len(), report.connections),
    )
}
