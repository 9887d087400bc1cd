use std::collections::BTreeSet;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn uplink(index: u32, addresses: &[&str], default: Option<&str>) -> HostUplink {
    HostUplink {
        name: format!("eth{}", index - 2),
        defaults: default.map(|router| (Family::IPv4, Some(ip(router)))).into_iter().collect(),
        ..crate::testing::uplink(index, addresses)
    }
}

/// A node with its first interface in 10.0.1.0/24 and a second one in 10.0.2.0/24.
fn node() -> Vec<HostUplink> {
    vec![
        uplink(2, &["10.0.1.20/24", "2001:db8:1::20/64"], Some("10.0.1.1")),
        uplink(3, &["10.0.2.20/24", "2001:db8:2::20/64"], None),
    ]
}

/// The index of the link that carries the address, and its next hop.
fn carried(address: &str, in_cloud: bool, uplinks: &[HostUplink]) -> Option<(u32, Option<IpAddr>)> {
    let at = Attachment { wire: Some(ip(address)), ..Attachment::at("node-1".into()) };
    let link = link_for(ip("203.0.113.17"), Some(&at), in_cloud, uplinks);
    assert_eq!(link.wire, Some(ip(address)));
    link.uplink.map(|uplink| (uplink.index, uplink.next_hop))
}

fn given(line: &str) -> (String, IpAddr) {
    let (link, router) = line.split_once('=').unwrap();
    (link.to_owned(), ip(router))
}

#[test]
fn what_is_published_of_an_uplink_has_its_routers() {
    let mut node = node();
    node[0].next_hops.insert(Family::IPv6, NextHop::Default(ip("fe80::1")));
    node[1].next_hops.insert(Family::IPv4, NextHop::Partial(ip("10.0.2.254")));
    node[1].next_hops.insert(Family::IPv6, NextHop::Given(ip("2001:db8:2::3")));
    let published = published(&node);
    let routers = published.iter().map(|uplink| uplink.next_hops.clone());
    let known: [BTreeSet<IpAddr>; 2] =
        [[ip("10.0.1.1")].into(), [ip("10.0.2.254"), ip("2001:db8:2::3")].into()];
    assert!(routers.eq(known), "{published:?}");
    assert_eq!(published[0].mac.as_deref(), Some("02:00:00:00:00:02"));
}

#[test]
fn the_routing_tables_decide_where_nothing_else_is_known() {
    let node = node();
    assert_eq!(carried("10.0.1.77", true, &node), Some((2, None)));
    assert_eq!(carried("10.0.2.77", false, &node), Some((3, None)));
    assert_eq!(carried("10.0.3.77", true, &node), None);
}

#[test]
fn of_two_interfaces_in_one_subnet_the_clouds_word_counts() {
    let mut node = node();
    node[1].addresses = vec!["10.0.1.21/24".parse().unwrap()];
    let at = |mac: &str| Attachment {
        wire: Some(ip("10.0.1.77")),
        mac: Some(mac.to_owned()),
        ..Attachment::at("node-1".into())
    };
    let index = |mac: &str| {
        let link = link_for(ip("203.0.113.17"), Some(&at(mac)), true, &node);
        link.uplink.map(|uplink| uplink.index)
    };
    assert_eq!(index("02:00:00:00:00:03"), Some(3));
    assert_eq!(index("02:00:00:00:00:02"), Some(2));
    assert_eq!(index("02:00:00:00:00:99"), None, "never by another one");
    let without = |in_cloud| link_for(ip("10.0.1.77"), None, in_cloud, &node).uplink;
    assert_eq!(without(true), None, "it is delivered nowhere");
    assert_eq!(without(false).map(|uplink| uplink.index), Some(2));
}

#[test]
fn an_interface_with_a_single_address_carries_what_the_cloud_names_it_for() {
    let mut node = node();
    node[0].addresses = vec!["10.128.0.5/32".parse().unwrap()];
    let next_hop = Some(ip("10.128.0.1"));
    let mac = Some("02:00:00:00:00:02".to_owned());
    let at = Attachment { mac, next_hop, ..Attachment::at("node-1".into()) };
    let link = link_for(ip("203.0.113.17"), Some(&at), true, &node).uplink.unwrap();
    assert_eq!((link.index, link.next_hop), (2, None), "its default route knows the router");
    node[0].defaults = Vec::new();
    let link = link_for(ip("203.0.113.17"), Some(&at), true, &node).uplink.unwrap();
    assert_eq!((link.index, link.next_hop), (2, next_hop));
}

#[test]
fn in_a_cloud_the_subnets_first_address_is_its_router() {
    let mut node = node();
    assert_eq!(carried("10.0.2.77", true, &node), Some((3, Some(ip("10.0.2.1")))));
    assert_eq!(carried("2001:db8:2::77", true, &node), Some((3, None)));
    // Subnets that do not begin at a zero.
    node[1].addresses = vec!["10.0.2.37/28".parse().unwrap()];
    assert_eq!(carried("10.0.2.40", true, &node), Some((3, Some(ip("10.0.2.33")))));
    // The node itself has it; two hosts alone.
    for own in ["10.0.2.33/28", "10.0.2.40/31"] {
        node[1].addresses = vec![own.parse().unwrap()];
        assert_eq!(carried("10.0.2.40", true, &node), Some((3, None)), "{own}");
    }
}

