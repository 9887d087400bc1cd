//! What a cloud says of pools and addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::evaluation::{ConditionInputs, Evaluation};
use crate::cloud::{CloudState, attached_message};
use crate::memory::LeaderMemory;
use crate::model::{
    AddressPlan, AddressStatus, ConditionType, NodeName, Pool, PoolStatus, ProviderFacts, Snapshot,
};
use crate::placement::{READY_WITHIN, UNSUPPORTED, is_unsupported};
use crate::reason::{Cause, Reason};

/// How many gateways, or reasons, a message names.
pub(super) const NAMED: usize = 3;

fn cloud_state<'a>(view: &'a ConditionInputs<'_>, pool: &Pool) -> Option<&'a CloudState> {
    view.memory.clouds.get(&pool.provider)
}

/// The addresses of a pool that finds them by tags. What was found stays until something else is,
/// and while it is in use: a read that misses it, or a tag that somebody has taken away, must not
/// end a claim's address.
pub(super) fn found(
    view: &ConditionInputs<'_>,
    pool: &Pool,
    before: &PoolStatus,
) -> BTreeSet<IpAddr> {
    if pool.discovery_tags.is_empty() {
        return BTreeSet::new();
    }
    let found = cloud_state(view, pool).and_then(|cloud| cloud.found.get(&pool.name));
    let Some(found) = found else { return before.addresses.clone() };
    let in_use = before
        .addresses
        .iter()
        .filter(|address| view.plans.get(*address).is_some_and(|plan| plan.pool == pool.name));
    found.iter().chain(in_use).copied().collect()
}

/// Why the addresses of a pool in a cloud cannot be claimed.
pub(super) fn pool_trouble(view: &ConditionInputs<'_>, pool: &Pool) -> Option<Cause> {
    if !pool.facts().cloud_places() {
        return None;
    }
    let Some(cloud) = cloud_state(view, pool) else {
        let message = "this controller was built without the provider: use the released image, or \
                       build with its feature";
        return Some(Cause::new(Reason::ProviderMissing, message));
    };
    if let Some(why) = cloud.not_found.get(&pool.name) {
        return Some(Cause::new(Reason::DiscoveryFailed, why.clone()));
    }
    let none = cloud.found.get(&pool.name).is_some_and(BTreeSet::is_empty);
    (none && pool.ranges.is_empty()).then(|| {
        let message = cloud.nothing_found.get(&pool.name).cloned().unwrap_or_default();
        Cause::new(Reason::NothingFound, message)
    })
}

/// Whether the cloud can deliver to the gateways of a pool; `None` outside clouds and before it was
/// read.
pub(super) fn pool_gateways(view: &ConditionInputs<'_>, pool: &Pool) -> Option<Evaluation> {
    let judged = |status, reason, message: String| {
        Some(Evaluation::new(ConditionType::GatewaysUsable, status, reason, message))
    };
    let selected = view.snapshot.nodes.values().filter(|node| pool.gateways.matches(&node.labels));
    let unsupported = selected.clone().filter(|node| is_unsupported(view.snapshot, pool, node));
    let unsupported: Vec<&str> = unsupported.map(|node| node.name.as_str()).collect();
    if !unsupported.is_empty() {
        let message = format!("{}: {UNSUPPORTED}", some_of(&unsupported, ", "));
        return judged(false, Reason::UnsupportedDataplane, message);
    }
    let cloud =
        cloud_state(view, pool).filter(|cloud| cloud.observed || cloud.read_error.is_some())?;
    if let Some(why) = &cloud.read_error {
        return judged(false, Reason::GatewaysRefused, why.clone());
    }
    let why = |name: &NodeName, provider_id: &str| match cloud.capacities.get(name) {
        Some(offer) => offer.refused.clone(),
        None => Some(unknown_node(name, provider_id)),
    };
    let refused: Vec<String> =
        selected.filter_map(|node| why(&node.name, &node.provider_id)).collect();
    if refused.is_empty() {
        let message = "the cloud can deliver to every gateway".to_owned();
        return judged(true, Reason::GatewaysUsable, message);
    }
    judged(false, Reason::GatewaysRefused, some_of(&refused, "; "))
}

/// The first ones, and how many more there are.
pub(super) fn some_of<T: AsRef<str>>(all: &[T], separator: &str) -> String {
    let named: Vec<&str> = all.iter().take(NAMED).map(AsRef::as_ref).collect();
    let more = all.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!("{separator}and {more} more") };
    format!("{}{more}", named.join(separator))
}

/// Why the cloud says nothing of a node.
pub(super) fn unknown_node(name: &NodeName, provider_id: &str) -> String {
    if provider_id.is_empty() {
        return format!(
            "{name} has no spec.providerID: the cloud's controller manager sets it (kubelet \
             --cloud-provider=external)"
        );
    }
    format!("the cloud does not know {name} ({provider_id})")
}

