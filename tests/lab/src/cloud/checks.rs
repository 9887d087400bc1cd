//! What scenarios of the cloud look at, whatever the nodes are made of.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::RecordedCall;
use crate::address::AddressFamily;
use crate::checks::PATIENCE;
use crate::clock::{WallTime, wait_until};
use crate::fixture::LabFixture;
use crate::load::{Load, LoadPlan, LoadReport};
use crate::test_bed::TestBed;

/// A pause that a connection may notice.
const NOTICED: Duration = Duration::from_millis(300);

/// Waits until the voters are as many as they will be, and know it: while there are fewer, the
/// holder may be half of them. (A set grows by one voter per longest lease.)
///
/// # Errors
/// Where there are not within [`PATIENCE`].
pub fn await_voters(fixture: &LabFixture<impl TestBed>) -> Result<()> {
    let full = if fixture.lab.names().len() >= 5 { 5 } else { 3 };
    wait_until(&format!("{full} voters"), PATIENCE, || {
        let objects = fixture.lab.objects("EgressCluster").ok()?;
        let set = &objects.first()?["spec"]["set"];
        let words = format!("AcknowledgedSet({})", set["number"]);
        let said = fixture.lab.journal().events("lease", WallTime(0));
        let known = said.iter().filter(|entry| entry.text("message") == Some(words.clone()));
        (set["members"].as_array()?.len() == full && known.count() >= full).then_some(())
    })
}

/// Waits until what stands ready for the standbys does: for two seconds nothing was changed. `changes` are
/// the cloud's since a moment.
///
/// # Errors
/// Where there are some all the time.
pub fn await_rest(changes: impl Fn(WallTime) -> Result<Vec<RecordedCall>>) -> Result<()> {
    wait_until("two seconds in which nothing is changed", PATIENCE, || {
        let changed = changes(WallTime::now() - Duration::from_secs(2)).ok()?;
        changed.is_empty().then_some(())
    })
}

/// The one address of such a fixture.
///
/// # Errors
/// Where it has none.
pub fn address(fixture: &LabFixture<impl TestBed>) -> Result<IpAddr> {
    fixture.addresses.first().copied().context("the fixture has an address")
}

/// Twenty connections, UDP, a new connection now and then.
///
/// # Errors
/// Where a pod does not run.
pub fn load(fixture: &mut LabFixture<impl TestBed>, name: &str) -> Result<Load> {
    let plan = LoadPlan::new(name, &["settle-1", "settle-2"]).families(&[AddressFamily::V4]);
    let plan = plan.probe(Duration::from_millis(250));
    let allowed = fixture.addresses.clone();
    Load::start(&mut fixture.lab, plan, Some((&fixture.sources, &allowed)))
}

/// Waits until every connection goes on as before; none was lost, and the outside has seen nothing
/// but the address.
///
/// # Errors
/// With what is not so.
pub fn lived(
    fixture: &LabFixture<impl TestBed>,
    load: &Load,
    since: WallTime,
) -> Result<LoadReport> {
    // Waiting ends with the first connection that has ended; one that is silent may come back.
    let flows = || {
        let last = load.report(WallTime::now() - Duration::from_millis(500));
        let silent = last.lost.iter().any(|lost| lost.why == "silent");
        let ended = last.lost.iter().any(|lost| lost.why != "silent");
        (ended || !silent && last.stall < Duration::from_millis(400)).then_some(())
    };
    let flowing = wait_until("every connection goes on", Duration::from_secs(40), flows);
    let report = load.report(since);
    ensure!(report.lost.is_empty(), "{} lost: {:?}", report.lost.len(), report.lost.first());
    flowing?;
    let ledger = fixture.sources.ledger(load.name());
    ensure!(ledger.right > 0, "the oracle saw nothing of the load");
    ensure!(ledger.wrong == 0, "{} wrong sources: {:?}", ledger.wrong, ledger.examples.first());
    fixture.check_invariants(since)?;
    Ok(report)
}

/// The names of calls, with the code of those that failed.
#[must_use]
pub fn names(calls: &[RecordedCall]) -> Vec<String> {
    let name = |call: &RecordedCall| match call.result.as_str() {
        "OK" => call.action.clone(),
        code => format!("{} ({code})", call.action),
    };
    calls.iter().map(name).collect()
}

/// Nothing was changed in the cloud since `since` but this.
///
/// # Errors
/// With what was changed.
pub fn changed(
    fixture: &LabFixture<impl TestBed>,
    since: WallTime,
    expected: &[&str],
) -> Result<()> {
    let names = names(&fixture.lab.cloud()?.changes(since)?);
    ensure!(names == expected, "changing calls: {names:?}, expected {expected:?}");
    Ok(())
}

/// A condition of the address: whether it is true, and its message.
#[must_use]
pub fn condition(fixture: &LabFixture<impl TestBed>, kind: &str) -> Option<(bool, String)> {
    let address = address(fixture).ok()?.to_string();
    let objects = fixture.lab.objects("EgressAddress").ok()?;
    let own = objects.iter().find(|object| object["spec"]["address"] == address)?;
    let all = own["status"]["conditions"].as_array()?;
    let found = all.iter().find(|condition| condition["type"] == kind)?;
    Some((found["status"] == "True", found["message"].as_str()?.to_owned()))
}

/// Waits until the condition says that the address is attached to `node`.
///
/// # Errors
/// Where it does not within [`PATIENCE`], with what it says.
pub fn await_attached(fixture: &LabFixture<impl TestBed>, node: &str) -> Result<()> {
    wait_until("the condition Attached", PATIENCE, || {
        condition(fixture, "Attached").filter(|(good, text)| *good && text.contains(node)).map(drop)
    })
    .with_context(|| format!("{:?}", condition(fixture, "Attached")))
}

/// What happened between the cause at `begun` and the first packet through the new holder.
///
/// # Errors
/// Where the double of EC2 does not answer.
pub fn tell(fixture: &LabFixture<impl TestBed>, load: &Load, begun: WallTime) -> Result<()> {
    let address = address(fixture)?;
    let mut lines = Vec::new();
    for entry in fixture.lab.journal().entries(begun) {
        let own = entry.address() == Some(address);
        let said = match entry.event.as_str() {
            "took_over" if own => "has taken it over",
            "holder_known" if own && entry.from.starts_with("director") => "steers to the holder",
            "Attached" => "has seen it attached",
            _ => continue,
        };
        lines.push((entry.at, format!("{} {said}", entry.from)));
    }
    for call in fixture.lab.cloud()?.changes(begun)? {
        let name = names(std::slice::from_ref(&call)).remove(0);
        lines.push((call.answered, format!("{name} answered")));
    }
    let ledger = fixture.sources.ledger(load.name());
    let longest = ledger.longest_pause(begun);
    let long = ledger.pauses.iter().filter(|(last, first)| first.since(*last) >= NOTICED);
    for (last, first) in long.filter(|pause| pause.1 >= begun).chain(&longest) {
        lines.push((*last, "last packet seen outside".to_owned()));
        lines.push((*first, "first packet seen outside".to_owned()));
    }
    lines.sort();
    lines.dedup();
    for (at, what) in lines {
        crate::note!("    {:>8.0} ms   {what}", at.millis_after(begun));
    }
    let cloud = fixture.lab.cloud()?;
    for (what, counted) in [("foreign", cloud.foreign()?), ("unmapped", cloud.unmapped()?)] {
        for ((node, source), count) in counted {
            crate::note!("    dropped as {what}: {count} packets of {node} from {source}");
        }
    }
    Ok(())
}
