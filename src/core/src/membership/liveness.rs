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

/// Too few voters for a majority, and the others, whom they do not hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentMajority {
    /// The voters that are not heard.
    pub silent: BTreeSet<NodeName>,
    /// The voters that are left.
    pub left: BTreeSet<NodeName>,
}

/// Whether most voters of the newest set are silent, so that nobody is granted a lease or keeps one: `unheard` cannot tell,
/// since it takes a majority to call a node absent. Nothing is planned by it.
///
/// Guarantees: `None` where the voters that are left do not agree, and where a majority names one of them, which
/// is then cut off alone. Where no voter is left that could say so, nobody does.
pub fn silent_majority(snapshot: &Snapshot) -> Option<SilentMajority> {
    let set = snapshot.cluster.as_ref()?.value.set.as_ref()?;
    let members: BTreeSet<&NodeName> = set.members.iter().map(|voter| &voter.node).collect();
    let named = |voter: &NodeName| -> BTreeSet<&NodeName> {
        let node = snapshot.egress_nodes.get(voter);
        let absent = node.into_iter().flat_map(|node| &node.value.status.absent);
        absent.filter(|node| *node != voter && members.contains(node)).collect()
    };
    let unheard = unheard(snapshot);
    members.iter().find_map(|voter| {
        let silent = named(voter);
        let left: BTreeSet<&NodeName> = members.difference(&silent).copied().collect();
        let agree = left.iter().all(|one| named(one) == silent && !unheard.contains(*one));
        (agree && silent.len() >= majority(members.len())).then(|| SilentMajority {
            silent: silent.into_iter().cloned().collect(),
            left: left.into_iter().cloned().collect(),
        })
    })
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
