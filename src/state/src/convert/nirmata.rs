//! The original project's objects as claims: one for each address that the rules of an object name,
//! as the original has it. Rules of one address that name other Services are further parts of its
//! claim.
//!
//! Such an object names no pool. Its claims have an empty one until a store has read everything
//! and [`choose_pools`] has found the pool by the address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use egret_api as api;
use egret_core::model::{
    AddressPlan, Claim, ClaimPart, ClaimRef, ClaimStatus, Destination, InvalidObject, NodeName,
    PodSelection, Pool, PoolName, Snapshot, WhenUnavailable,
};

pub(crate) use super::claim::rule_claim;
use super::{Checked, FieldError, FieldErrors, claim_status_from_api, claim_status_to_api};
use super::{object_name, parse_address, parse_cidr};

/// Between the object's name and the address in the name of a claim.
const MARK: &str = ".nirmata-";

/// The kind in sentences, which another group's has too.
const KIND: &str = "StaticEgressIP.staticegressips.nirmata.io";

/// The name of the claim of the rules of the object `name` that name `address`.
pub fn claim_name(name: &str, address: IpAddr) -> String {
    format!("{name}{MARK}{}", object_name(address))
}

/// The object and the address whose claim has this name; `None` for every other claim.
pub fn rule_of(claim: &str) -> Option<(&str, IpAddr)> {
    let (name, address) = claim.rsplit_once(MARK)?;
    let six = || address.replace('-', ":").parse::<Ipv6Addr>().ok();
    let address: IpAddr = address.parse().ok().or_else(|| six().map(IpAddr::V6))?;
    // Not of `::1`, which is an address as well.
    (claim_name(name, address) == claim).then_some((name, address))
}

/// The object whose rule had a claim of this name in versions that named claims by the place of
/// their first rule; `None` for every other claim.
pub(crate) fn numbered_rule_of(claim: &str) -> Option<&str> {
    let (name, index) = claim.rsplit_once(MARK)?;
    let index: usize = index.parse().ok()?;
    (format!("{name}{MARK}{index}") == claim).then_some(name)
}

/// Whether those versions called a rule's claim `claim` by the name `former`, where both have one
/// address.
pub(crate) fn is_former_name(former: &ClaimRef, claim: &ClaimRef) -> bool {
    let object = rule_of(&claim.name).map(|(object, _)| object);
    object.is_some()
        && numbered_rule_of(&former.name) == object
        && former.namespace == claim.namespace
}

/// The rules of an object by address and Service, as specs of Egret's own kind without a pool.
fn specs_from_api(
    spec: &api::nirmata::StaticEgressIPSpec,
) -> Checked<Vec<(IpAddr, api::StaticEgressIPSpec)>> {
    let mut faults = FieldErrors::default();
    let mut parts: Vec<(IpAddr, api::StaticEgressIPSpec)> = Vec::new();
    for (index, rule) in spec.rules.iter().enumerate() {
        let place = format!("spec.rules[{index}]");
        if rule.service_name.is_empty() {
            faults.add(format!("{place}.service-name"), "name the Service whose pods are meant");
        }
        let address = faults.parse(&format!("{place}.egressip"), &rule.egress_ip, parse_address);
        let cidr = faults.parse(&format!("{place}.cidr"), &rule.cidr, parse_cidr);
        let Some((address, cidr)) = address.zip(cidr) else { continue };
        let destination = api::Destination { cidr: cidr.net().to_string(), except: Vec::new() };
        let same = |(other, part): &&mut (IpAddr, api::StaticEgressIPSpec)| {
            *other == address && part.service_name.as_ref() == Some(&rule.service_name)
        };
        match parts.iter_mut().find(same) {
            None => parts.push((address, rule_spec(rule, destination))),
            Some((_, part)) => {
                let destinations = part.destinations.get_or_insert_default();
                if !destinations.contains(&destination) {
                    destinations.push(destination);
                }
            }
        }
    }
    faults.finish(Some(parts))
}

fn rule_spec(rule: &api::nirmata::Rule, destination: api::Destination) -> api::StaticEgressIPSpec {
    api::StaticEgressIPSpec {
        pool_ref: api::LocalObjectReference::default(),
        addresses: Some(vec![rule.egress_ip.clone()]),
        count: None,
        families: None,
        pod_selector: None,
        service_name: Some(rule.service_name.clone()),
        destinations: Some(vec![destination]),
        when_unavailable: WhenUnavailable::Drop,
    }
}

