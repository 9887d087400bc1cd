//! One entry of conntrack, and the socket that lists and deletes them (ctnetlink).

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use egret_core::model::Family;
use netlink_packet_core::{DefaultNla, NLM_F_CREATE, Nla};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Status, Tuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::raw::{CTA_FILTER, CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS, EntryAddresses};
use super::raw::{
    CTA_ID, CTA_MARK_MASK, CTA_ZONE, FILTER_IP_SRC, IPCTNL_MSG_CT_DELETE, IPCTNL_MSG_CT_GET,
    NLA_F_NESTED,
};
use crate::netlink::Netlink;

/// An entry, without what is not needed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConntrackEntry {
    pub(super) source: IpAddr,
    pub(super) source_port: u16,
    pub(super) destination: IpAddr,
    pub(super) destination_port: u16,
    /// Where replies come from: the destination after DNAT.
    pub(super) reply_source: IpAddr,
    pub(super) reply_source_port: u16,
    /// Where replies go to: the source after SNAT.
    pub(super) reply_destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) replied: bool,
    pub(super) mark: u32,
    /// What the kernel wants to see to delete this entry and no later one of the same tuple.
    pub(super) identity: Vec<ConntrackAttribute>,
}

impl Default for ConntrackEntry {
    fn default() -> Self {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            source: nowhere,
            source_port: 0,
            destination: nowhere,
            destination_port: 0,
            reply_source: nowhere,
            reply_source_port: 0,
            reply_destination: nowhere,
            protocol: 0,
            replied: false,
            mark: 0,
            identity: Vec::new(),
        }
    }
}

/// A socket of ctnetlink.
pub(super) struct Conntrack(Netlink<NetfilterMessage>);

impl Conntrack {
    pub(super) fn open() -> io::Result<Self> {
        Netlink::new(NETLINK_NETFILTER).map(Self)
    }

    /// Entries that carry the bit. The kernel filters.
    pub(super) fn marked(&mut self, bit: u32) -> io::Result<Vec<ConntrackEntry>> {
        let mut all = self.narrowed(Family::IPv4, &Narrowing::mark(bit, bit), |_| true)?;
        all.extend(self.narrowed(Family::IPv6, &Narrowing::mark(bit, bit), |_| true)?);
        Ok(all)
    }

    /// The entry whose first packet had this tuple (TCP).
    pub(super) fn find(&mut self, tuple: Vec<Tuple>, family: Family) -> io::Result<bool> {
        let get = ConntrackMessage::Get(vec![ConntrackAttribute::CtaTupleOrig(tuple)]);
        match self.0.get(message(protocol_family(family), get)) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes an entry that no packet has made.
    pub(super) fn create(
        &mut self,
        family: Family,
        entry: Vec<ConntrackAttribute>,
    ) -> io::Result<()> {
        let new = ConntrackMessage::New(entry);
        self.0.change(message(protocol_family(family), new), NLM_F_CREATE)
    }

    /// Entries of a family that `asked` matches, as far as the kernel filters, and that `keep` says
    /// yes to. What it says no to is not decoded.
    pub(super) fn narrowed(
        &mut self,
        family: Family,
        asked: &Narrowing,
        keep: impl Fn(EntryAddresses) -> bool,
    ) -> io::Result<Vec<ConntrackEntry>> {
        let ask = || message(protocol_family(family), asked.message(IPCTNL_MSG_CT_GET));
        let wanted = |record: &[u8]| EntryAddresses::read(record).is_none_or(&keep);
        let answers = self.0.dump_where(ask, wanted)?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer.inner {
                NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) => {
                    entry(attributes)
                }
                _ => None,
            })
            // A kernel that does not know the filter lists all.
            .filter(|entry| entry.mark & asked.mask == asked.mark)
            .collect())
    }

    /// Has the kernel delete what `asked` matches. Only where it is known to filter by that.
    pub(super) fn delete_narrowed(&mut self, family: Family, asked: &Narrowing) -> io::Result<()> {
        let delete = asked.message(IPCTNL_MSG_CT_DELETE);
        self.0.change(message(protocol_family(family), delete), 0)
    }

    /// Deletes entries; one that is gone already counts as none, and so does one that the kernel keeps.
    pub(super) fn delete_all<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a ConntrackEntry>,
    ) -> io::Result<u64> {
        let mut deleted = 0;
        for entry in entries {
            let family = protocol_family(Family::of(entry.source));
            let delete = ConntrackMessage::Delete(entry.identity.clone());
            match self.0.change(message(family, delete), 0) {
                Ok(()) => deleted += 1,
                Err(error) if is_of_one_entry(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }
}

/// Whether the others can be deleted all the same: this one is gone, or a flow table has it
/// (`ctnetlink_del_conntrack`).
fn is_of_one_entry(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EBUSY))
}

/// An end of an entry that may have an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryEnd {
    /// Who sent the first packet.
    Source,
    /// Who answers it: its destination after DNAT.
    Answerer,
}

/// What the kernel is asked to look for.
#[derive(Clone, Debug, Default)]
pub(super) struct Narrowing {
    mark: u32,
    mask: u32,
    address: Option<(EntryEnd, IpAddr)>,
}

