//! Port blocks → writes to the maps: a pure function of what the kernel holds and what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::PortRange;
use egret_ports::gateway::Director;

use super::codec::{SLOTS, SMALLEST_BLOCK};

/// How many numbers there are for directors; 0 is none.
pub(crate) const MOST_DIRECTORS: u16 = 16_384;

/// The number of the director of each 128 ports of an address.
pub(crate) type Slots = [u16; SLOTS / 2];

/// A director's two addresses: where frames for it go, and the other family's.
pub(crate) type Endpoints = (IpAddr, Option<IpAddr>);

/// What the kernel holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldBlocks {
    pub(crate) slots: BTreeMap<IpAddr, Box<Slots>>,
    /// Directors that a slot names.
    pub(crate) directors: BTreeMap<u16, Endpoints>,
    /// The number given last.
    pub(crate) last: u16,
}

/// One map write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MapWrite {
    Director(u16, Endpoints),
    Slots(IpAddr, Box<Slots>),
    DropSlots(IpAddr),
}

/// Why blocks cannot be written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadBlocks {
    #[error("block {0} of {1}: not a power of two of at least 128 ports, aligned to its size")]
    Unaligned(PortRange, IpAddr),
    #[error("block {0} of {1} overlaps another")]
    Overlapping(PortRange, IpAddr),
    #[error("more than {MOST_DIRECTORS} directors have port blocks")]
    TooManyDirectors,
}

/// The writes, in order, that make the kernel hold `wanted`: directors before the slots that name
/// them. A number that a slot names now is not given to another in the same plan, and numbers go
/// round: whoever reads a slot while it changes meets the director that it meant.
pub(crate) fn plan(
    held: &HeldBlocks,
    wanted: &BTreeMap<(IpAddr, PortRange), Director>,
    own: &[IpAddr],
) -> Result<Vec<MapWrite>, BadBlocks> {
    let mut numbers: BTreeMap<Endpoints, u16> =
        held.directors.iter().map(|(number, endpoints)| (*endpoints, *number)).collect();
    let mut used: BTreeSet<u16> = held.directors.keys().copied().collect();
    let mut last = held.last;
    let mut slots: BTreeMap<IpAddr, Box<Slots>> = BTreeMap::new();
    let mut writes = Vec::new();
    for ((address, ports), director) in wanted {
        let range = slot_range(*ports).ok_or(BadBlocks::Unaligned(*ports, *address))?;
        // A director that has not said where it is cannot be sent to: its ports stay closed.
        let Some(endpoints) = endpoints(director, own) else { continue };
        let number = match numbers.get(&endpoints) {
            Some(number) => *number,
            None => {
                let number = next_number(&used, last).ok_or(BadBlocks::TooManyDirectors)?;
                last = number;
                used.insert(number);
                numbers.insert(endpoints, number);
                writes.push(MapWrite::Director(number, endpoints));
                number
            }
        };
        let all = slots.entry(*address).or_insert_with(|| Box::new([0; SLOTS / 2]));
        for slot in &mut all[range] {
            if *slot != 0 {
                return Err(BadBlocks::Overlapping(*ports, *address));
            }
            *slot = number;
        }
    }
    let gone = held.slots.keys().filter(|address| !slots.contains_key(*address));
    let gone: Vec<MapWrite> = gone.map(|address| MapWrite::DropSlots(*address)).collect();
    slots.retain(|address, slots| held.slots.get(address) != Some(slots));
    writes.extend(slots.into_iter().map(|(address, slots)| MapWrite::Slots(address, slots)));
    writes.extend(gone);
    Ok(writes)
}

impl HeldBlocks {
    /// Takes over what a write has made so in the kernel.
    pub(crate) fn note(&mut self, write: MapWrite) {
        match write {
            MapWrite::Director(number, endpoints) => {
                self.last = number;
                self.directors.insert(number, endpoints);
            }
            MapWrite::Slots(address, slots) => {
                self.slots.insert(address, slots);
            }
            MapWrite::DropSlots(address) => {
                self.slots.remove(&address);
            }
        }
    }

    /// Frees the numbers that no slot names any more.
    pub(crate) fn forget_unused(&mut self) {
        let named: BTreeSet<u16> =
            self.slots.values().flat_map(|slots| slots.iter().copied()).collect();
        self.directors.retain(|number, _| named.contains(number));
    }
}

fn slot_range(ports: PortRange) -> Option<std::ops::Range<usize>> {
    let first = u32::from(ports.first());
    let aligned = ports.size() >= SMALLEST_BLOCK
        && ports.size().is_power_of_two()
        && first.is_multiple_of(ports.size());
    let slot = |port: u32| usize::try_from(port / SMALLEST_BLOCK).ok();
    if aligned { Some(slot(first)?..slot(first + ports.size())?) } else { None }
}

/// The first endpoint of a family that this node has; any where it has none of them. Frames may also come from the
/// next of that family, to which the director moves, or else from that of the other one.
fn endpoints(director: &Director, own: &[IpAddr]) -> Option<Endpoints> {
    let reachable = |address: &&IpAddr| own.iter().any(|o| o.is_ipv4() == address.is_ipv4());
    let target = director.endpoints.iter().find(reachable).or(director.endpoints.first())?;
    let is_next = |other: &&IpAddr| *other != target && other.is_ipv4() == target.is_ipv4();
    let of_other = |other: &&IpAddr| other.is_ipv4() != target.is_ipv4();
    let all = &director.endpoints;
    let other = all.iter().find(is_next).or_else(|| all.iter().find(of_other));
    Some((*target, other.copied()))
}

