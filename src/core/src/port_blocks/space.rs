use std::collections::BTreeMap;

use crate::model::PortRange;

use super::{FIRST_PORT, MIN_SIZE};

/// The ports of one address: which are in an entry of any node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSpace {
    /// First port → last port of disjoint ranges.
    taken: BTreeMap<u16, u16>,
}

impl PortSpace {
    /// Marks a range as in use.
    pub fn take(&mut self, ports: PortRange) {
        self.taken.insert(ports.first(), ports.last());
    }

    /// How many ports are in use.
    pub(super) fn taken(&self) -> u32 {
        self.taken.iter().map(|(first, last)| u32::from(last - first) + 1).sum()
    }

    /// A free block for a node whose live blocks are `mine`, of `size` ports (a power of two) or,
    /// where there is none, of half as many, down to 128.
    ///
    /// A growing node gets the range next to what it has (one SNAT range, one search in the
    /// kernel); a new one the first whose neighbour in the pair is free, so that it can grow too.
    pub fn find(&self, mine: &[PortRange], size: u16) -> Option<PortRange> {
        let mut size = size;
        loop {
            let adjacent = mine.iter().flat_map(|ports| neighbours(*ports, size));
            let found = adjacent
                .filter(|block| self.is_free(*block))
                .min()
                .or_else(|| blocks(size).find(|block| self.is_free(pair(*block))))
                .or_else(|| blocks(size).find(|block| self.is_free(*block)));
            if found.is_some() || size <= MIN_SIZE {
                return found;
            }
            size /= 2;
        }
    }

    /// Whether no port of a range is in use.
    pub(super) fn is_free(&self, ports: PortRange) -> bool {
        // The ranges are disjoint: only the last that begins at or below our end can overlap.
        let below = self.taken.range(..=ports.last()).next_back();
        ports.first() >= FIRST_PORT && below.is_none_or(|(_, last)| *last < ports.first())
    }
}

/// All aligned blocks of a size.
fn blocks(size: u16) -> impl Iterator<Item = PortRange> {
    let size = u32::from(size.max(1));
    let first = u32::from(FIRST_PORT).div_ceil(size);
    (first..65_536 / size).filter_map(move |index| block(index * size, size))
}

/// The aligned blocks of `size` just below and just above a range.
fn neighbours(ports: PortRange, size: u16) -> impl Iterator<Item = PortRange> {
    let (size, above) = (u32::from(size), u32::from(ports.last()) + 1);
    let below = u32::from(ports.first()).checked_sub(size);
    [below, Some(above)]
        .into_iter()
        .flatten()
        .filter(move |first| first.is_multiple_of(size))
        .filter_map(move |first| block(first, size))
}

/// The aligned block of twice the size that holds this one; the block itself where that one would
/// leave the ports.
fn pair(ports: PortRange) -> PortRange {
    let twice = ports.size() * 2;
    let first = u32::from(ports.first()) / twice * twice;
    block(first, twice).unwrap_or(ports)
}

fn block(first: u32, size: u32) -> Option<PortRange> {
    PortRange::new(u16::try_from(first).ok()?, u16::try_from(first + size - 1).ok()?)
}
