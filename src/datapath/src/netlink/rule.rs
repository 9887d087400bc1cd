//! Policy rules.

use std::io;

use egret_core::model::Family;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::RouteNetlink;
use crate::constants::HostSettings;

/// A policy rule as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleRecord {
    pub(crate) family: Family,
    pub(crate) priority: u32,
    pub(crate) table: u32,
    pub(crate) mark: u32,
    pub(crate) mask: u32,
    /// Only what comes in by this device.
    pub(crate) incoming: Option<String>,
    /// It looks up a table.
    pub(crate) to_table: bool,
    /// Only for what one of the node's own sockets sends, or of one source that no pod has.
    own_only: bool,
    /// It is about what does not match (`not`).
    pub(crate) inverted: bool,
    /// `proto kernel`.
    pub(crate) kernel: bool,
    /// It looks up a table and has no selector but the mark.
    pub(crate) plain: bool,
    message: Box<RuleMessage>,
}

pub(crate) fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::IPv4 => AddressFamily::Inet,
        Family::IPv6 => AddressFamily::Inet6,
    }
}

impl RuleRecord {
    /// Whether the kernel may ask it about what a pod sends on to elsewhere. `not` turns its selectors round.
    pub(crate) fn may_be_of_pods(&self) -> bool {
        self.inverted || !self.own_only
    }
}

impl RouteNetlink {
    /// All rules of a family.
    pub(crate) fn rules(&mut self, family: Family) -> io::Result<Vec<RuleRecord>> {
        let answers = self.dump(|| {
            let mut ask = RuleMessage::default();
            ask.header.family = address_family(family);
            RouteNetlinkMessage::GetRule(ask)
        })?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRule(rule) => Some(record(family, rule)),
                _ => None,
            })
            .collect())
    }

    /// Adds `fwmark mark lookup table`, all bits, proto kernel; EEXIST is the caller's to judge.
    pub(crate) fn add_rule(
        &mut self,
        family: Family,
        priority: u32,
        table: u32,
        mark: u32,
    ) -> io::Result<()> {
        let mut rule = RuleMessage::default();
        rule.header.family = address_family(family);
        rule.header.action = RuleAction::ToTable;
        rule.attributes = vec![
            RuleAttribute::Priority(priority),
            RuleAttribute::Table(table),
            RuleAttribute::FwMark(mark),
            RuleAttribute::FwMask(u32::MAX),
            RuleAttribute::Protocol(RouteProtocol::Kernel),
        ];
        self.change(RouteNetlinkMessage::NewRule(rule), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Removes one rule that looks like `rule`; absent is success.
    pub(crate) fn delete_rule(&mut self, rule: &RuleRecord) -> io::Result<()> {
        match self.change(RouteNetlinkMessage::DelRule((*rule.message).clone()), 0) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            other => other,
        }
    }
}

/// Ours are known by table and priority.
pub(crate) fn is_ours(rule: &RuleRecord, settings: &HostSettings) -> bool {
    rule.table == settings.route_table && rule.priority == settings.rule_priority
}

/// Reads a rule message of a notification.
pub(crate) fn record_any(message: RuleMessage) -> Option<RuleRecord> {
    let family = match message.header.family {
        AddressFamily::Inet => Family::IPv4,
        AddressFamily::Inet6 => Family::IPv6,
        _ => return None,
    };
    Some(record(family, message))
}

fn record(family: Family, message: RuleMessage) -> RuleRecord {
    let mut record = RuleRecord {
        family,
        priority: 0,
        table: u32::from(message.header.table),
        mark: 0,
        mask: 0,
        incoming: None,
        to_table: message.header.action == RuleAction::ToTable,
        own_only: false,
        inverted: message.header.flags.contains(RuleFlags::Invert),
        kernel: false,
        plain: message.header.action == RuleAction::ToTable
            && message.header.dst_len == 0
            && message.header.src_len == 0
            && message.header.tos == 0
            && message.header.flags.is_empty(),
        message: Box::new(message.clone()),
    };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => record.priority = *priority,
            RuleAttribute::Table(table) => record.table = *table,
            RuleAttribute::FwMark(mark) => record.mark = *mark,
            RuleAttribute::FwMask(mask) => record.mask = *mask,
            RuleAttribute::Protocol(protocol) => {
                record.kernel = *protocol == RouteProtocol::Kernel;
            }
            RuleAttribute::Iifname(name) => {
                record.own_only |= name == "lo";
                record.incoming = Some(name.clone());
                record.plain = false;
            }
            RuleAttribute::Oifname(_) | RuleAttribute::UidRange(_) => {
                record.own_only = true;
                record.plain = false;
            }
            RuleAttribute::Source(source) => {
                record.own_only |= source.is_loopback();
                record.plain = false;
            }
            // The kernel reports "no suppression" as all ones in every rule.
            RuleAttribute::SuppressPrefixLen(u32::MAX)
            | RuleAttribute::SuppressIfGroup(u32::MAX) => {}
            RuleAttribute::Other(_) => {}
            _ => record.plain = false,
        }
    }
    record
}