fn next_number(used: &BTreeSet<u16>, last: u16) -> Option<u16> {
    (last + 1..MOST_DIRECTORS).chain(1..=last).find(|number| !used.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn ports(first: u16, last: u16) -> PortRange {
        PortRange::new(first, last).unwrap()
    }

    fn director(endpoints: &[&str]) -> Director {
        Director { endpoints: endpoints.iter().map(|text| ip(text)).collect() }
    }

    fn applied(held: &HeldBlocks, wanted: &BTreeMap<(IpAddr, PortRange), Director>) -> HeldBlocks {
        let mut held = held.clone();
        for write in plan(&held, wanted, &[ip("10.0.0.9")]).unwrap() {
            held.note(write);
        }
        held.forget_unused();
        held
    }

    #[test]
    fn after_the_writes_nothing_is_left_to_write() {
        let a = ip("203.0.113.1");
        let wanted = BTreeMap::from([
            ((a, ports(1024, 2047)), director(&["10.0.0.1", "2001:db8::1"])),
            ((a, ports(2048, 2175)), director(&["10.0.0.2"])),
            ((ip("2001:db8:1::1"), ports(65408, 65535)), director(&["10.0.0.1", "2001:db8::1"])),
        ]);
        let held = applied(&HeldBlocks::default(), &wanted);
        assert_eq!(plan(&held, &wanted, &[ip("10.0.0.9")]), Ok(vec![]));
        assert_eq!(held.directors.len(), 2);
        let slots = &held.slots[&a];
        assert_eq!((slots[7], slots[8], slots[15], slots[16], slots[17]), (0, 1, 1, 2, 0));
        assert_eq!(held.slots[&ip("2001:db8:1::1")][511], 1);
    }

    #[test]
    fn a_number_is_not_reused_while_it_is_named() {
        let key = (ip("203.0.113.1"), ports(1024, 2047));
        let first = BTreeMap::from([(key, director(&["10.0.0.1"]))]);
        let second = BTreeMap::from([(key, director(&["10.0.0.2"]))]);
        let held = applied(&HeldBlocks::default(), &first);
        let writes = plan(&held, &second, &[]).unwrap();
        assert_eq!(writes[0], MapWrite::Director(2, (ip("10.0.0.2"), None)));
        let held = applied(&held, &second);
        assert_eq!(held.directors.keys().copied().collect::<Vec<_>>(), [2]);
        let held = applied(&held, &first);
        assert_eq!(held.directors.keys().copied().collect::<Vec<_>>(), [3], "numbers go round");
    }

    #[test]
    fn numbers_wrap_and_end() {
        let used: BTreeSet<u16> = (1..MOST_DIRECTORS).filter(|number| *number != 5).collect();
        assert_eq!(next_number(&used, MOST_DIRECTORS - 1), Some(5));
        let used: BTreeSet<u16> = (1..MOST_DIRECTORS).collect();
        assert_eq!(next_number(&used, 7), None);
    }

    #[test]
    fn bad_blocks_are_named() {
        let a = ip("203.0.113.1");
        for (first, last) in [(1000, 1127), (1024, 1087), (1024, 1151 + 64)] {
            let wanted = BTreeMap::from([((a, ports(first, last)), director(&["10.0.0.1"]))]);
            let range = ports(first, last);
            assert_eq!(
                plan(&HeldBlocks::default(), &wanted, &[]),
                Err(BadBlocks::Unaligned(range, a))
            );
        }
        let wanted = BTreeMap::from([
            ((a, ports(1024, 1151)), director(&["10.0.0.1"])),
            ((a, ports(1024, 2047)), director(&["10.0.0.2"])),
        ]);
        let error = BadBlocks::Overlapping(ports(1024, 2047), a);
        assert_eq!(plan(&HeldBlocks::default(), &wanted, &[]), Err(error));
    }

    #[test]
    fn frames_go_to_the_family_that_this_node_has() {
        let both = director(&["10.0.0.1", "2001:db8::1"]);
        let v6 = Some((ip("2001:db8::1"), Some(ip("10.0.0.1"))));
        assert_eq!(endpoints(&both, &[ip("2001:db8::9")]), v6);
        let v4 = Some((ip("10.0.0.1"), Some(ip("2001:db8::1"))));
        assert_eq!(endpoints(&both, &[ip("10.0.0.9"), ip("2001:db8::9")]), v4);
        assert_eq!(endpoints(&director(&[]), &[]), None);
    }

    #[test]
    fn frames_may_come_from_where_a_director_moves_to() {
        let moves = director(&["10.0.0.1", "2001:db8::1", "10.1.0.1"]);
        let told = endpoints(&moves, &[ip("10.0.0.9"), ip("2001:db8::9")]);
        assert_eq!(told, Some((ip("10.0.0.1"), Some(ip("10.1.0.1")))));
    }
}