/// The statuses of addresses of which a cloud says something else than what is written, with that
/// alone changed.
pub fn released_by_clouds(
    snapshot: &Snapshot,
    memory: &LeaderMemory,
) -> BTreeMap<IpAddr, AddressStatus> {
    let mut statuses = BTreeMap::new();
    for (address, stored) in &snapshot.addresses {
        let plan = &stored.value.plan;
        let cloud = memory.cloud_of(plan).filter(|_| plan.facts().cloud_places());
        let Some(cloud) = cloud else { continue };
        let mut status = stored.value.status.clone();
        put(cloud, *address, plan.facts(), &mut status);
        if status != stored.value.status {
            statuses.insert(*address, status);
        }
    }
    statuses
}

fn put(cloud: &CloudState, address: IpAddr, facts: ProviderFacts, status: &mut AddressStatus) {
    status.attachment = cloud.attached.get(&address).cloned();
    // Nobody waits for it where the cloud is no fence.
    status.accepted = cloud.accepted.get(&address).filter(|_| facts.fabric_fences()).cloned();
    status.prepared = cloud.prepared_for(address);
}

/// Where the address goes once the cloud has made that node ready, and what is in the way of that; or
/// why it does not go where somebody has asked for it.
pub(super) fn awaited_move(
    view: &ConditionInputs<'_>,
    address: IpAddr,
    plan: &AddressPlan,
) -> Option<String> {
    let cloud = view.memory.cloud_of(plan);
    let Some(to) = view.awaited.get(&address) else {
        let wish =
            plan.preferred_node.as_ref().filter(|wish| plan.owner.as_ref() != Some(*wish))?;
        let why = cloud?.why_not(wish, address)?;
        return Some(format!("; it does not move to {wish}, as asked: {why}"));
    };
    let why = cloud.and_then(|cloud| cloud.unready.get(to).or(cloud.read_error.as_ref()));
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    let limit = match view.timed.contains(&address) {
        true => format!(", at the latest when it has waited for {READY_WITHIN}"),
        false => String::new(),
    };
    Some(format!("; it moves to {to} once the cloud has made that ready for it{limit}{why}"))
}

/// Puts where the cloud delivers an address into its status; says whether its holder serves it there.
/// `None` outside clouds.
pub(super) fn attached(
    view: &ConditionInputs<'_>,
    address: IpAddr,
    plan: &AddressPlan,
    status: &mut AddressStatus,
) -> Option<Evaluation> {
    let facts = plan.facts();
    let cloud = view.memory.cloud_of(plan).filter(|_| facts.cloud_places());
    if let Some(cloud) = cloud {
        put(cloud, address, facts, status);
    }
    if !facts.cloud_places() {
        return None;
    }
    let not =
        |reason, message| Some(Evaluation::new(ConditionType::Attached, false, reason, message));
    let Some(cloud) = cloud else {
        let message = "this controller was built without the provider of its pool".to_owned();
        return not(Reason::ProviderMissing, message);
    };
    let holder = status.holding.as_ref().map(|holding| &holding.node);
    let is_there = holder.is_some_and(|holder| status.is_attached_to(holder));
    match (&status.attachment, holder) {
        (Some(at), Some(holder)) if !is_there && status.is_served_at(holder, facts) => {
            let why = cloud.faults.get(&address).map(|why| format!(": {why}")).unwrap_or_default();
            let message = format!(
                "{holder} announces it, and the cloud follows; its own settings still name {}{why}",
                at.node
            );
            Some(Evaluation::new(ConditionType::Attached, true, Reason::Attached, message))
        }
        (Some(at), _) if is_there => Some(Evaluation::new(
            ConditionType::Attached,
            true,
            Reason::Attached,
            attached_message(at),
        )),
        (at, _) => {
            let why = cloud.faults.get(&address).or(cloud.read_error.as_ref());
            let place = match at {
                Some(at) => attached_message(at),
                None => "attached to no gateway".to_owned(),
            };
            let accepted = cloud.accepted.get(&address).map(|at| &at.node);
            let holder = match holder {
                Some(holder) if accepted == Some(holder) => {
                    format!(
                        "{holder} holds it; the cloud has accepted it there, and shows it {place}"
                    )
                }
                Some(holder) => format!("{holder} holds it; it is {place}"),
                None => format!("nobody holds it; it is {place}"),
            };
            match why {
                Some(why) => not(Reason::AttachFailed, format!("{holder}: {why}")),
                None => not(Reason::NotAttached, holder),
            }
        }
    }
}
