//! Nodes that the cluster knows by a private network, which no default route leaves.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use egret_lab::address::private_node;
use egret_lab::bench::Bench;
use egret_lab::load::Load;
use egret_lab::{
    LabFixture, LabNode, NodeMarks, PEERS_PORT, PRIVATE_LINK, PRIVATE_MTU, TUNNEL_PORT, TestBed,
    WallTime, pod_manifest,
};

use crate::fixtures::{
    PATIENCE, alive, await_source, back, bank, holder, holders, load, moved, nothing_moved,
    run_for, settles, usual, with_claim,
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

/// A node's tunnel moves by its annotation while its pods' datagrams go on, to another address of its network and
/// back: the others know the new end before it is used. To another network and back it moves too. What nobody can
/// read, or the node has not, moves nothing and is said.
pub fn moves_when_told(bench: &mut Bench) -> Result<()> {
    let mut lab = usual().build()?;
    lab.add_private_network()?;
    let fixture = bench.own(with_claim(lab)?);
    bank().into_iter().try_for_each(|address| await_source(fixture, "settle-1", address))?;
    let held = holder(fixture)?;
    for node in ["director-1", &held] {
        let node = fixture.lab.node(node)?;
        endpoints_are_private(fixture, node)?;
        node.shell(&format!("ip addr add {}/24 dev {PRIVATE_LINK}", second_address(node)))?;
    }
    settles(fixture)?;
    moves_without_loss(fixture, &held)?;
    let own = fixture.lab.node("director-1")?;
    let public: Vec<String> = own.addresses().iter().map(ToString::to_string).collect();
    // Where the others are not: they need not reach it.
    annotate(fixture, "director-1", Some("Uplink"))?;
    endpoints_are(fixture, own, &public)?;
    annotate(fixture, "director-1", None)?;
    endpoints_are_private(fixture, fixture.lab.node("director-1")?)?;
    bank().into_iter().try_for_each(|address| await_source(fixture, "settle-1", address))?;
    annotate(fixture, "director-1", Some("10.9.0.0/16"))?;
    let said = await_said(fixture, "director-1", "EndpointImpaired")?;
    ensure!(said.contains("10.9.0.0/16") && said.contains("egret.dev/tunnel-endpoint"), "{said}");
    // Nobody can read it: what was known stays.
    annotate(fixture, "director-1", Some("eth1"))?;
    fixture.lab.journal().wait("NotUnderstood", WallTime(0), PATIENCE, |entry| {
        format!("{entry:?}").contains("director-1")
    })?;
    await_said(fixture, "director-1", "EndpointImpaired")?;
    endpoints_are_private(fixture, fixture.lab.node("director-1")?)?;
    annotate(fixture, "director-1", None)?;
    await_said(fixture, "director-1", "Programmed").map(drop)
}

/// Kubernetes knows a node by IPv6 alone when its agent begins, and by IPv4 too later, as a host-network pod's addresses
/// there say: the tunnel ends at both then, and what pods send goes on.
pub fn ipv4_comes_later(bench: &mut Bench) -> Result<()> {
    const NODE: &str = "director-1";
    let mut lab = usual().build()?;
    lab.add_private_network()?;
    lab.let_ipv4_come(NODE)?;
    let fixture = bench.own(with_claim(lab)?);
    let node = fixture.lab.node(NODE)?;
    let [four, six] = private_node(node.number);
    endpoints_are(fixture, node, &[six.to_string()])?;
    bank().into_iter().try_for_each(|address| await_source(fixture, "settle-1", address))?;
    let (begun, load) = (WallTime::now(), load(fixture, "comes")?);
    run_for(1000);
    let before = load.unanswered();
    let pod = pod_manifest("kube-system", "kube-proxy", NODE, &BTreeMap::new(), [four, six]);
    let pod = pod.replace("spec: {", "spec: {hostNetwork: true, ");
    fixture.lab.write_manifest("kube-proxy.yaml", &pod)?;
    endpoints_are_private(fixture, fixture.lab.node(NODE)?)?;
    few_lost(&load, &before)?;
    alive(fixture, &load, begun)?;
    bank().into_iter().try_for_each(|address| await_source(fixture, "settle-1", address))
}

fn moves_without_loss(fixture: &mut LabFixture, held: &str) -> Result<()> {
    let (begun, holders) = (WallTime::now(), holders(fixture));
    let load = load(fixture, "moves")?;
    run_for(1000);
    for node in ["director-1", held] {
        let own = fixture.lab.node(node)?;
        let second = second_address(own);
        let before = load.unanswered();
        annotate(fixture, node, Some(&second))?;
        endpoints_are(fixture, own, &[second])?;
        few_lost(&load, &before)?;
        let before = load.unanswered();
        annotate(fixture, node, None)?;
        endpoints_are_private(fixture, own)?;
        few_lost(&load, &before)?;
    }
    alive(fixture, &load, begun)?;
    nothing_moved(fixture, begun, &holders)
}

/// No stream stood still for longer than a tenth of a second: each sends a datagram every 50 ms.
fn few_lost(load: &Load, before: &BTreeSet<(usize, u64)>) -> Result<()> {
    run_for(1000);
    let lost: Vec<_> = load.unanswered().difference(before).copied().collect();
    let mut of_streams = BTreeMap::<usize, usize>::new();
    lost.iter().for_each(|(stream, _)| *of_streams.entry(*stream).or_default() += 1);
    // The last ones may still be on their way.
    ensure!(of_streams.values().all(|lost| *lost <= 3), "lost: {lost:?}");
    Ok(())
}

fn second_address(node: &LabNode) -> String {
    format!("192.0.2.{}", node.number + 200)
}

fn annotate(fixture: &LabFixture, node: &str, endpoint: Option<&str>) -> Result<()> {
    fixture.lab.write_node_as(node, &NodeMarks { endpoint, ..NodeMarks::default() })
}

fn await_said(fixture: &LabFixture, name: &str, reason: &str) -> Result<String> {
    let said = || {
        let objects = fixture.lab.objects("EgressNode").ok()?;
        let node = objects.into_iter().find(|object| object["metadata"]["name"] == name)?;
        let conditions = node["status"]["conditions"].as_array()?.clone();
        let found = conditions.into_iter().find(|condition| condition["reason"] == reason)?;
        found["message"].as_str().map(str::to_owned)
    };
    egret_lab::wait_until(&format!("{reason} of {name}"), PATIENCE, said)
}

fn tunnel_has(node: &LabNode, mtu: u32) -> Result<()> {
    let so = || {
        let said = node.shell("cat /sys/class/net/egret0/mtu").ok()?;
        (said.trim() == mtu.to_string()).then_some(())
    };
    egret_lab::wait_until(&format!("an MTU of {mtu} in the tunnel of {}", node.name), PATIENCE, so)
}

fn endpoints_are_private(fixture: &LabFixture, node: &LabNode) -> Result<()> {
    endpoints_are(fixture, node, &private_node(node.number).map(|address| address.to_string()))
}

fn endpoints_are(fixture: &LabFixture, node: &LabNode, wanted: &[String]) -> Result<()> {
    let said = || {
        let objects = fixture.lab.objects("EgressNode").ok()?;
        let own = objects.into_iter().find(|object| object["metadata"]["name"] == node.name)?;
        own["status"]["endpoints"].as_array()?.iter().eq(wanted.iter()).then_some(())
    };
    egret_lab::wait_until(&format!("the endpoints {wanted:?} of {}", node.name), PATIENCE, said)
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
