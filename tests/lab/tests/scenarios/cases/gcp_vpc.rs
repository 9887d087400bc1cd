//! The laboratory's VPC treats packets as Google's network does. Egret does not run here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use egret_lab::bench::Bench;
use egret_lab::cloud::gce::{Contest, GceRegion, LabVpc};
use egret_lab::wire::{Mac, arp_request, gratuitous_arp};
use egret_lab::{FrameTap, Lab, wait_until};
use serde_json::{Value, json};

use crate::cases::gcp_vpc_fixed;
use crate::datagrams::{exchange, receive, seen, socket};

const LIMIT: Duration = Duration::from_secs(5);
/// How long an announcement counts here.
const OVERRIDES: Duration = Duration::from_secs(4);
const OUT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
const GROUP: &str = "zones/europe-west3-a/networkEndpointGroups";

pub fn as_google(_: &mut Bench) -> Result<()> {
    let region = GceRegion { open: false, overrides: OVERRIDES, ..GceRegion::default() };
    let lab = Lab::builder().directors(0).google(region).build()?;
    let address = serve(&lab)?;
    underlay(&lab)?;
    firewall(&lab, address)?;
    lab.vpc()?.open_firewall()?;
    sources(&lab, address)?;
    announcements(&lab, address)?;
    contests(&lab, address)?;
    gcp_vpc_fixed::targets(&lab)?;
    gcp_vpc_fixed::aliases(&lab)
}

/// A service with gateway-1 and gateway-2, led by gateway-1, and its rule.
fn serve(lab: &Lab) -> Result<Ipv4Addr> {
    let vpc = lab.vpc()?;
    let Some(IpAddr::V4(address)) = vpc.addresses().first() else { bail!("an IPv4 address") };
    let network = json!({"network": "global/networks/net"});
    let mut group = network.clone();
    group["name"] = "group".into();
    group["networkEndpointType"] = "GCE_VM_IP".into();
    group["subnetwork"] = "regions/europe-west3/subnetworks/nodes".into();
    vpc.by_hand("POST", GROUP, &group)?;
    let endpoints: Vec<Value> =
        ["gateway-1", "gateway-2"].iter().map(|name| json!({"instance": name})).collect();
    let endpoints = json!({"networkEndpoints": endpoints});
    vpc.by_hand("POST", &format!("{GROUP}/group/attachNetworkEndpoints"), &endpoints)?;
    let group = format!("https://www.googleapis.com/compute/v1/projects/egret/{GROUP}/group");
    let mut service = network;
    for (field, value) in [
        ("name", json!("service")),
        ("loadBalancingScheme", json!("EXTERNAL")),
        ("protocol", json!("UNSPECIFIED")),
        ("backends", json!([{"group": &group}])),
        (
            "haPolicy",
            json!({
                "fastIPMove": "GARP_RA",
                "leader": {
                    "backendGroup": &group,
                    "networkEndpoint": {"instance": "gateway-1"},
                },
            }),
        ),
    ] {
        service[field] = value;
    }
    vpc.by_hand("POST", "regions/europe-west3/backendServices", &service)?;
    let rule = json!({
        "name": "rule", "IPProtocol": "L3_DEFAULT", "allPorts": true,
        "loadBalancingScheme": "EXTERNAL", "IPAddress": address,
        "backendService": "projects/egret/regions/europe-west3/backendServices/service",
    });
    vpc.by_hand("POST", "regions/europe-west3/forwardingRules", &rule)?;
    for name in ["gateway-1", "gateway-2", "gateway-3"] {
        lab.node(name)?.shell(&format!("ip addr add {address}/32 dev eth0"))?;
    }
    await_at(vpc, (*address).into(), Some("gateway-1"))?;
    Ok(*address)
}

/// Nodes reach each other and the outside as themselves, past nobody: the router answers for all.
fn underlay(lab: &Lab) -> Result<()> {
    for name in ["gateway-1", "gateway-2", "gateway-3"] {
        let node = lab.node(name)?;
        let own = node.internal_addresses()[0];
        let IpAddr::V4(source) = own else { bail!("{own} is no IPv4 address") };
        ensure!(seen(node.net()?, (&lab.out, OUT), source)? == Some(own), "{name} is not {own}");
    }
    let (one, three) = (lab.node("gateway-1")?, lab.node("gateway-3")?);
    one.shell(&format!("ping -c 1 -W 2 {}", three.internal_addresses()[0]))?;
    let neighbours = one.shell("ip -4 neigh show dev eth0")?;
    ensure!(neighbours.lines().count() == 1, "more than the gateway: {neighbours}");
    let IpAddr::V4(asked) = three.internal_addresses()[0] else { bail!("no IPv4 address") };
    let answerer = answer(lab, asked)?;
    ensure!(answerer != three.mac(), "{} answers for itself", three.name);
    Ok(())
}

/// Who answers gateway-1's ARP request.
fn answer(lab: &Lab, asked: Ipv4Addr) -> Result<Mac> {
    let one = lab.node("gateway-1")?;
    let IpAddr::V4(own) = one.internal_addresses()[0] else { bail!("no IPv4 address") };
    let _inside = one.net()?.enter();
    let mut tap = FrameTap::open(Some("eth0"))?;
    tap.send(&arp_request(one.mac(), own, asked))?;
    wait_until("an answer by ARP", LIMIT, || {
        let frame = tap.next(Duration::from_millis(100)).ok()??;
        let packet = egret_lab::wire::decode(frame.bytes).filter(|_| !frame.outgoing)?;
        match packet.body {
            egret_lab::wire::Body::Arp { operation: 2, sender, sender_mac, .. } => {
                (sender == asked).then_some(sender_mac)
            }
            _ => None,
        }
    })
}

