//! Routes by which a host takes an address for its own although no link has it.

use std::io;
use std::net::IpAddr;

use egret_core::model::Family;
use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType,
};

use super::rule::address_family;
use super::{RouteNetlink, no_such_family};

/// The kernel's table of its own addresses (RT_TABLE_LOCAL, linux/rtnetlink.h).
const LOCAL_TABLE: u32 = 255;

/// Offsets in `struct rtmsg`, and values of its fields (linux/rtnetlink.h).
const DESTINATION_LENGTH: usize = 1;
const PROTOCOL: usize = 5;
const TYPE: usize = 7;
const RTPROT_KERNEL: u8 = 2;
const RTN_LOCAL: u8 = 2;

/// A route of type `local` to one address, which no address of a link brought about.
#[derive(Clone, Debug)]
pub(crate) struct LocalRouteRecord {
    pub(crate) address: IpAddr,
    pub(crate) device: u32,
    /// Who made it, as far as it is known by number (RTPROT_…).
    pub(crate) protocol: u8,
    message: RouteMessage,
}

impl RouteNetlink {
    /// All of a family. Those that the kernel makes for the addresses of links, of which a node with
    /// many Services may have thousands, are thrown away unread.
    pub(crate) fn local_routes(&mut self, family: Family) -> io::Result<Vec<LocalRouteRecord>> {
        let whole = match family {
            Family::IPv4 => 32,
            Family::IPv6 => 128,
        };
        let ask = || {
            let mut ask = RouteMessage::default();
            ask.header.address_family = address_family(family);
            ask.attributes.push(RouteAttribute::Table(LOCAL_TABLE));
            RouteNetlinkMessage::GetRoute(ask)
        };
        let keep = |route: &[u8]| {
            route.get(DESTINATION_LENGTH) == Some(&whole)
                && route.get(PROTOCOL).is_some_and(|protocol| *protocol != RTPROT_KERNEL)
                && route.get(TYPE) == Some(&RTN_LOCAL)
        };
        match self.dump_where(ask, keep) {
            Err(error) if family == Family::IPv6 && no_such_family(&error) => Ok(Vec::new()),
            answers => Ok(answers?
                .into_iter()
                .filter_map(|answer| match answer {
                    RouteNetlinkMessage::NewRoute(route) => record(&route),
                    _ => None,
                })
                .collect()),
        }
    }

    /// Whether what this host sends to an address ends in it.
    pub(crate) fn leads_here(&mut self, address: IpAddr) -> io::Result<bool> {
        let mut ask = RouteMessage::default();
        ask.header.address_family = address_family(Family::of(address));
        ask.header.destination_prefix_length = IpNet::from(address).prefix_len();
        ask.attributes.push(RouteAttribute::Destination(address.into()));
        let nowhere = [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL];
        match self.get(RouteNetlinkMessage::GetRoute(ask)) {
            Err(error) if error.raw_os_error().is_some_and(|code| nowhere.contains(&code)) => {
                Ok(false)
            }
            Err(error) if no_such_family(&error) => Ok(false),
            answers => Ok(answers?.iter().any(|answer| {
                let RouteNetlinkMessage::NewRoute(route) = answer else { return false };
                route.header.kind == RouteType::Local
            })),
        }
    }

    /// Removes one; absent is success.
    pub(crate) fn delete_local_route(&mut self, route: &LocalRouteRecord) -> io::Result<()> {
        match self.change(RouteNetlinkMessage::DelRoute(route.message.clone()), 0) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other,
        }
    }
}

/// Reads a route message, also one of a notification; `None` for every other route.
pub(crate) fn record(message: &RouteMessage) -> Option<LocalRouteRecord> {
    let mut table = u32::from(message.header.table);
    let (mut address, mut device) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Oif(index) => device = Some(*index),
            RouteAttribute::Destination(RouteAddress::Inet(ip)) => address = Some(IpAddr::V4(*ip)),
            RouteAttribute::Destination(RouteAddress::Inet6(ip)) => address = Some(IpAddr::V6(*ip)),
            _ => {}
        }
    }
    let address = address?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let header = &message.header;
    let theirs = table == LOCAL_TABLE
        && header.kind == RouteType::Local
        && header.destination_prefix_length == whole
        && header.protocol != RouteProtocol::Kernel;
    theirs.then_some(LocalRouteRecord {
        address,
        device: device?,
        protocol: header.protocol.into(),
        message: message.clone(),
    })
}
