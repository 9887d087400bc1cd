//! Numbers of ctnetlink, and the addresses of an entry without decoding all of it.

use std::net::IpAddr;

// include/uapi/linux/netfilter/nfnetlink_conntrack.h
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V6_SRC: u16 = 3;
pub(super) const IPCTNL_MSG_CT_GET: u8 = 1;
pub(super) const IPCTNL_MSG_CT_DELETE: u8 = 2;
pub(super) const CTA_ID: u16 = 12;
pub(super) const CTA_ZONE: u16 = 18;
pub(super) const CTA_MARK_MASK: u16 = 21;
pub(super) const CTA_FILTER: u16 = 25;
pub(super) const CTA_FILTER_ORIG_FLAGS: u16 = 1;
pub(super) const CTA_FILTER_REPLY_FLAGS: u16 = 2;
/// The flag of a filter that compares a tuple's source address (nf_internals.h).
pub(super) const FILTER_IP_SRC: u32 = 1;

/// linux/netlink.h
pub(super) const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;
const NLA_HEADER: usize = 4;
/// `struct nfgenmsg` (linux/netfilter/nfnetlink.h).
const NFGENMSG: usize = 4;

/// Whose an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryAddresses {
    /// Who sent the first packet.
    pub(super) source: IpAddr,
    /// Who answers it: its destination after DNAT.
    pub(super) answerer: IpAddr,
}

impl EntryAddresses {
    /// Of a record as it follows the netlink header; `None` where it is no entry with both.
    pub(super) fn read(record: &[u8]) -> Option<Self> {
        let entry = record.get(NFGENMSG..)?;
        let source_of = |tuple| {
            let tuple = attribute(entry, |kind| kind == tuple)?;
            let ip = attribute(tuple, |kind| kind == CTA_TUPLE_IP)?;
            let address = attribute(ip, |kind| kind == CTA_IP_V4_SRC || kind == CTA_IP_V6_SRC)?;
            match address.len() {
                4 => <[u8; 4]>::try_from(address).ok().map(IpAddr::from),
                _ => <[u8; 16]>::try_from(address).ok().map(IpAddr::from),
            }
        };
        Some(Self { source: source_of(CTA_TUPLE_ORIG)?, answerer: source_of(CTA_TUPLE_REPLY)? })
    }
}

/// The value of the first attribute that is wanted.
fn attribute(mut attributes: &[u8], wanted: impl Fn(u16) -> bool) -> Option<&[u8]> {
    loop {
        let half =
            |at: usize| Some(u16::from_ne_bytes(attributes.get(at..at + 2)?.try_into().ok()?));
        let (length, kind) = (usize::from(half(0)?), half(2)? & NLA_TYPE_MASK);
        let value = attributes.get(NLA_HEADER..length)?;
        if wanted(kind) {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nla(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(4 + value.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn tuple(kind: u16, source: &[u8]) -> Vec<u8> {
        let of = if source.len() == 4 { CTA_IP_V4_SRC } else { CTA_IP_V6_SRC };
        let ip = nla(CTA_TUPLE_IP | NLA_F_NESTED, &nla(of, source));
        nla(kind | NLA_F_NESTED, &[nla(2 | NLA_F_NESTED, &[1]), ip].concat())
    }

    #[test]
    fn an_entrys_addresses_are_read_and_half_of_one_is_none() {
        let parts = [vec![2, 0, 0, 0], tuple(1, &[10, 0, 0, 1]), tuple(2, &[10, 0, 0, 2])];
        let read = EntryAddresses::read(&parts.concat()).unwrap();
        assert_eq!((read.source, read.answerer), ([10, 0, 0, 1].into(), [10, 0, 0, 2].into()));
        let v6 = [vec![10, 0, 0, 0], tuple(1, &[1; 16]), tuple(2, &[2; 16])];
        assert_eq!(EntryAddresses::read(&v6.concat()).unwrap().answerer, IpAddr::from([2; 16]));
        assert_eq!(EntryAddresses::read(&parts[..2].concat()), None);
        let whole = parts.concat();
        for length in 0..whole.len() - 4 {
            assert_eq!(EntryAddresses::read(&whole[..length]), None, "{length}");
        }
    }
}
