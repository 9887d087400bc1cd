//! Addresses that a tool of the host made its own are found and taken back. Needs root, iproute2.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_datapath::HostSettings;
use egret_datapath::local_address::{self, LocalAddress, LocalOrigin};
use egret_datapath::nft::NftSteering;
use egret_datapath::repair::{self, ChangedPart};
use egret_netns::{NetworkNamespace, veth};
use egret_ports::error::ErrorClass;

/// A bound, not an expectation.
const PATIENCE: Duration = Duration::from_secs(5);

const EGRESS: &str = "203.0.113.17";
const EGRESS_V6: &str = "2001:db8:5::11";
const WIRE: &str = "10.0.1.66";

fn asked() -> BTreeSet<IpAddr> {
    [EGRESS, EGRESS_V6, WIRE].map(|text| text.parse().unwrap()).into()
}

/// A node with one link, and a neighbour there that has the egress address of a pod's packets.
fn node() -> (NetworkNamespace, NetworkNamespace) {
    let (ns, neighbour) = (NetworkNamespace::new("node"), NetworkNamespace::new("neighbour"));
    ns.sysctl("net/ipv6/conf/default/accept_dad", "0");
    veth(&ns, "eth0", &neighbour, "peer0");
    ns.run("ip addr add 10.0.1.20/24 dev eth0");
    ns.run("ip -6 addr add 2001:db8:1::20/64 dev eth0");
    ns.run("ip route add default via 10.0.1.1");
    ns.run("ip -6 route add default via 2001:db8:1::1");
    neighbour.run("ip addr add 10.0.1.1/24 dev peer0");
    neighbour.run(&format!("ip addr add {EGRESS}/32 dev peer0"));
    (ns, neighbour)
}

fn found() -> Vec<(String, String, LocalOrigin)> {
    let all = local_address::find(&asked()).unwrap().into_iter();
    all.map(|found| (found.address.to_string(), found.interface, found.by)).collect()
}

fn is_local(ns: &NetworkNamespace, address: &str) -> bool {
    ns.run(&format!("ip route get {address}")).starts_with("local ")
}

#[test]
fn an_address_is_the_hosts_own_whatever_makes_it_so() {
    let (ns, _neighbour) = node();
    let _inside = ns.enter();
    let own = |text: &str| local_address::is_own(text.parse().unwrap()).unwrap();
    ns.run("ip addr add 10.0.1.21/24 dev eth0");
    ns.run("ip route add to local 198.51.100.0/24 dev lo");
    // Bound to any: no sign of what is here.
    ns.sysctl("net/ipv4/ip_nonlocal_bind", "1");
    for here in ["10.0.1.20", "10.0.1.21", "2001:db8:1::20", "198.51.100.7", "127.0.0.1"] {
        assert!(own(here), "{here}");
    }
    for elsewhere in ["10.0.1.1", EGRESS, EGRESS_V6, "2001:db8:1::1"] {
        assert!(!own(elsewhere), "{elsewhere}");
    }
    ns.run("ip route del default");
    ns.run("ip -6 route del default");
    ns.run("ip route add unreachable 203.0.113.0/24");
    ns.run("ip route add blackhole 192.0.2.0/24");
    ns.run("ip route add prohibit 192.0.3.0/24");
    for nowhere in [EGRESS, EGRESS_V6, "192.0.2.1", "192.0.3.1", "9.9.9.9"] {
        assert!(!own(nowhere), "{nowhere}");
    }
}

#[test]
fn every_way_to_make_an_address_local_is_found_and_taken_back() {
    let (ns, _neighbour) = node();
    let _inside = ns.enter();
    let before = [ns.run("ip addr show dev eth0"), ns.run("ip route"), ns.run("ip -6 route")];
    assert_eq!(found(), []);
    let route = |protocol| LocalOrigin::Route { protocol };
    let address = |prefix_len, prefix_route| LocalOrigin::Interface { prefix_len, prefix_route };
    let ways = [
        // Google's guest agent; another tool, IPv6.
        (EGRESS, route(66), format!("route add to local {EGRESS} scope host dev eth0 proto 66")),
        (EGRESS_V6, route(4), format!("-6 route add local {EGRESS_V6} dev eth0 proto static")),
        // amazon-ec2-net-utils by systemd-networkd; a tool that gives the subnet's length.
        (WIRE, address(32, false), format!("addr add {WIRE}/32 dev eth0 noprefixroute")),
        (WIRE, address(24, true), format!("addr add {WIRE}/24 dev eth0")),
        (EGRESS_V6, address(128, true), format!("-6 addr add {EGRESS_V6}/128 dev eth0")),
    ];
    for (local, by, line) in ways {
        ns.run(&format!("ip {line}"));
        assert!(is_local(&ns, local), "{line}");
        assert_eq!(found(), [(local.to_owned(), "eth0".to_owned(), by)], "{line}");
        let found = local_address::find(&asked()).unwrap();
        local_address::remove(&found[0]).unwrap();
        assert!(!is_local(&ns, local), "after {line}");
        local_address::remove(&found[0]).unwrap();
        let after = [ns.run("ip addr show dev eth0"), ns.run("ip route"), ns.run("ip -6 route")];
        assert_eq!(after, before, "{line} took more with it, or left something");
    }
}

