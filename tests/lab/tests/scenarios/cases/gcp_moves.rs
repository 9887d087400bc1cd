//! In a VPC of Google an address moves: its holder dies, is asked to give it away, or is frozen.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::checks::BOUND;
use egret_lab::cloud::gce::{Contest, LabVpc};
use egret_lab::{CableDirection, LabFixture, TestBed, WallTime, wait_until};
use serde_json::json;

use crate::fixtures::{back, holder, run_for};
use crate::google::{
    LEADS, address, announced, await_announcement, await_leads, goes_on, load, names, shared,
};

/// Longer than two movers have to be apart.
const APART: Duration = Duration::from_secs(4);
/// How long a takeover may take where nothing is in its way: many times what it does.
const TAKEOVER: Duration = Duration::from_secs(2);
/// How long an older announcement can be in its way beyond that: with the next announcement of the
/// newer one, which come after 1, 3 and 6 s.
const IN_THE_WAY: Duration = Duration::from_millis(3500);
/// How long each of Google's operations takes where that matters.
const SLOW: Duration = Duration::from_secs(2);
/// How long a machine stands still while it is migrated.
const MIGRATION: Duration = Duration::from_secs(5);

/// The holder's power is cut some time after it announced the address.
struct Death<'a> {
    name: &'a str,
    after: Duration,
    contest: Contest,
}

/// Long after: the successor's first announcement is followed.
pub fn death(bench: &mut Bench) -> Result<()> {
    let fixture = shared(bench)?;
    let case = Death { name: "gcp-death", after: APART, contest: Contest::Older };
    let followed = dies(fixture, &case)?;
    ensure!(followed < TAKEOVER, "followed after {followed:?}");
    Ok(())
}

/// Shortly after: either may be followed. Where it is the dead one, a later announcement decides.
pub fn contested_death(bench: &mut Bench) -> Result<()> {
    let after = Duration::from_millis(100);
    let newer = Death { name: "gcp-newer", after, contest: Contest::Newer };
    let followed = dies(shared(bench)?, &newer)?;
    ensure!(followed < TAKEOVER, "followed after {followed:?}");
    let older = Death { name: "gcp-older", after, contest: Contest::Older };
    let followed = dies(shared(bench)?, &older)?;
    ensure!(followed > TAKEOVER, "the older announcement was not in the way: {followed:?}");
    ensure!(followed < TAKEOVER + IN_THE_WAY, "followed after {followed:?}");
    Ok(())
}

/// Returns how long after the power-off an announcement of the successor was followed.
fn dies(fixture: &mut LabFixture, case: &Death<'_>) -> Result<Duration> {
    let load = load(fixture, case.name)?;
    run_for(1000);
    let old = holder(fixture)?;
    fixture.lab.vpc()?.let_win(case.contest);
    await_announcement(fixture.lab.vpc()?, &old)?;
    std::thread::sleep(case.after);
    let off = fixture.lab.power_off(&old)?;
    let new = fixture.await_successor(address(fixture)?, &old, Duration::from_secs(10))?;
    await_leads(fixture, &new)?;
    let what = format!("{old} → {new}, {:?} after it announced, {:?}", case.after, case.contest);
    goes_on(fixture, &load, off, &what)?;
    let changes = names(&fixture.lab.vpc()?.changes(off)?);
    ensure!(changes.first().is_some_and(|name| name.ends_with("Services.patch")), "{changes:?}");
    followed(fixture.lab.vpc()?, &new, off)
}

/// How long after `since` an announcement of a node was followed.
fn followed(vpc: &LabVpc, node: &str, since: WallTime) -> Result<Duration> {
    let own = announced(vpc, node, since);
    let first = own.iter().find(|heard| heard.followed);
    Ok(first.with_context(|| format!("no announcement of {node} was followed"))?.at.since(since))
}

/// `egret move` to every other gateway, and back.
pub fn planned(bench: &mut Bench) -> Result<()> {
    let fixture = shared(bench)?;
    let load = load(fixture, "gcp-move")?;
    run_for(1000);
    for contest in [Contest::Newer, Contest::Older] {
        fixture.lab.vpc()?.let_win(contest);
        let (first, mut turns) = (holder(fixture)?, fixture.lab.gateways());
        let at = turns.iter().position(|name| *name == first);
        turns.rotate_left(at.context("no gateway has the address")? + 1);
        for to in turns {
            let from = holder(fixture)?;
            let begun = WallTime::now();
            fixture.lab.run_egret(&["move", &address(fixture)?.to_string(), "--to", &to])?;
            let there = || (holder(fixture).ok()? == to).then_some(());
            wait_until(&format!("the address at {to}"), LEADS, there)?;
            await_leads(fixture, &to)?;
            run_for(3000);
            let what = format!("moved from {from} to {to}, {contest:?}");
            let stall = goes_on(fixture, &load, begun, &what)?.stall;
            ensure!(stall <= BOUND, "{what}: a connection stalled for {stall:?}");
        }
    }
    Ok(())
}

