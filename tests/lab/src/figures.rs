//! Failovers and planned moves by the dozen, and what they took.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::{Stamp, wait_until};
use crate::ground::Ground;
use crate::load::{Load, Plan};
use crate::say;
use crate::stage::Stage;

const LIMIT: Duration = Duration::from_secs(20);
/// Time for what costs a boot.
const BOOT: Duration = Duration::from_secs(60);

/// How many of each.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Power-offs with the store up.
    pub power_offs: u32,
    /// Power-offs with the store down.
    pub outages: u32,
    /// Planned moves.
    pub moves: u32,
}

/// Measures under one load, and prints.
///
/// # Errors
/// Where a connection is lost, a source is wrong, or two answer one question.
pub fn failovers(stage: &mut Stage<impl Ground>, counts: Counts) -> Result<()> {
    let allowed = stage.addresses.clone();
    let mut plan = Plan::new("figures", &["settle-1", "settle-2"]);
    plan.limit = Duration::from_secs(7200);
    let plan = plan.connections(10).every(Duration::from_millis(20));
    let load = Load::start(&mut stage.lab, plan, Some((&stage.sources, &allowed)))?;
    let up = series("power-offs, the store up", counts.power_offs, |_| power_off(stage, true))?;
    let down = series("power-offs, the store down", counts.outages, |_| power_off(stage, false))?;
    let mut stalls = Vec::new();
    let moves = series("planned moves", counts.moves, |_| planned(stage, &load, &mut stalls))?;
    say::head("Figures (from the cause to the first packet through the new gateway)");
    print("power-off, the store up", &up);
    print("power-off, the store down", &down);
    print("planned move", &moves);
    print("longest stall of a planned move", &stalls);
    let report = load.report(Stamp(0));
    let (lost, count) = (report.lost.len(), report.connections);
    say::verdict(lost == 0, &format!("{lost} of {count} connections lost over all of it"));
    let wrong = stage.sources.wrong();
    say::verdict(wrong == 0, &format!("{wrong} packets with a wrong source"));
    let doubles = stage.answers.doubles(Stamp(0)).len();
    say::verdict(doubles == 0, &format!("{doubles} questions that two nodes answered"));
    ensure!(lost == 0 && wrong == 0 && doubles == 0, "something above is marked ✗");
    Ok(())
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
fn power_off(stage: &mut Stage<impl Ground>, store: bool) -> Result<Duration> {
    let address = first(stage)?;
    let holder = stage.holder(address).context("nobody holds the address")?;
    if !store {
        stage.lab.lose_store()?;
    }
    let off = stage.lab.cut_power(&holder)?;
    stage.await_successor(address, &holder, LIMIT)?;
    let gap = wait_until("a packet through the new holder", LIMIT, || {
        stage.passage(address, &holder, off).gap()
    })?;
    if !store {
        stage.lab.find_store()?;
    }
    back(stage, &holder)?;
    Ok(gap)
}

/// Boots a node and waits until it may vote and is planned for every address.
///
/// # Errors
/// Where that takes longer than a minute each.
pub fn back(stage: &mut Stage<impl Ground>, name: &str) -> Result<()> {
    let booted = Stamp::now();
    stage.lab.boot_again(name)?;
    stage.lab.journal().wait("may_vote", booted, BOOT, |entry| entry.from == name)?;
    stage.await_planned(name, BOOT)
}

fn planned(
    stage: &Stage<impl Ground>,
    load: &Load,
    stalls: &mut Vec<Duration>,
) -> Result<Duration> {
    let address = first(stage)?;
    let holder = stage.holder(address).context("nobody holds the address")?;
    let names = stage.lab.names();
    let number = names.iter().position(|name| *name == holder).context("an unknown holder")?;
    let to = &names[(number + 1) % 3];
    let begun = Stamp::now();
    stage.lab.tell(&["move", &address.to_string(), "--to", to])?;
    stage.await_successor(address, &holder, LIMIT)?;
    std::thread::sleep(Duration::from_secs(1));
    stalls.push(load.report(begun).stall);
    stage.passage(address, &holder, begun).gap().context("no packet through the new holder")
}

fn first(stage: &Stage<impl Ground>) -> Result<IpAddr> {
    stage.addresses.first().copied().context("no address")
}

/// Prints median, worst, and all.
pub fn print(what: &str, values: &[Duration]) {
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
