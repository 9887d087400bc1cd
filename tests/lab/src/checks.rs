//! What scenarios check, whatever the laboratory's nodes are made of.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::address::AddressFamily;
use crate::clock::{WallTime, wait_until};
use crate::fixture::LabFixture;
use crate::journal::JournalEntry;
use crate::load::{Load, LoadPlan, LoadReport, source_seen};
use crate::test_bed::TestBed;

/// The generous bound of every scenario.
pub const BOUND: Duration = Duration::from_secs(5);
/// Time for what costs a boot: the silence, a read, a plan.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The load of most scenarios: forty connections, UDP, a new connection now and then.
///
/// # Errors
/// Where a pod does not run.
pub fn load(fixture: &mut LabFixture<impl TestBed>, name: &str) -> Result<Load> {
    let plan = LoadPlan::new(name, &["settle-1", "settle-2"]).probe(Duration::from_millis(250));
    let allowed = fixture.addresses.clone();
    Load::start(&mut fixture.lab, plan, Some((&fixture.sources, &allowed)))
}

/// The node that holds the first address.
///
/// # Errors
/// Where nobody answers for it.
pub fn holder(fixture: &LabFixture<impl TestBed>) -> Result<String> {
    let address = *fixture.addresses.first().context("the fixture has an address")?;
    fixture.holder(address).with_context(|| format!("nobody answers for {address}"))
}

/// Waits until everything that `from` held has another holder; returns the first's.
///
/// # Errors
/// Where that takes longer than 15 s, or it held nothing.
pub fn moved(fixture: &LabFixture<impl TestBed>, from: &str, moving: &[IpAddr]) -> Result<String> {
    let mut first = None;
    for address in moving {
        let to = fixture.await_successor(*address, from, Duration::from_secs(15))?;
        first.get_or_insert(to);
    }
    first.context("the node held nothing")
}

/// Every connection of a load lives, the longest stall is within the bound, and the oracle saw it.
///
/// # Errors
/// With what is not so.
pub fn alive(
    fixture: &LabFixture<impl TestBed>,
    load: &Load,
    since: WallTime,
) -> Result<LoadReport> {
    let report = load.report(since);
    ensure!(report.lost.is_empty(), "{} lost: {:?}", report.lost.len(), report.lost.first());
    ensure!(report.stall <= BOUND, "a connection stalled for {:?}", report.stall);
    let ledger = fixture.sources.ledger(load.name());
    ensure!(ledger.right > 0, "the oracle saw nothing of the load");
    ensure!(ledger.wrong == 0, "{} wrong sources: {:?}", ledger.wrong, ledger.examples.first());
    Ok(report)
}

/// Of the datagrams that were sent since [`Load::unanswered`] was `before`, all but one per stream have their
/// answers. Those that are under way have as long as a machine that is busy elsewhere needs.
///
/// # Errors
/// With how many were lost `when`.
pub fn none_lost(load: &Load, before: &BTreeSet<(usize, u64)>, when: &str) -> Result<()> {
    let streams = load.report(WallTime(0)).udp.series;
    let mut lost: BTreeSet<_> = load.unanswered().difference(before).copied().collect();
    let answered = || {
        let missing = load.unanswered();
        lost.retain(|datagram| missing.contains(datagram));
        lost.is_empty().then_some(())
    };
    let all = wait_until("an answer to every datagram", Duration::from_secs(5), answered);
    if all.is_err() {
        crate::note!("    {} datagrams lost {when}: {lost:?}", lost.len());
    }
    ensure!(lost.len() <= streams, "{} datagrams lost {when}: {:?}", lost.len(), lost.first());
    Ok(())
}

/// Nobody but `holders` (one per address) answered since `since`.
///
/// # Errors
/// With who did.
pub fn nothing_moved(
    fixture: &LabFixture<impl TestBed>,
    since: WallTime,
    holders: &[Option<String>],
) -> Result<()> {
    let runs = fixture.answers.runs();
    for (address, holder) in fixture.addresses.iter().zip(holders) {
        for run in runs.of(*address).iter().filter(|run| run.last >= since) {
            let by = fixture.lab.name_of(run.mac);
            ensure!(by == *holder, "{address} moved from {holder:?} to {by:?}");
        }
    }
    Ok(())
}

/// Who holds each address now.
#[must_use]
pub fn holders(fixture: &LabFixture<impl TestBed>) -> Vec<Option<String>> {
    fixture.addresses.iter().map(|address| fixture.holder(*address)).collect()
}

/// Waits until nothing changes hands any more after a cut has ended, for a second.
///
/// # Errors
/// With what still does.
pub fn settles(fixture: &LabFixture<impl TestBed>) -> Result<()> {
    run_for(2000);
    let end = Instant::now() + PATIENCE;
    loop {
        let (settled, now) = (WallTime::now(), holders(fixture));
        run_for(1000);
        match nothing_moved(fixture, settled, &now) {
            Err(_) if Instant::now() < end => {}
            settled => return settled.context("after the cut has ended"),
        }
    }
}

/// Boots a node that is off and waits until all is as it was before.
///
/// # Errors
/// Where it is not in time.
pub fn back(fixture: &mut LabFixture<impl TestBed>, name: &str) -> Result<()> {
    all_back(fixture, &[name.to_owned()])
}

/// The same with several at once.
///
/// # Errors
/// Where it is not in time.
pub fn all_back(fixture: &mut LabFixture<impl TestBed>, names: &[String]) -> Result<()> {
    rejoin(fixture, names, PATIENCE)?;
    fixture.lab.await_nodes()?;
    fixture.lab.await_egret()?;
    fixture.await_held(PATIENCE)
}

/// Boots nodes that are off and waits until they may vote and, within `planned`, every address is
/// planned with them. On a cluster that was without its API server not every controller runs by then.
///
/// # Errors
/// Where one does not in time.
pub fn rejoin<G: TestBed>(
    fixture: &mut LabFixture<G>,
    names: &[String],
    planned: Duration,
) -> Result<()> {
    let booted = WallTime::now();
    names.iter().try_for_each(|name| fixture.lab.boot(name))?;
    for name in names {
        let votes = |entry: &JournalEntry| entry.from == *name;
        fixture.lab.journal().wait("may_vote", booted, G::BOOT_LIMIT, votes)?;
        fixture.await_planned(name, planned)?;
    }
    Ok(())
}

/// Waits until the outside sees `pod` with this address.
///
/// # Errors
/// Where it does not within 20 s.
pub fn await_source(
    fixture: &mut LabFixture<impl TestBed>,
    pod: &str,
    wanted: IpAddr,
) -> Result<()> {
    await_any_source(fixture, pod, &[wanted])
}

/// Waits until the outside sees `pod` with one of these addresses, all of one family.
///
/// # Errors
/// Where it does not within 20 s.
pub fn await_any_source(
    fixture: &mut LabFixture<impl TestBed>,
    pod: &str,
    wanted: &[IpAddr],
) -> Result<()> {
    let family = AddressFamily::of(*wanted.first().context("an address is wanted")?);
    wait_until(&format!("{pod} leaves as {wanted:?}"), Duration::from_secs(20), || {
        let seen = source_seen(&mut fixture.lab, pod, family).ok();
        seen.filter(|seen| wanted.contains(seen)).map(|_| ())
    })
}

/// Lets the load run for a while.
pub fn run_for(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}
