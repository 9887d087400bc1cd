use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::cidr::{self, Span};
use crate::ipam::ranges;
use crate::model::{Claim, ClaimRef, Family, NodeName, Snapshot};
use crate::selection::Selection;

use super::flow_decision::{ClaimDestinations, FlowDecider, FlowDecision, flatten};
use super::pod_sources::disjoint_sources;
use super::unknown_pods::unknown_pods;
use super::{AddressAvailability, Flow, FlowAction, SteeringConfig, UnknownPods};

/// The director's part of node `me`.
///
/// Guarantee: before the cluster object exists there is no flow. What is the cluster's own is not
/// known then, and a default destination would take the pods' traffic to each other and to DNS.
pub fn steering_config(
    snapshot: &Snapshot,
    me: &NodeName,
    availability: &AddressAvailability,
) -> SteeringConfig {
    let written = ranges::written(snapshot);
    let (never_steered, exempt) = (ranges::never_steered(&written), ranges::exempt(&written));
    let decider = FlowDecider::new(snapshot, me, availability);
    let mut flows = Vec::new();
    let groups = if snapshot.cluster.is_some() { groups(snapshot, me) } else { BTreeMap::new() };
    for (parts, pods) in groups {
        let claims = destinations(snapshot, &parts);
        for family in [Family::IPv4, Family::IPv6] {
            let sources: Vec<IpNet> =
                pods.iter().copied().filter(|net| Family::of(net.network()) == family).collect();
            if sources.is_empty() {
                continue;
            }
            let never: Vec<Span> =
                never_steered.iter().chain(&exempt).map(|net| Span::of_net(*net)).collect();
            let (decisions, _) = flatten(&decider.entries(&claims, family), &never);
            for (action, destinations) in flow_actions(decisions) {
                flows.extend(product(&sources, &destinations, action));
            }
        }
    }
    flows.sort_unstable();
    let unknown = if snapshot.cluster.is_some() {
        unknown_pods(snapshot, me)
    } else {
        UnknownPods::default()
    };
    SteeringConfig {
        never_steered,
        peers: peers(snapshot),
        flows,
        blocks: availability.open_blocks.clone(),
        unknown,
        exempt,
    }
}

/// Claims that lose destinations of pods on `me` to others, and to whom: for conditions.
pub fn overridden(snapshot: &Snapshot, me: &NodeName) -> BTreeMap<ClaimRef, BTreeSet<ClaimRef>> {
    let none = AddressAvailability::default();
    let decider = FlowDecider::new(snapshot, me, &none);
    let mut all: BTreeMap<ClaimRef, BTreeSet<ClaimRef>> = BTreeMap::new();
    for parts in groups(snapshot, me).into_keys().filter(|parts| parts.len() > 1) {
        let claims = destinations(snapshot, &parts);
        for family in [Family::IPv4, Family::IPv6] {
            let (_, lost) = flatten(&decider.entries(&claims, family), &[]);
            for (loser, winners) in lost {
                all.entry(loser.clone()).or_default().extend(winners.into_iter().cloned());
            }
        }
    }
    all
}

/// One part of a claim, by its place.
type PartKey<'a> = (&'a ClaimRef, usize);

fn destinations<'a>(snapshot: &'a Snapshot, parts: &[PartKey<'_>]) -> Vec<ClaimDestinations<'a>> {
    let part = |(name, index): &PartKey<'_>| {
        let claim: &Claim = &snapshot.claims.get(*name)?.value.0;
        claim.parts().nth(*index).map(|(_, destinations)| (claim, destinations))
    };
    parts.iter().filter_map(part).collect()
}

/// The sources of this node's pods by the parts of claims that select them. Pods with the same ones
/// have the same flows, so each set is flattened once.
fn groups<'a>(snapshot: &'a Snapshot, me: &NodeName) -> BTreeMap<Vec<PartKey<'a>>, Vec<IpNet>> {
    let pods = Selection::of_node(snapshot, me);
    let mut claims: BTreeMap<(&str, &str), Vec<PartKey<'_>>> = BTreeMap::new();
    for stored in snapshot.claims.values() {
        let claim = &stored.value.0;
        for (index, (part, _)) in claim.parts().enumerate() {
            for pod in pods.of_part(claim, part) {
                let key = (pod.namespace.as_str(), pod.name.as_str());
                claims.entry(key).or_default().push((&claim.reference, index));
            }
        }
    }
    let mine = snapshot.pods.values().filter(|pod| pod.node == *me && !pod.host_network);
    let mut groups: BTreeMap<Vec<PartKey<'_>>, Vec<IpNet>> = BTreeMap::new();
    for (pod, sources) in disjoint_sources(mine.collect()) {
        if let Some(names) = claims.get(&(pod.namespace.as_str(), pod.name.as_str())) {
            groups.entry(names.clone()).or_default().extend(sources);
        }
    }
    groups
}

/// The flows of the decisions. What a claim lets go with the node's address is no flow.
fn flow_actions(
    decisions: BTreeMap<FlowDecision, Vec<Span>>,
) -> impl Iterator<Item = (FlowAction, Vec<IpNet>)> {
    decisions.into_iter().filter_map(|(decision, spans)| match decision {
        FlowDecision::Flow(action) => {
            Some((action, cidr::merge(spans).iter().flat_map(Span::cover).collect()))
        }
        FlowDecision::Node { .. } => None,
    })
}

fn product<'a>(
    sources: &'a [IpNet],
    destinations: &'a [IpNet],
    action: FlowAction,
) -> impl Iterator<Item = Flow> + 'a {
    let flow = move |source: &IpNet, destination: &IpNet| Flow {
        source: *source,
        destination: *destination,
        action,
    };
    sources.iter().flat_map(move |source| {
        destinations.iter().map(move |destination| flow(source, destination))
    })
}

/// Every agent and voter that this snapshot knows.
fn peers(snapshot: &Snapshot) -> BTreeSet<IpAddr> {
    let set = snapshot.cluster.as_ref().and_then(|cluster| cluster.value.set.as_ref());
    let voters = set.iter().flat_map(|set| &set.members).flat_map(|voter| &voter.endpoints);
    let agents = snapshot.egress_nodes.values().flat_map(|node| &node.value.status.endpoints);
    agents.chain(voters).copied().collect()
}
