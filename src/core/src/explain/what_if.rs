use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use crate::membership::{departure, liveness};
use crate::model::{ClaimRef, Millis, NodeName, PoolName, RebalanceMove, Snapshot};

use super::succession::{successors, takeover_after};

/// What becomes of one address when a node dies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WhatIf {
    /// The address.
    pub address: IpAddr,
    /// Its claim.
    pub claim: ClaimRef,
    /// Who takes it over; `None`: nobody.
    pub to: Option<NodeName>,
    /// Why nobody does, for people; empty where somebody does.
    pub why: String,
    /// T of its leases, in milliseconds.
    pub lease: Millis,
    /// How long after the last renewal the one that takes over asks the voters for it, in milliseconds;
    /// `None` where nobody does.
    pub takeover_after: Option<Millis>,
    /// A cloud has to be told then that it moves, which takes calls and a controller.
    pub cloud_moves: bool,
    /// The node holds it now; else it is only planned there.
    pub held: bool,
    /// The move for evenness that the controller intends if the node lives.
    pub rebalance: Option<RebalanceMove>,
}

/// What happens to the addresses of `node` if it dies now: each goes to its first standby that is
/// there, where a majority of the voters is left to grant it.
pub fn what_if(snapshot: &Snapshot, node: &NodeName) -> Vec<WhatIf> {
    let absent = departure::gone(snapshot);
    let has_majority = has_majority_without(snapshot, node, &absent);
    let mut outcomes = Vec::new();
    for (address, stored) in &snapshot.addresses {
        let (plan, status) = (&stored.value.plan, &stored.value.status);
        let holding = status.holding.as_ref().map(|holding| &holding.node);
        if holding.or(plan.owner.as_ref()) != Some(node) || plan.is_revoked() {
            continue;
        }
        let next = successors(plan, Some(node), &absent).next();
        let any = successors(plan, Some(node), &BTreeSet::new()).next().is_some();
        let to = next.filter(|_| has_majority);
        let why = match (to, next, any) {
            (Some(_), ..) => String::new(),
            (None, Some(_), _) => format!("no majority of the voters is left without {node}"),
            (None, None, true) => "all of its standbys are absent".to_owned(),
            (None, None, false) => format!("{node} is the only gateway that may carry it"),
        };
        outcomes.push(WhatIf {
            address: *address,
            claim: plan.claim.clone(),
            to: to.cloned(),
            why,
            lease: plan.lease,
            takeover_after: to.map(|to| takeover_after(plan, Some(node), to)),
            cloud_moves: plan.facts().fabric_fences(),
            held: holding.is_some(),
            rebalance: intended_move(snapshot, &plan.pool)
                .filter(|found| found.address == *address),
        });
    }
    outcomes
}

fn intended_move(snapshot: &Snapshot, pool: &PoolName) -> Option<RebalanceMove> {
    snapshot.pools.get(pool)?.value.1.rebalance.clone()
}

/// Whether those of the newest voter set that are there, but for `node`, are a majority of it.
fn has_majority_without(snapshot: &Snapshot, node: &NodeName, absent: &BTreeSet<NodeName>) -> bool {
    let set = snapshot.cluster.as_ref().and_then(|cluster| cluster.value.set.as_ref());
    let Some(set) = set else { return false };
    let there = set.members.iter().map(|voter| &voter.node);
    let there = there.filter(|voter| *voter != node && !absent.contains(*voter)).count();
    there >= liveness::majority(set.members.len())
}
