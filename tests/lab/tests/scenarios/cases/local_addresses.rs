//! Tools of the host make what a cloud delivers an address of the host, again and again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::{LabFixture, TestBed, WallTime, wait_until};

use crate::fixtures::{holder, run_for};
use crate::google::{address, goes_on, lived, load, shared};
use crate::region::pair;

/// So often an address is taken back at once; after that it stays for a while.
const AT_ONCE: usize = 3;

/// As amazon-ec2-net-utils does it at every change of an interface's addresses.
pub fn on_aws(bench: &mut Bench) -> Result<()> {
    let fixture = pair(bench)?;
    let load = load(fixture, "local-aws")?;
    let since = WallTime::now();
    let node = holder(fixture)?;
    let (at, wire) = fixture.lab.cloud()?.delivery(address(fixture)?).context("no delivery")?;
    ensure!(at == node, "delivered to {at}, held by {node}");
    let objects = fixture.lab.objects("EgressAddress")?;
    let mac = &objects.first().context("no EgressAddress")?["status"]["attachment"]["macAddress"];
    let mac = mac.as_str().context("the attachment names no interface")?;
    let links = fixture.lab.node(&node)?.shell("ip -o link")?;
    let link = links.lines().find(|line| line.contains(mac)).context("no such link")?;
    let link = link.split([':', '@']).nth(1).context("a link has a name")?.trim();
    let line = format!("ip addr add {wire}/32 dev {link} noprefixroute");
    fight(fixture, &node, &wire.to_string(), &line, "amazon-ec2-net-utils")?;
    let report = lived(fixture, &load, since)?;
    egret_lab::note!("    longest stall {} ms", report.stall.as_millis());
    Ok(())
}

/// As Google's guest agent does it on every instance that a rule's service has.
pub fn on_google(bench: &mut Bench) -> Result<()> {
    let fixture = shared(bench)?;
    let load = load(fixture, "local-google")?;
    let since = WallTime::now();
    let address = address(fixture)?.to_string();
    let line = format!("ip route add to local {address} scope host dev eth0 proto 66");
    let node = holder(fixture)?;
    let gateways: Vec<String> = fixture.lab.vpc()?.endpoints(address.parse()?);
    let others: Vec<&String> = gateways.iter().filter(|other| **other != node).collect();
    ensure!(others.len() == 2, "{gateways:?}");
    for other in others {
        fixture.lab.node(other)?.shell(&line)?;
        await_taken_back(fixture, other, &address, Duration::from_secs(5))?;
    }
    fight(fixture, &node, &address, &line, "Google's guest agent")?;
    goes_on(fixture, &load, since, "with an address that comes back").map(drop)
}

/// Puts an address on a node until Egret says that it comes back again and again.
fn fight(fixture: &LabFixture, node: &str, address: &str, line: &str, who: &str) -> Result<()> {
    let begun = WallTime::now();
    for time in 0..=AT_ONCE {
        let added = WallTime::now();
        fixture.lab.node(node)?.shell(line)?;
        ensure!(time < AT_ONCE || is_local(fixture, node, address)?, "taken back too soon");
        let limit = Duration::from_secs(if time < AT_ONCE { 5 } else { 15 });
        await_taken_back(fixture, node, address, limit)?;
        egret_lab::note!("    gone after {:.0} ms", WallTime::now().millis_after(added));
    }
    // It is gone a moment before its agent says so.
    let said = || {
        let all = fixture.lab.journal().events("taken_back", begun).into_iter();
        let own = all.filter(|entry| entry.from == node).map(|entry| entry.text("message"));
        Some(own.collect::<Vec<_>>()).filter(|said| said.len() > AT_ONCE)
    };
    let said = wait_until("a word on each time", Duration::from_secs(5), said)?;
    ensure!(said.len() == AT_ONCE + 1, "{said:?}");
    let first = said.first().cloned().flatten().context("a message")?;
    ensure!(first.contains(who) && first.contains(address), "{first}");
    ensure!(said.iter().all(|other| other.as_ref() == Some(&first)), "no one event: {said:?}");
    let ready = || {
        let objects = fixture.lab.objects("EgressNode").ok()?;
        let own = objects.into_iter().find(|object| object["metadata"]["name"] == node)?;
        let conditions = own["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|condition| condition["reason"] == "AddressIsLocal")
    };
    let condition = wait_until("a condition that says so", Duration::from_secs(10), ready)?;
    let message = condition["message"].as_str().unwrap_or_default();
    ensure!(message.contains(who) && condition["status"] == "False", "{condition}");
    // Nothing is written while nothing changes.
    let quiet = WallTime::now();
    run_for(3000);
    let more = fixture.lab.journal().events("taken_back", quiet);
    ensure!(more.is_empty(), "{more:?}");
    Ok(())
}

fn is_local(fixture: &LabFixture, node: &str, address: &str) -> Result<bool> {
    // A node without a route to it says so by an error.
    let said = fixture.lab.node(node)?.output(&format!("ip route get {address}"))?;
    Ok(String::from_utf8_lossy(&said.stdout).starts_with("local "))
}

fn await_taken_back(
    fixture: &LabFixture,
    node: &str,
    address: &str,
    limit: Duration,
) -> Result<()> {
    let gone = || is_local(fixture, node, address).is_ok_and(|local| !local).then_some(());
    wait_until(&format!("{address} is none of {node}'s own"), limit, gone)
}
