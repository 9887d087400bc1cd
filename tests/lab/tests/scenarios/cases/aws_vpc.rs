//! The laboratory's VPC treats packets as EC2 does. Egret does not run here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::cloud::{LabCloud, Outside, Region, Zone};
use egret_lab::wire::{Mac, gratuitous_arp};
use egret_lab::{FrameTap, Lab, wait_until};
use egret_netns::NetworkNamespace;

use crate::datagrams::{exchange, receive, socket};

const LIMIT: Duration = Duration::from_secs(5);
const OUT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
/// A secondary address in each subnet.
const A: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 50);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 50);

pub fn as_ec2(_: &mut Bench) -> Result<()> {
    let lab = build(Outside::Vpn)?;
    underlay(&lab)?;
    private_addresses(&lab, lab.cloud()?)?;
    drop(lab);
    let lab = build(Outside::Internet)?;
    elastic_addresses(&lab, lab.cloud()?)?;
    nowhere(&lab, lab.cloud()?)
}

fn build(outside: Outside) -> Result<Lab> {
    let region = Region { outside, ..Region::default() };
    let lab = Lab::builder().directors(0).cloud(region).build()?;
    for (name, address) in [("gateway-1", A), ("gateway-2", A), ("gateway-3", B)] {
        lab.node(name)?.shell(&format!("ip addr add {address}/32 dev eth0"))?;
    }
    Ok(lab)
}

/// Nodes reach each other within a subnet and across, and the outside as themselves.
fn underlay(lab: &Lab) -> Result<()> {
    for (from, to) in [("gateway-1", "gateway-2"), ("gateway-1", "gateway-3")] {
        let target = lab.node(to)?.internal_addresses()[0];
        lab.node(from)?.shell(&format!("ping -c 1 -W 2 {target}"))?;
        let seen = lab.node(from)?.shell(&format!("ip neigh show {target}"))?;
        let own = egret_lab::address::mac_text(lab.node(to)?.mac());
        ensure!(!seen.contains(&own), "{from} talks to {to} past the router: {seen}");
    }
    for (name, zone, number) in [("gateway-1", Zone::A, 101), ("gateway-3", Zone::B, 103)] {
        let own = zone.host(number);
        ensure!(seen(lab.node(name)?.net()?, lab, own)? == Some(own.into()), "{name} is not {own}");
    }
    Ok(())
}

/// A source is let out by the interface that has it and by no other; it moves at once, and no ARP
/// changes that.
fn private_addresses(lab: &Lab, cloud: &LabCloud) -> Result<()> {
    let (one, two) = (lab.node("gateway-1")?.net()?, lab.node("gateway-2")?.net()?);
    let macs = [lab.node("gateway-2")?.mac(), lab.node("gateway-1")?.mac()];
    ensure!(seen(one, lab, A)?.is_none(), "an unknown source was let out");
    ensure!(foreign(cloud, "gateway-1", A)? == 1, "{:?}", cloud.foreign()?);
    let turns = [("gateway-1", one, two), ("gateway-2", two, one)];
    for ((node, net, other), mac) in turns.into_iter().zip(macs) {
        cloud.by_hand(&["assign", &cloud.instance(node)?.interface, &A.to_string()])?;
        await_at(cloud, A.into(), node)?;
        ensure!(seen(net, lab, A)? == Some(A.into()), "{node} has {A} and is not seen with it");
        announce(other, mac)?;
        ensure!(seen(net, lab, A)? == Some(A.into()), "an announcement took {A} from {node}");
        ensure!(seen(other, lab, A)?.is_none(), "{A} is let out beside {node}");
    }
    Ok(())
}