/// The claims of an object, each with the spec of its first part as one of Egret's own kind, in
/// order of their rules. `uid`, `generation` and `created` are left empty: they are the store's; each
/// claim needs a uid of its own.
pub fn claims_from_api(
    namespace: &str,
    name: &str,
    spec: &api::nirmata::StaticEgressIPSpec,
) -> Checked<Vec<(api::StaticEgressIPSpec, Claim)>> {
    let claims = specs_from_api(spec).and_then(|specs| {
        let claim = |(address, spec): (IpAddr, api::StaticEgressIPSpec)| {
            rule_claim(namespace, &claim_name(name, address), &spec).map(|claim| (spec, claim))
        };
        specs.into_iter().map(claim).collect::<Checked<Vec<_>>>()
    });
    claims.map(|each| {
        let mut claims: Vec<(api::StaticEgressIPSpec, Claim)> = Vec::new();
        for (spec, claim) in each {
            match claims.iter_mut().find(|(_, known)| known.reference == claim.reference) {
                Some((_, known)) => known.further.push(part_of(claim)),
                None => claims.push((spec, claim)),
            }
        }
        claims
    })
}

fn part_of(claim: Claim) -> ClaimPart {
    ClaimPart { pods: claim.pods, destinations: claim.destinations }
}

/// Another part of the claim `name`, from the spec that a store keeps of it.
pub(crate) fn part_from_api(name: &str, spec: &api::StaticEgressIPSpec) -> Checked<ClaimPart> {
    rule_claim("", name, spec).map(part_of)
}

/// What a store keeps of a part, as a spec.
pub(crate) fn part_to_api(part: &ClaimPart) -> api::StaticEgressIPSpec {
    let (pod_selector, service_name) = match &part.pods {
        PodSelection::Labels(labels) => (Some(labels.clone()), None),
        PodSelection::Service(service) => (None, Some(service.clone())),
    };
    let destinations = part.destinations.as_ref().map(|listed| {
        let destination = |destination: &Destination| api::Destination {
            cidr: destination.cidr.to_string(),
            except: destination.except.iter().map(ToString::to_string).collect(),
        };
        listed.iter().map(destination).collect()
    });
    api::StaticEgressIPSpec {
        pool_ref: api::LocalObjectReference::default(),
        addresses: None,
        count: None,
        families: None,
        pod_selector,
        service_name,
        destinations,
        when_unavailable: WhenUnavailable::Drop,
    }
}

/// Binds what was bound to a claim under its former name to that claim. The name in the store stays
/// as long as the address is in use ([`keep_former_name`]): agents before this version know no other.
fn adopt_former_names(snapshot: &mut Snapshot) {
    for (address, stored) in &mut snapshot.addresses {
        let plan = &mut stored.value.plan;
        let Some(object) = numbered_rule_of(&plan.claim.name) else { continue };
        if snapshot.claims.contains_key(&plan.claim) {
            continue;
        }
        let name = ClaimRef { name: claim_name(object, *address), ..plan.claim.clone() };
        if let Some(claim) = snapshot.claims.get(&name) {
            (plan.claim, plan.claim_uid) = (name, claim.value.0.uid.clone());
        }
    }
}

/// The plan as it is written over `stored`: where that has the claim under its former name, with it.
pub(crate) fn keep_former_name(stored: &AddressPlan, mut plan: AddressPlan) -> AddressPlan {
    if is_former_name(&stored.claim, &plan.claim) {
        plan.claim.clone_from(&stored.claim);
        plan.claim_uid.clone_from(&stored.claim_uid);
    }
    plan
}

/// Gives every claim without a pool the one that its address was bound from; where it is not bound,
/// the one whose ranges hold its address, of several the oldest. A claim that finds none is taken
/// out and reported.
pub fn choose_pools(snapshot: &mut Snapshot) {
    adopt_former_names(snapshot);
    let unnamed = snapshot.claims.values().map(|stored| &stored.value.0);
    let unnamed = unnamed.filter(|claim| claim.pool.as_str().is_empty());
    let chosen: Vec<(ClaimRef, Option<PoolName>)> =
        unnamed.map(|claim| (claim.reference.clone(), pool_of(snapshot, claim))).collect();
    for (reference, pool) in chosen {
        match pool {
            Some(pool) => {
                if let Some(stored) = snapshot.claims.get_mut(&reference) {
                    stored.value.0.pool = pool;
                }
            }
            None => {
                let claim = snapshot.claims.remove(&reference);
                let claim = claim.map(|stored| stored.value.0);
                snapshot.invalid_objects.extend(claim.as_ref().map(without_pool));
            }
        }
    }
    snapshot.invalid_objects.sort();
}

