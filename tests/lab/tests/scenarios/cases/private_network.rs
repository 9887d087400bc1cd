//! Nodes that the cluster knows by a private network, which no default route leaves.

use anyhow::{Context, Result, ensure};
use egret_lab::address::private_node;
use egret_lab::bench::Bench;
use egret_lab::{LabFixture, LabNode, PEERS_PORT, PRIVATE_LINK, PRIVATE_MTU, TUNNEL_PORT, TestBed};

use crate::fixtures::{
    PATIENCE, await_source, back, bank, holder, moved, settles, usual, with_claim,
};

/// What VXLAN over IPv4 adds to a frame.
const OVERHEAD: u32 = 50;

/// Frames and messages go by that network, and none by the public one; the tunnel's MTU is that network's.
pub fn run(bench: &mut Bench) -> Result<()> {
    let mut lab = usual().build()?;
    lab.add_private_network()?;
    lab.nodes().iter().try_for_each(count_ways)?;
    let fixture = bench.own(with_claim(lab)?);
    bank().into_iter().try_for_each(|address| await_source(fixture, "settle-1", address))?;
    for node in fixture.lab.nodes() {
        endpoints_are_private(fixture, node)?;
        tunnel_has(node, PRIVATE_MTU - OVERHEAD)?;
    }
    // What the uplink cannot carry would be lost at a gateway, without a word to its sender.
    let node = fixture.lab.node("director-1")?;
    node.shell(&format!("ip link set {PRIVATE_LINK} mtu 9000"))?;
    tunnel_has(node, 1500)?;
    let held = holder(fixture)?;
    let moving = fixture.held_by(&held);
    fixture.lab.power_off(&held)?;
    moved(fixture, &held, &moving)?;
    settles(fixture)?;
    for node in fixture.lab.nodes().iter().filter(|node| node.is_on()) {
        let (public, private) = (packets(node, "public")?, packets(node, "private")?);
        ensure!(public == 0, "{}: {public} packets by the public network", node.name);
        ensure!(private > 0, "{}: none by the private network", node.name);
    }
    back(fixture, &held)?;
    endpoints_are_private(fixture, fixture.lab.node(&held)?)
}

fn tunnel_has(node: &LabNode, mtu: u32) -> Result<()> {
    let so = || {
        let said = node.shell("cat /sys/class/net/egret0/mtu").ok()?;
        (said.trim() == mtu.to_string()).then_some(())
    };
    egret_lab::wait_until(&format!("an MTU of {mtu} in the tunnel of {}", node.name), PATIENCE, so)
}

fn endpoints_are_private(fixture: &LabFixture, node: &LabNode) -> Result<()> {
    let wanted = private_node(node.number).map(|address| address.to_string());
    let said = || {
        let objects = fixture.lab.objects("EgressNode").ok()?;
        let own = objects.into_iter().find(|object| object["metadata"]["name"] == node.name)?;
        own["status"]["endpoints"].as_array()?.iter().eq(wanted.iter()).then_some(())
    };
    egret_lab::wait_until(&format!("the private endpoints of {}", node.name), PATIENCE, said)
}

/// Counts what this node sends to the other nodes' agents, by each of its networks.
fn count_ways(node: &LabNode) -> Result<()> {
    let rule = |way: &str, link: &str| {
        format!("oifname {link} udp dport {{ {TUNNEL_PORT}, {PEERS_PORT} }} counter name {way}")
    };
    node.shell(&format!(
        "nft 'table inet lab-ways {{ counter public {{ }}; counter private {{ }}; chain out {{
           type filter hook output priority 0; {}; {}; }}; }}'",
        rule("public", "eth0"),
        rule("private", PRIVATE_LINK)
    ))
    .map(drop)
}

fn packets(node: &LabNode, way: &str) -> Result<u64> {
    let said = node.shell(&format!("nft list counter inet lab-ways {way}"))?;
    let mut words = said.split_whitespace().skip_while(|word| *word != "packets").skip(1);
    words.next().and_then(|word| word.parse().ok()).with_context(|| said.clone())
}
