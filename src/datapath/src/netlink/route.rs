//! Routes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use egret_core::model::Family;
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::RouteNetlink;
use super::rule::address_family;

/// Metric of the last resort of our table: behind anything that anybody adds.
pub(crate) const LAST_METRIC: u32 = 4_000_000_000;

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RouteTarget {
    /// Out of a device, to any address of it.
    Device(u32),
    /// On to the next rule.
    Throw,
    /// An error for the sender.
    Unreachable,
    /// Anything else: somebody else's.
    Other,
}

/// A route as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteRecord {
    pub(crate) table: u32,
    pub(crate) destination: IpNet,
    pub(crate) target: RouteTarget,
    pub(crate) metric: u32,
    /// `proto kernel`.
    pub(crate) kernel: bool,
    message: Box<RouteMessage>,
}

impl RouteRecord {
    /// `unreachable default proto kernel` behind everything else: nobody but us has it.
    pub(crate) fn is_last_resort(&self) -> bool {
        self.target == RouteTarget::Unreachable
            && self.destination.prefix_len() == 0
            && self.metric == LAST_METRIC
            && self.kernel
    }
}

impl RouteNetlink {
    /// The routes of one table and family.
    pub(crate) fn routes(&mut self, family: Family, table: u32) -> io::Result<Vec<RouteRecord>> {
        let answers = self.dump(|| {
            let mut ask = RouteMessage::default();
            ask.header.address_family = address_family(family);
            ask.attributes.push(RouteAttribute::Table(table));
            RouteNetlinkMessage::GetRoute(ask)
        });
        let answers = match answers {
            // A table that was never used is not an empty one to the kernel.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Vec::new(),
            other => other?,
        };
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRoute(route) => record(family, route),
                _ => None,
            })
            .filter(|route| route.table == table)
            .collect())
    }

    /// Adds a route, proto kernel; already so is success.
    pub(crate) fn add_route(
        &mut self,
        table: u32,
        destination: IpNet,
        target: RouteTarget,
        metric: u32,
    ) -> io::Result<()> {
        let message = message(table, destination, target, metric);
        match self.change(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// Removes a route; absent is success.
    pub(crate) fn delete_route(&mut self, route: &RouteRecord) -> io::Result<()> {
        match self.change(RouteNetlinkMessage::DelRoute((*route.message).clone()), 0) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other,
        }
    }
}

fn message(table: u32, destination: IpNet, target: RouteTarget, metric: u32) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = address_family(Family::of(destination.addr()));
    route.header.destination_prefix_length = destination.prefix_len();
    // Tables above 255 do not fit the header; the attribute holds for all.
    route.header.table = RouteHeader::RT_TABLE_UNSPEC;
    route.header.protocol = RouteProtocol::Kernel;
    (route.header.kind, route.header.scope) = match target {
        RouteTarget::Device(_) => (RouteType::Unicast, RouteScope::Link),
        RouteTarget::Throw => (RouteType::Throw, RouteScope::Universe),
        RouteTarget::Unreachable | RouteTarget::Other => {
            (RouteType::Unreachable, RouteScope::Universe)
        }
    };
    if destination.addr().is_ipv6() {
        // IPv6 routes have no scope.
        route.header.scope = RouteScope::Universe;
    }
    route.attributes.push(RouteAttribute::Table(table));
    route.attributes.push(RouteAttribute::Priority(metric));
    if destination.prefix_len() > 0 {
        route.attributes.push(RouteAttribute::Destination(destination.network().into()));
    }
    if let RouteTarget::Device(index) = target {
        route.attributes.push(RouteAttribute::Oif(index));
    }
    route
}

/// Reads a route message of a notification.
pub(crate) fn record_any(message: RouteMessage) -> Option<RouteRecord> {
    let family = match message.header.address_family {
        netlink_packet_route::AddressFamily::Inet => Family::IPv4,
        netlink_packet_route::AddressFamily::Inet6 => Family::IPv6,
        _ => return None,
    };
    record(family, message)
}

fn record(family: Family, message: RouteMessage) -> Option<RouteRecord> {
    let mut table = u32::from(message.header.table);
    let mut metric = 0;
    let mut device = None;
    let mut gateway = None;
    let mut plain = message.header.source_prefix_length == 0;
    let mut destination = match family {
        Family::IPv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::IPv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::Oif(index) => device = Some(*index),
            RouteAttribute::Destination(address) => destination = ip(address)?,
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::MultiPath(_) | RouteAttribute::Encap(_) | RouteAttribute::Via(_) => {
                plain = false;
            }
            _ => {}
        }
    }
    let target = match (message.header.kind, device) {
        (RouteType::Unicast, Some(index)) if plain && gateway.is_none() => {
            RouteTarget::Device(index)
        }
        (RouteType::Throw, _) => RouteTarget::Throw,
        (RouteType::Unreachable, _) => RouteTarget::Unreachable,
        _ => RouteTarget::Other,
    };
    Some(RouteRecord {
        table,
        destination: IpNet::new(destination, message.header.destination_prefix_length).ok()?,
        target,
        metric,
        kernel: message.header.protocol == RouteProtocol::Kernel,
        message: Box::new(message),
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
