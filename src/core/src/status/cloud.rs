//! What a cloud says of pools and addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Judged, View};
use crate::fabric::{Fabric, attached_message};
use crate::model::{AddressPlan, AddressStatus, NodeName, Pool, PoolStatus, Snapshot};
use crate::plan::Memory;
use crate::reason::{Reason, Verdict};

/// The condition of an address in a cloud.
pub(super) const ATTACHED: &str = "Attached";

/// How many gateways a message names.
const NAMED: usize = 3;

fn fabric<'a>(view: &'a View<'_>, pool: &Pool) -> Option<&'a Fabric> {
    view.memory.fabrics.get(&pool.provider)
}

/// The addresses of a pool that finds them by tags. What was found stays until something else is,
/// and while it is in use: a read that misses it, or a tag that somebody has taken away, must not
/// end a claim's address.
pub(super) fn found(view: &View<'_>, pool: &Pool, before: &PoolStatus) -> BTreeSet<IpAddr> {
    if pool.elastic_ip_tags.is_empty() {
        return BTreeSet::new();
    }
    let found = fabric(view, pool).and_then(|fabric| fabric.found.get(&pool.name));
    let Some(found) = found else { return before.addresses.clone() };
    let in_use = before
        .addresses
        .iter()
        .filter(|address| view.plans.get(*address).is_some_and(|plan| plan.pool == pool.name));
    found.iter().chain(in_use).copied().collect()
}

/// Why the addresses of a pool in a cloud cannot be claimed.
pub(super) fn pool_trouble(view: &View<'_>, pool: &Pool) -> Option<Verdict> {
    if !pool.provider.fabric_is_fence() {
        return None;
    }
    let Some(fabric) = fabric(view, pool) else {
        let message = "this controller was built without the provider: use the released image, or \
                       build with its feature";
        return Some(Verdict::new(Reason::ProviderMissing, message));
    };
    if let Some(why) = fabric.not_found.get(&pool.name) {
        return Some(Verdict::new(Reason::DiscoveryFailed, why.clone()));
    }
    let none = fabric.found.get(&pool.name).is_some_and(BTreeSet::is_empty);
    (none && pool.ranges.is_empty()).then(|| {
        let tags: Vec<String> =
            pool.elastic_ip_tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let message = format!(
            "spec.aws.elasticIPTags: no Elastic IP of this account and region has {}; allocate one \
             and tag it",
            tags.join(" and ")
        );
        Verdict::new(Reason::NothingFound, message)
    })
}

/// Whether the cloud can deliver to the gateways of a pool; `None` outside clouds and before it was
/// read.
pub(super) fn pool_gateways(view: &View<'_>, pool: &Pool) -> Option<Judged> {
    let fabric = fabric(view, pool).filter(|fabric| fabric.seen || fabric.unread.is_some())?;
    let judged = |status, reason, message: String| {
        Some(Judged::new("GatewaysUsable", status, reason, message))
    };
    if let Some(why) = &fabric.unread {
        return judged(false, Reason::GatewaysRefused, why.clone());
    }
    let selected = view.snapshot.nodes.values().filter(|node| pool.gateways.matches(&node.labels));
    let why = |name: &NodeName, provider_id: &str| match fabric.offers.get(name) {
        Some(offer) => offer.refused.clone(),
        None if provider_id.is_empty() => Some(format!(
            "{name} has no spec.providerID: the cloud's controller manager sets it (kubelet \
             --cloud-provider=external)"
        )),
        None => Some(format!("the cloud does not know {name} ({provider_id})")),
    };
    let refused: Vec<String> =
        selected.filter_map(|node| why(&node.name, &node.provider_id)).collect();
    if refused.is_empty() {
        let message = "the cloud can deliver to every gateway".to_owned();
        return judged(true, Reason::GatewaysUsable, message);
    }
    let more = refused.len().saturating_sub(NAMED);
    let named: Vec<String> = refused.into_iter().take(NAMED).collect();
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    judged(false, Reason::GatewaysRefused, format!("{}{more}", named.join("; ")))
}

/// The statuses of addresses of which a cloud says something else than what is written, with that
/// alone changed.
pub fn where_clouds_are(snapshot: &Snapshot, memory: &Memory) -> BTreeMap<IpAddr, AddressStatus> {
    let mut statuses = BTreeMap::new();
    for (address, stored) in &snapshot.addresses {
        let fabric = memory.fabric_of(&stored.value.plan);
        let Some(fabric) = fabric.filter(|_| stored.value.plan.in_cloud()) else { continue };
        let mut status = stored.value.status.clone();
        put(fabric, *address, &mut status);
        if status != stored.value.status {
            statuses.insert(*address, status);
        }
    }
    statuses
}

fn put(fabric: &Fabric, address: IpAddr, status: &mut AddressStatus) {
    status.attachment = fabric.attached.get(&address).cloned();
    status.prepared = fabric.prepared_for(address);
}

/// Puts where the cloud delivers an address into its status; says whether that is its holder.
/// `None` outside clouds.
pub(super) fn attached(
    view: &View<'_>,
    address: IpAddr,
    plan: &AddressPlan,
    status: &mut AddressStatus,
) -> Option<Judged> {
    if !plan.in_cloud() {
        return None;
    }
    let not = |reason, message| Some(Judged::new(ATTACHED, false, reason, message));
    let Some(fabric) = view.memory.fabric_of(plan) else {
        let message = "this controller was built without the provider of its pool".to_owned();
        return not(Reason::ProviderMissing, message);
    };
    put(fabric, address, status);
    let holder = status.holding.as_ref().map(|holding| &holding.node);
    let is_there = holder.is_some_and(|holder| status.is_attached_to(holder));
    match (&status.attachment, holder) {
        (Some(at), _) if is_there => {
            Some(Judged::new(ATTACHED, true, Reason::Attached, attached_message(at)))
        }
        (at, _) => {
            let why = fabric.faults.get(&address).or(fabric.unread.as_ref());
            let place = match at {
                Some(at) => attached_message(at),
                None => "attached to no gateway".to_owned(),
            };
            let holder = match holder {
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
