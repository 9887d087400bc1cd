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
mod tests;
