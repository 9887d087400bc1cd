//! Which uplink of this node carries an address, and by which next hop it leaves.

use std::net::{IpAddr, Ipv4Addr};

use egret_core::model::{Attachment, Family, Uplink as PublishedUplink};
use egret_datapath::host::{HostUplink, NextHop};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::gateway::UplinkLink;
use ipnet::IpNet;

use crate::address_status::mac_text;
use crate::lease_thread::CarryingLink;

/// How this node carries an egress address that a cloud delivers, or would deliver, to it as `at`
/// says.
pub(crate) fn link_for(
    address: IpAddr,
    at: Option<&Attachment>,
    in_cloud: bool,
    uplinks: &[HostUplink],
) -> CarryingLink {
    let wire = at.and_then(|at| at.wire);
    let carried = wire.unwrap_or(address);
    let family = Family::of(carried);
    let uplink = serving(carried, at, in_cloud, uplinks).map(|(uplink, subnet)| UplinkLink {
        index: uplink.index,
        mac: uplink.mac,
        next_hop: next_hop(
            uplink,
            family,
            router_of(carried, at, uplink, subnet.filter(|_| in_cloud)),
        ),
        on_link_bits: subnet.map_or(0, |subnet| on_link_bits(uplink, family, subnet)),
    });
    CarryingLink { uplink, wire, named: at.is_some() }
}

/// The interface that the cloud names, and no other: what leaves by another one, the network drops; none
/// before it delivers anything here. Where nobody names one (older controllers did not), that of the smallest subnet that has the address on the wire; of several
/// equal ones the first uplink's that has a carrier. With that subnet, which a cloud's interface may not have. `None`
/// where this node cannot carry the address.
fn serving<'a>(
    carried: IpAddr,
    at: Option<&Attachment>,
    in_cloud: bool,
    uplinks: &'a [HostUplink],
) -> Option<(&'a HostUplink, Option<IpNet>)> {
    if in_cloud && at.is_none() {
        return None;
    }
    let subnet = |uplink: &HostUplink| {
        let subnets = uplink.subnets().into_iter().filter(|subnet| subnet.contains(&carried));
        subnets.max_by_key(IpNet::prefix_len)
    };
    if let Some(at) = at.filter(|at| at.mac.is_some()) {
        return named(at, uplinks).map(|uplink| (uplink, subnet(uplink)));
    }
    let with_subnet = uplinks.iter().filter_map(|uplink| Some((uplink, subnet(uplink)?)));
    let smallest = with_subnet
        .min_by_key(|(uplink, subnet)| (std::cmp::Reverse(subnet.prefix_len()), !uplink.carrier));
    smallest.map(|(uplink, subnet)| (uplink, Some(subnet)))
}

/// By its MAC address; else by its own address, which the cloud gives to one interface alone.
fn named<'a>(at: &Attachment, uplinks: &'a [HostUplink]) -> Option<&'a HostUplink> {
    let mac = at.mac.as_deref()?;
    let own = at.primary_address.map(|own| own.addr());
    let by_mac = |uplink: &&HostUplink| mac_text(uplink.mac).eq_ignore_ascii_case(mac);
    let by_address =
        |uplink: &&HostUplink| uplink.addresses.iter().any(|address| own == Some(address.addr()));
    uplinks.iter().find(by_mac).or_else(|| uplinks.iter().find(by_address))
}

/// The router that the cloud names; `subnet` where one may be guessed from it.
fn router_of(
    carried: IpAddr,
    at: Option<&Attachment>,
    uplink: &HostUplink,
    subnet: Option<IpNet>,
) -> Option<IpAddr> {
    match at.and_then(|at| at.next_hop) {
        Some(router) => {
            let own = uplink.addresses.iter().any(|net| net.addr() == router);
            (!own && router.is_ipv4() == carried.is_ipv4()).then_some(router)
        }
        None => router_by_older_controller(uplink, subnet?),
    }
}

/// `None` leaves it to the routing tables; `router` is the one that the cloud names.
///
/// For IPv4 they are asked for a way by the uplink. For IPv6 the uplink only breaks ties (`bpf_redirect_neigh`,
/// net/core/filter.c): another link's default route or narrower one wins, and the packet would ask on this link for a
/// neighbour that is not there.
pub(crate) fn next_hop(
    uplink: &HostUplink,
    family: Family,
    router: Option<IpAddr>,
) -> Option<IpAddr> {
    match uplink.next_hops.get(&family) {
        Some(NextHop::Given(router)) => Some(*router),
        _ if uplink.is_primary_for(family) => match family {
            Family::IPv4 => None,
            Family::IPv6 => main_router(uplink, family),
        },
        Some(NextHop::Default(default)) => Some(*default),
        // An appliance may have a route to its part of the world; the router serves all of it.
        Some(NextHop::Partial(appliance)) => router.or(Some(*appliance)),
        None => router,
    }
}

