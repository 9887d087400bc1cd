//! The long rows: an outage of the store, many pod starts, a flapping link, failovers in between.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::load::{Load, Plan, Shape, inject};
use egret_lab::oracle::Expect;
use egret_lab::{Ground, PodSpec, Stage, Stamp, say};

use super::figures;

/// Quarantine of a port block (RFC 6888), with room for the node that is missed (5 min) before it.
const QUARANTINE: Duration = Duration::from_secs(120);

/// Runs the long rows one after another under one load; fails with the first that does.
pub(crate) fn run(minutes: u32, starts: u32) -> Result<()> {
    egret_lab::cleanup()?;
    let mut stage = figures::boot()?;
    let allowed = stage.addresses.clone();
    let mut plan = Plan::new("soak", &["settle-1"]).probe(Duration::from_millis(250));
    plan.limit = Duration::from_secs(4 * 3600);
    let load = Load::start(&mut stage.lab, plan, Some((&stage.sources, &allowed)))?;
    say::head("First packets of new pods");
    first_packets(&mut stage, starts)?;
    check(&stage, &load, Stamp(0))?;
    say::head("A link that flaps, 20 times");
    flap(&stage)?;
    check(&stage, &load, Stamp(0))?;
    say::head("The store is away");
    outage(&stage, minutes)?;
    check(&stage, &load, Stamp(0))?;
    say::head("A director dies: its blocks are in quarantine");
    quarantine(&mut stage)?;
    check(&stage, &load, Stamp(0))
}

fn check(stage: &Stage, load: &Load, since: Stamp) -> Result<()> {
    let report = load.report(since);
    let (lost, wrong) = (report.lost.len(), stage.sources.wrong());
    let doubles = stage.answers.doubles(since).len();
    say::verdict(
        lost == 0 && wrong == 0 && doubles == 0,
        &format!("{lost} connections lost, {wrong} wrong sources, {doubles} double answers"),
    );
    ensure!(lost == 0, "lost: {:?}", report.lost.first());
    ensure!(wrong == 0, "wrong sources: {:?}", stage.sources.examples());
    ensure!(doubles == 0, "two answered: {:?}", stage.answers.doubles(since).first());
    Ok(())
}

fn first_packets(stage: &mut Stage, starts: u32) -> Result<()> {
    let port = stage.lab.reserve_ports();
    stage.sources.expect(Expect {
        name: "starts".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port)),
        allowed: stage.addresses.clone(),
    });
    say::counted(&format!("{starts} pods, each sends as soon as its link is up"), |progress| {
        for number in 0..starts {
            progress.at(format!("({number} started)"));
            let name = format!("new-{number}");
            let spec = PodSpec::new("director-2", "payments", &name).label("app", "settle");
            stage.lab.add_pod(&spec)?;
            for count in 0..3 {
                inject(stage.lab.pod(&name)?, Shape::Syn, 43_000 + count, port)?;
            }
            stage.lab.remove_pod(&name)?;
        }
        Ok(())
    })?;
    let ledger = stage.sources.ledger("starts");
    say::line(&format!("{} packets with the right source, {} wrong", ledger.right, ledger.wrong));
    ensure!(ledger.right > 0, "nothing arrived at all");
    Ok(())
}

/// 0.2 to 5 s without a link, with ten seconds between: ownership must not swing with it.
fn flap(stage: &Stage) -> Result<()> {
    let address = *stage.addresses.first().context("an address")?;
    let begun = Stamp::now();
    say::counted("20 flaps of 0.2 to 5 s, 10 s apart", |progress| {
        for number in 0..20 {
            progress.at(format!("({number} done)"));
            let holder = stage.holder(address).context("nobody holds the address")?;
            stage.lab.set_link(&holder, false)?;
            std::thread::sleep(Duration::from_millis(200 + 4800 * number / 19));
            stage.lab.set_link(&holder, true)?;
            std::thread::sleep(Duration::from_secs(10));
            stage.await_held(Duration::from_secs(20))?;
        }
        Ok(())
    })?;
    let moves = stage.answers.runs().of(address).iter().filter(|run| run.first >= begun).count();
    say::line(&format!("{moves} moves in {:.0} s", Stamp::now().since(begun).as_secs_f64()));
    ensure!(moves <= 21, "{address} moved {moves} times in 20 flaps");
    Ok(())
}

fn outage(stage: &Stage, minutes: u32) -> Result<()> {
    let before: Vec<_> = stage.addresses.iter().map(|address| stage.holder(*address)).collect();
    let begun = stage.lab.cut_store_everywhere()?;
    say::step(&format!("{minutes} min without a store"), || {
        std::thread::sleep(Duration::from_secs(u64::from(minutes) * 60));
        stage.lab.join_store_everywhere();
        std::thread::sleep(Duration::from_secs(10));
        Ok(())
    })?;
    for (address, holder) in stage.addresses.iter().zip(before) {
        let runs = stage.answers.runs();
        let moved = runs.of(*address).iter().find(|run| run.first >= begun);
        ensure!(moved.is_none(), "{address} moved from {holder:?} during the outage: {moved:?}");
    }
    Ok(())
}

/// The blocks of a dead node are revoked after 5 min of absence and granted to nobody for 120 s
/// after that.
fn quarantine(stage: &mut Stage) -> Result<()> {
    let taken = blocks(stage, "director-2")?;
    ensure!(!taken.is_empty(), "director-2 has no block");
    stage.lab.power_off("director-2")?;
    let limit = Duration::from_secs(5 * 60) + QUARANTINE;
    say::step("director-2 is off for 7 min", || {
        let begun = Stamp::now();
        while Stamp::now().since(begun) < limit {
            std::thread::sleep(Duration::from_secs(1));
            for name in stage.lab.node_names().iter().filter(|name| *name != "director-2") {
                let double = blocks(stage, name)?.into_iter().find(|block| taken.contains(block));
                ensure!(double.is_none(), "{name} has {double:?} within the quarantine");
            }
        }
        Ok(())
    })
}

/// The port blocks of a node, as text.
fn blocks(stage: &Stage, node: &str) -> Result<Vec<String>> {
    let own = stage.lab.blocks()?.into_iter().filter(|block| block.0 == node);
    Ok(own.map(|(_, address, first, last)| format!("{address} {first}-{last}")).collect())
}
