//! S18: an egress address is on an interface of a node already.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::load::{Ping, knock, seen_by};
use egret_lab::{Lab, LabFixture, PodNet, TestBed, WallTime, wait_until};

use crate::fixtures::{
    BANK, PATIENCE, await_source, bank, claim, holder, run_for, usual, with_claim,
};

const GATEWAYS: [&str; 2] = ["gateway-1", "gateway-2"];
const VIP: &str = "203.0.113.21";
/// Of the same subnet, and in no pool.
const UNCLAIMED: &str = "203.0.113.90";

/// A VIP of a gateway that is claimed stays unheld and goes on to serve; both say where it is. It is held
/// once it is gone there.
pub fn never_held(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let begun = WallTime::now();
    let node = holder(fixture)?;
    put(fixture, &node, VIP)?;
    fixture.lab.write_manifest("vip.yaml", &claim("vip", "nobody", &[VIP], "Drop"))?;
    await_conflict(fixture, VIP, &[&node, "vip0"])?;
    run_for(6000); // longer than an address is probed for
    await_claim(fixture, "vip", "Conflict", &[&node, "vip0"])?;
    let announced = fixture.answers.announcements(begun);
    let announced = announced.iter().find(|a| a.address.to_string() == VIP);
    ensure!(announced.is_none(), "announced in spite of the node that has it: {announced:?}");
    let port = fixture.lab.reserve_ports();
    let (net, listen) =
        (fixture.lab.node(&node)?.net()?.path(), SocketAddr::new(VIP.parse()?, port));
    seen_by(&net, listen, &fixture.lab.out.path(), listen).context("the service on it is dead")?;
    fixture.lab.node(&node)?.shell("ip link del vip0")?;
    await_claim(fixture, "vip", "Ready", &[])?;
    fixture.lab.remove_manifest("vip.yaml")?;
    fixture.await_held(PATIENCE)
}

/// What a node has on an interface goes on to be served while its agent is restarted: the new one writes no
/// entry that takes it from the host.
pub fn restarted(bench: &mut Bench) -> Result<()> {
    // After the row above the VIP was held.
    let fixture = bench.own(with_claim(usual().build()?)?);
    let node = other_gateway(fixture)?;
    put(fixture, node, VIP)?;
    fixture.lab.write_manifest("vip.yaml", &claim("vip", "nobody", &[VIP], "Drop"))?;
    await_conflict(fixture, VIP, &[node, "vip0"])?;
    let outside = PodNet { path: fixture.lab.out.path(), addresses: bank() };
    let ping = Ping::start(outside, VIP.parse()?, Duration::from_millis(20), 2000)?;
    let first = || (!ping.answered().is_empty()).then_some(());
    wait_until("an answer of the VIP", PATIENCE, first)?;
    // With the store away the new agent goes by what the one before has kept.
    fixture.lab.cut_store()?;
    let killed = fixture.lab.kill_agent(node)?;
    fixture.lab.start_agent(node)?;
    fixture.lab.await_agent(node, killed)?;
    run_for(4000);
    let answered = ping.answered().len();
    wait_until("more answers", PATIENCE, || (ping.answered().len() > answered + 10).then_some(()))?;
    fixture.lab.restore_store()?;
    let gap = ping.longest_gap();
    ensure!(gap < 10, "{gap} requests in a row, 20 ms apart, were not answered");
    fixture.lab.node(node)?.shell("ip link del vip0")?;
    await_claim(fixture, "vip", "Ready", &[])?;
    fixture.lab.remove_manifest("vip.yaml")?;
    fixture.await_held(PATIENCE)
}

