//! The figures: failovers, planned moves, load at rest, time to programme, memory.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::load::{Load, Plan};
use egret_lab::{Stage, Stamp, say, wait_until};

use super::{demo, topology};

mod rest;

const LIMIT: Duration = Duration::from_secs(20);

/// Measures and prints.
pub(crate) fn run(power_offs: u32, outages: u32, moves: u32) -> Result<()> {
    egret_lab::cleanup()?;
    let mut stage = boot()?;
    say::head("At rest, five nodes, two addresses held");
    rest::report(&stage)?;
    say::head("From a Pod's manifest to the kernel of its node");
    rest::programming(&mut stage, 20)?;
    let allowed = stage.addresses.clone();
    let plan = || {
        let mut plan = Plan::new("figures", &["settle-1", "settle-2"]);
        plan.limit = Duration::from_secs(7200);
        plan.connections(10).every(Duration::from_millis(20))
    };
    let load = Load::start(&mut stage.lab, plan(), Some((&stage.sources, &allowed)))?;
    let up = series("power-offs, the store up", power_offs, |_| power_off(&mut stage, true))?;
    let down = series("power-offs, the store down", outages, |_| power_off(&mut stage, false))?;
    let mut stalls = Vec::new();
    let planned = series("planned moves", moves, |_| planned(&stage, &load, &mut stalls))?;
    say::head("Figures (from the cause to the first packet through the new gateway)");
    print("power-off, the store up", &up);
    print("power-off, the store down", &down);
    print("planned move", &planned);
    print("longest stall of a planned move", &stalls);
    let report = load.report(Stamp(0));
    let (lost, count) = (report.lost.len(), report.connections);
    say::verdict(lost == 0, &format!("{lost} of {count} connections lost over all of it"));
    let wrong = stage.sources.wrong();
    say::verdict(wrong == 0, &format!("{wrong} packets with a wrong source"));
    let doubles = stage.answers.doubles(Stamp(0)).len();
    say::verdict(doubles == 0, &format!("{doubles} questions that two nodes answered"));
    rest::memory(&stage);
    ensure!(lost == 0 && wrong == 0 && doubles == 0, "something above is marked ✗");
    Ok(())
}

/// A laboratory with the example claim, held.
pub(crate) fn boot() -> Result<Stage> {
    let lab = say::step("a laboratory with Egret (T_max 1 s)", || {
        let mut lab = topology().build()?;
        lab.start_egret()?;
        Ok(lab)
    })?;
    demo::apply(&lab, std::path::Path::new("deploy/examples"))?;
    let addresses = say::step("two addresses are held", || egret_lab::story::held(&lab))?;
    let stage = Stage::new(lab, &addresses)?;
    stage.await_held(LIMIT)?;
    Ok(stage)
}

fn series(
    what: &str,
    count: u32,
    mut one: impl FnMut(u32) -> Result<Duration>,
) -> Result<Vec<Duration>> {
    say::counted(&format!("{count} {what}"), |progress| {
        let mut found: Vec<Duration> = Vec::new();
        for number in 0..count {
            let last = found.last().map_or(String::new(), |gap| format!("{} ms", gap.as_millis()));
            progress.at(format!("({number} done, last {last})"));
            found.push(one(number).with_context(|| format!("number {}", number + 1))?);
        }
        Ok(found)
    })
}

/// Powers the holder of the first address off, measures, and waits until it counts again.
fn power_off(stage: &mut Stage, store: bool) -> Result<Duration> {
    let address = first(stage)?;
    let holder = stage.holder(address).context("nobody holds the address")?;
    if !store {
        stage.lab.cut_store_everywhere()?;
    }
    let off = stage.lab.power_off(&holder)?;
    stage.await_successor(address, &holder, LIMIT)?;
    let gap = wait_until("a packet through the new holder", LIMIT, || {
        stage.passage(address, &holder, off).gap()
    })?;
    if !store {
        stage.lab.join_store_everywhere();
    }
    back(stage, &holder)?;
    Ok(gap)
}

/// Boots a node and waits until it may vote and is planned for every address.
pub(crate) fn back(stage: &mut Stage, name: &str) -> Result<()> {
    let booted = Stamp::now();
    stage.lab.boot(name, &[])?;
    stage.lab.journal().wait("may_vote", booted, LIMIT, |entry| entry.from == name)?;
    stage.await_planned(name, Duration::from_secs(60))
}

fn planned(stage: &Stage, load: &Load, stalls: &mut Vec<Duration>) -> Result<Duration> {
    let address = first(stage)?;
    let holder = stage.holder(address).context("nobody holds the address")?;
    let names = stage.lab.node_names();
    let number = names.iter().position(|name| *name == holder).context("an unknown holder")?;
    let to = &names[(number + 1) % 3];
    let begun = Stamp::now();
    stage.lab.ask(&["move", &address.to_string(), "--to", to])?;
    stage.await_successor(address, &holder, LIMIT)?;
    std::thread::sleep(Duration::from_secs(1));
    stalls.push(load.report(begun).stall);
    stage.passage(address, &holder, begun).gap().context("no packet through the new holder")
}

fn first(stage: &Stage) -> Result<IpAddr> {
    stage.addresses.first().copied().context("no address")
}

fn print(what: &str, values: &[Duration]) {
    let mut sorted = values.to_vec();
    sorted.sort();
    let Some(worst) = sorted.last() else { return };
    let median = sorted[sorted.len() / 2];
    let all: Vec<String> = values.iter().map(|v| v.as_millis().to_string()).collect();
    say::line(&format!(
        "{what}: median {} ms, worst {} ms, {} values",
        median.as_millis(),
        worst.as_millis(),
        values.len()
    ));
    say::line(&format!("    all, in ms: {}", all.join(" ")));
}
