//! A holder that the voters hear, and whose packets through the tunnel do not come to the pods' nodes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::load::{Load, LoadPlan};
use egret_lab::{LabFixture, TestBed as _, WallTime, wait_until};
use serde_json::Value;

use super::s18_on_interface::condition;
use crate::fixtures::{holder, holders, nothing_moved, run_for, settles, usual, with_claim};

const DIRECTORS: [&str; 2] = ["director-1", "director-2"];
/// Until it is said, asked, answered and moved; a bound, not an expectation.
const LIMIT: Duration = Duration::from_secs(60);

/// Both nodes with traffic lose a holder: its addresses go to a standby, with every connection. One node alone
/// loses the next: it says so, and nothing moves (nor would it for two within ten minutes).
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    settles(fixture)?;
    let begun = WallTime::now();
    let plan = LoadPlan::new("unreached", &["settle-1", "settle-2"]);
    let allowed = fixture.addresses.clone();
    let load = Load::start(&mut fixture.lab, plan, Some((&fixture.sources, &allowed)))?;
    run_for(1500);
    let old = holder(fixture)?;
    let moving = fixture.held_by(&old);
    let cut = WallTime::now();
    for director in DIRECTORS {
        cut_off(fixture, director, &old)?;
    }
    for address in &moving {
        let new = fixture.await_successor(*address, &old, LIMIT)?;
        ensure!(
            moved_off(fixture, &address.to_string())? == old,
            "{address} went for another reason"
        );
        egret_lab::note!("{address} from {old} to {new}: {}", fixture.passage(*address, &old, cut));
    }
    // TCP asks again ever later.
    let all = || load.report(cut).lost.is_empty().then_some(());
    wait_until("every connection goes on", LIMIT, all)?;
    egret_lab::note!("the longest pause of a connection: {:?}", load.report(cut).stall);
    for director in DIRECTORS {
        heal(fixture, director)?;
    }
    one_alone(fixture)?;
    let report = load.report(cut);
    ensure!(report.lost.iter().all(|lost| lost.why == "silent"), "{:?}", report.lost.first());
    wait_until("every connection goes on", LIMIT, all)?;
    fixture.check_invariants(begun)?;
    settles(fixture)
}

fn one_alone(fixture: &LabFixture) -> Result<()> {
    let alone = DIRECTORS[0];
    let (old, before, cut) = (holder(fixture)?, holders(fixture), WallTime::now());
    cut_off(fixture, alone, &old)?;
    wait_until("it says so", LIMIT, || {
        let (_, reason, why) = condition(&fixture.lab, "EgressNode", alone, "Ready")?;
        (reason == "TunnelUnanswered" && why.contains(&old)).then_some(())
    })?;
    // The controller has read it long since.
    run_for(3000);
    nothing_moved(fixture, cut, &before)?;
    heal(fixture, alone)?;
    wait_until("the condition ends", LIMIT, || {
        let (ready, ..) = condition(&fixture.lab, "EgressNode", alone, "Ready")?;
        ready.then_some(())
    })
}

/// What the holder sends through the tunnel does not come to this node; what the agents say to each other does.
fn cut_off(fixture: &LabFixture, director: &str, holder: &str) -> Result<()> {
    let nodes = fixture.lab.objects("EgressNode")?;
    let node =
        nodes.iter().find(|node| node["metadata"]["name"] == holder).context("no such node")?;
    let ends = node["status"]["endpoints"].as_array().context("it has no endpoints")?;
    let drop = |end: &Value| {
        let end = end.as_str().unwrap_or_default();
        let family = if end.contains(':') { "ip6" } else { "ip" };
        format!("{family} saddr {end} udp dport 5480 drop; ")
    };
    let rules: String = ends.iter().map(drop).collect();
    let chain = format!("chain input {{ type filter hook input priority 0; {rules} }}");
    fixture.lab.node(director)?.shell(&format!("nft 'table inet cut {{ {chain}; }}'")).map(|_| ())
}

fn heal(fixture: &LabFixture, director: &str) -> Result<()> {
    fixture.lab.node(director)?.shell("nft delete table inet cut").map(|_| ())
}

/// The holder that the plan of an address says it was moved off.
fn moved_off(fixture: &LabFixture, address: &str) -> Result<String> {
    let objects = fixture.lab.objects("EgressAddress")?;
    let object = objects.iter().find(|object| object["spec"]["address"] == address);
    let node = object.and_then(|object| object["spec"]["movedOff"]["node"].as_str());
    Ok(node.context("it was moved off nobody")?.to_owned())
}
