//! What happens to busy pods when a claim begins or ends, and when no gateway is left.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::address::{self, AddressFamily, OUTSIDE};
use crate::checks::{PATIENCE, alive, await_source, run_for};
use crate::clock::{WallTime, wait_until};
use crate::fixture::LabFixture;
use crate::load::{Load, LoadPlan, OneWay, knock};
use crate::oracle::Expect;
use crate::test_bed::TestBed;

/// S25: a claim begins and ends over two pods of director-1 and director-2. What they had open goes
/// on with the node's address, what they open leaves with the claim's; what was opened under the claim
/// survives its end. Returns the load from before the claim.
///
/// # Errors
/// With what is not so.
pub fn claim_over_busy_pods(
    fixture: &mut LabFixture<impl TestBed>,
    pods: [&str; 2],
    (claim, manifest): (&str, &str),
) -> Result<Load> {
    let names = fixture.lab.names();
    let nodes: Vec<_> = (1..).zip(&names).flat_map(|(number, _)| address::node(number)).collect();
    let mut plan = LoadPlan::new("s25 before", &pods);
    plan.udp = false;
    let old = Load::start(&mut fixture.lab, plan, Some((&fixture.sources, &nodes)))?;
    let one_way = OneWay::start(&mut fixture.lab, pods[0], Duration::from_millis(20))?;
    run_for(500);
    let applied = WallTime::now();
    fixture.lab.apply_claim(claim, manifest)?;
    let addresses = claimed(fixture, claim)?;
    for pod in pods {
        addresses.iter().try_for_each(|address| await_source(fixture, pod, *address))?;
    }
    one_way_follows(fixture, &one_way, &addresses)?;
    let plan = LoadPlan::new("s25 after", &pods).connections(4).probe(Duration::from_millis(100));
    let new = Load::start(&mut fixture.lab, plan, Some((&fixture.sources, &addresses)))?;
    run_for(3000);
    for load in [&old, &new] {
        alive(fixture, load, applied)?;
    }
    drop((new, one_way));
    let plan = LoadPlan::new("s25 last", &pods).connections(4);
    let last = Load::start(&mut fixture.lab, plan, Some((&fixture.sources, &addresses)))?;
    let removed = WallTime::now();
    fixture.lab.delete_claim(claim)?;
    run_for(5000);
    for load in [&old, &last] {
        alive(fixture, load, removed)?;
    }
    for (pod, director) in pods.iter().zip(["director-1", "director-2"]) {
        await_source(fixture, pod, own_address(fixture, director)?)?;
    }
    Ok(old)
}

/// A claim over a busy pod is deleted, and applied again while its addresses serve their last
/// connections: it gets them back with fence and holder, and no connection is lost.
///
/// # Errors
/// With what is not so.
pub fn claim_made_anew(
    fixture: &mut LabFixture<impl TestBed>,
    pod: &str,
    (claim, manifest): (&str, &str),
) -> Result<()> {
    let addresses = claimed(fixture, claim)?;
    let before = plans(fixture, &addresses)?;
    ensure!(!before.iter().any(is_released), "released before: {before:?}");
    let families: BTreeSet<_> = addresses.iter().copied().map(AddressFamily::of).collect();
    let families: Vec<_> = families.into_iter().collect();
    let plan = LoadPlan::new("s25 anew", &[pod]).connections(4).families(&families);
    let load = Load::start(&mut fixture.lab, plan, Some((&fixture.sources, &addresses)))?;
    run_for(500);
    let removed = WallTime::now();
    fixture.lab.delete_claim(claim)?;
    let released = |fixture: &LabFixture<_>, wanted: bool| {
        let now = plans(fixture, &addresses).ok()?;
        now.iter().all(|plan| is_released(plan) == wanted).then_some(now)
    };
    wait_until("the addresses to be released", PATIENCE, || released(fixture, true))?;
    // Every director says what it finds of this release, twice at least.
    run_for(3000);
    fixture.lab.apply_claim(claim, manifest)?;
    let after = wait_until("them to be taken back", PATIENCE, || released(fixture, false))?;
    let kept = |plans: &[Value]| -> Vec<Value> {
        plans.iter().flat_map(|plan| [plan["fence"].clone(), plan["owner"].clone()]).collect()
    };
    ensure!(kept(&before) == kept(&after), "another fence or owner: {before:?}, now {after:?}");
    ensure!(claimed(fixture, claim)? == addresses, "the claim has other addresses");
    addresses.iter().try_for_each(|address| await_source(fixture, pod, *address))?;
    run_for(2000);
    alive(fixture, &load, removed).map(drop)
}

