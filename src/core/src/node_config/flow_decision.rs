use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::cidr::{self, Span};
use crate::ipam::ranges;
use crate::model::{
    Claim, ClaimRef, Destination, Family, NodeName, Snapshot, Timestamp, WhenUnavailable,
};
use crate::port_blocks;

use super::{AddressAvailability, FlowAction};

/// What new connections to a destination meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FlowDecision {
    /// A flow of the steering config.
    Flow(FlowAction),
    /// The claim wins the destination and lets it go with the node's address
    /// (`whenUnavailable: Node`).
    Node {
        /// The address that it would have left with.
        address: IpAddr,
    },
}

/// Decides for one node what each claim does with each family.
pub(crate) struct FlowDecider<'a> {
    me: &'a NodeName,
    bound: BTreeMap<&'a ClaimRef, BTreeSet<IpAddr>>,
    availability: &'a AddressAvailability,
    pub(crate) cluster: BTreeSet<Family>,
    /// What is outside the cluster cannot be told.
    outside: bool,
}

/// A claim, and the destinations of one of its parts; `None`: everywhere outside the cluster.
pub(crate) type ClaimDestinations<'a> = (&'a Claim, Option<&'a [Destination]>);

/// One destination of one claim.
pub(crate) struct ClaimDestination<'a> {
    pub(crate) claim: &'a Claim,
    /// The destination as written; `None`: everywhere outside the cluster.
    pub(crate) cidr: Option<IpNet>,
    /// What it selects: the destination without its exceptions.
    pub(crate) spans: Vec<Span>,
    pub(crate) decision: FlowDecision,
}

impl ClaimDestination<'_> {
    /// Longest prefix first, then the older claim, then the name.
    fn rank(&self) -> (Reverse<u8>, Timestamp, ClaimRef, Option<IpNet>) {
        let length = self.cidr.map_or(0, |cidr| cidr.prefix_len());
        (Reverse(length), self.claim.created, self.claim.reference.clone(), self.cidr)
    }
}

impl<'a> FlowDecider<'a> {
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        me: &'a NodeName,
        availability: &'a AddressAvailability,
    ) -> Self {
        Self {
            me,
            bound: port_blocks::bound(snapshot),
            availability,
            cluster: ranges::families(snapshot, &ranges::written(snapshot)),
            outside: !ranges::pods_outside(snapshot, me).is_empty()
                || !ranges::written(snapshot).unread.is_empty(),
        }
    }

    /// What `claim` does with traffic of a family that it selects.
    fn decide(&self, claim: &Claim, family: Family) -> FlowDecision {
        let none = BTreeSet::new();
        let addresses = self.bound.get(&claim.reference).unwrap_or(&none);
        match self.choose(addresses, family) {
            Some(address)
                if claim.when_unavailable == WhenUnavailable::Node
                    && self.availability.unavailable.contains(&address) =>
            {
                FlowDecision::Node { address }
            }
            Some(address) => FlowDecision::Flow(FlowAction::Steer { address }),
            None if addresses.is_empty() || asks_for(claim, family) => {
                FlowDecision::Flow(FlowAction::DropNoAddress)
            }
            None => FlowDecision::Flow(FlowAction::DropFamilyWithoutAddress),
        }
    }

    /// The address of a new connection: the first in rank, but not one that nobody serves while
    /// another would work.
    fn choose(&self, addresses: &BTreeSet<IpAddr>, family: Family) -> Option<IpAddr> {
        let ranked = port_blocks::ranked(addresses, self.me, family);
        let AddressAvailability { open_blocks, undelivered, unavailable } = self.availability;
        let is_served =
            |address: &IpAddr| !undelivered.contains(address) && !unavailable.contains(address);
        let works = |address: &&IpAddr| {
            is_served(address) && open_blocks.get(address).is_some_and(|blocks| !blocks.is_empty())
        };
        let first = ranked.first()?;
        let other = ranked.iter().find(works).filter(|_| !is_served(first));
        Some(*other.unwrap_or(first))
    }

    /// The destinations of parts of claims in one family, in the order in which they win.
    pub(crate) fn entries(
        &self,
        parts: &[ClaimDestinations<'a>],
        family: Family,
    ) -> Vec<ClaimDestination<'a>> {
        let mut entries = Vec::new();
        for (claim, destinations) in parts {
            let decision = self.decide(claim, family);
            match destinations {
                // The default destinations are those of the cluster's families.
                None if self.cluster.contains(&family) || is_steered(decision) => {
                    let decision = match decision {
                        _ if self.outside => FlowDecision::Flow(FlowAction::DropUnknownRange),
                        decision => decision,
                    };
                    let spans = vec![Span::everything(family)];
                    entries.push(ClaimDestination { claim, cidr: None, spans, decision });
                }
                None => {}
                Some(destinations) => {
                    let named = destinations
                        .iter()
                        .filter(|destination| Family::of(destination.cidr.network()) == family);
                    entries.extend(named.map(|destination| {
                        let except = destination.except.iter().map(|net| Span::of_net(*net));
                        let cidr = vec![Span::of_net(destination.cidr)];
                        let spans = cidr::subtract(cidr, except.collect());
                        ClaimDestination { claim, cidr: Some(destination.cidr), spans, decision }
                    }));
                }
            }
        }
        entries.sort_by_cached_key(|entry| entry.rank());
        entries
    }
}

fn is_steered(decision: FlowDecision) -> bool {
    matches!(decision, FlowDecision::Flow(FlowAction::Steer { .. }) | FlowDecision::Node { .. })
}

/// Whether the claim's own spec asks for an address of this family.
fn asks_for(claim: &Claim, family: Family) -> bool {
    let named = claim.addresses.iter().any(|address| Family::of(*address) == family);
    named || claim.families.as_ref().is_some_and(|families| families.contains(&family))
}

/// Claims that lose destinations, and to whom.
pub(crate) type LostDestinations<'a> = BTreeMap<&'a ClaimRef, BTreeSet<&'a ClaimRef>>;

/// Who gets which destinations: disjoint, none in `never`. Also who lost some to whom.
pub(crate) fn flatten<'a>(
    entries: &[ClaimDestination<'a>],
    never: &[Span],
) -> (BTreeMap<FlowDecision, Vec<Span>>, LostDestinations<'a>) {
    let mut taken = never.to_vec();
    let mut won: Vec<(&ClaimRef, &ClaimDestination<'_>)> = Vec::new();
    let mut flows: BTreeMap<FlowDecision, Vec<Span>> = BTreeMap::new();
    let mut lost = LostDestinations::new();
    for entry in entries {
        let left = cidr::subtract(entry.spans.clone(), taken.clone());
        let name = &entry.claim.reference;
        for (other, winner) in won.iter().filter(|(other, _)| *other != name) {
            if overlap(&winner.spans, &entry.spans) {
                lost.entry(name).or_default().insert(other);
            }
        }
        won.push((name, entry));
        taken.extend(&left);
        taken = cidr::merge(taken);
        flows.entry(entry.decision).or_default().extend(left);
    }
    (flows, lost)
}

fn overlap(a: &[Span], b: &[Span]) -> bool {
    a.iter().any(|a| b.iter().any(|b| a.overlaps(b)))
}
