//! How long messages become in postcard: estimates from above, and cutting into datagrams.

use std::net::IpAddr;

use super::{
    AddressAnswer, Ask, Holds, MAX_DATAGRAM, NoticeAnswer, NoticedAddress, ReleasedAddress,
    SetPart, Vote,
};
use crate::model::{NodeName, Voter};

/// Bytes that a datagram needs beside its list: the variant, a round, a set, lengths.
const HEAD: usize = 56;

/// The most bytes that an encoding of the value takes.
pub(super) trait EncodedSize {
    fn size(&self) -> usize;
}

fn varint(number: u64) -> usize {
    (64 - number.leading_zeros() as usize).div_ceil(7).max(1)
}

impl EncodedSize for IpAddr {
    fn size(&self) -> usize {
        if self.is_ipv4() { 5 } else { 17 }
    }
}

impl EncodedSize for NodeName {
    fn size(&self) -> usize {
        2 + self.as_str().len()
    }
}

impl EncodedSize for Ask {
    fn size(&self) -> usize {
        self.address.size()
            + varint(self.fence)
            + varint(u64::from(self.lease))
            + varint(self.epoch)
    }
}

impl EncodedSize for AddressAnswer {
    fn size(&self) -> usize {
        let verdict = match self.vote {
            Vote::Taken { remaining } => 1 + varint(u64::from(remaining)),
            _ => 1,
        };
        self.address.size() + verdict + varint(self.epoch)
    }
}

impl EncodedSize for ReleasedAddress {
    fn size(&self) -> usize {
        self.address.size() + 1 + self.successor.as_ref().map_or(0, |to| to.node.size() + 20)
    }
}

impl EncodedSize for NoticedAddress {
    fn size(&self) -> usize {
        self.address.size() + varint(self.epoch)
    }
}

impl EncodedSize for NoticeAnswer {
    fn size(&self) -> usize {
        let greater = self.greater.as_ref().map_or(0, |epoch| 10 + epoch.node.size());
        self.address.size() + varint(self.epoch) + 1 + greater
    }
}

impl EncodedSize for Holds {
    fn size(&self) -> usize {
        self.address.size() + 1 + self.holder.as_ref().map_or(0, |(node, _)| node.size() + 10)
    }
}

impl EncodedSize for Voter {
    fn size(&self) -> usize {
        let endpoints: usize = self.endpoints.iter().map(EncodedSize::size).sum();
        self.node.size() + 1 + endpoints + 3 + 66
    }
}

/// Cuts a list into as few pieces as fit into one datagram each, in order.
pub(super) fn pieces<T: EncodedSize>(items: impl IntoIterator<Item = T>) -> Vec<Vec<T>> {
    let mut pieces: Vec<Vec<T>> = Vec::new();
    let mut used = usize::MAX;
    for item in items {
        let size = item.size();
        match pieces.last_mut() {
            Some(piece) if used.saturating_add(size) <= MAX_DATAGRAM => {
                used += size;
                piece.push(item);
            }
            _ => {
                used = HEAD + size;
                pieces.push(vec![item]);
            }
        }
    }
    pieces
}

/// A set as datagrams.
pub(super) fn set_parts(set: super::SetId, members: &[Voter]) -> Vec<SetPart> {
    let total = u8::try_from(members.len()).unwrap_or(u8::MAX);
    let mut first = 0;
    pieces(members.iter().cloned())
        .into_iter()
        .map(|members| {
            let part = SetPart { set, total, first, members };
            first = first.saturating_add(u8::try_from(part.members.len()).unwrap_or(u8::MAX));
            part
        })
        .collect()
}