#[test]
fn what_nobody_asked_for_stays() {
    let (ns, _neighbour) = node();
    let _inside = ns.enter();
    ns.run("ip route add to local 203.0.113.99 scope host dev eth0 proto 66");
    ns.run("ip route add to local 203.0.113.16/29 scope host dev lo proto 66");
    ns.run("ip addr add 10.0.1.67/32 dev eth0");
    assert_eq!(found(), [], "a range is nobody's single address");
    ns.run(&format!("ip route add to local {EGRESS} scope host dev eth0 proto 66"));
    let all = local_address::find(&asked()).unwrap();
    assert_eq!(all.len(), 1);
    local_address::remove(&all[0]).unwrap();
    assert!(is_local(&ns, "203.0.113.99") && is_local(&ns, "10.0.1.67"));
}

/// An address may be there twice, and removing one leaves the other to be found.
#[test]
fn what_is_there_twice_is_found_twice() {
    let (ns, _neighbour) = node();
    let _inside = ns.enter();
    ns.run(&format!("ip addr add {WIRE}/32 dev eth0"));
    ns.run(&format!("ip addr add {WIRE}/32 dev lo"));
    let all = local_address::find(&asked()).unwrap();
    let names: Vec<&str> = all.iter().map(|found| found.interface.as_str()).collect();
    assert_eq!(names, ["eth0", "lo"]);
    local_address::remove(&all[0]).unwrap();
    assert!(is_local(&ns, WIRE));
    local_address::remove(&all[1]).unwrap();
    assert!(!is_local(&ns, WIRE));
}

/// What the host has of its own in that subnet stays, also where the kernel would take it along.
#[test]
fn an_address_that_carries_others_is_left_or_they_are_promoted() {
    let (ns, _neighbour) = node();
    let _inside = ns.enter();
    ns.sysctl("net/ipv4/conf/all/promote_secondaries", "0");
    ns.sysctl("net/ipv4/conf/eth0/promote_secondaries", "0");
    // As after the host's own address was given anew.
    ns.run("ip addr del 10.0.1.20/24 dev eth0");
    ns.batch(&format!("addr add {WIRE}/24 dev eth0\naddr add 10.0.1.20/24 dev eth0"));
    let all = local_address::find(&asked()).unwrap();
    let error = local_address::remove(&all[0]).unwrap_err();
    assert_eq!(error.class, ErrorClass::Conflict);
    assert!(error.to_string().contains("net.ipv4.conf.eth0.promote_secondaries"), "{error}");
    assert!(is_local(&ns, "10.0.1.20"));
    ns.sysctl("net/ipv4/conf/eth0/promote_secondaries", "1");
    local_address::remove(&all[0]).unwrap();
    assert!(is_local(&ns, "10.0.1.20") && !is_local(&ns, WIRE));
}

/// What it is for: a host that has the address drops whatever comes from it, such as a pod's packet
/// to one of this host's ports, and whoever calls the address reaches the host.
#[test]
fn a_host_that_has_the_address_drops_what_comes_from_it() {
    let (ns, neighbour) = node();
    let _inside = ns.enter();
    ns.run(&format!("ip route add {EGRESS} via 10.0.1.1"));
    let ping = format!("ping -n -c 1 -W 1 -I {EGRESS} 10.0.1.20");
    assert!(neighbour.output(&ping).status.success());
    ns.run(&format!("ip route add to local {EGRESS} scope host dev eth0 proto 66"));
    assert!(!neighbour.output(&ping).status.success(), "the harm is gone: so is what repairs it");
    let all = local_address::find(&asked()).unwrap();
    local_address::remove(&all[0]).unwrap();
    assert!(neighbour.output(&ping).status.success());
}

#[test]
fn both_ways_are_noticed() {
    let (ns, _neighbour) = node();
    let _inside = ns.enter();
    let settings = HostSettings::default();
    let steering = NftSteering::new(settings.clone(), 1450);
    let mut changes = repair::watch(&settings, &steering).unwrap();
    let route = ChangedPart::LocalRoute(EGRESS.parse().unwrap());
    for (line, wanted) in [
        (format!("ip route add to local {EGRESS} scope host dev eth0 proto 66"), route),
        (format!("ip addr add {WIRE}/32 dev eth0"), ChangedPart::Uplinks),
    ] {
        while changes.try_recv().is_ok() {}
        ns.run(&line);
        let end = Instant::now() + PATIENCE;
        let noticed = std::iter::from_fn(|| {
            while Instant::now() < end {
                if let Ok(change) = changes.try_recv() {
                    return Some(change.what);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            None
        });
        let first = noticed.into_iter().find(ChangedPart::may_make_local);
        assert_eq!(first, Some(wanted), "{line}");
    }
    let all: Vec<LocalAddress> = local_address::find(&asked()).unwrap();
    assert_eq!(all.len(), 2);
}
