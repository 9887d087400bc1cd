//! The whole story: claim, power-off, drain, power-off without a store, and ordinary SNAT.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::address::{Family, OUTSIDE};
use egret_lab::load::{Load, Plan, source_seen};
use egret_lab::picture::Scene;
use egret_lab::{Lab, Stage, Stamp, wait_until};

use super::{say, topology};

mod acts;
mod control;
mod scene;

/// What the demo has shown so far.
pub(super) struct Shown {
    pub(super) scenes: Vec<Scene>,
    pub(super) good: bool,
}

/// Tells the story; fails where it does not end as it should.
pub(crate) fn run(examples: &Path, pictures: &Path, connections: u16) -> Result<()> {
    std::fs::create_dir_all(pictures)?;
    egret_lab::cleanup()?;
    let mut shown = Shown { scenes: Vec::new(), good: true };
    let plan = || {
        let every = Duration::from_millis(100);
        Plan::new("bank", &["settle-1", "settle-2"]).connections(connections).every(every)
    };
    let stage = boot(examples)?;
    acts::play(stage, plan(), &mut shown)?;
    let lost = control::play(plan(), &mut shown)?;
    let control = shown.scenes.pop().context("the control has a scene")?;
    let caption = format!(
        "{} TCP connections from two pods on two nodes with the same source ports, half driven \
         from outside, IPv4 and IPv6; every operation, and every connection's lane",
        u32::from(connections) * 4
    );
    let svg = egret_lab::picture::render(&shown.scenes, &[control], &caption);
    let paths = egret_lab::picture::save(&svg, pictures, "demo")?;
    say::head("The picture");
    for path in paths {
        say::line(&path.display().to_string());
    }
    ensure!(
        lost > 0,
        "ordinary SNAT lost nothing: the measurement cannot fail, so it shows nothing"
    );
    ensure!(shown.good, "something above is marked ✗");
    Ok(())
}

/// The laboratory, the sources without a claim, Egret, the claim, and the wait that it costs.
fn boot(examples: &Path) -> Result<Stage> {
    say::head("A laboratory: three gateways, two directors, four pods, a router, the outside");
    let t_max = Duration::from_secs(10);
    let mut lab = say::step("network namespaces", || topology().t_max(t_max).build())?;
    say::head("Without Egret");
    sources(&mut lab, &["settle-1", "settle-2", "other-1"])?;
    say::head("With the claim payments/bank: pods with app=settle, to 198.51.100.0/24");
    say::step("a store, a controller, five agents", || lab.start_egret())?;
    apply(&lab, examples)?;
    say::line("After a boot a voter is silent for 11.2 s (the longest lease × 1.12): it may have");
    say::line("granted an address before it fell, and has forgotten it. Then the first holder");
    say::line("probes the address for 5 s, as RFC 5227 asks. A takeover waits for neither.");
    let addresses = say::step("two addresses are bound, held and probed", || held(&lab))?;
    let stage = Stage::new(lab, &addresses)?;
    stage.await_held(Duration::from_secs(5))?;
    status(&stage.lab)?;
    let mut stage = stage;
    sources(&mut stage.lab, &["settle-1", "settle-2", "other-1"])?;
    Ok(stage)
}

/// Puts the example manifests into the store.
pub(crate) fn apply(lab: &Lab, examples: &Path) -> Result<()> {
    let mut paths: Vec<_> = std::fs::read_dir(examples)
        .with_context(|| format!("--examples {}: no such directory", examples.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    paths.sort();
    ensure!(!paths.is_empty(), "--examples {}: no .yaml in it", examples.display());
    for path in paths {
        say::line(&format!("apply {}", path.display()));
        lab.apply(&path)?;
    }
    Ok(())
}

/// Waits until an address of each family is held; returns them.
pub(crate) fn held(lab: &Lab) -> Result<Vec<IpAddr>> {
    let limit = Duration::from_secs(60);
    wait_until("addresses of both families that are held", limit, || {
        let events = lab.journal().events("held", Stamp(0));
        let mut found: Vec<IpAddr> = events.iter().filter_map(egret_lab::Entry::address).collect();
        found.sort();
        found.dedup();
        let both = Family::BOTH.iter().all(|f| found.iter().any(|a| Family::of(*a) == *f));
        both.then_some(found)
    })
}

/// What `egret status` says.
pub(super) fn status(lab: &Lab) -> Result<()> {
    say::line("egret status:");
    for line in lab.ask(&["status"])?.lines().filter(|line| !line.is_empty()) {
        say::line(&format!("  {line}"));
    }
    Ok(())
}

fn sources(lab: &mut Lab, pods: &[&str]) -> Result<()> {
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
pub(super) fn outcome(stage: &Stage, load: &Load, since: Stamp) -> (bool, String) {
    let report = load.report(since);
    let wrong = stage.sources.wrong();
    let doubles = stage.answers.doubles(since).len();
    let twice = stage.gateways.twice(since, egret_lab::LEASE).len();
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
