//! Rules of others on a director that drop what Egret steers, before the tunnel and behind it.

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::load::{RawShape, inject};
use egret_lab::{LabFixture, wait_until};

use super::s18_on_interface::condition;
use crate::fixtures::{await_source, bank, holder, run_for};

const NODE: &str = "director-1";
const OTHER: &str = "director-2";
/// Two windows of the agent's, and what a status takes; a bound, not an expectation.
const LIMIT: Duration = Duration::from_secs(40);
const REASON: &str = "DroppedByOthers";
const UNANSWERED: &str = "TunnelUnanswered";

/// The node says what is lost and what to look for, until the rule is gone. It says nothing on the others.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let (source, port) = (AtomicU16::new(47_000), fixture.lab.reserve_ports());
    let (replies, first) = ("reverse path filter", "before the tunnel");
    for (hook, rule, said) in [
        // The first and the last place; before conntrack, as iptables' raw table.
        ("prerouting priority -310", "iifname egret0 fib saddr . iif oif missing drop", replies),
        // What the tunnel wraps comes from its device there too.
        ("postrouting priority 10", "iifname egret0 meta l4proto tcp drop", replies),
        ("prerouting priority -80", "ct state new ct mark != 0 drop", first),
        ("forward priority 10", "oifname egret0 ct state new drop", first),
    ] {
        let chain = format!("chain one {{ type filter hook {hook}; {rule}; }}");
        fixture.lab.node(NODE)?.shell(&format!("nft 'table inet strict {{ {chain}; }}'"))?;
        until(fixture, (&source, port), &format!("{NODE} says: {said}"), |reason, why| {
            reason == REASON && why.contains(said)
        })?;
        let other = condition(&fixture.lab, "EgressNode", OTHER, "Ready");
        ensure!(other.is_some_and(|(ready, ..)| ready), "{OTHER} is not ready");
        fixture.lab.node(NODE)?.shell("nft delete table inet strict")?;
        until(fixture, (&source, port), "the condition ends", |reason, _| reason != REASON)?;
    }
    await_source(fixture, "settle-1", bank()[0])
}

/// A firewall at the holder that takes the tunnel's packets, or the long ones alone: the director names the holder and
/// what to open, until the firewall is gone.
pub fn in_the_tunnel(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let (source, port) = (AtomicU16::new(48_000), fixture.lab.reserve_ports());
    let holder = holder(fixture)?;
    for (packets, said) in [("", "UDP port 5480"), ("meta length > 1400", "short ones pass")] {
        fixture.lab.node(&holder)?.shell(&format!(
            "nft 'table inet firewall {{ chain input {{ type filter hook input priority 0; \
             udp dport 5480 {packets} drop; }}; }}'"
        ))?;
        until(fixture, (&source, port), &format!("{NODE} says: {said}"), |reason, why| {
            reason == UNANSWERED && why.contains(said) && why.contains(&holder)
        })?;
        fixture.lab.node(&holder)?.shell("nft delete table inet firewall")?;
        until(fixture, (&source, port), "the condition ends", |reason, _| reason != UNANSWERED)?;
    }
    await_source(fixture, "settle-1", bank()[0])
}

/// IPv6 of the tunnel's device is switched off, as tools for networks do, and on again: the node says so meanwhile, and
/// IPv6 comes back by itself.
pub fn ipv6_switched_off(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let (source, port) = (AtomicU16::new(49_000), fixture.lab.reserve_ports());
    switch_ipv6(fixture, "1")?;
    let said = "disable_ipv6=0";
    until(fixture, (&source, port), &format!("{NODE} says: {said}"), |_, why| why.contains(said))?;
    await_source(fixture, "settle-1", bank()[0])?;
    switch_ipv6(fixture, "0")?;
    until(fixture, (&source, port), "the condition ends", |_, why| !why.contains(said))?;
    await_source(fixture, "settle-1", bank()[1])
}

fn switch_ipv6(fixture: &LabFixture, disable: &str) -> Result<()> {
    fixture.lab.node(NODE)?.net()?.sysctl("net/ipv6/conf/egret0/disable_ipv6", disable);
    Ok(())
}

/// Opens connections all the while.
fn until(
    fixture: &LabFixture,
    (source, port): (&AtomicU16, u16),
    what: &str,
    is_so: impl Fn(&str, &str) -> bool,
) -> Result<()> {
    let said = || {
        let pod = fixture.lab.pod("settle-1").ok()?;
        inject(pod, RawShape::Syn, source.fetch_add(1, Ordering::Relaxed), port).ok()?;
        run_for(200);
        let (_, reason, why) = condition(&fixture.lab, "EgressNode", NODE, "Ready")?;
        is_so(&reason, &why).then_some(())
    };
    wait_until(what, LIMIT, said)
}
