//! What the tunnel and the uplink let through from those who have no right to use them.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::address::OUTSIDE;
use egret_lab::load::forged_frame;
use egret_lab::oracle::{Datagrams, Expect};
use egret_lab::wire::{advertisement, gratuitous_arp};
use egret_lab::{FrameTap, TUNNEL_PORT, WallTime};

use crate::fixtures::{bank, blocks, holder, run_for};
use egret_lab::bench::Bench;

/// A pod that writes tunnel frames by hand, to a gateway and to a director, gets nothing through.
pub fn forged_frames(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let port = fixture.lab.reserve_ports();
    fixture.sources.expect(Expect {
        name: "forged".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port + 9)),
        allowed: Vec::new(),
    });
    let gateway = fixture.lab.node(&holder(fixture)?)?.addresses()[0];
    let director = fixture.lab.node("director-2")?.addresses()[0];
    let block = blocks(fixture, "director-1")?.into_iter().find(|block| block.0 == bank()[0]);
    let (_, first, _) = block.context("director-1 has no port block of the address")?;
    let pod = fixture.lab.pod("settle-1")?;
    let victim = fixture.lab.pod("settle-2")?;
    let (inside, target) = (pod.net.enter(), victim.addresses[0]);
    let socket = UdpSocket::bind((pod.addresses[0], 0))?;
    for vni in [5480, 5481] {
        let outward = forged_frame(vni, (bank()[0], first), (OUTSIDE[0], port));
        let inward = forged_frame(vni, (OUTSIDE[0], port), (bank()[0], first));
        let direct = forged_frame(vni, (OUTSIDE[0], port), (target, 4000));
        for to in [gateway, director] {
            for frame in [&outward, &inward, &direct] {
                socket.send_to(frame, (to, TUNNEL_PORT))?;
            }
        }
    }
    drop(inside);
    run_for(500);
    let ledger = fixture.sources.ledger("forged");
    ensure!(ledger.wrong == 0, "a forged frame got out: {:?}", ledger.examples.first());
    Ok(())
}

/// A datagram from outside to a port without a connection costs one packet on the tunnel, and
/// none back.
pub fn unsolicited(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let block = blocks(fixture, "director-1")?.into_iter().find(|block| block.0 == bank()[0]);
    let (address, _, last) = block.context("director-1 has no port block of the address")?;
    let tunnel = Datagrams::start(&fixture.lab, TUNNEL_PORT)?;
    let inside = fixture.lab.out.enter();
    let socket = UdpSocket::bind((OUTSIDE[0], 0))?;
    socket.send_to(b"anybody there?", (address, last))?;
    drop(inside);
    run_for(1000);
    let count = tunnel.count();
    ensure!(count == 1, "{count} packets on the tunnel for one datagram");
    Ok(())
}

/// Whoever on a gateway announces an address that it does not hold: the kernel lets nothing out.
pub fn announcement_without_lease(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let (begun, [v4, v6]) = (WallTime::now(), bank());
    for name in ["gateway-1", "gateway-2", "gateway-3"] {
        let node = fixture.lab.node(name)?;
        let held = fixture.held_by(name);
        let _inside = node.net()?.enter();
        let tap = FrameTap::open(Some("eth0"))?;
        if let std::net::IpAddr::V4(address) = v4
            && !held.contains(&v4)
        {
            let sent = tap.send(&gratuitous_arp(1, node.mac(), address));
            ensure!(sent.is_err(), "{name} could send an ARP announcement of {v4}");
            let _ = tap.send(&gratuitous_arp(2, node.mac(), address));
        }
        if let std::net::IpAddr::V6(address) = v6
            && !held.contains(&v6)
        {
            let sent = tap.send(&advertisement(node.mac(), address));
            ensure!(sent.is_err(), "{name} could send an advertisement of {v6}");
        }
    }
    std::thread::sleep(Duration::from_millis(200));
    // The row before may have left an address that goes on being announced until its claim has ended.
    let announced = fixture.answers.announcements(begun).into_iter();
    for heard in announced.filter(|heard| bank().contains(&heard.address)) {
        let by = fixture.lab.node_of(heard.mac).unwrap_or("nobody");
        let holder = fixture.holder(heard.address);
        ensure!(holder.as_deref() == Some(by), "{by} announced {}", heard.address);
    }
    Ok(())
}
