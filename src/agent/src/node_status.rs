//! What this node says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::{Condition, EgressNodeStatus, Timestamp};
use egret_core::quorum::Report;

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
