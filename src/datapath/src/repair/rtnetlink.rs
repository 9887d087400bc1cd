//! Notices of links, addresses, routes and rules.

use std::io;

use egret_core::model::Family;
use egret_ports::error::PortError;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload, NlaBuffer, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_sys::protocols::NETLINK_ROUTE;

use super::candidates::Candidates;
use super::changed_part::ChangedPart;
use crate::bpf::FILTER_PRIORITY;
use crate::constants::HostSettings;
use crate::netlink::notices::{NoticeRead, NoticeSocket};
use crate::netlink::rule::is_ours;
use crate::netlink::{RouteNetlink, link, local_route, refused, route, rule, split, way};

// enum rtnetlink_groups, include/uapi/linux/rtnetlink.h
const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_TC: u32 = 4;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV4_ROUTE: u32 = 7;
const RTNLGRP_IPV4_RULE: u32 = 8;
const RTNLGRP_IPV6_IFADDR: u32 = 9;
const RTNLGRP_IPV6_ROUTE: u32 = 11;
const RTNLGRP_IPV6_RULE: u32 = 19;
const RTNLGRP_IPV4_NETCONF: u32 = 24;

/// A sysctl of a device (linux/netconf.h); no library type for it.
const RTM_NEWNETCONF: u16 = 80;
const NETCONFA_IFINDEX: u16 = 1;
/// After the netlink header and the padded `struct netconfmsg`.
const NETCONF_ATTRIBUTES: usize = 16 + 4;

// Of qdiscs and their filters; no library type that keeps the priority.
const RTM_DELQDISC: u16 = 37;
const RTM_DELTFILTER: u16 = 45;
/// In `struct tcmsg` (linux/rtnetlink.h), which stands behind the netlink header.
const TC_LINK: usize = 16 + 4;
const TC_HANDLE: usize = 16 + 8;
const TC_INFO: usize = 16 + 16;
/// Every clsact's.
const CLSACT: u32 = 0xffff_0000;

pub(super) struct RtnetlinkWatcher {
    socket: NoticeSocket,
    settings: HostSettings,
    /// Index, up, MTU and `arp off` of our device when last seen.
    device: Option<(u32, bool, u32, bool)>,
    candidates: Candidates,
}

impl RtnetlinkWatcher {
    pub(super) fn new(settings: &HostSettings) -> io::Result<Self> {
        let socket = NoticeSocket::open(
            NETLINK_ROUTE,
            &[
                RTNLGRP_LINK,
                RTNLGRP_TC,
                RTNLGRP_IPV4_IFADDR,
                RTNLGRP_IPV4_ROUTE,
                RTNLGRP_IPV4_RULE,
                RTNLGRP_IPV6_IFADDR,
                RTNLGRP_IPV6_ROUTE,
                RTNLGRP_IPV6_RULE,
                RTNLGRP_IPV4_NETCONF,
            ],
        )?;
        // After the socket listens: nothing is missed in between.
        let mut netlink = RouteNetlink::route()?;
        let device = netlink.link(&settings.device)?;
        let device = device.map(|link| (link.index, link.up, link.mtu, link.no_arp));
        let candidates = Candidates::read(&mut netlink)?;
        Ok(Self { socket, settings: settings.clone(), device, candidates })
    }

    /// Waits for the next changes, a second at most, with whose transaction each was.
    pub(super) fn wait(&mut self) -> Result<Vec<(ChangedPart, Option<String>)>, PortError> {
        let read = self.socket.read().map_err(|e| refused("read the notices of links", e))?;
        Ok(match read {
            NoticeRead::Lost => vec![(ChangedPart::Unknown, None)],
            NoticeRead::Messages(bytes) => {
                let changes = split(&bytes).filter_map(|message| self.message(message));
                changes.map(|what| (what, None)).collect()
            }
        })
    }

