//! Gateways whose addresses are on a second interface, each as another image leaves that.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::address::{AddressFamily, OUTSIDE_COUNT, outside};
use egret_lab::bench::Bench;
use egret_lab::cloud::{Region, Zone};
use egret_lab::load::Load;
use egret_lab::{LabFixture, LabNode, TestBed, WallTime, wait_until};

use crate::fixtures::{holder, run_for, usual};
use crate::region::{address, await_attached, lived, load, serve_public};

const LIMIT: Duration = Duration::from_secs(20);
/// What an agent says of an interface it has not been able to use for so long, others act on.
const UNUSABLE_FOR: Duration = Duration::from_secs(10);

/// The case of each gateway, and the subnet of its second interface.
const CASES: [(Case, Zone); 4] = [
    (Case::AtLaunch, Zone::A),
    (Case::HotPlugged, Zone::A),
    (Case::HotPlugged, Zone::A2),
    (Case::NetUtils, Zone::A),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// nodeadm configured it: systemd-networkd manages it, with a table and a rule of its own.
    AtLaunch,
    /// nodeadm left it to a CNI that leaves it alone: it is down, and has no address.
    HotPlugged,
    /// amazon-ec2-net-utils: managed, and every secondary address is the host's. Without a default
    /// route.
    NetUtils,
}

/// The address is carried by each of them in turn, on that interface alone; then one is taken down by
/// hand, and one by its manager.
pub fn second(bench: &mut Bench) -> Result<()> {
    let gateways = vec![Zone::A; CASES.len()];
    let seconds = CASES.iter().map(|(_, zone)| *zone).collect();
    let region = Region { gateways, seconds, ..Region::default() };
    let lab = usual().gateways(u8::try_from(CASES.len())?).cloud(region).build()?;
    for (number, (case, zone)) in (1..).zip(CASES) {
        prepare(lab.node(&format!("gateway-{number}"))?, number, case, zone)?;
    }
    let fixture = bench.own(serve_public(lab, None)?);
    let load = load(fixture, "aws-second")?;
    let since = WallTime::now();
    every_one(fixture, &load)?;
    first_interface_sends_nothing(fixture)?;
    repaired(fixture, &load)?;
    first_interface_sends_nothing(fixture)?;
    given_up(fixture, &load)?;
    first_interface_sends_nothing(fixture)?;
    lived(fixture, &load, since).map(drop)
}

/// Nothing of pods and of the address. An answer from outside is none of theirs: one that comes for a wire
/// address before the agent has read that it is here goes up the host's stack, and on from there.
fn first_interface_sends_nothing(fixture: &LabFixture) -> Result<()> {
    let outside: Vec<IpAddr> =
        (0..OUTSIDE_COUNT).map(|index| outside(AddressFamily::V4, index)).collect();
    for node in fixture.lab.gateways() {
        let mut foreign = fixture.lab.cloud()?.foreign_by_first(&node)?;
        foreign.retain(|source, _| !outside.contains(&IpAddr::V4(*source)));
        ensure!(foreign.is_empty(), "{node} sent by its first interface: {foreign:?}");
    }
    Ok(())
}

/// The interface as the image leaves it.
fn prepare(node: &LabNode, number: u8, case: Case, zone: Zone) -> Result<()> {
    let (own, router) = (zone.second(number), zone.host(1));
    let up = format!("ip addr add {own}/24 dev eth1 noprefixroute && ip link set eth1 up");
    match case {
        Case::HotPlugged => networkd(node, "unmanaged"),
        Case::AtLaunch => {
            node.shell(&up)?;
            node.shell(&format!(
                "ip route add default via {router} dev eth1 onlink table 10001
                 ip rule add from {own} lookup 10001 priority 32765"
            ))?;
            networkd(node, "configured")
        }
        Case::NetUtils => {
            node.shell(&up)?;
            networkd(node, "configured")
        }
    }
}

/// What systemd-networkd says of the interface.
fn networkd(node: &LabNode, state: &str) -> Result<()> {
    node.shell(&format!(
        "mkdir -p /run/systemd/netif/links
         echo ADMIN_STATE={state} >/run/systemd/netif/links/$(cat /sys/class/net/eth1/ifindex)"
    ))
    .map(drop)
}

/// By drain after drain.
fn every_one(fixture: &LabFixture, load: &Load) -> Result<()> {
    let mut seen = Vec::new();
    loop {
        let node = holder(fixture)?;
        await_attached(fixture, &node)?;
        served_by_second(fixture, &node)?;
        let begun = WallTime::now();
        if case_of(&node)? == Case::NetUtils {
            taken_back(fixture, &node)?;
        }
        run_for(1000);
        let report = lived(fixture, load, begun)?;
        egret_lab::note!("    {node}: longest stall {} ms", report.stall.as_millis());
        seen.push(node.clone());
        if seen.len() == CASES.len() {
            break;
        }
        fixture.lab.run_egret(&["drain", &node])?;
        let moved = || holder(fixture).ok().filter(|next| !seen.contains(next));
        wait_until("another holder", LIMIT, moved)?;
    }
    seen.iter().try_for_each(|node| fixture.lab.run_egret(&["uncordon", node]).map(drop))
}

