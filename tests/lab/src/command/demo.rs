//! The demonstration: claim, power-off, drain, power-off without a store, and ordinary SNAT.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::demonstration::{self, DemoResult};
use egret_lab::load::LoadPlan;
use egret_lab::{Lab, LabFixture, say};

use super::topology;

mod control;

/// Shows it; fails where it does not end as it should.
pub(crate) fn run(examples: &Path, pictures: &Path, connections: u16) -> Result<()> {
    std::fs::create_dir_all(pictures)?;
    egret_lab::cleanup()?;
    let mut result = DemoResult { windows: Vec::new(), good: true };
    let plan = || {
        let every = Duration::from_millis(100);
        LoadPlan::new("bank", &["settle-1", "settle-2"]).connections(connections).every(every)
    };
    let fixture = boot(examples)?;
    demonstration::run(fixture, plan(), &mut result)?;
    let lost = control::play(plan(), &mut result)?;
    let control = result.windows.pop().context("the control has a window")?;
    let caption = format!(
        "{} TCP connections from two pods on two nodes with the same source ports, half driven \
         from outside, IPv4 and IPv6; every operation, and every connection's lane",
        u32::from(connections) * 4
    );
    let svg = egret_lab::picture::render(&result.windows, &[control], &caption);
    let paths = egret_lab::picture::save(&svg, pictures, "demo")?;
    say::head("The picture");
    for path in paths {
        say::line(&path.display().to_string());
    }
    ensure!(
        lost > 0,
        "ordinary SNAT lost nothing: the measurement cannot fail, so it shows nothing"
    );
    ensure!(result.good, "something above is marked ✗");
    Ok(())
}

/// The laboratory, the sources without a claim, Egret, the claim, and the wait that it costs.
fn boot(examples: &Path) -> Result<LabFixture> {
    say::head("A laboratory: three gateways, two directors, four pods, a router, the outside");
    let t_max = Duration::from_secs(10);
    let mut lab = say::step("network namespaces", || topology().t_max(t_max).build())?;
    say::head("Without Egret");
    demonstration::sources(&mut lab, &["settle-1", "settle-2", "other-1"])?;
    say::head("With the claim payments/bank: pods with app=settle, to 198.51.100.0/24");
    say::step("a store, a controller, five agents", || lab.start_egret())?;
    apply(&lab, examples)?;
    say::line("After a boot a voter is silent for 11.2 s (the longest lease × 1.12): it may have");
    say::line("granted an address before it fell, and has forgotten it. Then the first holder");
    say::line("probes the address for 5 s, as RFC 5227 asks. A takeover waits for neither.");
    let addresses =
        say::step("two addresses are bound, held and probed", || demonstration::held(&lab))?;
    let fixture = LabFixture::new(lab, &addresses)?;
    fixture.await_held(Duration::from_secs(5))?;
    demonstration::status(&fixture.lab)?;
    let mut fixture = fixture;
    demonstration::sources(&mut fixture.lab, &["settle-1", "settle-2", "other-1"])?;
    Ok(fixture)
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
