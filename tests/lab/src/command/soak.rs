//! The long scenarios: an outage of the store, many pod starts, a flapping link, failovers in between.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::load::{Load, LoadPlan, RawShape, inject};
use egret_lab::oracle::Expect;
use egret_lab::{LabFixture, PodOptions, TestBed, WallTime, say};

use super::figures;

/// Quarantine of a port block (RFC 6888), with room for the node that is missed (5 min) before it.
const QUARANTINE: Duration = Duration::from_secs(120);

/// Runs the long scenarios one after another under one load; fails with the first that does.
pub(crate) fn run(minutes: u32, starts: u32) -> Result<()> {
    egret_lab::cleanup()?;
    let mut fixture = figures::boot()?;
    let allowed = fixture.addresses.clone();
    let mut plan = LoadPlan::new("soak", &["settle-1"]).probe(Duration::from_millis(250));
    plan.limit = Duration::from_secs(4 * 3600);
    let load = Load::start(&mut fixture.lab, plan, Some((&fixture.sources, &allowed)))?;
    say::head("First packets of new pods");
    first_packets(&mut fixture, starts)?;
    check(&fixture, &load, WallTime(0))?;
    say::head("A link that flaps, 20 times");
    flap(&fixture)?;
    check(&fixture, &load, WallTime(0))?;
    say::head("The store is away");
    outage(&mut fixture, minutes)?;
    check(&fixture, &load, WallTime(0))?;
    say::head("A director dies: its blocks are in quarantine");
    quarantine(&mut fixture)?;
    check(&fixture, &load, WallTime(0))
}

fn check(fixture: &LabFixture, load: &Load, since: WallTime) -> Result<()> {
    let report = load.report(since);
    let (lost, wrong) = (report.lost.len(), fixture.sources.wrong());
    let doubles = fixture.answers.doubles(since).len();
    say::verdict(
        lost == 0 && wrong == 0 && doubles == 0,
        &format!("{lost} connections lost, {wrong} wrong sources, {doubles} double answers"),
    );
    ensure!(lost == 0, "lost: {:?}", report.lost.first());
    ensure!(wrong == 0, "wrong sources: {:?}", fixture.sources.examples());
    ensure!(doubles == 0, "two answered: {:?}", fixture.answers.doubles(since).first());
    Ok(())
}

fn first_packets(fixture: &mut LabFixture, starts: u32) -> Result<()> {
    let port = fixture.lab.reserve_ports();
    fixture.sources.expect(Expect {
        name: "starts".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port)),
        allowed: fixture.addresses.clone(),
    });
    say::counted(&format!("{starts} pods, each sends as soon as its link is up"), |progress| {
        for number in 0..starts {
            progress.at(format!("({number} started)"));
            let name = format!("new-{number}");
            let spec = PodOptions::new("director-2", "payments", &name).label("app", "settle");
            fixture.lab.add_pod(&spec)?;
            for count in 0..3 {
                inject(fixture.lab.pod(&name)?, RawShape::Syn, 43_000 + count, port)?;
            }
            fixture.lab.remove_pod(&name)?;
        }
        Ok(())
    })?;
    let ledger = fixture.sources.ledger("starts");
    say::line(&format!("{} packets with the right source, {} wrong", ledger.right, ledger.wrong));
    ensure!(ledger.right > 0, "nothing arrived at all");
    Ok(())
}

/// 0.2 to 5 s without a link, with ten seconds between: ownership must not swing with it.
fn flap(fixture: &LabFixture) -> Result<()> {
    let address = *fixture.addresses.first().context("an address")?;
    let begun = WallTime::now();
    say::counted("20 flaps of 0.2 to 5 s, 10 s apart", |progress| {
        for number in 0..20 {
            progress.at(format!("({number} done)"));
            let holder = fixture.holder(address).context("nobody holds the address")?;
            fixture.lab.set_link(&holder, false)?;
            std::thread::sleep(Duration::from_millis(200 + 4800 * number / 19));
            fixture.lab.set_link(&holder, true)?;
            std::thread::sleep(Duration::from_secs(10));
            fixture.await_held(Duration::from_secs(20))?;
        }
        Ok(())
    })?;
    let moves = fixture.answers.runs().of(address).iter().filter(|run| run.first >= begun).count();
    say::line(&format!("{moves} moves in {:.0} s", WallTime::now().since(begun).as_secs_f64()));
    ensure!(moves <= 21, "{address} moved {moves} times in 20 flaps");
    Ok(())
}

fn outage(fixture: &mut LabFixture, minutes: u32) -> Result<()> {
    let before: Vec<_> = fixture.addresses.iter().map(|address| fixture.holder(*address)).collect();
    let begun = fixture.lab.cut_store()?;
    say::step(&format!("{minutes} min without a store"), || {
        std::thread::sleep(Duration::from_secs(u64::from(minutes) * 60));
        fixture.lab.restore_store()?;
        std::thread::sleep(Duration::from_secs(10));
        Ok(())
    })?;
    for (address, holder) in fixture.addresses.iter().zip(before) {
        let runs = fixture.answers.runs();
        let moved = runs.of(*address).iter().find(|run| run.first >= begun);
        ensure!(moved.is_none(), "{address} moved from {holder:?} during the outage: {moved:?}");
    }
    Ok(())
}

/// The blocks of a dead node are revoked after 5 min of absence and granted to nobody for 120 s
/// after that.
fn quarantine(fixture: &mut LabFixture) -> Result<()> {
    let taken = blocks(fixture, "director-2")?;
    ensure!(!taken.is_empty(), "director-2 has no block");
    fixture.lab.power_off("director-2")?;
    let limit = Duration::from_secs(5 * 60) + QUARANTINE;
    say::step("director-2 is off for 7 min", || {
        let begun = WallTime::now();
        while WallTime::now().since(begun) < limit {
            std::thread::sleep(Duration::from_secs(1));
            for name in fixture.lab.node_names().iter().filter(|name| *name != "director-2") {
                let double = blocks(fixture, name)?.into_iter().find(|block| taken.contains(block));
                ensure!(double.is_none(), "{name} has {double:?} within the quarantine");
            }
        }
        Ok(())
    })
}

/// The port blocks of a node, as text.
fn blocks(fixture: &LabFixture, node: &str) -> Result<Vec<String>> {
    let own = fixture.lab.blocks()?.into_iter().filter(|block| block.0 == node);
    Ok(own.map(|(_, address, first, last)| format!("{address} {first}-{last}")).collect())
}
