//! Addresses that this host takes for its own.
//!
//! An egress address is nobody's own: a packet from it that comes up a host which has it is a
//! *martian* and dropped, and one to it ends in that host, at whatever listens there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::IpAddr;

use egret_core::model::Family;
use egret_ports::error::{ErrorClass, PortError};
use ipnet::IpNet;

use crate::netlink::address::AddressRecord;
use crate::netlink::{RouteNetlink, refused};

/// An address that this host takes for its own, by one of maybe several things that make it so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// The interface that it was given to.
    pub interface: String,
    /// What makes it the host's own.
    pub by: LocalOrigin,
}

/// What makes an address a host's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LocalOrigin {
    /// A route of type `local` that names it alone.
    Route {
        /// The number of whoever made it (RTPROT_…, linux/rtnetlink.h).
        protocol: u8,
    },
    /// The interface has it.
    Interface {
        /// Length of the subnet that it was given with.
        prefix_len: u8,
        /// With a route to that subnet.
        prefix_route: bool,
    },
}

/// Which of `addresses` are this host's own, in order.
///
/// # Errors
/// `Transient` where the lists keep changing under the read.
pub fn find(addresses: &BTreeSet<IpAddr>) -> Result<Vec<LocalAddress>, PortError> {
    search(addresses).map_err(|error| refused("look for local addresses", error))
}

/// Whether this host takes an address for its own, whatever makes it so. One lookup: a host may have
/// thousands of addresses.
///
/// # Errors
/// What the kernel says, but that nothing leads there.
pub fn is_own(address: IpAddr) -> Result<bool, PortError> {
    let ask = || RouteNetlink::route()?.leads_here(address);
    ask().map_err(|error| refused(format!("look for {address}"), error))
}

/// Makes one no longer the host's own; absent is success.
///
/// # Errors
/// `Conflict` where the kernel would take other addresses away with it; `Denied` without
/// CAP_NET_ADMIN.
pub fn remove(found: &LocalAddress) -> Result<(), PortError> {
    let operation = || format!("take {} from {}", found.address, found.interface);
    let wrong = |error| refused(operation(), error);
    let mut netlink = RouteNetlink::route().map_err(wrong)?;
    match found.by {
        LocalOrigin::Route { protocol } => {
            let names = names(&mut netlink).map_err(wrong)?;
            let routes = netlink.local_routes(Family::of(found.address)).map_err(wrong)?;
            let same = |device: u32| names.get(&device) == Some(&found.interface);
            let routes = routes.iter().filter(|route| route.address == found.address);
            for route in routes.filter(|route| route.protocol == protocol && same(route.device)) {
                netlink.delete_local_route(route).map_err(wrong)?;
            }
        }
        LocalOrigin::Interface { prefix_len, .. } => {
            let Some(link) = netlink.link(&found.interface).map_err(wrong)? else { return Ok(()) };
            let all = netlink.addresses().map_err(wrong)?;
            let of = |record: &&AddressRecord| {
                record.index == link.index
                    && record.address.addr() == found.address
                    && record.address.prefix_len() == prefix_len
            };
            let Some(own) = all.iter().find(of) else { return Ok(()) };
            if carries_others(own, &all) && !promotes_secondaries(&found.interface) {
                let remedy = format!(
                    "the kernel would remove other addresses of its subnet with it: set \
                     net.ipv4.conf.{}.promote_secondaries to 1",
                    found.interface
                );
                return Err(PortError::new(ErrorClass::Conflict, operation(), remedy));
            }
            netlink.delete_address(link.index, own.address).map_err(wrong)?;
        }
    }
    Ok(())
}

fn search(addresses: &BTreeSet<IpAddr>) -> io::Result<Vec<LocalAddress>> {
    let mut netlink = RouteNetlink::route()?;
    let mut found = Vec::new();
    for record in netlink.addresses()? {
        let by = LocalOrigin::Interface {
            prefix_len: record.address.prefix_len(),
            prefix_route: !record.no_prefix_route,
        };
        found.push((record.address.addr(), record.index, by));
    }
    let families: BTreeSet<Family> = addresses.iter().copied().map(Family::of).collect();
    for family in families {
        for route in netlink.local_routes(family)? {
            let by = LocalOrigin::Route { protocol: route.protocol };
            found.push((route.address, route.device, by));
        }
    }
    found.retain(|(address, ..)| addresses.contains(address));
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let names = names(&mut netlink)?;
    let named = found.into_iter().filter_map(|(address, index, by)| {
        // A link that has just gone took the address with it.
        Some(LocalAddress { address, interface: names.get(&index)?.clone(), by })
    });
    Ok(named.collect::<BTreeSet<_>>().into_iter().collect())
}

fn names(netlink: &mut RouteNetlink) -> io::Result<BTreeMap<u32, String>> {
    Ok(netlink.links()?.into_iter().map(|link| (link.index, link.name)).collect())
}

/// Whether the kernel takes other IPv4 addresses away with this one: the first one of a subnet has
/// the others for its secondaries (`__inet_del_ifa` in net/ipv4/devinet.c).
fn carries_others(own: &AddressRecord, all: &[AddressRecord]) -> bool {
    let subnet = own.address.trunc();
    let secondary = |other: &AddressRecord| {
        other.index == own.index && other.secondary && other.address.trunc() == subnet
    };
    matches!(subnet, IpNet::V4(_)) && !own.secondary && all.iter().any(secondary)
}

/// Whether the kernel makes the next address of a subnet its first one instead. The setting of `all`
/// counts as each link's (IN_DEV_PROMOTE_SECONDARIES in linux/inetdevice.h).
fn promotes_secondaries(interface: &str) -> bool {
    let is_set = |of: &str| {
        let path = format!("/proc/sys/net/ipv4/conf/{of}/promote_secondaries");
        fs::read_to_string(path).is_ok_and(|text| text.trim() != "0")
    };
    is_set("all") || is_set(interface)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::address::AddressOwnership;

    fn record(index: u32, address: &str, secondary: bool) -> AddressRecord {
        let address = address.parse().unwrap();
        let ownership = AddressOwnership::Foreign;
        let (global, lasting, no_prefix_route) = (true, true, false);
        AddressRecord { index, address, global, secondary, lasting, no_prefix_route, ownership }
    }

    #[test]
    fn only_the_first_address_of_a_subnet_carries_others() {
        let first = record(2, "10.0.1.66/24", false);
        let second = record(2, "10.0.1.20/24", true);
        let single = record(2, "10.0.1.67/32", false);
        let sixth = record(2, "2001:db8::66/64", false);
        let sixth_other = record(2, "2001:db8::67/64", true);
        let elsewhere = record(3, "10.0.1.21/24", true);
        let all = [first, second, single, sixth, sixth_other, elsewhere];
        let carries = all.map(|own| carries_others(&own, &all));
        assert_eq!(carries, [true, false, false, false, false, false]);
        assert!(!carries_others(&first, &[first, single, elsewhere]));
    }
}
