//! The links to the world.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use egret_core::model::Family;
use egret_ports::error::PortError;
use ipnet::IpNet;

use crate::constants::HostSettings;
use crate::netlink::address::AddressRecord;
use crate::netlink::link::LinkRecord;
use crate::netlink::way::{MAIN_TABLE, RouteHop};
use crate::netlink::{RouteNetlink, refused};

const FAMILIES: [Family; 2] = [Family::IPv4, Family::IPv6];

/// A next hop out of an uplink, by who names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NextHop {
    /// Whoever runs the agent.
    Given(IpAddr),
    /// A default route, of whichever table.
    Default(IpAddr),
    /// Routes to parts of the world, of whichever tables, and they all name this one.
    Partial(IpAddr),
}

/// A link to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostUplink {
    /// The interface's name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// MTU in bytes.
    pub mtu: u32,
    /// The kernel sees its link (`IFF_LOWER_UP`): what leaves there arrives somewhere.
    pub carrier: bool,
    /// Its addresses of global scope with the length of their subnets, not truncated.
    pub addresses: Vec<IpNet>,
    /// Those of them that stay: of IPv6 none that is temporary, deprecated, tentative or another host's.
    pub lasting: Vec<IpAddr>,
    /// Families whose default route in the main table leaves here, with the next hop where the
    /// route names one.
    pub defaults: Vec<(Family, Option<IpAddr>)>,
    /// What is known of the way out in the other families, where the main table has no default
    /// route for it here: policy rules may lead to one in a table of its own.
    pub next_hops: BTreeMap<Family, NextHop>,
}

impl HostUplink {
    /// The subnets of its addresses.
    #[must_use]
    pub fn subnets(&self) -> BTreeSet<IpNet> {
        self.addresses.iter().map(IpNet::trunc).collect()
    }

    /// Whether it has an address of a family.
    fn has(&self, family: Family) -> bool {
        self.addresses.iter().any(|net| Family::of(net.addr()) == family)
    }

    /// Whether it could carry an address: it has one in a subnet of more than one host, or clouds gave it a
    /// /32 with a default route.
    #[must_use]
    pub fn may_carry(&self) -> bool {
        let in_subnet = |net: &IpNet| net.prefix_len() < net.max_prefix_len();
        self.addresses.iter().any(in_subnet) || self.is_primary()
    }

    /// Whether a default route of the main table leaves here.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        !self.defaults.is_empty()
    }

    /// Whether a default route of this family in the main table leaves here.
    #[must_use]
    pub fn is_primary_for(&self, family: Family) -> bool {
        self.defaults.iter().any(|(of, _)| *of == family)
    }

    /// Whether a default route of any table leaves here, or a next hop was given.
    #[must_use]
    pub fn leads_to_the_world(&self) -> bool {
        let whole = |hop: &NextHop| !matches!(hop, NextHop::Partial(_));
        self.is_primary() || self.next_hops.values().any(whole)
    }
}

/// The links on which this node could hold an address: those of [`links`] that may carry one.
///
/// # Errors
/// `Transient` where the links keep changing under the read.
pub fn uplinks(settings: &HostSettings) -> Result<Vec<HostUplink>, PortError> {
    let links = links(settings)?;
    Ok(links.into_iter().filter(HostUplink::may_carry).collect())
}

/// How far the kernel sees a link, whether it has an address or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkCarrier {
    /// Up, and the other end of the cable is there (`IFF_LOWER_UP`).
    There,
    /// Up without it.
    Missing,
    /// Set down.
    Down,
}

/// These links, by index; what the kernel has no more is left out.
///
/// # Errors
/// Where the kernel does not answer.
pub fn carriers(of: &BTreeSet<u32>) -> Result<BTreeMap<u32, LinkCarrier>, PortError> {
    read_carriers(of).map_err(|error| refused("look for the carriers of uplinks", error))
}

fn read_carriers(of: &BTreeSet<u32>) -> io::Result<BTreeMap<u32, LinkCarrier>> {
    let mut netlink = RouteNetlink::route()?;
    let mut found = BTreeMap::new();
    for index in of {
        let link = netlink.link_at(*index)?;
        found.extend(link.map(|link| (*index, carrier(&link))));
    }
    Ok(found)
}

fn carrier(link: &LinkRecord) -> LinkCarrier {
    match (link.up, link.carrier) {
        (false, _) => LinkCarrier::Down,
        (true, false) => LinkCarrier::Missing,
        (true, true) => LinkCarrier::There,
    }
}

/// The links by which this node could reach its peers: Ethernet, up, no overlay, with an address of
/// global scope. Those with a default route in the main table come first, then by index.
///
/// # Errors
/// `Transient` where the links keep changing under the read.
pub fn links(settings: &HostSettings) -> Result<Vec<HostUplink>, PortError> {
    list(settings).map_err(|error| refused("list the uplinks", error))
}

