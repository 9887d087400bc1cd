//! Which agents vote: the sets of docs/leases.md rules 19 to 23.
//!
//! Always: a new set differs from the last by one member at most; it is made only when a majority
//! of the last set has acknowledged it; its number is above every number that was reported; it is
//! never empty.

use std::collections::{BTreeMap, BTreeSet};

use crate::membership::{departure, liveness};
use crate::memory::LeaderMemory;
use crate::model::{Millis, NodeName, Snapshot, Timestamp, Voter, VoterSet};
use crate::rendezvous;

/// How long a voter must have been absent before another takes its place.
pub const REPLACE_AFTER: Millis = Millis::from_secs(300);

/// Why a set is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoterSetChange {
    /// The cluster's first voter.
    First(NodeName),
    /// One more.
    Added(NodeName),
    /// One less, and why.
    Removed(NodeName, &'static str),
    /// The same members, reachable elsewhere or with a new key.
    Updated(NodeName),
}

/// The next set; `None` where the present one stays.
pub fn next_set(
    snapshot: &Snapshot,
    memory: &LeaderMemory,
    now: Timestamp,
) -> Option<(VoterSet, VoterSetChange)> {
    let candidates = Candidates::new(snapshot);
    let Some(set) = snapshot.cluster.as_ref().and_then(|cluster| cluster.value.set.as_ref()) else {
        let first = candidates.best(&[])?;
        let number = next_number(snapshot, 0);
        return Some((
            VoterSet { number, members: vec![first.clone()] },
            VoterSetChange::First(first.node.clone()),
        ));
    };
    if !is_acknowledged(snapshot, set) {
        return None;
    }
    let (members, change) = change(snapshot, memory, now, &candidates, set)?;
    Some((VoterSet { number: next_number(snapshot, set.number), members }, change))
}

/// Whether a majority of `set` has acknowledged it.
pub fn is_acknowledged(snapshot: &Snapshot, set: &VoterSet) -> bool {
    let acknowledged = set.members.iter().filter(|voter| {
        let node = snapshot.egress_nodes.get(&voter.node);
        node.is_some_and(|node| node.value.status.acknowledged_set >= set.number)
    });
    acknowledged.count() >= liveness::majority(set.members.len())
}

/// How many voters the cluster should have: 5 where five nodes may vote, else 3, else 1. A voter
/// counts as long as its Node exists: neither a dead one nor one that is silent after a boot
/// shrinks the set (rule 20).
pub fn wanted_size(snapshot: &Snapshot) -> usize {
    let set = snapshot.cluster.as_ref().and_then(|cluster| cluster.value.set.as_ref());
    let votes = |name: &NodeName| {
        set.is_some_and(|set| set.members.iter().any(|voter| voter.node == *name))
    };
    let nodes = snapshot.egress_nodes.iter().filter(|(name, node)| {
        (node.value.status.may_vote.is_some() || votes(name)) && snapshot.nodes.contains_key(*name)
    });
    match nodes.count() {
        0..=2 => 1,
        3..=4 => 3,
        _ => 5,
    }
}

/// The set after `egret voters reset`: one living voter, with a number above all (rule 23). The
/// person has said that the voters in `stopped` are stopped.
///
/// `None` where no other node may vote.
pub fn reset(snapshot: &Snapshot, stopped: &BTreeSet<NodeName>) -> Option<VoterSet> {
    let mut candidates = Candidates::new(snapshot);
    candidates.voters.retain(|voter| !stopped.contains(&voter.node));
    let last = snapshot.cluster.as_ref().and_then(|cluster| cluster.value.set.as_ref());
    let number = next_number(snapshot, last.map_or(0, |set| set.number));
    Some(VoterSet { number, members: vec![candidates.best(&[])?.clone()] })
}

fn next_number(snapshot: &Snapshot, last: u64) -> u64 {
    let reported = snapshot.egress_nodes.values().map(|node| node.value.status.acknowledged_set);
    reported.max().unwrap_or(0).max(last) + 1
}

fn change(
    snapshot: &Snapshot,
    memory: &LeaderMemory,
    now: Timestamp,
    candidates: &Candidates<'_>,
    set: &VoterSet,
) -> Option<(Vec<Voter>, VoterSetChange)> {
    let wanted = wanted_size(snapshot);
    let dead = set.members.iter().find(|v| memory.absent_for(&v.node, REPLACE_AFTER, now));
    let next = candidates.best(&set.members);
    if let Some(change) = update(snapshot, &set.members) {
        return Some(change);
    }
    if set.members.len() > wanted {
        return surplus(snapshot, candidates, &set.members, dead);
    }
    if let (Some(dead), Some(_), true) = (dead, next, set.members.len() > 1) {
        return Some(without(&set.members, &dead.node, "absent for 5 min"));
    }
    let next = next?;
    let add = if set.members.len() == wanted {
        // One that is to go is replaced by its successor first; a dead sole voter cannot be asked.
        set.members.iter().any(|voter| departure::drained(snapshot, &voter.node))
    } else {
        // Two voters are worse than one: begin only what the nodes that are there can finish.
        let present = set.members.iter().filter(|v| !candidates.absent.contains(&v.node)).count();
        set.members.len().is_multiple_of(2) || present + candidates.outside(&set.members) >= wanted
    };
    add.then(|| {
        let mut members = set.members.clone();
        members.push(next.clone());
        members.sort();
        (members, VoterSetChange::Added(next.node.clone()))
    })
}