#[test]
fn the_router_that_the_cloud_names_counts_before_the_rule_of_older_controllers() {
    let mut node = node();
    let named = |router: &str, node: &[HostUplink]| {
        let (wire, next_hop) = (Some(ip("10.0.2.77")), Some(ip(router)));
        let at = Attachment { wire, next_hop, ..Attachment::at("node-1".into()) };
        let both =
            [true, false].map(|in_cloud| link_for(ip("203.0.113.17"), Some(&at), in_cloud, node));
        let both = both.map(|link| link.uplink.and_then(|uplink| uplink.next_hop));
        assert_eq!(both[0], both[1], "who fences is of no matter");
        both[0]
    };
    assert_eq!(named("10.0.2.99", &node), Some(ip("10.0.2.99")));
    assert_eq!(named("10.0.2.20", &node), None, "the node's own");
    assert_eq!(named("fe80::1", &node), None, "another family's");
    node[1].next_hops.insert(Family::IPv4, NextHop::Default(ip("10.0.2.254")));
    assert_eq!(named("10.0.2.99", &node), Some(ip("10.0.2.254")), "routes know better");
}

#[test]
fn routes_know_better_than_the_first_address_and_parts_of_the_world_do_not() {
    let mut node = node();
    let router = ip("10.0.2.254");
    node[1].next_hops.insert(Family::IPv4, NextHop::Default(router));
    for in_cloud in [true, false] {
        assert_eq!(carried("10.0.2.77", in_cloud, &node), Some((3, Some(router))));
    }
    node[1].next_hops.insert(Family::IPv4, NextHop::Partial(router));
    assert_eq!(carried("10.0.2.77", false, &node), Some((3, Some(router))));
    assert_eq!(carried("10.0.2.77", true, &node), Some((3, Some(ip("10.0.2.1")))));
    node[1].next_hops.insert(Family::IPv6, NextHop::Partial(ip("fe80::1")));
    assert_eq!(carried("2001:db8:2::77", true, &node), Some((3, Some(ip("fe80::1")))));
}

#[test]
fn an_ipv6_uplink_has_its_own_router_and_its_neighbours_none() {
    let mut node = node();
    let link = |address: &str, node: &[HostUplink]| {
        let uplink = link_for(ip(address), None, false, node).uplink.unwrap();
        (uplink.index, uplink.next_hop, uplink.on_link_bits)
    };
    node[0].defaults = vec![(Family::IPv4, Some(ip("10.0.1.1"))), (Family::IPv6, None)];
    node[0].addresses.push("2001:db8:1::10/64".parse().unwrap());
    assert_eq!(link("10.0.1.77", &node), (2, None, 0), "the kernel keeps IPv4 to the uplink");
    assert_eq!(link("2001:db8:1::77", &node), (2, None, 0), "a default route without a router");
    node[0].defaults[1].1 = Some(ip("fe80::1"));
    assert_eq!(link("2001:db8:1::77", &node), (2, Some(ip("fe80::1")), 64));
    node[0].next_hops.insert(Family::IPv6, NextHop::Given(ip("fe80::2")));
    assert_eq!(link("2001:db8:1::77", &node), (2, Some(ip("fe80::2")), 0), "as it was told");
}

#[test]
fn what_was_given_comes_first_and_of_several_the_one_that_fits() {
    let mut node = node();
    node[1].next_hops.insert(Family::IPv4, NextHop::Default(ip("10.0.2.1")));
    let lines =
        ["eth0=10.0.1.3", "eth1=10.0.9.1", "eth1=10.0.2.3", "eth1=10.0.2.4", "eth1=fe80::3"];
    let given = lines.map(given);
    give(&mut node, &given);
    misfit(&node, &[], &given).unwrap();
    assert_eq!(carried("10.0.1.77", true, &node), Some((2, Some(ip("10.0.1.3")))));
    assert_eq!(carried("10.0.2.77", true, &node), Some((3, Some(ip("10.0.2.3")))));
    assert_eq!(carried("2001:db8:2::77", true, &node), Some((3, Some(ip("fe80::3")))));
}

#[test]
fn what_was_given_in_vain_is_named_with_a_remedy() {
    let names = ["eth0".to_owned(), "eth9".to_owned()];
    for (line, wanted, part) in [
        (
            "eth1=10.0.9.1",
            &[][..],
            "10.0.9.1 is not in a subnet of eth1 (10.0.2.0/24, 2001:db8:2::/64)",
        ),
        ("eth1=10.0.2.20", &[], "10.0.2.20 is not"),
        ("eth1=2001:db8:9::1", &[], "2001:db8:9::1 is not in a subnet of eth1"),
        ("eth1=10.0.2.1", &names, "add --uplink=eth1"),
    ] {
        let mut node = node();
        let given = [given(line)];
        give(&mut node, &given);
        let error = misfit(&node, wanted, &given).unwrap_err();
        assert_eq!(error.class, ErrorClass::Invalid, "{line}");
        assert!(error.to_string().contains(part), "{error}");
    }
    // The link may come.
    misfit(&node(), &names, &[given("eth9=10.0.9.1")]).unwrap();
}

#[test]
fn of_subnets_in_each_other_the_smaller_one_counts() {
    let mut node = node();
    node[0].addresses = vec!["10.0.0.20/16".parse().unwrap()];
    assert_eq!(carried("10.0.2.77", true, &node).unwrap().0, 3);
    assert_eq!(carried("10.0.7.77", true, &node).unwrap().0, 2);
    // Equal ones: the first, which has the main table's default route.
    node[1].addresses = vec!["10.0.0.21/16".parse().unwrap()];
    assert_eq!(carried("10.0.7.77", true, &node).unwrap().0, 2);
    node[0].carrier = false;
    assert_eq!(carried("10.0.7.77", true, &node).unwrap().0, 3);
}
