//! What rows check, whatever the laboratory's nodes are made of.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::{Stamp, wait_until};
use crate::ground::Ground;
use crate::load::{Load, LoadReport};
use crate::stage::Stage;

/// The generous bound of every row.
pub const BOUND: Duration = Duration::from_secs(5);
/// Time for what costs a boot: the silence, a read, a plan.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The node that holds the first address.
///
/// # Errors
/// Where nobody answers for it.
pub fn holder(stage: &Stage<impl Ground>) -> Result<String> {
    let address = *stage.addresses.first().context("the stage has an address")?;
    stage.holder(address).with_context(|| format!("nobody answers for {address}"))
}

/// Waits until everything that `from` held has another holder; returns the first's.
///
/// # Errors
/// Where that takes longer than 15 s, or it held nothing.
pub fn moved(stage: &Stage<impl Ground>, from: &str, moving: &[IpAddr]) -> Result<String> {
    let mut first = None;
    for address in moving {
        let to = stage.await_successor(*address, from, Duration::from_secs(15))?;
        first.get_or_insert(to);
    }
    first.context("the node held nothing")
}

/// Every connection of a load lives, the longest stall is within the bound, and the oracle saw it.
///
/// # Errors
/// With what is not so.
pub fn alive(stage: &Stage<impl Ground>, load: &Load, since: Stamp) -> Result<LoadReport> {
    let report = load.report(since);
    ensure!(report.lost.is_empty(), "{} lost: {:?}", report.lost.len(), report.lost.first());
    ensure!(report.stall <= BOUND, "a connection stalled for {:?}", report.stall);
    let ledger = stage.sources.ledger(load.name());
    ensure!(ledger.right > 0, "the oracle saw nothing of the load");
    ensure!(ledger.wrong == 0, "{} wrong sources: {:?}", ledger.wrong, ledger.examples.first());
    Ok(report)
}

/// How many datagrams of a load have had no answer up to now.
#[must_use]
pub fn unanswered(load: &Load) -> u64 {
    load.report(Stamp(0)).udp.unanswered
}

/// No datagram was lost since [`unanswered`] was `before`. One per stream may be under way at the
/// moment of the count; where there are more, this process may not have been scheduled, and they have
/// a second.
///
/// # Errors
/// With how many were lost `when`.
pub fn none_lost(load: &Load, before: u64, when: &str) -> Result<()> {
    let streams = u64::try_from(load.report(Stamp(0)).udp.series)?;
    let missing = || unanswered(load).saturating_sub(before);
    let back = || (missing() <= streams).then_some(());
    let lost = wait_until("an answer to every datagram", Duration::from_secs(1), back);
    ensure!(lost.is_ok(), "{} datagrams lost {when}", missing());
    Ok(())
}

/// Nobody but `holders` (one per address) answered since `since`.
///
/// # Errors
/// With who did.
pub fn nothing_moved(
    stage: &Stage<impl Ground>,
    since: Stamp,
    holders: &[Option<String>],
) -> Result<()> {
    let runs = stage.answers.runs();
    for (address, holder) in stage.addresses.iter().zip(holders) {
        for run in runs.of(*address).iter().filter(|run| run.last >= since) {
            let by = stage.lab.name_of(run.mac);
            ensure!(by == *holder, "{address} moved from {holder:?} to {by:?}");
        }
    }
    Ok(())
}

/// Who holds each address now.
#[must_use]
pub fn holders(stage: &Stage<impl Ground>) -> Vec<Option<String>> {
    stage.addresses.iter().map(|address| stage.holder(*address)).collect()
}

/// Lets the load run for a while.
pub fn run_for(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}
