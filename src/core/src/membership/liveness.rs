//! Who is there: absence by the word of the voters.
//!
//! A Node that is NotReady alone means nothing; a node is absent when a majority of the voters
//! has not heard it for 10 s (docs/design.md decision 8), or when its Node object is gone.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{NodeName, Snapshot};

/// Nodes that a majority of the newest voter set has not heard, and nodes without a Node object.
///
/// Guarantees: without a voter set nobody is absent by the voters' word.
pub fn absent(snapshot: &Snapshot) -> BTreeSet<NodeName> {
    let gone = known(snapshot).into_iter().filter(|node| {
        !snapshot.nodes.contains_key(*node) || !snapshot.egress_nodes.contains_key(*node)
    });
    gone.cloned().chain(unheard(snapshot)).collect()
}

/// Nodes that a majority of the newest voter set has not heard. An agent, which reads no Node, knows
/// them too.
///
/// Guarantees: empty without a voter set.
pub fn unheard(snapshot: &Snapshot) -> BTreeSet<NodeName> {
    let set = snapshot.cluster.as_ref().and_then(|cluster| cluster.value.set.as_ref());
    let Some(set) = set else { return BTreeSet::new() };
    let mut named: BTreeMap<&NodeName, usize> = BTreeMap::new();
    for voter in &set.members {
        if let Some(node) = snapshot.egress_nodes.get(&voter.node) {
            for other in &node.value.status.absent {
                *named.entry(other).or_default() += 1;
            }
        }
    }
    let majority = majority(set.members.len());
    named.into_iter().filter(|(_, votes)| *votes >= majority).map(|(n, _)| n.clone()).collect()
}

/// Every node that has an `EgressNode` or a vote.
pub fn known(snapshot: &Snapshot) -> BTreeSet<&NodeName> {
    let voters = snapshot
        .cluster
        .iter()
        .filter_map(|cluster| cluster.value.set.as_ref())
        .flat_map(|set| set.members.iter().map(|voter| &voter.node));
    snapshot.egress_nodes.keys().chain(voters).collect()
}

/// How many of `members` voters are a majority.
pub fn majority(members: usize) -> usize {
    members / 2 + 1
}