/// What was held is held again where a node has got it while no agent ran. Not once it was revoked and taken
/// back: by then it is that node's, and goes on to serve it.
pub fn gap(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    let node = other_gateway(fixture)?;
    for gateway in GATEWAYS {
        let kept = || was_held(fixture, gateway).then_some(());
        wait_until("a gateway that keeps that it was held", PATIENCE, kept)?;
    }
    let before = answered_for(&fixture.lab).context("no holder in the status")?;
    let names = fixture.lab.node_names();
    for name in &names {
        fixture.lab.kill_agent(name)?;
    }
    run_for(3000); // T × 1.13 + 2 s
    put(fixture, node, BANK[0])?;
    for name in &names {
        fixture.lab.start_agent(name)?;
    }
    await_conflict(fixture, BANK[0], &[node, "vip0"])?;
    let again = |at: &(u64, bool)| at.0 > before.0 && at.1;
    let held = || answered_for(&fixture.lab).filter(again);
    let held = wait_until("a holder that answers in spite of the node", PATIENCE, held)?;
    await_source(fixture, "settle-1", bank()[0])?;
    await_conflict(fixture, BANK[0], &[node, "vip0"])?;

    fixture.lab.remove_manifest("bank.yaml")?;
    let revoked = || fixture.lab.run_egret(&["release", BANK[0]]).ok();
    wait_until("the end of the address", PATIENCE, revoked)?;
    // The router goes on to ask the last holder for most of a minute.
    fixture.lab.router.run("ip neigh flush all");
    let outside = PodNet { path: fixture.lab.out.path(), addresses: bank() };
    let ping = Ping::start(outside, bank()[0], Duration::from_millis(50), 2000)?;
    let answered = |many: usize| (ping.answered().len() > many).then_some(());
    wait_until("answers of the node that has it", PATIENCE, || answered(10))?;
    run_for(3000); // T × 1.13 + 2 s
    let begun = WallTime::now();
    fixture.lab.write_manifest("bank.yaml", &claim("bank", "settle", &BANK, "Drop"))?;
    let kept_off = |at: &(u64, bool)| at.0 > held.0 && !at.1;
    let taken_back = || answered_for(&fixture.lab).filter(kept_off);
    wait_until("a holder that does not answer", PATIENCE, taken_back)?;
    run_for(6000); // longer than an address is probed for
    let more = ping.answered().len() + 10;
    wait_until("more answers of that node", PATIENCE, || answered(more))?;
    ensure!(answered_for(&fixture.lab).is_some_and(|at| kept_off(&at)), "it is answered for");
    let announced = fixture.answers.announcements(begun);
    let announced = announced.iter().find(|a| a.address == bank()[0]);
    ensure!(announced.is_none(), "announced in spite of the node that has it: {announced:?}");
    Ok(())
}

/// The epoch of the holder that the status of the bank's IPv4 address names, and whether it answers.
fn answered_for(lab: &Lab) -> Option<(u64, bool)> {
    let objects = lab.objects("EgressAddress").ok()?;
    let status = objects.iter().find(|object| object["spec"]["address"] == BANK[0])?;
    let status = &status["status"];
    let epoch = status["holding"]["epoch"]["counter"].as_u64()?;
    Some((epoch, status["probed"] == true))
}

/// A gateway that does not hold the bank's address.
fn other_gateway(fixture: &LabFixture) -> Result<&'static str> {
    let holder = holder(fixture)?;
    let other = GATEWAYS.into_iter().find(|name| *name != holder);
    other.context("two names are one")
}

/// Whether a node's agent has read, and keeps for a restart, that the bank's IPv4 address was held.
fn was_held(fixture: &LabFixture, node: &str) -> bool {
    let kept = fixture.lab.node(node).and_then(|node| node.shell("cat /run/egret/snapshot.json"));
    let kept = kept.ok().and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    kept.is_some_and(|kept| kept["view"]["addresses"][BANK[0]]["wasHeld"] == true)
}

/// Puts an address on an interface of a node.
fn put(fixture: &LabFixture, node: &str, address: &str) -> Result<()> {
    let add = format!(
        "ip link add vip0 type bridge && ip link set vip0 up && ip addr add {address}/32 dev vip0"
    );
    fixture.lab.node(node)?.shell(&add).map(drop)
}

