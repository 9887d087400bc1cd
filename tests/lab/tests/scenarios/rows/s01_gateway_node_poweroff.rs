//! S01, S02 and S12: the holder's power is cut, with and without a store, and it comes back.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::address::{Family, outside};
use egret_lab::load::Ping;
use egret_lab::oracle::Expect;
use egret_lab::{Ground, Stage, Stamp, wait_until};

use crate::world::{
    BOUND, PATIENCE, alive, back, bank, holder, holders, load, moved, nothing_moved, run_for,
};
use egret_lab::bench::Bench;

/// The address goes on elsewhere, no connection is lost, no packet has another source.
pub fn poweroff(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s01")?;
    let pings = pings(stage)?;
    run_for(500);
    let old = holder(stage)?;
    let moving = stage.held_by(&old);
    let off = stage.lab.power_off(&old)?;
    moved(stage, &old, &moving)?;
    run_for(4000);
    let report = alive(stage, &load, off)?;
    stage.check_invariants(off)?;
    for address in &moving {
        let passage = stage.passage(*address, &old, off);
        let gap = passage.gap();
        ensure!(gap.is_some_and(|gap| gap <= BOUND), "{address}: gap {gap:?}");
        egret_lab::note!("{passage}");
    }
    egret_lab::note!("    longest stall {} ms", report.stall.as_millis());
    for (family, ping) in &pings {
        let gap = ping.longest_gap();
        ensure!(!ping.answered().is_empty(), "no echo over {} at all", family.name());
        ensure!(gap <= 100, "{gap} echo requests in a row unanswered over {}", family.name());
    }
    ensure!(stage.sources.ledger("s01 echo").right > 0, "the oracle saw no echo request");
    drop(load);
    back(stage, &old)
}

/// ICMP echo every 50 ms, over both families, to addresses of its own outside.
fn pings(stage: &Stage) -> Result<Vec<(Family, Ping)>> {
    let to = Family::BOTH.map(|family| outside(family, 1));
    stage.sources.expect(Expect {
        name: "s01 echo".to_owned(),
        destinations: to.to_vec(),
        ports: None,
        allowed: bank().to_vec(),
    });
    let pod = stage.lab.pod("settle-1")?;
    let start = |family: Family| {
        Ok((family, Ping::start(pod, family.pick(to), Duration::from_millis(50), 2000)?))
    };
    Family::BOTH.into_iter().map(start).collect()
}

/// The node that comes back takes nothing and announces nothing.
pub fn reboot_rejoin(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s02")?;
    let old = holder(stage)?;
    let moving = stage.held_by(&old);
    let off = stage.lab.power_off(&old)?;
    moved(stage, &old, &moving)?;
    run_for(1000);
    let (after, settled) = (holders(stage), Stamp::now());
    back(stage, &old)?;
    run_for(2000);
    nothing_moved(stage, settled, &after)?;
    let mac = stage.lab.node(&old)?.mac();
    let stale = stage.answers.announcements(off).into_iter().find(|a| a.mac == mac);
    ensure!(stale.is_none(), "the node that came back announced {stale:?}");
    alive(stage, &load, off)?;
    stage.check_invariants(off)
}

/// S12: the same while the store is unreachable for all, the controller too.
pub fn without_a_store(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let load = load(stage, "s12")?;
    let old = holder(stage)?;
    let moving = stage.held_by(&old);
    stage.lab.cut_store_everywhere()?;
    run_for(1500);
    let off = stage.lab.power_off(&old)?;
    moved(stage, &old, &moving)?;
    run_for(4000);
    let report = alive(stage, &load, off)?;
    stage.check_invariants(off)?;
    egret_lab::note!("    longest stall {} ms", report.stall.as_millis());
    let new = holders(stage);
    stage.lab.join_store_everywhere();
    wait_until("the status names the new holders", PATIENCE, || {
        let mut pairs = bank().into_iter().zip(&new);
        let caught = pairs.all(|(address, holder)| {
            holder.is_some() && stage.lab.recorded_holder(address) == *holder
        });
        caught.then_some(())
    })?;
    nothing_moved(stage, off + BOUND, &new)?;
    drop(load);
    back(stage, &old)
}