/// An Elastic IP is the private address's outside, both ways, wherever it is, and leaves nothing
/// behind when it moves.
fn elastic_addresses(lab: &Lab, cloud: &LabCloud) -> Result<()> {
    let public = *cloud.elastic().first().context("an Elastic IP")?;
    cloud.by_hand(&["assign", &cloud.instance("gateway-2")?.interface, &A.to_string()])?;
    await_at(cloud, A.into(), "gateway-2")?;
    ensure!(seen(lab.node("gateway-2")?.net()?, lab, A)?.is_none(), "out without an Elastic IP");
    let two = cloud.instance("gateway-2")?;
    cloud.by_hand(&["associate", &public.to_string(), &two.interface, &A.to_string()])?;
    await_at(cloud, public, "gateway-2")?;
    ensure!(seen(lab.node("gateway-2")?.net()?, lab, A)? == Some(public), "{A} is not {public}");
    // Within the subnet it follows its private address.
    let one = cloud.instance("gateway-1")?;
    cloud.by_hand(&["assign", &one.interface, &A.to_string()])?;
    await_at(cloud, public, "gateway-1")?;
    ensure!(seen(lab.node("gateway-1")?.net()?, lab, A)? == Some(public), "it did not follow");
    // Across subnets it is associated anew, also for what is under way.
    let (here, there) = (lab.node("gateway-1")?.net()?, lab.node("gateway-3")?.net()?);
    let (inside, outside) = (socket(here, A, 5000)?, socket(&lab.out, OUT, 5001)?);
    ensure!(exchange(&inside, &outside)? == Some(public), "no way to begin with");
    let three = cloud.instance("gateway-3")?;
    cloud.by_hand(&["assign", &three.interface, &B.to_string()])?;
    cloud.by_hand(&["associate", &public.to_string(), &three.interface, &B.to_string()])?;
    await_at(cloud, public, "gateway-3")?;
    ensure!(seen(there, lab, B)? == Some(public), "{B} is not {public}");
    let arrived = exchange(&inside, &outside)?;
    ensure!(arrived.is_none(), "what lost its Elastic IP is seen as {arrived:?}");
    let kept = cloud.unmapped()?.get(&("gateway-1".to_owned(), A)).copied();
    ensure!(kept == Some(1), "{:?}", cloud.unmapped()?);
    let moved = socket(there, B, 5000)?;
    outside.send_to(b"again", SocketAddr::new(public, 5000))?;
    ensure!(receive(&moved)?.is_some(), "the old way was remembered");
    Ok(())
}

/// What nobody has is dropped and counted, without a word to the sender.
fn nowhere(lab: &Lab, cloud: &LabCloud) -> Result<()> {
    let public = *cloud.elastic().first().context("an Elastic IP")?;
    cloud.by_hand(&["disassociate", &public.to_string()])?;
    wait_until("its end", LIMIT, || cloud.attached_to(public).is_none().then_some(()))?;
    ensure!(cloud.lost()? == (0, 0), "{:?}", cloud.lost()?);
    let outside = socket(&lab.out, OUT, 5002)?;
    for to in [public, Zone::A.host(77).into()] {
        outside.connect(SocketAddr::new(to, 9))?;
        outside.send(b"hello")?;
        let answer = receive(&outside)?;
        ensure!(answer.is_none(), "{to}: {answer:?}");
    }
    // The second is not even asked for: an Internet gateway knows no private addresses.
    ensure!(cloud.lost()? == (0, 1), "{:?}", cloud.lost()?);
    let inside = socket(lab.node("gateway-1")?.net()?, Ipv4Addr::UNSPECIFIED, 0)?;
    inside.send_to(b"hello", SocketAddr::new(Zone::B.host(77).into(), 9))?;
    let counted = || (cloud.lost().ok()? == (1, 1)).then_some(());
    wait_until("a packet for an address that no interface has", LIMIT, counted)?;
    Ok(())
}

/// Says by ARP that it has `A`.
fn announce(net: &NetworkNamespace, mac: Mac) -> Result<()> {
    let _inside = net.enter();
    Ok(FrameTap::open(Some("eth0"))?.send(&gratuitous_arp(2, mac, A))?)
}

fn await_at(cloud: &LabCloud, address: IpAddr, node: &str) -> Result<()> {
    let there = || (cloud.attached_to(address).as_deref() == Some(node)).then_some(());
    wait_until(&format!("{address} at {node}"), LIMIT, there)
}

fn foreign(cloud: &LabCloud, node: &str, source: Ipv4Addr) -> Result<u64> {
    Ok(cloud.foreign()?.get(&(node.to_owned(), source)).copied().unwrap_or(0))
}

fn seen(net: &NetworkNamespace, lab: &Lab, own: Ipv4Addr) -> Result<Option<IpAddr>> {
    crate::datagrams::seen(net, (&lab.out, OUT), own)
}