/// The first member whose endpoints, port or key are no longer what its node says.
///
/// Its vote stays its own: a node that lost its key lost its state with it, and is silent for
/// T_max × 1.12 like after a boot (rule 13).
fn update(snapshot: &Snapshot, members: &[Voter]) -> Option<(Vec<Voter>, VoterSetChange)> {
    let mut members = members.to_vec();
    let changed = members.iter_mut().find_map(|member| {
        let now = voter(snapshot, &member.node)?;
        (now != *member).then(|| {
            *member = now;
            member.node.clone()
        })
    })?;
    Some((members, VoterSetChange::Updated(changed)))
}

/// One member too many: a dead one goes first, then one to be drained, then one that is absent,
/// then the one in the fullest zone.
fn surplus(
    snapshot: &Snapshot,
    candidates: &Candidates<'_>,
    members: &[Voter],
    dead: Option<&Voter>,
) -> Option<(Vec<Voter>, VoterSetChange)> {
    if let Some(dead) = dead {
        return Some(without(members, &dead.node, "absent for 5 min"));
    }
    if let Some(voter) = members.iter().find(|v| departure::drained(snapshot, &v.node)) {
        return Some(without(members, &voter.node, "drained"));
    }
    let goes = members.iter().max_by_key(|voter| {
        let zone = candidates.zone(&voter.node);
        let in_zone = members.iter().filter(|other| candidates.zone(&other.node) == zone).count();
        let busy = candidates.busy.contains(&voter.node);
        (candidates.absent.contains(&voter.node), in_zone, busy, &voter.node)
    })?;
    Some(without(members, &goes.node, "one voter more than nodes for it"))
}

fn without(members: &[Voter], node: &NodeName, why: &'static str) -> (Vec<Voter>, VoterSetChange) {
    let left = members.iter().filter(|voter| voter.node != *node).cloned().collect();
    (left, VoterSetChange::Removed(node.clone(), why))
}

/// `node` as a voter, where its agent has said how it is reached.
fn voter(snapshot: &Snapshot, node: &NodeName) -> Option<Voter> {
    let status = &snapshot.egress_nodes.get(node)?.value.status;
    (!status.endpoints.is_empty()).then_some(Voter {
        node: node.clone(),
        endpoints: status.endpoints.clone(),
        peer_port: status.peer_port,
        public_key: status.public_key?,
    })
}

struct Candidates<'a> {
    snapshot: &'a Snapshot,
    absent: BTreeSet<NodeName>,
    /// Nodes that hold or own addresses: better left to that.
    busy: BTreeSet<NodeName>,
    /// Present, not drained, past their silence.
    voters: Vec<Voter>,
}

impl<'a> Candidates<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let absent = liveness::absent(snapshot);
        let addresses = snapshot.addresses.values();
        let busy = addresses.filter_map(|stored| stored.value.plan.owner.clone()).collect();
        let voters = snapshot
            .egress_nodes
            .iter()
            .filter(|(name, node)| {
                node.value.status.may_vote.is_some()
                    && !absent.contains(*name)
                    && !departure::drained(snapshot, name)
            })
            .filter_map(|(name, _)| voter(snapshot, name))
            .collect();
        Self { snapshot, absent, busy, voters }
    }

    fn zone(&self, node: &NodeName) -> &'a str {
        self.snapshot.nodes.get(node).map_or("", |node| node.zone.as_str())
    }

    fn outside(&self, members: &[Voter]) -> usize {
        self.voters.iter().filter(|v| members.iter().all(|member| member.node != v.node)).count()
    }

    /// The best new member: from the zone with the fewest, one that holds nothing, then by hash.
    fn best(&self, members: &[Voter]) -> Option<&Voter> {
        let mut in_zone: BTreeMap<&str, usize> = BTreeMap::new();
        for member in members {
            *in_zone.entry(self.zone(&member.node)).or_default() += 1;
        }
        let outside =
            self.voters.iter().filter(|v| members.iter().all(|member| member.node != v.node));
        outside.min_by_key(|voter| {
            let zone = in_zone.get(self.zone(&voter.node)).copied().unwrap_or(0);
            (zone, self.busy.contains(&voter.node), rendezvous::seed(&voter.node), &voter.node)
        })
    }
}

#[cfg(test)]
mod tests;