fn is_released(plan: &Value) -> bool {
    !plan["released"].is_null() || !plan["revoked"].is_null()
}

/// The specs of addresses, in their order.
fn plans(fixture: &LabFixture<impl TestBed>, addresses: &[IpAddr]) -> Result<Vec<Value>> {
    let all = fixture.lab.objects("EgressAddress")?;
    let spec = |address: &IpAddr| {
        let own = all.iter().find(|object| {
            let text = object["spec"]["address"].as_str().unwrap_or_default();
            text.parse().is_ok_and(|known: IpAddr| known == *address)
        });
        own.map(|object| object["spec"].clone()).with_context(|| format!("no plan of {address}"))
    };
    addresses.iter().map(spec).collect()
}

/// A stream that never sees a reply keeps no address for ever: it leaves with the claim's now.
fn one_way_follows(
    fixture: &LabFixture<impl TestBed>,
    stream: &OneWay,
    allowed: &[IpAddr],
) -> Result<()> {
    let name = "s25 one way";
    expect(fixture, name, (stream.port(), stream.port()), allowed);
    let right = || (fixture.sources.ledger(name).right >= 50).then_some(());
    let what = "the one-way stream leaves with the claim's address";
    wait_until(what, Duration::from_secs(5), right)?;
    let wrong = fixture.sources.ledger(name).wrong;
    ensure!(wrong == 0, "{wrong} packets of a one-way stream left with the old source");
    Ok(())
}

/// S26: every gateway's power is cut. What the laboratory's claim selects reaches nothing outside, nor
/// does what `send` sends to a port of the outside server; `opted`, a pod of director-1 whose claim
/// says so, leaves with its node's address. Returns the gateways.
///
/// # Errors
/// With what is not so, and where `send` fails.
pub fn no_gateway<G: TestBed>(
    fixture: &mut LabFixture<G>,
    opted: &str,
    send: impl FnOnce(&LabFixture<G>, u16) -> Result<()>,
) -> Result<Vec<String>> {
    let port = fixture.lab.network_mut().reserve_ports();
    expect(fixture, "closed", (port, port + 9), &fixture.addresses);
    let pod = fixture.lab.pod_net("settle-1")?.path;
    let to = |family: AddressFamily| SocketAddr::new(family.pick(OUTSIDE), port);
    // The pod's node may still be waiting for its first port block.
    wait_until("a packet of the claim", PATIENCE, || {
        knock(&pod, to(AddressFamily::V4), 1);
        (fixture.sources.ledger("closed").right > 0).then_some(())
    })?;
    let gateways = fixture.lab.gateways();
    gateways.iter().try_for_each(|name| fixture.lab.power_off(name).map(drop))?;
    send(fixture, port + 1)?;
    for _ in 0..8 {
        for family in AddressFamily::BOTH {
            knock(&pod, to(family), 20);
        }
    }
    let ledger = fixture.sources.ledger("closed");
    ensure!(ledger.wrong == 0, "leaked: {:?}", ledger.examples.first());
    await_source(fixture, opted, own_address(fixture, "director-1")?)?;
    Ok(gateways)
}

fn expect(fixture: &LabFixture<impl TestBed>, name: &str, ports: (u16, u16), allowed: &[IpAddr]) {
    fixture.sources.expect(Expect {
        name: name.to_owned(),
        destinations: Vec::new(),
        ports: Some(ports),
        allowed: allowed.to_vec(),
    });
}

/// A node's own IPv4 address.
fn own_address(fixture: &LabFixture<impl TestBed>, node: &str) -> Result<IpAddr> {
    let at = fixture.lab.names().iter().position(|name| name == node);
    let number = u8::try_from(at.with_context(|| format!("no node {node}"))? + 1)?;
    Ok(AddressFamily::V4.pick(address::node(number)))
}

/// The addresses of a claim, once it is ready.
///
/// # Errors
/// Where it is not within [`PATIENCE`].
pub fn claimed(fixture: &LabFixture<impl TestBed>, claim: &str) -> Result<Vec<IpAddr>> {
    let addresses = wait_until(&format!("claim {claim} to be ready"), PATIENCE, || {
        let objects = fixture.lab.objects("StaticEgressIP").ok()?;
        let own = objects.into_iter().find(|object| object["metadata"]["name"] == claim)?;
        let mut all = own["status"]["conditions"].as_array()?.iter();
        let ready = all.any(|c| c["type"] == "Ready" && c["status"] == "True");
        let addresses = own["status"]["summary"]["addresses"].as_str()?.to_owned();
        ready.then_some(addresses)
    })?;
    addresses.split(',').map(|text| text.trim().parse().context("an address")).collect()
}