fn pool_of(snapshot: &Snapshot, claim: &Claim) -> Option<PoolName> {
    let address = *claim.addresses.first()?;
    let pools = snapshot.pools.values().map(|stored| &stored.value.0);
    let holds = |pool: &&Pool| pool.ranges.iter().any(|range| range.contains(address));
    let oldest = pools.filter(holds).min_by_key(|pool| (pool.created, &pool.name));
    let plan = snapshot.addresses.get(&address).map(|stored| &stored.value.plan);
    let bound = plan.filter(|plan| plan.claim == claim.reference).map(|plan| &plan.pool);
    // A claim whose pool has the address no longer keeps it, whichever pool has it now.
    let kept = bound.filter(|pool| snapshot.pools.contains_key(*pool));
    kept.or(oldest.map(|pool| &pool.name)).or(bound).cloned()
}

fn without_pool(claim: &Claim) -> InvalidObject {
    let name = &claim.reference.name;
    let object = rule_of(name).map(|(object, _)| object).or_else(|| numbered_rule_of(name));
    let object = object.unwrap_or(name);
    let namespace = claim.reference.namespace.as_ref().map(ToString::to_string).unwrap_or_default();
    let address = claim.addresses.first().map(IpAddr::to_string).unwrap_or_default();
    InvalidObject {
        place: format!("{KIND} {namespace}/{object}"),
        message: format!(
            "spec.rules: egressip {address} is in no EgressPool: add it to the addresses of one"
        ),
    }
}

/// The status of the claim `name`, as the object keeps it: under that name, or under the former one.
///
/// # Errors
/// Every fault of it.
pub fn claim_status(
    status: &api::nirmata::StaticEgressIPStatus,
    name: &str,
) -> Result<ClaimStatus, Vec<FieldError>> {
    let address = rule_of(name).map(|(_, address)| address.to_string());
    let former = |(former, status): &(&String, &api::ClaimStatus)| {
        numbered_rule_of(former).is_some() && status.addresses.first() == address.as_ref()
    };
    let known = status.claims.get(name);
    let known = known.or_else(|| Some(status.claims.iter().find(former)?.1));
    known.map_or_else(|| Ok(ClaimStatus::default()), claim_status_from_api)
}

/// Takes out the statuses of claims that the rules make no longer. One under a former name stays
/// until the claim of its address has its status under its own: [`claim_status`] reads it till then.
pub fn drop_former_statuses(
    status: &mut api::nirmata::StaticEgressIPStatus,
    object: &str,
    rules: &[IpAddr],
) {
    let present: BTreeMap<String, String> =
        rules.iter().map(|address| (claim_name(object, *address), address.to_string())).collect();
    let unread = present.iter().filter(|(name, _)| !status.claims.contains_key(*name));
    let unread: BTreeSet<&String> = unread.map(|(_, address)| address).collect();
    status.claims.retain(|name, status| {
        let address = status.addresses.first();
        let needed = address.is_some_and(|address| unread.contains(address));
        present.contains_key(name) || numbered_rule_of(name).is_some() && needed
    });
}

/// Puts the status of the claim `name` into the object's; where it is the first rule's, whose
/// address is `first`, says its gateway as the original project does. `address_of` gives the address
/// of a node.
pub fn put_claim_status(
    status: &mut api::nirmata::StaticEgressIPStatus,
    name: &str,
    first: Option<IpAddr>,
    claim: &ClaimStatus,
    address_of: impl Fn(&NodeName) -> Option<IpAddr>,
) {
    status.claims.insert(name.to_owned(), claim_status_to_api(claim));
    if rule_of(name).is_some_and(|(_, address)| Some(address) == first) {
        let gateway = claim.gateways.first();
        status.gateway_node = gateway.map(NodeName::to_string).unwrap_or_default();
        let address = gateway.and_then(address_of);
        status.gateway_ip = address.map(|address| address.to_string()).unwrap_or_default();
    }
}
