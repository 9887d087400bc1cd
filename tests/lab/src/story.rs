//! The story that demonstrations tell: power-off, drain, power-off without a store, under load.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;

mod acts;
mod scene;

pub use acts::play;
pub use scene::{mark, marks, scene};

use crate::address::{Family, OUTSIDE};
use crate::clock::{Stamp, wait_until};
use crate::ground::Ground;
use crate::load::{Load, source_seen};
use crate::picture::Scene;
use crate::say;
use crate::stage::Stage;

/// What the demo has shown so far.
pub struct Shown {
    /// For the picture.
    pub scenes: Vec<Scene>,
    /// Everything so far ended as it should.
    pub good: bool,
}

/// Waits until an address of each family is held; returns them.
pub fn held(lab: &impl Ground) -> Result<Vec<IpAddr>> {
    let limit = Duration::from_secs(60);
    wait_until("addresses of both families that are held", limit, || {
        let events = lab.journal().events("held", Stamp(0));
        let mut found: Vec<IpAddr> = events.iter().filter_map(crate::Entry::address).collect();
        found.sort();
        found.dedup();
        let both = Family::BOTH.iter().all(|f| found.iter().any(|a| Family::of(*a) == *f));
        both.then_some(found)
    })
}

/// What `egret status` says.
pub fn status(lab: &impl Ground) -> Result<()> {
    say::line("egret status:");
    for line in lab.tell(&["status"])?.lines().filter(|line| !line.is_empty()) {
        say::line(&format!("  {line}"));
    }
    Ok(())
}

/// Says which source the outside sees of each pod.
///
/// # Errors
/// Where one does not reach it.
pub fn sources(lab: &mut impl Ground, pods: &[&str]) -> Result<()> {
    for pod in pods {
        let mut seen = Vec::new();
        for family in Family::BOTH {
            seen.push(source_seen(lab, pod, family)?.to_string());
        }
        let to = OUTSIDE[0];
        say::line(&format!("{pod:<9} → {to}: the outside sees {}", seen.join(" and ")));
    }
    Ok(())
}

/// Prints what became of the load since `begun`; false where something is wrong.
pub fn outcome(stage: &Stage<impl Ground>, load: &Load, since: Stamp) -> (bool, String) {
    let report = load.report(since);
    let wrong = stage.sources.wrong();
    let doubles = stage.answers.doubles(since).len();
    let twice = stage.gateways.twice(since, crate::LEASE).len();
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
    let right = stage.sources.right();
    let text = format!("{wrong} packets with a wrong source ({right} with the right one)");
    say::verdict(wrong == 0 && right > 0, &text);
    let text = format!("{doubles} questions that two nodes answered, of {}", stage.answers.asked());
    say::verdict(doubles == 0 && stage.answers.asked() > 0, &text);
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
