//! One entry of conntrack, and the socket that lists and deletes them (ctnetlink).

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{DefaultNla, Nla};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Status, Tuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::netlink::Netlink;

// include/uapi/linux/netfilter/nfnetlink_conntrack.h
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_MARK_MASK: u16 = 21;

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
        self.filtered(bit, bit)
    }

    /// Entries that do not.
    pub(super) fn unmarked(&mut self, bit: u32) -> io::Result<Vec<ConntrackEntry>> {
        self.filtered(0, bit)
    }

    /// All entries.
    pub(super) fn all(&mut self) -> io::Result<Vec<ConntrackEntry>> {
        self.filtered(0, 0)
    }

    fn filtered(&mut self, mark: u32, mask: u32) -> io::Result<Vec<ConntrackEntry>> {
        let answers = self.0.dump(|| {
            let filter = match mask {
                0 => Vec::new(),
                mask => vec![
                    ConntrackAttribute::CtaMark(mark),
                    ConntrackAttribute::Other(DefaultNla::new(
                        CTA_MARK_MASK,
                        mask.to_be_bytes().to_vec(),
                    )),
                ],
            };
            message(NetfilterProtoFamily::Unspec, ConntrackMessage::Get(filter))
        })?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer.inner {
                NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) => {
                    entry(attributes)
                }
                _ => None,
            })
            // A kernel that does not know the filter lists all.
            .filter(|entry| entry.mark & mask == mark)
            .collect())
    }

    /// Deletes entries; one that is gone already counts as none.
    pub(super) fn delete_all<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a ConntrackEntry>,
    ) -> io::Result<u64> {
        let mut deleted = 0;
        for entry in entries {
            let family = match entry.source {
                IpAddr::V4(_) => NetfilterProtoFamily::IPv4,
                IpAddr::V6(_) => NetfilterProtoFamily::IPv6,
            };
            let delete = ConntrackMessage::Delete(entry.identity.clone());
            match self.0.change(message(family, delete), 0) {
                Ok(()) => deleted += 1,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
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
