//! The laboratory itself: without Egret, so that a failure here is never Egret's.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::address::{AddressFamily, OUTSIDE};
use egret_lab::load::{Load, LoadPlan, source_seen};
use egret_lab::oracle::{Answers, GatewayOracle, Sources};
use egret_lab::{CableDirection, TestBed, WallTime, wait_until};

use crate::fixtures::{bank, usual};
use egret_lab::bench::Bench;

/// Pods reach the outside with their node's address and each other with their own.
pub fn reaches_everything(_: &mut Bench) -> Result<()> {
    let mut lab = usual().gateways(1).build()?;
    for family in AddressFamily::BOTH {
        let seen = source_seen(&mut lab, "settle-1", family)?;
        let node = family.pick(lab.node("director-1")?.addresses());
        ensure!(seen == node, "{} from outside: {seen}, not {node}", family.name());
        let other = family.pick(lab.pod("settle-2")?.addresses);
        lab.pod("settle-1")?.net.run(&format!("ping -c 1 -W 2 {other}"));
    }
    let node = lab.node("gateway-1")?;
    let mounts = node.shell("mount | grep -c 'on /sys/fs/bpf type bpf\\|on /run type tmpfs'")?;
    ensure!(mounts.trim() >= "2", "mounts: {mounts}");
    node.shell("mkdir /sys/fs/bpf/pin && touch /var/lib/egret/mine /run/egret/mine")?;
    let alone = "test ! -e /sys/fs/bpf/pin -a ! -e /var/lib/egret/mine -a ! -e /run/egret/mine";
    lab.node("director-1")?.shell(alone)?;
    Ok(())
}

/// Without Egret every packet of a load has a wrong source: the oracle says so.
pub fn oracles_can_fail(_: &mut Bench) -> Result<()> {
    let mut lab = usual().gateways(2).build()?;
    let sources = Sources::start(&lab)?;
    let answers = Answers::start(&lab, &bank())?;
    let begun = WallTime::now();
    let plan = LoadPlan::new("leak", &["settle-1", "settle-2"]).connections(2);
    let load = Load::start(&mut lab, plan, Some((&sources, &bank())))?;
    let leaks = || (sources.wrong() > 50).then_some(());
    wait_until("wrong sources at the oracle", Duration::from_secs(5), leaks)?;
    ensure!(sources.right() == 0, "a source was taken for right");
    let report = load.report(begun);
    ensure!(report.lost.is_empty(), "{:?}", report.lost);
    // Two nodes that both have the address both answer: the kernel's own answers.
    for name in ["gateway-1", "gateway-2"] {
        let [v4, v6] = bank();
        lab.node(name)?
            .shell(&format!("ip addr add {v4}/32 dev eth0; ip addr add {v6}/128 dev eth0 nodad"))?;
    }
    let both = || {
        let doubles = answers.doubles(begun);
        let of = |family| doubles.iter().any(|d| AddressFamily::of(d.address) == family);
        (of(AddressFamily::V4) && of(AddressFamily::V6)).then_some(())
    };
    wait_until("two answers to one question, both families", Duration::from_secs(5), both)
}

/// Power, cable, one-way cuts and the store's cover.
pub fn faults(_: &mut Bench) -> Result<()> {
    let mut lab = usual().gateways(1).build()?;
    let gateways = GatewayOracle::start(&lab)?;
    let gateway = lab.node("gateway-1")?.addresses()[0];
    // Who is cut off is asked once; who is not has time to answer.
    let answers = |lab: &egret_lab::Lab, options: &str| {
        lab.router.output(&format!("ping -c 1 {options} {gateway}")).status.success()
    };
    let reaches = |lab: &egret_lab::Lab| answers(lab, "-w 10");
    let is_cut_off = |lab: &egret_lab::Lab| !answers(lab, "-W 1");
    ensure!(reaches(&lab), "before any fault");
    for way in [CableDirection::FromNode, CableDirection::ToNode] {
        lab.cut("gateway-1", way)?;
        ensure!(is_cut_off(&lab), "{way:?} was not cut");
        lab.heal("gateway-1")?;
        ensure!(reaches(&lab), "{way:?} was not healed");
    }
    lab.cut_from_nodes("gateway-1")?;
    ensure!(reaches(&lab), "the router is cut off too");
    let director = lab.node("director-1")?.addresses()[0];
    let ping = format!("ping -c 1 -W 1 {director}");
    ensure!(lab.node("gateway-1")?.shell(&ping).is_err(), "the other nodes are not cut off");
    lab.heal("gateway-1")?;
    lab.node("gateway-1")?.shell(&ping.replace("-W 1", "-w 10"))?;
    lab.write_namespace("payments", &[("egress", "partners")])?;
    lab.cut_from_store("gateway-1")?;
    let list = "ls /run/egret-store";
    ensure!(lab.node("gateway-1")?.shell(list)?.trim().is_empty(), "the store is seen");
    ensure!(lab.node("director-1")?.shell(list)?.contains("namespace-payments"), "cut for all");
    lab.reconnect("gateway-1")?;
    ensure!(lab.node("gateway-1")?.shell(list)?.contains("namespace-payments"), "still cut");
    lab.node("gateway-1")?.shell("touch /var/lib/egret/kept /run/egret/lost")?;
    lab.power_off("gateway-1")?;
    ensure!(is_cut_off(&lab), "a node without power answers");
    lab.boot_network("gateway-1")?;
    ensure!(reaches(&lab), "a booted node does not answer");
    lab.node("gateway-1")?.shell("test -e /var/lib/egret/kept && test ! -e /run/egret/lost")?;
    ensure!(gateways.runs().addresses().next().is_none(), "an egress address out of nowhere");
    ensure!(OUTSIDE[0].is_ipv4(), "IPv4 comes first");
    Ok(())
}
