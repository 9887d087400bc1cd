//! What this node says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::{
    ClaimRef, Condition, EgressNodeStatus, NamespaceName, NodeName, Snapshot, Timestamp,
};
use egret_core::quorum::Report;
use egret_core::selection::Selection;

/// Takes a report of the lease machine into the status; true where it changes.
pub(crate) fn note(status: &mut EgressNodeStatus, report: &Report) -> bool {
    let before = status.clone();
    match report {
        Report::MayVote { boot } => status.may_vote = Some(boot.clone()),
        Report::AcknowledgedSet(number) => {
            status.acknowledged_set = status.acknowledged_set.max(*number);
        }
        Report::AcknowledgedFence { address, fence } => {
            status.acknowledged_fences.insert(*address, *fence);
        }
        Report::Absent { nodes } => status.absent.clone_from(nodes),
        _ => {}
    }
    *status != before
}

/// Fences of addresses that no longer exist are nobody's concern.
pub(crate) fn forget_fences(status: &mut EgressNodeStatus, addresses: &BTreeSet<IpAddr>) {
    status.acknowledged_fences.retain(|address, _| addresses.contains(address));
}

/// The condition `Ready` of a node: what its agent could not do, or that it did all.
pub(crate) fn ready(problems: &BTreeMap<&'static str, String>, now: Timestamp) -> Condition {
    let (status, reason, message) = match problems.iter().next() {
        None => (true, "Programmed", "the kernel holds what the store asks for".to_owned()),
        Some((reason, _)) => {
            let all: Vec<&str> = problems.values().map(String::as_str).collect();
            (false, *reason, all.join("; "))
        }
    };
    Condition {
        kind: "Ready".to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        observed_generation: 0,
        last_transition: now,
    }
}

/// The condition `DatapathBypassed` of a node.
pub(crate) fn bypassed(problems: &BTreeMap<&'static str, String>, now: Timestamp) -> Condition {
    let problem = problems.get("DatapathBypassed");
    let passes = || "no traffic of pods was seen to pass by this host's netfilter".to_owned();
    Condition {
        kind: "DatapathBypassed".to_owned(),
        status: problem.is_some(),
        reason: if problem.is_some() { "EbpfHostRouting" } else { "NotSeen" }.to_owned(),
        message: problem.cloned().unwrap_or_else(passes),
        observed_generation: 0,
        last_transition: now,
    }
}

/// Claims with pods on `me`, where something keeps it from programming them.
pub(crate) fn unprogrammed(
    snapshot: &Snapshot,
    me: &NodeName,
    problems: &BTreeMap<&'static str, String>,
) -> BTreeSet<ClaimRef> {
    if problems.is_empty() {
        return BTreeSet::new();
    }
    let pods = Selection::of_node(snapshot, me);
    let claims = snapshot.claims.values().map(|stored| &stored.value.0);
    claims
        .filter(|claim| pods.of(claim).any(|pod| !pod.host_network))
        .map(|claim| claim.reference.clone())
        .collect()
}

/// Host-network pods of `me` that a claim selects, with the claim: they cannot be steered.
pub(crate) fn host_network_pods(
    snapshot: &Snapshot,
    me: &NodeName,
) -> BTreeMap<(NamespaceName, String), ClaimRef> {
    let mut found = BTreeMap::new();
    if !snapshot.pods.values().any(|pod| pod.host_network && pod.node == *me) {
        return found;
    }
    let pods = Selection::of_node(snapshot, me);
    for stored in snapshot.claims.values() {
        let claim = &stored.value.0;
        for pod in pods.of(claim).filter(|pod| pod.host_network) {
            let key = (pod.namespace.clone(), pod.name.clone());
            found.entry(key).or_insert_with(|| claim.reference.clone());
        }
    }
    found
}

/// Puts `next` in the place of the condition of its type. A transition time changes only with the
/// status, so that an unchanged condition causes no write.
pub(crate) fn put(conditions: &mut Vec<Condition>, next: Condition) {
    match conditions.iter_mut().find(|condition| condition.kind == next.kind) {
        Some(old) if old.status == next.status => {
            *old = Condition { last_transition: old.last_transition, ..next };
        }
        Some(old) => *old = next,
        None => conditions.push(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_said() {
        let mut status = EgressNodeStatus::default();
        assert!(note(&mut status, &Report::AcknowledgedSet(3)));
        assert!(!note(&mut status, &Report::AcknowledgedSet(2)));
        assert!(!note(&mut status, &Report::MajorityBack));
    }

    #[test]
    fn an_unchanged_condition_keeps_its_time() {
        let mut conditions = vec![ready(&BTreeMap::new(), Timestamp(1))];
        put(&mut conditions, ready(&BTreeMap::new(), Timestamp(2)));
        assert_eq!(conditions[0].last_transition, Timestamp(1));
        let problem = BTreeMap::from([("RulesNotApplied", "nft is missing".to_owned())]);
        put(&mut conditions, ready(&problem, Timestamp(3)));
        assert_eq!((conditions[0].status, conditions[0].last_transition), (false, Timestamp(3)));
    }
}
