//! The tunnel device, rules, routes, uplinks and collisions, in network namespaces. Needs root,
//! iproute2, nftables.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::collections::BTreeSet;
use std::net::UdpSocket;

use egret_core::model::Family;
use egret_datapath::nft::NftSteering;
use egret_datapath::packet_mark::MatchEffect;
use egret_datapath::{HostSettings, host, link, route, rule, teardown};
use egret_netns::{NetworkNamespace, veth};
use egret_ports::error::ErrorClass;
use egret_ports::steering::{Applied, Collision, Steering as _};
use ipnet::IpNet;

const MARK: u32 = egret_datapath::packet_mark::DEFAULT;

fn never() -> BTreeSet<IpNet> {
    ["10.244.0.0/16", "169.254.0.0/16", "fd00:244::/48", "fe80::/10"]
        .map(|net| net.parse().unwrap())
        .into()
}

#[test]
fn the_device_is_made_once_and_then_adopted() {
    let ns = NetworkNamespace::new("link");
    let _inside = ns.enter();
    let settings = HostSettings::default();
    let made = link::ensure(&settings, Family::IPv4, 1500).unwrap();
    assert_eq!((made.mtu, made.applied), (1450, Applied::Changed));
    let shown = ns.run("ip -d link show egret0");
    for word in ["external", "dstport 5480", "mtu 1450", "NOARP", "UP"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(ns.run("ip -4 addr show egret0").contains("169.254.54.80/32"));
    assert!(!ns.run("ip -6 addr show egret0").contains("fe80"), "would speak into the tunnel");
    assert_eq!(ns.run("sysctl -n net.ipv4.conf.egret0.rp_filter").trim(), "2");
    let again = link::ensure(&settings, Family::IPv4, 1500).unwrap();
    assert_eq!((again.index, again.applied), (made.index, Applied::AlreadySo));
    let six = link::ensure(&settings, Family::IPv6, 1500).unwrap();
    assert_eq!((six.index, six.mtu, six.applied), (made.index, 1430, Applied::Changed));
}

#[test]
fn what_others_changed_is_corrected_in_place() {
    let ns = NetworkNamespace::new("link");
    let _inside = ns.enter();
    let settings = HostSettings::default();
    let made = link::ensure(&settings, Family::IPv4, 1500).unwrap();
    for fault in [
        "ip link set egret0 down",
        "ip link set egret0 mtu 1300",
        "ip link set egret0 arp on",
        "ip addr flush dev egret0",
        "sysctl -q -w net.ipv4.conf.egret0.rp_filter=1",
        "sysctl -q -w net.ipv4.conf.egret0.forwarding=0",
    ] {
        ns.run(fault);
        let put_back = link::ensure(&settings, Family::IPv4, 1500).unwrap();
        assert_eq!(put_back.applied, Applied::Changed, "{fault}");
        assert_eq!(put_back.index, made.index, "{fault}");
        let again = link::ensure(&settings, Family::IPv4, 1500).unwrap();
        assert_eq!(again.applied, Applied::AlreadySo, "after {fault}");
    }
}

#[test]
fn a_wrong_tunnel_is_replaced_and_a_foreign_device_is_not() {
    let ns = NetworkNamespace::new("link");
    let _inside = ns.enter();
    let settings = HostSettings::default();
    ns.run("ip link add egret0 type vxlan id 7 dstport 4789");
    let made = link::ensure(&settings, Family::IPv4, 1500).unwrap();
    assert_eq!(made.applied, Applied::Changed);
    assert!(ns.run("ip -d link show egret0").contains("dstport 5480"));
    link::remove(&settings).unwrap();
    link::remove(&settings).unwrap();
    ns.run("ip link add egret0 type bridge");
    let refused = link::ensure(&settings, Family::IPv4, 1500).unwrap_err();
    assert_eq!(refused.class, ErrorClass::Conflict);
    assert_eq!(link::remove(&settings).unwrap_err().class, ErrorClass::Conflict);
    assert!(ns.run("ip link show egret0").contains("egret0"), "removed a foreign device");
    let small = link::ensure(&settings, Family::IPv6, 1300).unwrap_err();
    assert_eq!(small.class, ErrorClass::Invalid);
}

#[test]
fn there_is_one_rule_per_family() {
    let ns = NetworkNamespace::new("rule");
    let _inside = ns.enter();
    let settings = HostSettings::default();
    assert_eq!(rule::ensure(&settings, MARK).unwrap(), Applied::Changed);
    assert_eq!(rule::ensure(&settings, MARK).unwrap(), Applied::AlreadySo);
    // What others may have made of it: a wrong one, and a second one without `proto kernel`.
    ns.run("ip rule add fwmark 0x2000/0x2000 table 5480 priority 490 proto static");
    ns.run("ip rule add fwmark 0x1000/0x1000 table 5480 priority 490 proto static iif lo");
    // And the one of an agent that matched a bit: it leads until packets carry the new mark.
    ns.run("ip rule add fwmark 0x1000/0x1000 table 5480 priority 490 proto kernel");
    assert_eq!(rule::current(&settings).unwrap(), Some(MARK));
    assert_eq!(rule::ensure(&settings, MARK).unwrap(), Applied::AlreadySo);
    assert_eq!(ns.run("ip rule show priority 490").lines().count(), 4);
    assert_eq!(rule::settle(&settings, MARK).unwrap(), Applied::Changed);
    assert_eq!(rule::settle(&settings, MARK).unwrap(), Applied::AlreadySo);
    let is_one = |wanted: &str| {
        for family in ["-4", "-6"] {
            let shown = ns.run(&format!("ip -d {family} rule show priority 490"));
            assert_eq!(shown.lines().count(), 1, "{shown}");
            assert!(shown.contains(wanted), "{shown}");
        }
    };
    is_one("fwmark 0x54 lookup 5480 proto kernel");
    assert_eq!(rule::ensure(&settings, 0x55).unwrap(), Applied::Changed);
    assert_eq!(ns.run("ip rule show priority 490").lines().count(), 2);
    rule::settle(&settings, 0x55).unwrap();
    is_one("fwmark 0x55 lookup 5480 proto kernel");
    assert_eq!(rule::current(&settings).unwrap(), Some(0x55));
    ns.run("ip rule del priority 490");
    assert_eq!(rule::ensure(&settings, MARK).unwrap(), Applied::Changed);
    rule::remove(&settings).unwrap();
    rule::remove(&settings).unwrap();
    assert_eq!(ns.run("ip rule show priority 490"), "");
}

/// An agent that starts with another number, priority or bit finds what it left under the old ones.
#[test]
fn what_was_left_under_other_settings_is_taken_away() {
    let ns = NetworkNamespace::new("moved");
    let _inside = ns.enter();
    let old = HostSettings::default();
    let tunnel = link::ensure(&old, Family::IPv4, 1500).unwrap();
    rule::ensure(&old, MARK).unwrap();
    route::ensure(&old, &never(), tunnel.index).unwrap();
    // Another's rule and table of the same form, but for the last resort.
    ns.run("ip route add default dev egret0 proto kernel table 77");
    ns.run("ip rule add fwmark 0x40/0x40 table 77 priority 480 proto kernel");
    let moves = [
        HostSettings { route_table: 6000, ..old.clone() },
        HostSettings { rule_priority: 600, ..old.clone() },
        HostSettings { mark: 0x2000, route_table: 6001, rule_priority: 601, ..old.clone() },
    ];
    let shown = |family| {
        let rules = ns.run(&format!("ip {family} rule show"));
        let marked = rules.lines().filter(|line| line.contains("fwmark") && !line.contains("480:"));
        marked.map(str::to_owned).collect::<Vec<_>>()
    };
    for settings in &moves {
        assert_eq!(host::check(settings).unwrap().collisions, BTreeSet::new(), "{settings:?}");
        // Its mark is gone on with, and what it had leads into the tunnel until all else is there.
        assert_eq!(rule::current(settings).unwrap(), Some(MARK));
        assert_eq!(rule::ensure(settings, MARK).unwrap(), Applied::Changed);
        route::ensure(settings, &never(), tunnel.index).unwrap();
        assert_eq!(rule::ensure(settings, MARK).unwrap(), Applied::AlreadySo);
        assert_eq!(shown("-4").len(), 2, "both at first: {:?}", shown("-4"));
        assert_eq!(rule::settle(settings, MARK).unwrap(), Applied::Changed);
        for family in ["-4", "-6"] {
            let rules = shown(family);
            let wanted = format!("{}:\t", settings.rule_priority);
            assert!(rules.len() == 1 && rules[0].starts_with(&wanted), "{rules:?}");
            let routes = ns.run(&format!("ip {family} route show table all"));
            let table = format!("table {}", settings.route_table);
            let last = routes.lines().filter(|line| line.contains("metric 4000000000"));
            let last: Vec<_> = last.collect();
            assert!(last.len() == 1 && last[0].contains(&table), "{routes}");
        }
    }
    // A teardown that knows nothing of the last settings.
    teardown::all(&old).unwrap();
    assert_eq!((shown("-4"), shown("-6")), (vec![], vec![]));
    assert!(!ns.run("ip route show table all").contains("metric 4000000000"));
    assert!(ns.run("ip rule show").contains("480:"), "another's rule stays");
}

#[test]
fn routes_are_written_by_difference() {
    let ns = NetworkNamespace::new("route");
    let _inside = ns.enter();
    let settings = HostSettings::default();
    let tunnel = link::ensure(&settings, Family::IPv4, 1500).unwrap();
    let ensure = |never: &BTreeSet<IpNet>| route::ensure(&settings, never, tunnel.index).unwrap();
    assert_eq!(ensure(&never()), Applied::Changed);
    assert_eq!(ensure(&never()), Applied::AlreadySo);
    let four = ns.run("ip -4 route show table 5480");
    for line in [
        "default dev egret0 proto kernel scope link metric 1024",
        "unreachable default proto kernel metric 4000000000",
        "throw 10.244.0.0/16 proto kernel metric 1024",
    ] {
        assert!(four.contains(line), "{line}: {four}");
    }
    let six = ns.run("ip -6 route show table 5480");
    for line in ["default dev egret0", "unreachable default", "throw fd00:244::/48"] {
        assert!(six.contains(line), "{line}: {six}");
    }
    // Others: one removed, one added, one of the same name and another kind.
    ns.run("ip route del throw 10.244.0.0/16 table 5480");
    ns.run("ip route add 10.99.0.0/16 dev egret0 table 5480");
    ns.run("ip -6 route del default dev egret0 table 5480");
    let fewer = never().into_iter().filter(|net| *net != "169.254.0.0/16".parse().unwrap());
    let fewer: BTreeSet<IpNet> = fewer.collect();
    assert_eq!(ensure(&fewer), Applied::Changed);
    assert_eq!(ensure(&fewer), Applied::AlreadySo);
    let four = ns.run("ip -4 route show table 5480");
    assert!(!four.contains("10.99.0.0") && !four.contains("169.254.0.0"), "{four}");
    // The device goes and takes its routes along; the last resort stays.
    ns.run("ip link set egret0 down");
    assert_eq!(ns.run("ip -4 route show default table 5480").lines().count(), 1);
    link::ensure(&settings, Family::IPv4, 1500).unwrap();
    assert_eq!(ensure(&fewer), Applied::Changed);
    route::remove(&settings).unwrap();
    route::remove(&settings).unwrap();
    // `ip` reports a table that is gone as an error.
    let left = ns.output("ip -4 route show table 5480").stdout;
    assert_eq!(String::from_utf8_lossy(&left), "");
}

#[test]
fn a_thousand_node_addresses_are_no_matter() {
    let ns = NetworkNamespace::new("route");
    let _inside = ns.enter();
    let settings = HostSettings::default();
    let tunnel = link::ensure(&settings, Family::IPv4, 1500).unwrap();
    let mut nodes: BTreeSet<IpNet> = (0..1_000_u32)
        .map(|n| IpNet::from(std::net::IpAddr::from((0x0a0a_0000 + n).to_be_bytes())))
        .collect();
    assert_eq!(route::ensure(&settings, &nodes, tunnel.index).unwrap(), Applied::Changed);
    assert_eq!(route::ensure(&settings, &nodes, tunnel.index).unwrap(), Applied::AlreadySo);
    nodes.pop_first();
    assert_eq!(route::ensure(&settings, &nodes, tunnel.index).unwrap(), Applied::Changed);
    assert_eq!(ns.run("ip -4 route show table 5480").lines().count(), 1_001);
}

#[test]
fn uplinks_are_found_with_the_primary_first() {
    let (ns, world) = (NetworkNamespace::new("node"), NetworkNamespace::new("world"));
    veth(&ns, "storage0", &world, "peer1");
    veth(&ns, "eth0", &world, "peer2");
    veth(&ns, "pod1", &world, "peer3");
    ns.run("ip addr add 10.9.0.5/24 dev storage0");
    ns.run("ip addr add 192.0.2.11/24 dev eth0");
    ns.run("ip addr add 2001:db8::11/64 dev eth0 nodad");
    ns.run("ip addr add 10.244.1.1/32 dev pod1");
    ns.run("ip link set eth0 mtu 1400");
    ns.run("ip route add default via 192.0.2.1");
    ns.run("ip -6 route add default via fe80::1 dev eth0");
    let _inside = ns.enter();
    let settings = HostSettings::default();
    link::ensure(&settings, Family::IPv4, 1400).unwrap();
    let uplinks = host::uplinks(&settings).unwrap();
    let names: Vec<&str> = uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
    assert_eq!(names, ["eth0", "storage0"]);
    let first = &uplinks[0];
    assert!(first.is_primary() && !uplinks[1].is_primary());
    assert_eq!(first.mtu, 1400);
    assert_eq!(first.lasting.first(), Some(&"192.0.2.11".parse().unwrap()));
    assert_eq!(
        first.subnets(),
        ["192.0.2.0/24", "2001:db8::/64"].map(|n| n.parse().unwrap()).into()
    );
    assert_eq!(
        first.defaults,
        [
            (Family::IPv4, Some("192.0.2.1".parse().unwrap())),
            (Family::IPv6, Some("fe80::1".parse().unwrap())),
        ]
    );
}

/// Of the host, and of what the back end calls its own.
fn collisions(settings: &HostSettings) -> BTreeSet<Collision> {
    let mut found = host::check(settings).unwrap().collisions;
    found.extend(NftSteering::new(settings.clone(), 0).collisions().unwrap());
    found
}

#[test]
fn others_that_use_ours_are_named() {
    let ns = NetworkNamespace::new("check");
    let _inside = ns.enter();
    let settings = HostSettings::default();
    assert_eq!(collisions(&settings), BTreeSet::new());
    // Our own, as after a restart, is no collision.
    let tunnel = link::ensure(&settings, Family::IPv4, 1500).unwrap();
    rule::ensure(&settings, MARK).unwrap();
    route::ensure(&settings, &never(), tunnel.index).unwrap();
    assert_eq!(collisions(&settings), BTreeSet::new());
    teardown::all(&settings).unwrap();

    ns.run("ip rule add fwmark 0x1000/0x1000 table 77 priority 100");
    ns.run("ip rule add not fwmark 0xca6c table 79 priority 32000");
    ns.run("ip rule add from 10.0.0.0/8 table 78 priority 490");
    ns.run("ip link add other0 type vxlan id 9 dstport 5480");
    ns.run("ip route add 10.0.0.0/8 dev lo table 5480");
    ns.nft("table ip vpn { chain marks { type filter hook prerouting priority 0; ct mark set ct mark | 0x1000; meta mark set meta mark | 0x1000; meta mark 0x60 drop; }; }");
    ns.nft("table inet egret { chain c { }\n }");
    let _socket = UdpSocket::bind("0.0.0.0:5481").unwrap();
    let found: Vec<String> = collisions(&settings).iter().map(ToString::to_string).collect();
    for part in [
        "the connection mark's bit 0x1000 is used by nft table ip vpn, chain marks: choose another mark",
        "the rule priority 490 is used by the IPv4 rule of priority 490 to table 78",
        "the routing table 5480 is used by the IPv4 route to 10.0.0.0/8",
        "the UDP port 5480 is used by the VXLAN device other0: choose another tunnel port",
        "the UDP port 5481 is used by process ",
        "the nft table inet egret is used by somebody else",
    ] {
        assert!(found.iter().any(|line| line.contains(part)), "{part}: {found:#?}");
    }
    // What is matched is no collision: our mark is chosen so that it is not hit.
    let by_rules = host::mark_rules(&settings).unwrap();
    let by_rules: Vec<_> =
        by_rules.iter().map(|m| (m.want, m.mask, m.inverted, m.effect)).collect();
    assert_eq!(by_rules, [(0x1000, 0x1000, false, MatchEffect::RoutedBefore)]);
    let by_nft = host::check(&settings).unwrap().marks;
    assert!(by_nft.iter().any(|m| (m.want, m.mask) == (0x60, u32::MAX)), "{by_nft:?}");
}

/// Calico's rule for WireGuard takes what has not its mark, before ours, and has routes to pods alone: it takes nothing
/// that leaves. With a default route it takes all but what has its bit.
#[test]
fn a_rule_before_ours_counts_by_where_it_leads() {
    let ns = NetworkNamespace::new("check");
    let _inside = ns.enter();
    let settings = HostSettings::default();
    ns.run("ip link set lo up");
    ns.run("ip rule add not fwmark 0x200000/0x200000 table 77 priority 99");
    ns.run("ip route add 10.244.0.0/16 dev lo table 77");
    ns.run("ip rule add iif lo fwmark 0x30/0xf0 table 78 priority 98");
    let read = || -> Vec<_> {
        let all = host::mark_rules(&settings).unwrap();
        all.iter().map(|m| (m.want, m.inverted, m.effect)).collect()
    };
    let of_the_node = (0x30, false, MatchEffect::Other);
    assert_eq!(read(), [of_the_node]);
    ns.run("ip route add default dev lo table 77");
    assert_eq!(read(), [of_the_node, (0x20_0000, true, MatchEffect::RoutedBefore)]);
}

/// Rules come and go while the agent runs.
#[test]
fn what_firewalls_do_with_marks_is_read_anew() {
    let ns = NetworkNamespace::new("check");
    let _inside = ns.enter();
    let settings = HostSettings::default();
    assert_eq!(host::firewalls(&settings).unwrap(), host::HostFindings::default());
    let before = host::firewall_generation().unwrap();
    ns.nft(
        "table ip vpn { chain early { type filter hook prerouting priority -150; ct mark set 0x5; }; \
         chain forward { type filter hook forward priority 0; \
           meta mark & 0x1000000 != 0x1000000 drop; }; }",
    );
    assert_ne!(host::firewall_generation().unwrap(), before);
    let found = host::firewalls(&settings).unwrap();
    assert_eq!(found.collisions, BTreeSet::new());
    assert_eq!(found.overwrites, ["nft table ip vpn, chain early".to_owned()].into());
    let marks: Vec<_> = found.marks.iter().map(|m| (m.want, m.inverted, m.effect)).collect();
    let expected = [(0x5, false, MatchEffect::Other), (0x100_0000, true, MatchEffect::Refused)];
    assert_eq!(marks, expected);
}

#[test]
fn ipv6_that_is_switched_off_there_is_said_with_the_remedy() {
    let namespace = NetworkNamespace::new("link");
    let _inside = namespace.enter();
    let settings = HostSettings::default();
    link::ensure(&settings, Family::IPv4, 1500).unwrap();
    link::require_ipv6(&settings).unwrap();
    namespace.sysctl("net/ipv6/conf/egret0/disable_ipv6", "1");
    let error = link::require_ipv6(&settings).unwrap_err().to_string();
    assert!(error.contains("net.ipv6.conf.egret0.disable_ipv6=0"), "{error}");
    namespace.sysctl("net/ipv6/conf/egret0/disable_ipv6", "0");
    link::require_ipv6(&settings).unwrap();
}