/// From outside comes what an instance has asked for, and no instance knows what another asked for.
fn firewall(lab: &Lab, address: Ipv4Addr) -> Result<()> {
    let vpc = lab.vpc()?;
    let outside = socket(&lab.out, OUT, 5001)?;
    let at = |name: &str| socket(lab.node(name)?.net()?, address, 5000);
    let (one, two) = (at("gateway-1")?, at("gateway-2")?);
    let to = SocketAddr::new(address.into(), 5000);
    outside.send_to(b"hello", to)?;
    ensure!(receive(&one)?.is_none(), "the firewall is open");
    ensure!(vpc.refused()? == 1, "{} refused", vpc.refused()?);
    ensure!(exchange(&one, &outside)? == Some(address.into()), "no answer comes in");
    outside.send_to(b"hello", to)?;
    ensure!(receive(&one)?.is_some(), "what belongs to a connection is refused");
    announce(lab, "gateway-2", (2, address))?;
    await_at(vpc, address.into(), Some("gateway-2"))?;
    outside.send_to(b"hello", to)?;
    ensure!(receive(&two)?.is_none(), "gateway-2 knows gateway-1's connection");
    ensure!(vpc.refused()? == 2, "{} refused", vpc.refused()?);
    ensure!(exchange(&two, &outside)? == Some(address.into()), "it knows its own");
    await_at(vpc, address.into(), Some("gateway-1"))
}

/// Every endpoint may send with the rule's address, others may not.
fn sources(lab: &Lab, address: Ipv4Addr) -> Result<()> {
    let vpc = lab.vpc()?;
    let foreign = || -> Result<u64> {
        Ok(vpc.foreign()?.get(&("gateway-3".to_owned(), address)).copied().unwrap_or(0))
    };
    let outside = socket(&lab.out, OUT, 5004)?;
    for (name, comes) in [("gateway-1", true), ("gateway-2", true), ("gateway-3", false)] {
        let inside = socket(lab.node(name)?.net()?, address, 0)?;
        inside.send_to(b"hello", outside.local_addr()?)?;
        ensure!(receive(&outside)?.is_some() == comes, "from {name}: not {comes}");
    }
    ensure!(foreign()? == 1, "{:?}", vpc.foreign()?);
    Ok(())
}

/// In reply form, from an endpoint, for as long as they count; then the leader has it again.
fn announcements(lab: &Lab, address: Ipv4Addr) -> Result<()> {
    let vpc = lab.vpc()?;
    let to = |name: Option<&str>| await_at(vpc, address.into(), name);
    for (name, operation) in [("gateway-3", 2), ("gateway-2", 1)] {
        announce(lab, name, (operation, address))?;
        std::thread::sleep(Duration::from_millis(200));
        to(Some("gateway-1"))?;
    }
    announce(lab, "gateway-2", (2, address))?;
    to(Some("gateway-2"))?;
    let outside = socket(&lab.out, OUT, 5005)?;
    let inside = socket(lab.node("gateway-2")?.net()?, address, 0)?;
    ensure!(exchange(&inside, &outside)? == Some(address.into()), "answers go elsewhere");
    ensure!(vpc.leader(address.into()).as_deref() == Some("gateway-1"), "the leader has changed");
    // It ends by itself.
    to(Some("gateway-1"))?;
    let inside = socket(lab.node("gateway-1")?.net()?, address, 0)?;
    ensure!(exchange(&inside, &outside)? == Some(address.into()), "answers go elsewhere");
    Ok(())
}

/// Within 3 s either of two may win.
fn contests(lab: &Lab, address: Ipv4Addr) -> Result<()> {
    let vpc = lab.vpc()?;
    for (contest, winner) in [(Contest::Older, "gateway-1"), (Contest::Newer, "gateway-2")] {
        vpc.let_win(contest);
        announce(lab, "gateway-1", (2, address))?;
        announce(lab, "gateway-2", (2, address))?;
        std::thread::sleep(Duration::from_millis(200));
        await_at(vpc, address.into(), Some(winner))?;
        await_at(vpc, address.into(), Some("gateway-1"))?;
    }
    Ok(())
}

/// A node says by ARP that it has an address: a request (1) or a reply (2).
fn announce(lab: &Lab, name: &str, (operation, address): (u16, Ipv4Addr)) -> Result<()> {
    let node = lab.node(name)?;
    let _inside = node.net()?.enter();
    Ok(FrameTap::open(Some("eth0"))?.send(&gratuitous_arp(operation, node.mac(), address))?)
}

fn await_at(vpc: &LabVpc, address: IpAddr, node: Option<&str>) -> Result<()> {
    let there = || (vpc.delivered_to(address).as_deref() == node).then_some(());
    wait_until(&format!("{address} at {node:?}"), LIMIT + OVERRIDES, there)
        .with_context(|| format!("it is at {:?}", vpc.delivered_to(address)))
}