fn main_router(uplink: &HostUplink, family: Family) -> Option<IpAddr> {
    uplink.defaults.iter().find_map(|(of, router)| router.filter(|_| *of == family))
}

/// Whose next hop is the main table's: its route to the subnet is narrower than any that leads elsewhere.
fn on_link_bits(uplink: &HostUplink, family: Family, subnet: IpNet) -> u8 {
    let given = matches!(uplink.next_hops.get(&family), Some(NextHop::Given(_)));
    let by_main = family == Family::IPv6 && !given && main_router(uplink, family).is_some();
    if by_main { subnet.prefix_len() } else { 0 }
}

/// The router where the attachment names none: only controllers that knew no provider but AWS's left
/// it out, and there the base of the IPv4 subnet plus one is "reserved by AWS for the VPC router"
/// (<https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html>). The rule itself is in
/// `providers/aws`; this copy goes when no such controller is upgraded from any more.
fn router_by_older_controller(uplink: &HostUplink, subnet: IpNet) -> Option<IpAddr> {
    let IpNet::V4(subnet) = subnet else { return None };
    let router = Ipv4Addr::from_bits(subnet.network().to_bits().checked_add(1)?);
    let router_of_several = subnet.prefix_len() < 31;
    let own = uplink.addresses.iter().any(|net| net.addr() == IpAddr::V4(router));
    (router_of_several && !own).then_some(IpAddr::V4(router))
}

/// Takes what `--next-hop` says of the links; what does not fit is left out ([`misfit`] says so).
pub(crate) fn give(uplinks: &mut [HostUplink], given: &[(String, IpAddr)]) {
    for uplink in uplinks {
        for (_, router) in given.iter().rev().filter(|(link, _)| *link == uplink.name) {
            if fits(uplink, *router) {
                uplink.next_hops.insert(Family::of(*router), NextHop::Given(*router));
            }
        }
    }
}

/// What is wrong with `--next-hop` on this node. A link that is not there may come.
///
/// # Errors
/// `Invalid` where a link has none of its next hops of one family in a subnet, or is not among
/// `wanted` (`--uplink`; empty for every link to the world).
pub(crate) fn misfit(
    uplinks: &[HostUplink],
    wanted: &[String],
    given: &[(String, IpAddr)],
) -> Result<(), PortError> {
    let invalid = |remedy| Err(PortError::new(ErrorClass::Invalid, "take --next-hop", remedy));
    for (link, router) in given {
        if !wanted.is_empty() && !wanted.contains(link) {
            return invalid(format!("addresses are not carried on {link}: add --uplink={link}"));
        }
        let Some(uplink) = uplinks.iter().find(|uplink| uplink.name == *link) else { continue };
        let family = Family::of(*router);
        if let Some(NextHop::Given(_)) = uplink.next_hops.get(&family) {
            continue;
        }
        let subnets: Vec<String> = uplink.subnets().iter().map(ToString::to_string).collect();
        let remedy = format!(
            "{router} is not in a subnet of {link} ({}): name the router of its subnet",
            subnets.join(", ")
        );
        return invalid(remedy);
    }
    Ok(())
}

fn fits(uplink: &HostUplink, router: IpAddr) -> bool {
    if uplink.addresses.iter().any(|net| net.addr() == router) {
        return false;
    }
    if let IpAddr::V6(router) = router
        && router.is_unicast_link_local()
    {
        return true;
    }
    uplink.subnets().iter().any(|subnet| subnet.contains(&router))
}

/// What the node's status says of its uplinks.
pub(crate) fn published(uplinks: &[HostUplink]) -> Vec<PublishedUplink> {
    uplinks
        .iter()
        .map(|uplink| PublishedUplink {
            name: uplink.name.clone(),
            subnets: uplink.subnets().into_iter().collect(),
            mac: Some(mac_text(uplink.mac)),
            next_hops: routers(uplink).collect(),
        })
        .collect()
}

/// The routers that lead to the world by it, as far as they could be in a pool.
fn routers(uplink: &HostUplink) -> impl Iterator<Item = IpAddr> {
    let of_main = uplink.defaults.iter().filter_map(|(_, router)| *router);
    let others = uplink.next_hops.values().map(|hop| match *hop {
        NextHop::Given(router) | NextHop::Default(router) | NextHop::Partial(router) => router,
    });
    let link_local =
        |router: &IpAddr| matches!(router, IpAddr::V6(router) if router.is_unicast_link_local());
    of_main.chain(others).filter(move |router| !link_local(router))
}

#[cfg(test)]
mod tests {
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
    fn carried(
        address: &str,
        in_cloud: bool,
        uplinks: &[HostUplink],
    ) -> Option<(u32, Option<IpAddr>)> {
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
            let both = [true, false]
                .map(|in_cloud| link_for(ip("203.0.113.17"), Some(&at), in_cloud, node));
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
}
