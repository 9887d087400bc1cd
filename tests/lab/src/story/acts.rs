use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use super::scene::{marks, scene};
use super::{Shown, outcome};
use crate::clock::{Stamp, wait_until};
use crate::ground::Ground;
use crate::load::{Load, Plan};
use crate::say;
use crate::stage::Stage;

/// How long the load is watched after an event: past the fourth retransmission of TCP (3 s).
const AFTER: Duration = Duration::from_millis(4500);
const LIMIT: Duration = Duration::from_secs(15);

/// The three moves under one load.
pub fn play<G: Ground>(mut stage: Stage<G>, plan: Plan, shown: &mut Shown) -> Result<()> {
    let allowed = stage.addresses.clone();
    let count = usize::from(plan.connections) * 4;
    say::head(&format!(
        "{count} TCP connections and UDP, from two pods with the same source ports"
    ));
    say::line("half of them speak from the pod; half are driven by the outside server while the");
    say::line("pod only acknowledges, which ordinary SNAT does not survive");
    let load = say::step("open them", || {
        Load::start(&mut stage.lab, plan, Some((&stage.sources, &allowed)))
    })?;
    std::thread::sleep(Duration::from_secs(2));
    let first = power_off(&mut stage, &load, shown, "Power off the holder")?;
    drain(&stage, &load, shown)?;
    come_back(&mut stage, &first)?;
    say::head(G::LOST);
    stage.lab.lose_store()?;
    power_off(&mut stage, &load, shown, "Power off again, without a store")?;
    say::head(G::FOUND);
    stage.lab.find_store()?;
    let holders: Vec<_> = stage.addresses.iter().map(|a| stage.holder(*a)).collect();
    say::step("the store has caught up with who holds what", || {
        wait_until("the holders in the store", LIMIT, || {
            let mut pairs = stage.addresses.iter().zip(&holders);
            let known = |address: &IpAddr, holder: &Option<String>| {
                holder.is_some() && stage.lab.recorded_holder(*address) == *holder
            };
            pairs.all(|(address, holder)| known(address, holder)).then_some(())
        })
    })?;
    super::status(&stage.lab)
}

/// Takes the power of the node that holds the first address; returns its name.
fn power_off(
    stage: &mut Stage<impl Ground>,
    load: &Load,
    shown: &mut Shown,
    title: &str,
) -> Result<String> {
    let address = *stage.addresses.first().context("an address")?;
    let holder = stage.holder(address).context("nobody holds the address")?;
    let moving = stage.held_by(&holder);
    say::head(&format!("{title}: {holder}"));
    let off = stage.lab.cut_power(&holder)?;
    for address in &moving {
        stage.await_successor(*address, &holder, LIMIT)?;
    }
    watch(off);
    show(stage, load, shown, (title, &format!("{holder} is off")), (&holder, off, &moving));
    Ok(holder)
}

fn drain(stage: &Stage<impl Ground>, load: &Load, shown: &mut Shown) -> Result<()> {
    let address = *stage.addresses.first().context("an address")?;
    let holder = stage.holder(address).context("nobody holds the address")?;
    let moving = stage.held_by(&holder);
    say::head(&format!("Drain the new holder: egret drain {holder} (a planned move)"));
    let begun = Stamp::now();
    stage.lab.tell(&["drain", &holder])?;
    for address in &moving {
        stage.await_successor(*address, &holder, LIMIT)?;
    }
    watch(begun);
    let title = format!("Planned move: drain {holder}");
    show(stage, load, shown, (&title, "egret drain"), (&holder, begun, &moving));
    Ok(())
}

/// Prints the timeline and the outcome, and keeps the scene.
fn show(
    stage: &Stage<impl Ground>,
    load: &Load,
    shown: &mut Shown,
    (title, cause): (&str, &str),
    (holder, begun, moving): (&str, Stamp, &[IpAddr]),
) {
    let passages: Vec<_> = moving.iter().map(|a| stage.passage(*a, holder, begun)).collect();
    for passage in &passages {
        print!("{passage}");
    }
    let (good, text) = outcome(stage, load, begun);
    shown.good &= good;
    let when = (begun, Duration::from_millis(3500));
    let marks = marks(cause, &passages);
    shown.scenes.push(scene(title, (text, !good), when, load, marks));
}

fn watch(begun: Stamp) {
    std::thread::sleep((begun + AFTER).since(Stamp::now()));
}

/// Boots the first gateway again and waits until it counts.
fn come_back(stage: &mut Stage<impl Ground>, name: &str) -> Result<()> {
    say::head(&format!("{name} is back"));
    say::line("It grants nothing for 11.2 s (it may have granted before it fell), then reads the");
    say::line(
        "fences, and then says that it may vote; the controller plans it as a standby again.",
    );
    let booted = Stamp::now();
    stage.lab.boot_again(name)?;
    say::step(&format!("{name} may vote"), || {
        let limit = Duration::from_secs(40);
        stage.lab.journal().wait("may_vote", booted, limit, |entry| entry.from == name).map(drop)
    })?;
    say::step(&format!("{name} is planned as a standby of every address"), || {
        stage.await_planned(name, Duration::from_secs(60))
    })
}
