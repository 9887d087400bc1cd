//! What the controller says of claims, pools and addresses: conditions with a reason from the list
//! in [`crate::reason`] and a message that says what to do.
//!
//! Always: a status in which nothing but time has changed is the one that was written
//! (`last_transition` stays while a condition's status does), so at rest nothing is written.

mod address_ready;
mod agents;
mod api_servers;
mod balance;
mod claims;
mod cloud;
mod evaluation;
mod interface;
mod no_gateway;
mod on_interface;
mod outside_pool;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::ipam::contested;
use crate::model::{
    AddressStatus, ClaimRef, ClaimStatus, Condition, ConditionType, Pool, PoolName, PoolStatus,
};
use crate::reason::Reason;

use address_ready::AddressReadiness;
pub use agents::agent_absences;
pub use api_servers::cluster_status;
pub use claims::claim_statuses;
pub use cloud::released_by_clouds;
pub use evaluation::ConditionInputs;
pub(crate) use evaluation::Evaluation;
pub(crate) use interface::unusable as unusable_interface;
pub use on_interface::{on_interface, on_interface_message};

/// The statuses of pools that differ from what is written.
pub fn pool_statuses(view: &ConditionInputs<'_>) -> BTreeMap<PoolName, PoolStatus> {
    let mut statuses = BTreeMap::new();
    for (name, stored) in &view.snapshot.pools {
        let (pool, before) = &stored.value;
        let judged = [pool_ready(view, pool), pool_paused(pool)];
        let judged = judged.into_iter().chain(cloud::pool_gateways(view, pool));
        let judged = judged.chain(outside_pool::pool(view, pool));
        let judged = judged.chain(balance::pool(view, name));
        let date = |judged: Evaluation| judged.date(&before.conditions, pool.generation, view.now);
        let status = PoolStatus {
            observed_generation: pool.generation,
            addresses: cloud::found(view, pool, before),
            conditions: judged.map(date).collect(),
            taken_elsewhere: contested::taken_elsewhere(view.snapshot, name),
            rebalance: balance::intended(view, name),
        };
        if status != *before {
            statuses.insert(name.clone(), status);
        }
    }
    statuses
}

fn pool_ready(view: &ConditionInputs<'_>, pool: &Pool) -> Evaluation {
    if let Some(verdict) = view.bindings.pools.get(&pool.name) {
        return Evaluation { kind: ConditionType::Ready, status: false, cause: verdict.clone() };
    }
    if let Some(lease) = pool.failover.lease.filter(|lease| *lease > view.t_max) {
        let message = format!(
            "spec.failover.lease: {lease} is longer than the cluster's longest, {}, which is used; \
             lower it",
            view.t_max
        );
        return Evaluation::new(ConditionType::Ready, false, Reason::LeaseTooLong, message);
    }
    if let Some(verdict) = cloud::pool_trouble(view, pool) {
        return Evaluation { kind: ConditionType::Ready, status: false, cause: verdict };
    }
    if !view.snapshot.nodes.values().any(|node| pool.gateways.matches(&node.labels)) {
        let message = "spec.gateways.nodeSelector matches no node; label those that are to carry \
                       the addresses";
        return Evaluation::new(ConditionType::Ready, false, Reason::NoGatewayNode, message);
    }
    if let Some(evaluation) = agents::no_living_gateway(view, pool) {
        return evaluation;
    }
    Evaluation::new(ConditionType::Ready, true, Reason::Ready, "its addresses can be claimed")
}

fn pool_paused(pool: &Pool) -> Evaluation {
    if pool.paused {
        let message = "nothing of this pool is bound, moved, taken over on purpose or freed; unset \
                       spec.paused to go on";
        return Evaluation::new(ConditionType::Paused, true, Reason::Paused, message);
    }
    Evaluation::new(ConditionType::Paused, false, Reason::NotPaused, "spec.paused is false")
}

/// The statuses of addresses whose `Ready` condition, or what a cloud says of them, differs from
/// what is written. All else of a status belongs to the holder and stays.
pub fn address_statuses(view: &ConditionInputs<'_>) -> BTreeMap<IpAddr, AddressStatus> {
    let readiness = AddressReadiness::new(view);
    let mut statuses = BTreeMap::new();
    for (address, plan) in view.plans {
        let stored = view.snapshot.addresses.get(address);
        let before = stored.map(|stored| stored.value.status.clone()).unwrap_or_default();
        let mut status = before.clone();
        let attached = cloud::attached(view, *address, plan, &mut status);
        let ready = readiness.of(*address, plan, &status);
        let outside = outside_pool::address(view, *address, plan);
        if outside.is_none() {
            status.conditions.retain(|known| known.kind != ConditionType::OutsidePool);
        }
        for judged in attached.into_iter().chain([ready]).chain(outside) {
            let dated = judged.date(&before.conditions, 0, view.now);
            put(&mut status.conditions, dated);
        }
        if status != before {
            statuses.insert(*address, status);
        }
    }
    statuses
}

fn put(conditions: &mut Vec<Condition>, condition: Condition) {
    match conditions.iter_mut().find(|known| known.kind == condition.kind) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// The written status of a claim.
pub(crate) fn written<'a>(view: &ConditionInputs<'a>, claim: &ClaimRef) -> Option<&'a ClaimStatus> {
    view.snapshot.claims.get(claim).map(|stored| &stored.value.1)
}

#[cfg(test)]
mod tests;