fn case_of(node: &str) -> Result<Case> {
    let all = (1..).zip(CASES);
    let found = all.map(|(number, (case, _))| (format!("gateway-{number}"), case));
    Ok(found.into_iter().find(|(name, _)| name == node).context("no such gateway")?.1)
}

/// The attachment names the second interface, and that is up with its own address, by which no route of
/// the main table leads.
fn served_by_second(fixture: &LabFixture, node: &str) -> Result<()> {
    let cloud = fixture.lab.cloud()?;
    let (mac, _) = cloud.instance(node)?.second.context("a second interface")?;
    let objects = fixture.lab.objects("EgressAddress")?;
    let at = &objects.first().context("no EgressAddress")?["status"]["attachment"];
    let named = egret_lab::address::mac_text(mac);
    ensure!(at["node"] == node && at["macAddress"] == *named, "{at}, not {named}");
    let own = at["primaryAddress"].as_str().context("the attachment names no own address")?;
    let shown = fixture.lab.node(node)?.shell("ip addr show dev eth1 up")?;
    ensure!(shown.contains(&format!("inet {own} ")), "{shown}");
    let ours = shown.contains("eth1:egret");
    ensure!(ours == (case_of(node)? == Case::HotPlugged), "Egret did it: {ours}; {shown}");
    let routes = fixture.lab.node(node)?.shell("ip route show table main")?;
    ensure!(!routes.contains("eth1"), "{routes}");
    Ok(())
}

/// As amazon-ec2-net-utils does when the interface gets an address.
fn taken_back(fixture: &LabFixture, node: &str) -> Result<()> {
    let (at, wire) =
        fixture.lab.cloud()?.delivery(address(fixture)?).context("it is delivered nowhere")?;
    ensure!(at == node, "delivered to {at}, held by {node}");
    fixture.lab.node(node)?.shell(&format!("ip addr add {wire}/32 dev eth1 noprefixroute"))?;
    let gone = || {
        let shown = fixture.lab.node(node).ok()?.shell("ip addr show dev eth1").ok()?;
        (!shown.contains(&format!("inet {wire}/32"))).then_some(())
    };
    wait_until("the end of a local address", LIMIT, gone)
}

/// Moves the address to a gateway whose interface Egret configured. A drain is over a moment before
/// its gateway is a standby.
fn to_hot_plugged(fixture: &LabFixture) -> Result<String> {
    let node = "gateway-2".to_owned();
    if holder(fixture)? != node {
        let address = address(fixture)?.to_string();
        let asked = || fixture.lab.run_egret(&["move", &address, "--to", &node]).ok();
        wait_until("a standby", LIMIT, asked)?;
        let there = || (holder(fixture).ok()? == node).then_some(());
        wait_until("the address there", LIMIT, there)?;
    }
    await_attached(fixture, &node)?;
    Ok(node)
}

/// Somebody takes the holder's interface down, and its address away.
fn repaired(fixture: &LabFixture, load: &Load) -> Result<()> {
    let node = to_hot_plugged(fixture)?;
    run_for(1000);
    let begun = WallTime::now();
    fixture.lab.node(&node)?.shell("ip addr flush dev eth1; ip link set eth1 down")?;
    wait_until("the interface as it was", LIMIT, || served_by_second(fixture, &node).ok())?;
    egret_lab::note!("    repaired after {:.0} ms", WallTime::now().millis_after(begun));
    let report = lived(fixture, load, begun)?;
    egret_lab::note!("    longest stall {} ms", report.stall.as_millis());
    ensure!(holder(fixture)? == node, "it moved for a moment's fault");
    Ok(())
}

/// Its manager takes it down: Egret leaves it alone, says so, and another gateway gets the address.
fn given_up(fixture: &LabFixture, load: &Load) -> Result<()> {
    let node = holder(fixture)?;
    let begun = WallTime::now();
    networkd(fixture.lab.node(&node)?, "configured")?;
    fixture.lab.node(&node)?.shell("ip addr flush dev eth1; ip link set eth1 down")?;
    let said = || {
        let objects = fixture.lab.objects("EgressNode").ok()?;
        let own = objects.into_iter().find(|object| object["metadata"]["name"] == node)?;
        let conditions = own["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|condition| condition["reason"] == "InterfaceUnusable")
    };
    let condition = wait_until("a condition that says so", LIMIT, said)?;
    let message = condition["message"].as_str().unwrap_or_default();
    ensure!(condition["status"] == "False" && message.contains("systemd-networkd"), "{condition}");
    let moved = || holder(fixture).ok().filter(|next| *next != node);
    let next = wait_until("another holder", UNUSABLE_FOR + LIMIT, moved)?;
    await_attached(fixture, &next)?;
    egret_lab::note!("    {next} has it after {:.0} ms", WallTime::now().millis_after(begun));
    lived(fixture, load, begun).map(drop)
}
