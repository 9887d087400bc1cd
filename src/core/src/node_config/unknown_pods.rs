use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::cidr::{self, Span};
use crate::ipam::ranges;
use crate::model::{AddressRange, Family, NodeName, Snapshot};
use crate::port_blocks;

use super::UnknownPods;

/// The pod addresses of node `me` that no pod is known to have, and what any claim selects.
///
/// A container sends its first packet within milliseconds of its start, before its address has been
/// read: until then nobody can say whether a claim selects it, so it is held off where a claim
/// might.
///
/// Guarantee: empty while no claim has an address; a pod that is read leaves it with the same
/// steering config that steers it.
pub(super) fn unknown_pods(snapshot: &Snapshot, me: &NodeName) -> UnknownPods {
    let ranges = ranges::of_node(snapshot, me);
    let destinations = destinations(snapshot);
    if destinations.is_empty() {
        return UnknownPods::default();
    }
    let spans = |nets: &mut dyn Iterator<Item = IpNet>| nets.map(Span::of_net).collect();
    let known = snapshot
        .pods
        .values()
        .filter(|pod| pod.node == *me && !pod.host_network)
        .flat_map(|pod| pod.sources.iter().copied());
    let all: Vec<Span> = spans(&mut ranges.iter().copied());
    let sources = cidr::subtract(all, spans(&mut { known })).iter().filter_map(range).collect();
    UnknownPods { sources, destinations }
}

/// What the claims that have an address select, of the families that they have one of.
pub(super) fn destinations(snapshot: &Snapshot) -> BTreeSet<AddressRange> {
    let mut spans: Vec<Span> = Vec::new();
    for (reference, addresses) in port_blocks::bound(snapshot) {
        let Some(stored) = snapshot.claims.get(reference) else { continue };
        for (_, destinations) in stored.value.0.parts() {
            let Some(destinations) = destinations else {
                let families = addresses.iter().map(|address| Family::of(*address));
                spans.extend(families.map(Span::everything));
                continue;
            };
            for destination in destinations {
                let except = destination.except.iter().map(|net| Span::of_net(*net));
                let whole = vec![Span::of_net(destination.cidr)];
                spans.extend(cidr::subtract(whole, except.collect()));
            }
        }
    }
    cidr::merge(spans).iter().filter_map(range).collect()
}

pub(super) fn range(span: &Span) -> Option<AddressRange> {
    AddressRange::new(span.first(), span.last())
}

#[cfg(test)]
mod tests;