    fn message(&mut self, bytes: &[u8]) -> Option<ChangedPart> {
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        if kind == RTM_NEWNETCONF {
            return self.sysctl(bytes.get(NETCONF_ATTRIBUTES..)?);
        }
        if matches!(kind, RTM_DELQDISC | RTM_DELTFILTER) {
            return self.filters(kind, bytes);
        }
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).ok()?;
        let NetlinkPayload::InnerMessage(message) = message.payload else { return None };
        match message {
            RouteNetlinkMessage::NewLink(link) => self.new_link(&link),
            RouteNetlinkMessage::DelLink(link) => {
                if self.device.take_if(|(index, ..)| *index == link.header.index).is_some() {
                    return Some(ChangedPart::DeviceRemoved);
                }
                self.candidates.gone(link.header.index).then_some(ChangedPart::Uplinks)
            }
            RouteNetlinkMessage::NewAddress(address) => self.address(&address, true),
            RouteNetlinkMessage::DelAddress(address) => self.address(&address, false),
            RouteNetlinkMessage::NewRoute(route) => self.route(route, true),
            RouteNetlinkMessage::DelRoute(route) => self.route(route, false),
            RouteNetlinkMessage::NewRule(message) => self.rule(message, true),
            RouteNetlinkMessage::DelRule(message) => self.rule(message, false),
            _ => None,
        }
    }

    /// Of our filters, or of the clsact that has them: it takes them along, and nothing is said of each.
    fn filters(&self, kind: u16, bytes: &[u8]) -> Option<ChangedPart> {
        let field = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let link = field(TC_LINK)?;
        let has_ours = match kind {
            RTM_DELQDISC => field(TC_HANDLE)? == CLSACT,
            _ => field(TC_INFO)? >> 16 == u32::from(FILTER_PRIORITY),
        };
        let is_device = self.device.is_some_and(|(index, ..)| index == link);
        (has_ours && (is_device || self.candidates.has(link))).then_some(ChangedPart::Programs)
    }

    /// Every new device of a pod brings such a notice; only those of ours count.
    fn sysctl(&self, attributes: &[u8]) -> Option<ChangedPart> {
        let index = NlasIterator::new(attributes)
            .map_while(Result::ok)
            .find(|attribute: &NlaBuffer<&[u8]>| attribute.kind() == NETCONFA_IFINDEX)
            .and_then(|attribute| attribute.value().try_into().ok())
            .map(u32::from_ne_bytes)?;
        self.device.is_some_and(|(ours, ..)| ours == index).then_some(ChangedPart::DeviceChanged)
    }

    fn new_link(&mut self, message: &LinkMessage) -> Option<ChangedPart> {
        let link = link::record(message);
        if link.name != self.settings.device {
            // Renamed away counts as removed.
            let away = |(index, ..): &mut (u32, bool, u32, bool)| *index == link.index;
            if !link.name.is_empty() && self.device.take_if(away).is_some() {
                return Some(ChangedPart::DeviceRemoved);
            }
            return self.candidates.link(link).then_some(ChangedPart::Uplinks);
        }
        let now = (link.index, link.up, link.mtu, link.no_arp);
        let before = self.device.replace(now);
        if before == Some(now) {
            return None;
        }
        Some(if link.up { ChangedPart::DeviceChanged } else { ChangedPart::DeviceDown })
    }

    fn rule(&self, message: RuleMessage, added: bool) -> Option<ChangedPart> {
        let rule = rule::record_any(message)?;
        if is_ours(&rule, &self.settings) {
            return (!added).then_some(ChangedPart::RuleRemoved(rule.family));
        }
        (rule.mask != 0).then_some(ChangedPart::MarkRule(rule.family))
    }

    fn address(&mut self, message: &AddressMessage, added: bool) -> Option<ChangedPart> {
        match self.device {
            Some((index, ..)) if index == message.header.index => {
                (!added).then_some(ChangedPart::DeviceChanged)
            }
            _ => self.candidates.address(message).then_some(ChangedPart::Uplinks),
        }
    }

    fn route(&mut self, message: RouteMessage, added: bool) -> Option<ChangedPart> {
        let ways = way::read(&message);
        if let Some(local) = local_route::record(&message) {
            return added.then_some(ChangedPart::LocalRoute(local.address));
        }
        let route = route::record_any(message)?;
        if route.table == self.settings.route_table {
            // Ours are added with `proto kernel`.
            return (!added || !route.kernel).then_some(ChangedPart::Route(route.destination));
        }
        let family = Family::of(route.destination.addr());
        self.candidates.ways(family, &ways, added).then_some(ChangedPart::Uplinks)
    }
}
