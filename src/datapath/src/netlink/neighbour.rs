//! Neighbours: what the kernel knows of hosts on a link.

use std::io;
use std::net::IpAddr;

use egret_core::model::Family;
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};

use super::RouteNetlink;
use super::rule::address_family;

impl RouteNetlink {
    /// Has the kernel look for a neighbour as if a packet were for it: it sends its own questions, and
    /// keeps the answer for packets to come.
    pub(crate) fn resolve(&mut self, index: u32, address: IpAddr) -> io::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = address_family(Family::of(address));
        message.header.ifindex = index;
        message.header.flags = NeighbourFlags::Use;
        message.attributes.push(NeighbourAttribute::Destination(destination(address)));
        self.change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE)
    }

    /// Whether the kernel knows the hardware address of a neighbour. An entry that is old counts until
    /// questions for it have had no answer.
    pub(crate) fn is_resolved(&mut self, index: u32, address: IpAddr) -> io::Result<bool> {
        let answers = self.dump(|| {
            let mut ask = NeighbourMessage::default();
            ask.header.family = address_family(Family::of(address));
            ask.attributes.push(NeighbourAttribute::IfIndex(index));
            RouteNetlinkMessage::GetNeighbour(ask)
        })?;
        let wanted = destination(address);
        let of = |message: &NeighbourMessage| {
            let mut attributes = message.attributes.iter();
            message.header.ifindex == index
                && attributes.any(|attribute| match attribute {
                    NeighbourAttribute::Destination(found) => *found == wanted,
                    _ => false,
                })
        };
        Ok(answers.into_iter().any(|answer| match answer {
            RouteNetlinkMessage::NewNeighbour(message) => of(&message) && is_known(&message),
            _ => false,
        }))
    }
}

fn is_known(message: &NeighbourMessage) -> bool {
    use NeighbourState::{Delay, Noarp, Permanent, Probe, Reachable, Stale};
    matches!(message.header.state, Reachable | Stale | Delay | Probe | Permanent | Noarp)
}

fn destination(address: IpAddr) -> NeighbourAddress {
    match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    }
}
