//! Ways to the world: routes as pairs of a link and a next hop.

use std::io;
use std::net::IpAddr;

use egret_core::model::Family;
use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteNextHopFlags, RouteType, RouteVia,
};

use super::rule::address_family;
use super::{RouteNetlink, no_such_family};

/// The kernel's main routing table (RT_TABLE_MAIN, linux/rtnetlink.h).
pub(crate) const MAIN_TABLE: u32 = 254;

/// Offsets in `struct rtmsg` (linux/rtnetlink.h).
const DESTINATION_LENGTH: usize = 1;
const SOURCE_LENGTH: usize = 2;

/// One way that a route names; a route of several next hops has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteHop {
    pub(crate) table: u32,
    /// Length of the destination's prefix; 0 for a default route.
    pub(crate) length: u8,
    pub(crate) metric: u32,
    pub(crate) device: u32,
    /// Of the other family too (RFC 5549: IPv4 by an IPv6 next hop).
    pub(crate) gateway: Option<IpAddr>,
}

impl RouteNetlink {
    /// The default routes of one table. The kernel lists the others of the table too; they are
    /// thrown away unread.
    pub(crate) fn default_ways(&mut self, family: Family, table: u32) -> io::Result<Vec<RouteHop>> {
        let ways =
            self.ways(family, RouteAttribute::Table(table), |route| is_of_length(route, 0))?;
        Ok(ways.into_iter().filter(|way| way.table == table).collect())
    }

    /// The routes of all tables that leave by one link: the default ones, or else (`partial`) those
    /// to a part of the world. The kernel picks them by link (Linux 4.20).
    pub(crate) fn ways_out(
        &mut self,
        family: Family,
        device: u32,
        partial: bool,
    ) -> io::Result<Vec<RouteHop>> {
        let wanted = |route: &[u8]| is_of_length(route, 0) != partial;
        let ways = self.ways(family, RouteAttribute::Oif(device), wanted)?;
        Ok(ways.into_iter().filter(|way| way.device == device).collect())
    }

    /// The destinations of the routes of all tables that leave by one link, and whether a gateway is named.
    pub(crate) fn destinations_out(
        &mut self,
        family: Family,
        device: u32,
    ) -> io::Result<Vec<(IpNet, bool)>> {
        let routes = self.routes_of(family, RouteAttribute::Oif(device), |_| true)?;
        let here = routes.iter().filter_map(|route| {
            let ways = read(route);
            let mut ways = ways.iter().filter(|way| way.device == device).peekable();
            ways.peek()?;
            Some((destination(family, route)?, ways.any(|way| way.gateway.is_some())))
        });
        Ok(here.collect())
    }

    fn ways(
        &mut self,
        family: Family,
        of: RouteAttribute,
        keep: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Vec<RouteHop>> {
        Ok(self.routes_of(family, of, keep)?.iter().flat_map(read).collect())
    }

    fn routes_of(
        &mut self,
        family: Family,
        of: RouteAttribute,
        keep: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Vec<RouteMessage>> {
        let ask = || {
            let mut ask = RouteMessage::default();
            ask.header.address_family = address_family(family);
            ask.header.kind = RouteType::Unicast;
            ask.attributes.push(of.clone());
            RouteNetlinkMessage::GetRoute(ask)
        };
        // A route that only some sources take says nothing of ours.
        let keep = |route: &[u8]| route.get(SOURCE_LENGTH) == Some(&0) && keep(route);
        match self.dump_where(ask, keep) {
            // A table that was never used; a link that has just gone.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => {
                Ok(Vec::new())
            }
            Err(error) if family == Family::IPv6 && no_such_family(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(answers) => Ok(answers
                .into_iter()
                .filter_map(|answer| match answer {
                    RouteNetlinkMessage::NewRoute(route) => Some(route),
                    _ => None,
                })
                .collect()),
        }
    }
}

fn is_of_length(route: &[u8], length: u8) -> bool {
    route.get(DESTINATION_LENGTH) == Some(&length)
}

/// Reads a route message, also one of a notification; empty for what leads nowhere.
pub(crate) fn read(route: &RouteMessage) -> Vec<RouteHop> {
    if route.header.kind != RouteType::Unicast {
        return Vec::new();
    }
    let mut way = RouteHop {
        table: u32::from(route.header.table),
        length: route.header.destination_prefix_length,
        metric: 0,
        device: 0,
        gateway: gateway(&route.attributes),
    };
    let mut several = &[][..];
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Table(table) => way.table = *table,
            RouteAttribute::Priority(metric) => way.metric = *metric,
            RouteAttribute::Oif(device) => way.device = *device,
            RouteAttribute::MultiPath(hops) => several = hops,
            _ => {}
        }
    }
    if several.is_empty() {
        return if way.device == 0 { Vec::new() } else { vec![way] };
    }
    several
        .iter()
        .filter(|hop| !hop.flags.contains(RouteNextHopFlags::Dead))
        .map(|hop| RouteHop {
            device: hop.interface_index,
            gateway: gateway(&hop.attributes),
            ..way
        })
        .collect()
}

fn destination(family: Family, route: &RouteMessage) -> Option<IpNet> {
    let named = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    });
    let any = match family {
        Family::IPv4 => IpAddr::from([0; 4]),
        Family::IPv6 => IpAddr::from([0; 16]),
    };
    IpNet::new(named.unwrap_or(any), route.header.destination_prefix_length).ok()
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address))
        | RouteAttribute::Via(RouteVia::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Gateway(RouteAddress::Inet6(address))
        | RouteAttribute::Via(RouteVia::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })
}