fn list(settings: &HostSettings) -> io::Result<Vec<HostUplink>> {
    let mut netlink = RouteNetlink::route()?;
    let links = netlink.links()?;
    let addresses = netlink.addresses()?;
    let mut main = BTreeMap::new();
    for family in FAMILIES {
        main.insert(family, netlink.default_ways(family, MAIN_TABLE)?);
    }
    let mut uplinks = choose(settings, &links, &addresses, &main);
    for uplink in uplinks.iter_mut().filter(|uplink| uplink.may_carry()) {
        uplink.next_hops = next_hops(&mut netlink, uplink)?;
    }
    Ok(uplinks)
}

fn choose(
    settings: &HostSettings,
    links: &[LinkRecord],
    addresses: &[AddressRecord],
    main: &BTreeMap<Family, Vec<RouteHop>>,
) -> Vec<HostUplink> {
    let mut uplinks: Vec<HostUplink> = links
        .iter()
        .filter(|link| link.up && link.ethernet && link.name != settings.device)
        .filter(|link| !is_overlay(link.kind.as_deref()))
        .filter_map(|link| {
            let here = |address: &&AddressRecord| address.index == link.index && address.global;
            let records: Vec<&AddressRecord> = addresses.iter().filter(here).collect();
            let own: Vec<IpNet> = records.iter().map(|record| record.address).collect();
            let defaults = defaults(link.index, main);
            if own.is_empty() {
                return None;
            }
            let mac = link.mac?;
            Some(HostUplink {
                name: link.name.clone(),
                index: link.index,
                mac,
                mtu: link.mtu,
                carrier: link.carrier,
                lasting: records
                    .iter()
                    .filter(|record| record.lasting)
                    .map(|record| record.address.addr())
                    .collect(),
                addresses: own,
                defaults,
                next_hops: BTreeMap::new(),
            })
        })
        .collect();
    uplinks.sort_by_key(|uplink| (!uplink.is_primary(), uplink.index));
    uplinks
}

fn is_overlay(kind: Option<&str>) -> bool {
    matches!(
        kind,
        Some("vxlan" | "geneve" | "gre" | "gretap" | "ip6gretap" | "bareudp" | "wireguard" | "tun")
    )
}

/// Of several of a family the one of the lowest metric.
fn defaults(index: u32, main: &BTreeMap<Family, Vec<RouteHop>>) -> Vec<(Family, Option<IpAddr>)> {
    main.iter()
        .filter_map(|(family, ways)| {
            let here = ways.iter().filter(|way| way.device == index);
            let best = here.min_by_key(|way| (way.metric, way.gateway))?;
            Some((*family, best.gateway))
        })
        .collect()
}

/// Asks only where the main table has no default route, and for the routes of that link only: a
/// host that speaks BGP may have some 100,000 of others.
fn next_hops(
    netlink: &mut RouteNetlink,
    uplink: &HostUplink,
) -> io::Result<BTreeMap<Family, NextHop>> {
    let mut found = BTreeMap::new();
    for family in FAMILIES {
        if uplink.is_primary_for(family) || !uplink.has(family) {
            continue;
        }
        let index = uplink.index;
        let hop = match whole(&netlink.ways_out(family, index, false)?) {
            Some(gateway) => Some(NextHop::Default(gateway)),
            None => partial(&netlink.ways_out(family, index, true)?).map(NextHop::Partial),
        };
        found.extend(hop.map(|hop| (family, hop)));
    }
    Ok(found)
}

fn whole(ways: &[RouteHop]) -> Option<IpAddr> {
    let through = ways.iter().filter_map(|way| Some((way.table, way.metric, way.gateway?)));
    through.min().map(|(.., gateway)| gateway)
}

/// Where they disagree, each is right for its own part alone, and the routing table knows which.
fn partial(ways: &[RouteHop]) -> Option<IpAddr> {
    let mut gateways = ways.iter().filter_map(|way| way.gateway);
    let first = gateways.next()?;
    gateways.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(table: u32, metric: u32, gateway: Option<&str>) -> RouteHop {
        let gateway = gateway.map(|text| text.parse().unwrap());
        RouteHop { table, length: 0, metric, device: 3, gateway }
    }

    #[test]
    fn the_first_table_that_names_a_gateway_counts() {
        let ways = [
            way(10_002, 0, Some("10.0.1.3")),
            way(10_001, 512, Some("10.0.1.2")),
            way(10_001, 256, Some("10.0.1.1")),
            way(2, 0, None),
        ];
        assert_eq!(whole(&ways), Some("10.0.1.1".parse().unwrap()));
        assert_eq!(whole(&ways[3..]), None);
    }

    #[test]
    fn routes_to_parts_count_where_they_agree() {
        let agree = [way(254, 0, Some("10.0.1.1")), way(7, 0, Some("10.0.1.1")), way(7, 0, None)];
        assert_eq!(partial(&agree), Some("10.0.1.1".parse().unwrap()));
        let differ = [way(254, 0, Some("10.0.1.1")), way(254, 0, Some("10.0.1.2"))];
        assert_eq!(partial(&differ), None);
        assert_eq!(partial(&[]), None);
    }
}