impl Narrowing {
    /// Entries with this mark under this mask.
    pub(super) fn mark(mark: u32, mask: u32) -> Self {
        Self { mark, mask, address: None }
    }

    /// Entries of which this end has the address.
    pub(super) fn address(end: EntryEnd, address: IpAddr) -> Self {
        Self::default().and_address(end, address)
    }

    /// Of these, those of which this end has the address.
    pub(super) fn and_address(mut self, end: EntryEnd, address: IpAddr) -> Self {
        self.address = Some((end, address));
        self
    }

    /// The library knows no nested attribute but its own, so that all are written plainly.
    fn message(&self, message_type: u8) -> ConntrackMessage {
        let mut attributes = Vec::new();
        if self.mask != 0 {
            let mask = self.mask.to_be_bytes().to_vec();
            attributes.push(plain(&ConntrackAttribute::CtaMark(self.mark)));
            attributes.push(DefaultNla::new(CTA_MARK_MASK, mask));
        }
        if let Some((end, address)) = self.address {
            let tuple = vec![Tuple::Ip(vec![IPTuple::SourceAddress(address)])];
            let (tuple, flags) = match end {
                EntryEnd::Source => {
                    (ConntrackAttribute::CtaTupleOrig(tuple), CTA_FILTER_ORIG_FLAGS)
                }
                EntryEnd::Answerer => {
                    (ConntrackAttribute::CtaTupleReply(tuple), CTA_FILTER_REPLY_FLAGS)
                }
            };
            // One attribute in another: its length, its kind, the flags.
            let mut filter = 8_u16.to_ne_bytes().to_vec();
            filter.extend(flags.to_ne_bytes());
            filter.extend(FILTER_IP_SRC.to_ne_bytes());
            let filter = DefaultNla::new(CTA_FILTER | NLA_F_NESTED, filter);
            attributes.extend([plain(&tuple), filter]);
        }
        ConntrackMessage::Other { message_type, attributes }
    }
}

fn plain(attribute: &ConntrackAttribute) -> DefaultNla {
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    let nested = if attribute.is_nested() { NLA_F_NESTED } else { 0 };
    DefaultNla::new(attribute.kind() | nested, value)
}

fn protocol_family(family: Family) -> NetfilterProtoFamily {
    match family {
        Family::IPv4 => NetfilterProtoFamily::IPv4,
        Family::IPv6 => NetfilterProtoFamily::IPv6,
    }
}

fn message(family: NetfilterProtoFamily, message: ConntrackMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message)
}

fn entry(attributes: Vec<ConntrackAttribute>) -> Option<ConntrackEntry> {
    let mut entry = ConntrackEntry::default();
    let mut has_tuples = (false, false);
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuple) => {
                let ends = ends(&tuple)?;
                (entry.source, entry.source_port) = ends.source;
                (entry.destination, entry.destination_port) = ends.destination;
                entry.protocol = ends.protocol;
                entry.identity.push(ConntrackAttribute::CtaTupleOrig(tuple));
                has_tuples.0 = true;
            }
            ConntrackAttribute::CtaTupleReply(tuple) => {
                let ends = ends(&tuple)?;
                (entry.reply_source, entry.reply_source_port) = ends.source;
                entry.reply_destination = ends.destination.0;
                has_tuples.1 = true;
            }
            ConntrackAttribute::CtaStatus(status) => {
                entry.replied = status.contains(Status::SeenReply);
            }
            ConntrackAttribute::CtaMark(mark) => entry.mark = mark,
            ConntrackAttribute::Other(other) if [CTA_ID, CTA_ZONE].contains(&other.kind()) => {
                entry.identity.push(ConntrackAttribute::Other(other));
            }
            _ => {}
        }
    }
    (has_tuples == (true, true)).then_some(entry)
}

struct Ends {
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
    protocol: u8,
}

fn ends(tuple: &[Tuple]) -> Option<Ends> {
    let (mut source, mut destination) = (None, None);
    let (mut source_port, mut destination_port, mut protocol) = (0, 0, 0);
    for part in tuple {
        match part {
            Tuple::Ip(addresses) => {
                for address in addresses {
                    match address {
                        IPTuple::SourceAddress(address) => source = Some(*address),
                        IPTuple::DestinationAddress(address) => destination = Some(*address),
                        _ => {}
                    }
                }
            }
            Tuple::Proto(parts) => {
                for part in parts {
                    match part {
                        ProtoTuple::Protocol(number) => protocol = u8::from(*number),
                        ProtoTuple::SourcePort(port) => source_port = *port,
                        ProtoTuple::DestinationPort(port) => destination_port = *port,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(Ends {
        source: (source?, source_port),
        destination: (destination?, destination_port),
        protocol,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_that_is_gone_or_busy_does_not_keep_the_others() {
        let of_one = |code| is_of_one_entry(&io::Error::from_raw_os_error(code));
        assert!(of_one(libc::ENOENT) && of_one(libc::EBUSY));
        assert!(!of_one(libc::EPERM) && !of_one(libc::ENOMEM));
    }
}
