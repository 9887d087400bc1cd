//! The links that lead out of the cluster, whether they carry addresses or not.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use egret_core::model::Family;
use egret_ports::error::PortError;
use ipnet::IpNet;

use crate::constants::HostSettings;
use crate::netlink::link::LinkRecord;
use crate::netlink::way::MAIN_TABLE;
use crate::netlink::{RouteNetlink, refused};

/// Links by which packets of pods could leave the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutedLinks {
    /// Ethernet: the programs can guard them.
    pub guarded: BTreeSet<String>,
    /// No Ethernet (WireGuard, tun, IPIP): they cannot.
    pub others: BTreeSet<String>,
}

/// Finds the links that a route out of the cluster leaves by, in whichever table: to more than `inside`, which nothing
/// is steered to. None are the tunnel's device, those of pods, and bridges without a gateway.
///
/// # Errors
/// `Transient` where the links keep changing under the read.
pub fn routed_links(
    settings: &HostSettings,
    inside: &BTreeSet<IpNet>,
) -> Result<RoutedLinks, PortError> {
    find(settings, inside).map_err(|error| refused("list the links to the outside", error))
}

fn find(settings: &HostSettings, inside: &BTreeSet<IpNet>) -> io::Result<RoutedLinks> {
    let mut netlink = RouteNetlink::route()?;
    let links = netlink.links()?;
    let addresses = netlink.addresses()?;
    let mut defaults = BTreeSet::new();
    for family in [Family::IPv4, Family::IPv6] {
        let ways = netlink.default_ways(family, MAIN_TABLE)?;
        defaults.extend(ways.iter().map(|way| way.device));
    }
    let mut found = RoutedLinks::default();
    for link in links.iter().filter(|link| link.up && !is_clusters_own(link, settings)) {
        let has_address = addresses.iter().any(|one| one.index == link.index && one.global);
        // Pods' devices are many, and have none: their routes are not looked at.
        let may_lead = has_address || !matches!(link.kind.as_deref(), Some("veth" | "netkit"));
        if defaults.contains(&link.index)
            || (may_lead && leads_outside(&mut netlink, link, inside)?)
        {
            let list = if link.ethernet { &mut found.guarded } else { &mut found.others };
            list.insert(link.name.clone());
        }
    }
    Ok(found)
}

fn is_clusters_own(link: &LinkRecord, settings: &HostSettings) -> bool {
    link.name == settings.device
        || link.name == "lo"
        || link.name.starts_with("cilium_")
        || matches!(link.kind.as_deref(), Some("dummy" | "ifb"))
}

fn leads_outside(
    netlink: &mut RouteNetlink,
    link: &LinkRecord,
    inside: &BTreeSet<IpNet>,
) -> io::Result<bool> {
    let is_bridge = link.kind.as_deref() == Some("bridge");
    for family in [Family::IPv4, Family::IPv6] {
        let ways = netlink.destinations_out(family, link.index)?;
        let leads = ways.iter().any(|(destination, by_gateway)| {
            let is_one_host = destination.prefix_len() == destination.max_prefix_len();
            (*by_gateway || !(is_bridge || is_one_host)) && is_outside(*destination, inside)
        });
        if leads {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_outside(destination: IpNet, inside: &BTreeSet<IpNet>) -> bool {
    let is_link_local = destination.prefix_len() > 0
        && match destination.addr() {
            IpAddr::V4(address) => address.is_link_local() || address.is_multicast(),
            IpAddr::V6(address) => address.is_unicast_link_local() || address.is_multicast(),
        };
    !is_link_local && !inside.iter().any(|net| net.contains(&destination))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_steered_leads_nowhere_outside() {
        let inside = ["10.244.0.0/16", "fd00:244::/48"].map(|net| net.parse().unwrap()).into();
        let outside = |net: &str| is_outside(net.parse().unwrap(), &inside);
        for net in ["10.244.3.0/24", "fd00:244:0:1::/64", "169.254.0.0/16", "fe80::/64"] {
            assert!(!outside(net), "{net}");
        }
        for net in ["0.0.0.0/0", "::/0", "198.51.100.0/24", "10.0.0.0/8", "2001:db8::/64"] {
            assert!(outside(net), "{net}");
        }
    }
}