/// A VIP of the gateway's uplink that no claim names: what a pod sends there is dropped by a name of its own.
pub fn unclaimed(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let node = holder(fixture)?;
    fixture.lab.node(&node)?.shell(&format!("ip addr add {UNCLAIMED}/32 dev eth0"))?;
    let own = claim("bank", "settle", &BANK, "Drop");
    let wider = own.replace("[{cidr: 198", &format!("[{{cidr: {UNCLAIMED}/32}}, {{cidr: 198"));
    fixture.lab.write_manifest("bank.yaml", &wider)?;
    let port = fixture.lab.reserve_ports();
    let pod = fixture.lab.pod("settle-1")?.net.path();
    let before = dropped_here(fixture, &node)?;
    let dropped = || {
        knock(&pod, SocketAddr::new(UNCLAIMED.parse().ok()?, port), 3);
        (dropped_here(fixture, &node).ok()? > before).then_some(())
    };
    wait_until("a drop by name", PATIENCE, dropped)?;
    fixture.lab.node(&node)?.shell(&format!("ip addr del {UNCLAIMED}/32 dev eth0"))?;
    fixture.lab.write_manifest("bank.yaml", &own)?;
    await_source(fixture, "settle-1", bank()[0])
}

/// How often a node's programs have dropped a packet for an address of its own.
fn dropped_here(fixture: &LabFixture, node: &str) -> Result<u64> {
    let live = format!("'{}' explain --live", fixture.lab.egret()?.display());
    let said = fixture.lab.node(node)?.shell(&live)?;
    let line = said.lines().find_map(|line| line.strip_prefix("destination_is_here"));
    let count = line.and_then(|rest| rest.split_whitespace().next());
    count.map_or(Ok(0), |count| Ok(count.parse()?))
}

/// What is held stays held, and says so.
pub fn held(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let node = holder(fixture)?;
    fixture.lab.node(&node)?.shell(&format!("ip addr add {}/32 dev lo", BANK[0]))?;
    await_conflict(fixture, BANK[0], &[&node, "lo"])?;
    await_source(fixture, "settle-1", bank()[0])?;
    ensure!(holder(fixture)? == node, "it has moved");
    fixture.lab.node(&node)?.shell(&format!("ip addr del {}/32 dev lo", BANK[0]))?;
    let over = || condition(&fixture.lab, "EgressAddress", BANK[0], "Conflict").filter(|c| !c.0);
    wait_until("the end of the conflict", PATIENCE, over)?;
    await_source(fixture, "settle-1", bank()[0])
}

fn await_conflict(fixture: &LabFixture, address: &str, parts: &[&str]) -> Result<()> {
    let found = || {
        let (status, _, message) = condition(&fixture.lab, "EgressAddress", address, "Conflict")?;
        (status && parts.iter().all(|part| message.contains(part))).then_some(message)
    };
    let message = wait_until("a conflict that names node and interface", PATIENCE, found)?;
    egret_lab::note!("    {address}: {message}");
    Ok(())
}

/// Waits until the claim is Ready for this reason.
fn await_claim(fixture: &LabFixture, name: &str, reason: &str, parts: &[&str]) -> Result<()> {
    let found = || {
        let (_, said, message) = condition(&fixture.lab, "StaticEgressIP", name, "Ready")?;
        (said == reason && parts.iter().all(|part| message.contains(part))).then_some(())
    };
    wait_until(&format!("claim {name} says {reason}"), PATIENCE, found)
}

/// Status, reason and message of a condition of the object that has this name or address.
pub fn condition(lab: &Lab, kind: &str, of: &str, about: &str) -> Option<(bool, String, String)> {
    let objects = lab.objects(kind).ok()?;
    let own = |object: &serde_json::Value| {
        object["metadata"]["name"] == of || object["spec"]["address"] == of
    };
    let object = objects.into_iter().find(own)?;
    let conditions = object["status"]["conditions"].as_array()?.clone();
    let found = conditions.into_iter().find(|condition| condition["type"] == about)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some((found["status"] == "True", text("reason"), text("message")))
}