/// `egret move` to a gateway that is no endpoint of the service yet: nothing moves before it is one, however long
/// Google takes.
pub fn to_new_gateway(bench: &mut Bench) -> Result<()> {
    let fixture = shared(bench)?;
    let load = load(fixture, "gcp-new")?;
    let (own, from) = (address(fixture)?, holder(fixture)?);
    let gateways = fixture.lab.gateways();
    let to = gateways.into_iter().find(|name| *name != from).context("another gateway")?;
    fixture.lab.run_egret(&["drain", &to])?;
    let vpc = fixture.lab.vpc()?;
    let out = || {
        let objects = fixture.lab.objects("EgressAddress").ok()?;
        let prepared = objects.first()?["status"]["prepared"].to_string();
        (!vpc.endpoints(own).contains(&to) && !prepared.contains(&to)).then_some(())
    };
    wait_until(&format!("{to} is no endpoint"), LEADS, out)?;
    let millis = u64::try_from(SLOW.as_millis())?;
    vpc.inject_fault("latency", &json!({"milliseconds": millis}))?;
    let begun = WallTime::now();
    fixture.lab.run_egret(&["uncordon", &to])?;
    fixture.lab.run_egret(&["move", &own.to_string(), "--to", &to])?;
    let there = || (holder(fixture).ok()? == to).then_some(());
    wait_until(&format!("the address at {to}"), LEADS, there)?;
    run_for(1000);
    let silence = goes_on(fixture, &load, begun, &format!("moved from {from} to {to}"))?.udp_gap;
    ensure!(silence < SLOW, "datagrams waited for Google: {silence:?}");
    Ok(())
}

/// A false takeover: the agent of the holder is frozen for 5 s, its kernel goes on until the deadline.
pub fn frozen(bench: &mut Bench) -> Result<()> {
    let fixture = shared(bench)?;
    stands_still(fixture, "gcp-frozen", false)
}

/// A live migration: the holder is cut off and frozen for 5 s, and then it is back.
pub fn migrated(bench: &mut Bench) -> Result<()> {
    let fixture = shared(bench)?;
    stands_still(fixture, "gcp-migrated", true)
}

fn stands_still(fixture: &mut LabFixture, name: &str, cut_off: bool) -> Result<()> {
    let load = load(fixture, name)?;
    run_for(1000);
    let old = holder(fixture)?;
    let frozen = fixture.lab.freeze_agent(&old)?;
    if cut_off {
        fixture.lab.cut(&old, CableDirection::FromNode)?;
        fixture.lab.cut(&old, CableDirection::ToNode)?;
    }
    let successor = fixture.await_successor(address(fixture)?, &old, MIGRATION);
    std::thread::sleep(MIGRATION.saturating_sub(WallTime::now().since(frozen)));
    if cut_off {
        fixture.lab.heal(&old)?;
    }
    let thawed = fixture.lab.thaw_agent(&old)?;
    let new = successor?;
    await_leads(fixture, &new)?;
    run_for(8000);
    goes_on(fixture, &load, frozen, &format!("{name}: {old} → {new}"))?;
    ensure!(holder(fixture)? == new, "{old} took it back");
    let late = announced(fixture.lab.vpc()?, &old, thawed);
    ensure!(late.is_empty(), "{old} announced without a lease: {:?}", late.first());
    Ok(())
}

/// The API is away while the holder dies: packets go on through the successor, which leads as soon as
/// the API is back.
pub fn without_api(bench: &mut Bench) -> Result<()> {
    let fixture = shared(bench)?;
    let load = load(fixture, "gcp-away")?;
    run_for(1000);
    let (address, old) = (address(fixture)?, holder(fixture)?);
    fixture.lab.vpc()?.inject_fault("fail", &json!({"times": 1_000_000, "cut": true}))?;
    let off = fixture.lab.power_off(&old)?;
    let new = fixture.await_successor(address, &old, Duration::from_secs(10))?;
    run_for(15_000);
    goes_on(fixture, &load, off, &format!("{old} → {new} without the API"))?;
    let after = followed(fixture.lab.vpc()?, &new, off)?;
    ensure!(after < TAKEOVER, "followed after {after:?}");
    let vpc = fixture.lab.vpc()?;
    ensure!(vpc.leader(address).as_deref() == Some(&old), "the API was not away");
    ensure!(holder(fixture)? == new, "it went on from {new}");
    let back_at = WallTime::now();
    vpc.clear()?;
    await_leads(fixture, &new)?;
    egret_lab::note!("    {new} leads {:.0} ms later", WallTime::now().millis_after(back_at));
    goes_on(fixture, &load, back_at, "the API is back")?;
    drop(load);
    back(fixture, &old)
}
