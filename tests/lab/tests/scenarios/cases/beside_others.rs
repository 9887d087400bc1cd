//! Rules of others on a director beside which Egret holds, as their tools write them.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use egret_lab::LabFixture;
use egret_lab::address::{AddressFamily, POD_RANGES};
use egret_lab::bench::Bench;
use egret_lab::load::{seen_by, source_seen};

use crate::fixtures::{await_source, bank, usual, with_claim};

const NODE: &str = "director-1";
/// What dockerd 28 has in its table filter with one bridge (`iptables-save`), without counters.
const DOCKER: &str = "*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
";
/// Where node-cache listens, with the cluster's DNS.
const CACHE: [&str; 2] = ["169.254.20.10", "10.96.0.10"];

/// Docker's FORWARD policy beside a CNI that accepts its pods by their addresses, as Flannel does; then node-cache of
/// NodeLocal DNS. Pods' connections have the address of their claim, and others the node's.
pub fn hold(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    let node = fixture.lab.node(NODE)?;
    for (restore, pods) in ["iptables-restore", "ip6tables-restore"].into_iter().zip(POD_RANGES) {
        let rules = DOCKER.replace(
            "COMMIT",
            &format!(
                ":FLANNEL-FWD - [0:0]\n-A FORWARD -j FLANNEL-FWD\n-A FLANNEL-FWD -s {pods} -j ACCEPT\n\
                 -A FLANNEL-FWD -d {pods} -j ACCEPT\nCOMMIT"
            ),
        );
        node.shell(&format!("{restore} <<'RULES'\n{rules}RULES"))?;
    }
    goes_on(fixture)?;
    cache(fixture)?;
    goes_on(fixture)
}

fn goes_on(fixture: &mut LabFixture) -> Result<()> {
    bank().into_iter().try_for_each(|address| await_source(fixture, "settle-1", address))?;
    for family in [AddressFamily::V4, AddressFamily::V6] {
        let seen = source_seen(&mut fixture.lab, "other-1", family)?;
        ensure!(!bank().contains(&seen), "a pod that no claim selects left as {seen}");
    }
    Ok(())
}

/// The rules of node-cache 1.26 (cmd/node-cache/app/cache_app.go, `initIptables`), and what it listens on.
fn cache(fixture: &LabFixture) -> Result<()> {
    let node = fixture.lab.node(NODE)?;
    // Its link is a dummy one, which not every kernel has.
    node.shell("ip link add nodelocaldns type veth peer name nodelocal-end")?;
    let (mut raw, mut filter) = (String::new(), String::new());
    for address in CACHE {
        node.shell(&format!("ip addr add {address}/32 dev nodelocaldns"))?;
        for protocol in ["tcp", "udp"] {
            let to = format!("-p {protocol} -d {address} --dport 53");
            let from = format!("-p {protocol} -s {address} --sport 53");
            raw += &format!("-A PREROUTING {to} -j NOTRACK\n-A OUTPUT {from} -j NOTRACK\n");
            raw += &format!("-A OUTPUT {to} -j NOTRACK\n");
            filter += &format!("-A INPUT {to} -j ACCEPT\n-A OUTPUT {from} -j ACCEPT\n");
        }
    }
    let rules = format!("*raw\n{raw}COMMIT\n*filter\n{filter}COMMIT\n");
    node.shell(&format!("iptables-restore --noflush <<'RULES'\n{rules}RULES"))?;
    let pod = fixture.lab.pod("settle-1")?;
    for address in CACHE {
        let at = SocketAddr::new(address.parse::<IpAddr>()?, 53);
        let seen = seen_by(&node.net()?.path(), at, &pod.net.path(), at)?;
        ensure!(seen == pod.addresses[0], "the cache at {at} sees {seen}");
    }
    Ok(())
}
