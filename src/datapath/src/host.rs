//! What else is on this host: its links to the world, and others that use what Egret takes.

mod nftables;
mod others;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use egret_core::model::Family;
use egret_ports::error::PortError;
use ipnet::IpNet;

use crate::constants::Settings;
use crate::netlink::address::AddressRecord;
use crate::netlink::link::LinkRecord;
use crate::netlink::route::RouteRecord;
use crate::netlink::{RouteNetlink, no_such_family, refused};

/// The kernel's main routing table (RT_TABLE_MAIN, linux/rtnetlink.h).
const MAIN_TABLE: u32 = 254;

/// A link to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// The interface's name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// MTU in bytes.
    pub mtu: u32,
    /// Its addresses of global scope with the length of their subnets, not truncated.
    pub addresses: Vec<IpNet>,
    /// Families whose default route in the main table leaves here, with the next hop where the
    /// route names one.
    pub defaults: Vec<(Family, Option<IpAddr>)>,
}

impl Uplink {
    /// The subnets of its addresses.
    #[must_use]
    pub fn subnets(&self) -> BTreeSet<IpNet> {
        self.addresses.iter().map(IpNet::trunc).collect()
    }

    /// The first address of a family.
    #[must_use]
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().map(IpNet::addr).find(|address| Family::of(*address) == family)
    }

    /// Whether a default route of the main table leaves here.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        !self.defaults.is_empty()
    }
}

/// The links on which this node could hold an address or reach its peers: Ethernet, up, no overlay,
/// with an address of global scope in a subnet of more than one host. Those with a default route
/// come first, then by index.
///
/// # Errors
/// `Transient` where the links keep changing under the read.
pub fn uplinks(settings: &Settings) -> Result<Vec<Uplink>, PortError> {
    let operation = || "list the uplinks";
    let mut netlink = RouteNetlink::route().map_err(|e| refused(operation(), e))?;
    let links = netlink.links().map_err(|e| refused(operation(), e))?;
    let addresses = netlink.addresses().map_err(|e| refused(operation(), e))?;
    let mut routes = Vec::new();
    for family in [Family::IPv4, Family::IPv6] {
        match netlink.routes(family, MAIN_TABLE) {
            Ok(some) => routes.extend(some),
            Err(error) if family == Family::IPv6 && no_such_family(&error) => {}
            Err(error) => return Err(refused(operation(), error)),
        }
    }
    Ok(choose(settings, &links, &addresses, &routes))
}

fn choose(
    settings: &Settings,
    links: &[LinkRecord],
    addresses: &[AddressRecord],
    routes: &[RouteRecord],
) -> Vec<Uplink> {
    let mut uplinks: Vec<Uplink> = links
        .iter()
        .filter(|link| link.up && link.ethernet && link.name != settings.device)
        .filter(|link| !is_overlay(link.kind.as_deref()))
        .filter_map(|link| {
            let own: Vec<IpNet> = addresses
                .iter()
                .filter(|address| address.index == link.index && address.global)
                .map(|address| address.address)
                .collect();
            let defaults = defaults(link.index, routes);
            let in_subnet = own.iter().any(|net| net.prefix_len() < net.max_prefix_len());
            // Clouds give a /32 with a default route: the route counts then.
            (in_subnet || (!own.is_empty() && !defaults.is_empty())).then_some(())?;
            let mac = link.mac?;
            Some(Uplink {
                name: link.name.clone(),
                index: link.index,
                mac,
                mtu: link.mtu,
                addresses: own,
                defaults,
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

fn defaults(index: u32, routes: &[RouteRecord]) -> Vec<(Family, Option<IpAddr>)> {
    let mut defaults: Vec<(Family, Option<IpAddr>)> = routes
        .iter()
        .filter(|route| route.destination.prefix_len() == 0 && route.device == Some(index))
        .map(|route| (Family::of(route.destination.addr()), route.gateway))
        .collect();
    defaults.sort();
    defaults.dedup_by_key(|(family, _)| *family);
    defaults
}

/// Somebody else who uses what Egret would take.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Collision {
    /// What is taken, such as `the mark bit 0x1000`.
    pub what: String,
    /// Who takes it, such as `nft table inet foo, chain bar`.
    pub who: String,
    /// Which setting to change, such as `mark`.
    pub setting: &'static str,
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, who, setting } = self;
        write!(f, "{what} is used by {who}: choose another {setting}")
    }
}

/// Finds others that use our bit, table, priority, device or ports. Empty: none.
///
/// Looks at the nft rule set (iptables-nft is in it), the policy rules, our routing table, the
/// legacy iptables where that tool is there, and the UDP sockets. What Egret itself left there
/// (rules of our table with `proto kernel`, our nft table, our device) is no collision.
///
/// # Errors
/// `NotFound` where the tool nft is missing; `Denied` without CAP_NET_ADMIN.
pub fn check(settings: &Settings) -> Result<BTreeSet<Collision>, PortError> {
    let mut found = BTreeSet::new();
    others::rules_and_routes(settings, &mut found)?;
    others::sockets(settings, &mut found);
    nftables::users_of_bit(settings, &mut found)?;
    others::legacy_iptables(settings, &mut found);
    Ok(found)
}
