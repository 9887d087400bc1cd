//! Others remove what Egret installed; Egret removes all of it when asked.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::load::{RawShape, inject};
use egret_lab::oracle::Expect;
use egret_lab::{LabFixture, TestBed, WallTime, wait_until};

use crate::fixtures::{bank, run_for, usual, with_claim};
use egret_lab::bench::Bench;

/// `egret0` down, our rule deleted, another's rule for our mark before it, our table deleted: no packet with another source, and repair.
///
/// In a laboratory of its own: in one that has been flushed no scenario can say that nothing ever left with
/// a wrong source.
pub fn foreign_hands(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    let rule = "pref=$(ip rule | grep fwmark | cut -d: -f1 | head -n1); ip rule del pref $pref";
    let mark = "mark=$(ip rule | sed -n 's/.*fwmark \\(0x[0-9a-f]*\\) lookup.*/\\1/p' | head -n1); \
                ip rule add pref 80 fwmark $mark lookup main";
    for (name, line) in [("link", "ip link set egret0 down"), ("rule", rule), ("mark", mark)] {
        hurt(fixture, name, line, true)?;
    }
    hurt(fixture, "flush", "nft flush ruleset", false)
}

/// Does `line` on a director while a pod sends; what leaves must be right, but for a flush of the
/// whole rule set, whose gap is measured.
fn hurt(fixture: &mut LabFixture, name: &str, line: &str, strict: bool) -> Result<()> {
    let port = fixture.lab.reserve_ports();
    let name = format!("repair-{name}");
    fixture.sources.expect(Expect {
        name: name.clone(),
        destinations: Vec::new(),
        ports: Some((port, port + 9)),
        allowed: bank().to_vec(),
    });
    let begun = WallTime::now();
    let source = std::sync::atomic::AtomicU16::new(45_000);
    let send = |fixture: &LabFixture| {
        let from = source.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        inject(fixture.lab.pod("settle-1")?, RawShape::Syn, from, port)
    };
    send(fixture)?;
    fixture.lab.node("director-1")?.shell(line)?;
    for _ in 0..200 {
        send(fixture)?;
        run_for(5);
    }
    let repaired = || {
        let events = fixture.lab.journal().events("repaired", begun);
        events.iter().any(|entry| entry.from == "director-1").then_some(())
    };
    wait_until("an event that says what was repaired", Duration::from_secs(5), repaired)?;
    let before = fixture.sources.ledger(&name);
    send(fixture)?;
    let again = || (fixture.sources.ledger(&name).right > before.right).then_some(());
    wait_until("a packet after the repair", Duration::from_secs(5), again)?;
    let ledger = fixture.sources.ledger(&name);
    let gap = ledger.examples.last().map_or(0.0, |wrong| wrong.at.millis_after(begun));
    egret_lab::note!("    {name}: {} wrong, the last after {gap:.0} ms", ledger.wrong);
    ensure!(!strict || ledger.wrong == 0, "{name}: leaked {:?}", ledger.examples.first());
    if !strict {
        // The rules of the CNI went with ours.
        fixture.lab.restore_cni("director-1")?;
    }
    Ok(())
}

/// After teardown nothing of Egret is left in a node's kernel.
pub fn teardown(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    fixture.lab.stop_agent("director-2")?;
    let egret = fixture.lab.egret()?;
    let node = fixture.lab.node("director-2")?;
    node.shell(&format!("'{}' teardown", egret.display()))?;
    let left = node.shell(
        "nft list tables | grep -i egret; ip -d link | grep egret0; ip rule | grep fwmark; \
         ip -6 rule | grep fwmark; find /sys/fs/bpf -name '*egret*'; true",
    )?;
    ensure!(left.trim().is_empty(), "left behind: {left}");
    let others = node.shell("nft list tables")?;
    ensure!(others.contains("lab-cni"), "a foreign table is gone: {others}");
    fixture.lab.start_agent("director-2")?;
    crate::fixtures::await_source(fixture, "settle-2", bank()[0])
}
