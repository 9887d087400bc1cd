//! The flows of a steering config as the fewest pairs of ranges.
//!
//! A steering config's default destination is everything with the never steered ranges cut out: dozens of
//! networks for each pod. The rules look those ranges up first, in a set of their own, so that a
//! pair may cover them: the pieces become one pair again, and a pod costs an element or two.

use egret_core::model::{AddressRange, Family};
use egret_core::node_config::{Flow, FlowAction, SteeringConfig};
use ipnet::IpNet;

use super::table::{after, merged};

/// A flow that no rule could be made of.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("flow from {from} to {to}: source, destination and address must be of one family")]
pub(crate) struct MixedFamilies {
    from: IpNet,
    to: IpNet,
}

/// From where, to where, and what is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FlowPair<A> {
    pub(crate) source: AddressRange,
    pub(crate) destination: AddressRange,
    pub(crate) action: A,
}

/// The never steered ranges of a family, merged.
pub(crate) fn never(family: Family, config: &SteeringConfig) -> Vec<AddressRange> {
    let nets = config.not_steered().filter(|net| family_of(net) == family);
    merged(nets.filter_map(range).collect())
}

/// The flows of a family, in order of source and destination.
pub(crate) fn pairs(
    family: Family,
    config: &SteeringConfig,
) -> Result<Vec<FlowPair<FlowAction>>, MixedFamilies> {
    let mut pairs = config
        .flows
        .iter()
        .filter(|flow| family_of(&flow.source) == family)
        .map(pair)
        .collect::<Result<Vec<_>, _>>()?;
    pairs.sort_unstable();
    Ok(pairs)
}

/// Joins neighbours of one source and one action that touch, or between which nothing but never
/// steered addresses lie. `pairs` are in order and disjoint, and so is the result.
pub(crate) fn widened<A: Copy + PartialEq>(
    pairs: impl Iterator<Item = FlowPair<A>>,
    never: &[AddressRange],
) -> Vec<FlowPair<A>> {
    let mut wide: Vec<FlowPair<A>> = Vec::new();
    for pair in pairs {
        let joined = wide.last_mut().filter(|last| {
            last.source == pair.source
                && last.action == pair.action
                && is_bridged(last.destination, pair.destination, never)
        });
        match joined {
            Some(last) => {
                let (first, end) = (last.destination.first(), pair.destination.last());
                last.destination = AddressRange::new(first, end.max(last.destination.last()))
                    .unwrap_or(last.destination);
            }
            None => wide.push(pair),
        }
    }
    wide
}

fn is_bridged(left: AddressRange, right: AddressRange, never: &[AddressRange]) -> bool {
    let Some(gap) = after(left.last()) else { return true };
    if right.first() <= gap {
        return true;
    }
    // Of merged ranges only the last one that begins at or before the gap can hold it.
    let before = never.partition_point(|range| range.first() <= gap);
    let Some(range) = before.checked_sub(1).and_then(|index| never.get(index)) else {
        return false;
    };
    after(range.last()).is_none_or(|end| right.first() <= end)
}

fn pair(flow: &Flow) -> Result<FlowPair<FlowAction>, MixedFamilies> {
    let family = family_of(&flow.source);
    let same = match flow.action {
        FlowAction::Steer { address } => Family::of(address) == family,
        FlowAction::DropFamilyWithoutAddress
        | FlowAction::DropNoAddress
        | FlowAction::DropUnknownRange => true,
    };
    let mixed = MixedFamilies { from: flow.source, to: flow.destination };
    match (range(&flow.source), range(&flow.destination)) {
        (Some(source), Some(destination)) if same && family_of(&flow.destination) == family => {
            Ok(FlowPair { source, destination, action: flow.action })
        }
        _ => Err(mixed),
    }
}

fn family_of(net: &IpNet) -> Family {
    Family::of(net.addr())
}

fn range(net: &IpNet) -> Option<AddressRange> {
    AddressRange::new(net.network(), net.broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(first: &str, last: &str) -> AddressRange {
        AddressRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
    }

    fn to(first: &str, last: &str, action: u8) -> FlowPair<u8> {
        let source = between("10.244.1.2", "10.244.1.2");
        FlowPair { source, destination: between(first, last), action }
    }

    #[test]
    fn pieces_around_what_is_never_steered_are_one_again() {
        let never =
            [between("10.0.0.0", "10.255.255.255"), between("224.0.0.0", "255.255.255.255")];
        let pieces = [
            to("0.0.0.0", "7.255.255.255", 1),
            to("8.0.0.0", "9.255.255.255", 1),
            to("11.0.0.0", "198.51.100.255", 1),
            to("198.51.101.1", "198.51.101.1", 1),
            to("198.51.101.2", "198.51.101.2", 2),
        ];
        assert_eq!(
            widened(pieces.into_iter(), &never),
            [
                to("0.0.0.0", "198.51.100.255", 1),
                to("198.51.101.1", "198.51.101.1", 1),
                to("198.51.101.2", "198.51.101.2", 2),
            ]
        );
    }

    #[test]
    fn a_gap_that_is_steered_elsewhere_or_not_at_all_stays() {
        let never = [between("10.0.0.0", "10.0.0.9")];
        let pieces = [to("9.0.0.0", "9.255.255.255", 1), to("10.0.0.11", "10.0.0.12", 1)];
        assert_eq!(widened(pieces.into_iter(), &never), pieces);
        let other = FlowPair { source: between("10.244.1.3", "10.244.1.3"), ..pieces[1] };
        let touching = [to("10.0.0.0", "10.0.0.10", 1), other];
        assert_eq!(widened(touching.into_iter(), &never), touching);
    }

    #[test]
    fn the_ends_of_the_address_space_are_no_trouble() {
        let never = [between("128.0.0.0", "255.255.255.255")];
        let all =
            [to("0.0.0.0", "127.255.255.255", 1), to("255.255.255.255", "255.255.255.255", 1)];
        assert_eq!(widened(all.into_iter(), &never), [to("0.0.0.0", "255.255.255.255", 1)]);
    }
}
