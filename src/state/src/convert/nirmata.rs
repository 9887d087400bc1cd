//! The original project's objects as claims: one for each rule, or for several that differ in
//! their destination only.
//!
//! Such an object names no pool. Its claims have an empty one until a store has read everything
//! and [`choose_pools`] has found the pool by the address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_api as api;
use egret_core::model::{
    Claim, ClaimRef, ClaimStatus, InvalidObject, NodeName, Pool, PoolName, Snapshot,
    WhenUnavailable,
};

pub(crate) use super::claim::rule_claim;
use super::{FieldError, FieldErrors, claim_status_from_api, claim_status_to_api};
use super::{parse_address, parse_cidr};

/// Between the object's name and the rule's index in the name of a claim.
const MARK: &str = ".nirmata-";

/// The kind in sentences, which another group's has too.
const KIND: &str = "StaticEgressIP.staticegressips.nirmata.io";

/// The name of the claim that begins with rule `index` of the object `name`.
pub fn claim_name(name: &str, index: usize) -> String {
    format!("{name}{MARK}{index}")
}

/// The object and the rule whose claim has this name; `None` for every other claim.
pub fn rule_of(claim: &str) -> Option<(&str, usize)> {
    let (name, index) = claim.rsplit_once(MARK)?;
    let index: usize = index.parse().ok()?;
    // Not of `+1` or `01`, which parse as well.
    (claim_name(name, index) == claim).then_some((name, index))
}

/// The claims of an object, as names and specs of Egret's own kind without a pool.
fn specs_from_api(
    name: &str,
    spec: &api::nirmata::StaticEgressIPSpec,
) -> Result<Vec<(String, api::StaticEgressIPSpec)>, Vec<FieldError>> {
    let mut faults = FieldErrors::default();
    let mut claims: Vec<(String, api::StaticEgressIPSpec)> = Vec::new();
    let mut known: BTreeMap<(&str, IpAddr), usize> = BTreeMap::new();
    for (index, rule) in spec.rules.iter().enumerate() {
        let place = format!("spec.rules[{index}]");
        if rule.service_name.is_empty() {
            faults.add(format!("{place}.service-name"), "name the Service whose pods are meant");
        }
        let address = faults.take(&format!("{place}.egressip"), parse_address(&rule.egress_ip));
        let cidr = faults.take(&format!("{place}.cidr"), parse_cidr(&rule.cidr));
        let Some((address, cidr)) = address.zip(cidr) else { continue };
        let destination = api::Destination { cidr: cidr.net().to_string(), except: Vec::new() };
        // An address has one claim: rules that share it and their pods are one.
        let key = (rule.service_name.as_str(), address);
        let position = *known.entry(key).or_insert(claims.len());
        match claims.get_mut(position) {
            None => claims.push((claim_name(name, index), rule_spec(rule, destination))),
            Some((_, claim)) => {
                let destinations = claim.destinations.get_or_insert_default();
                if !destinations.contains(&destination) {
                    destinations.push(destination);
                }
            }
        }
    }
    faults.finish(Some(claims))
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

/// The claims of an object, each with its spec as one of Egret's own kind, in order of their rules.
/// `uid`, `generation` and `created` are left empty: they are the store's; each claim needs a uid
/// of its own.
///
/// # Errors
/// Every fault of the object.
pub fn claims_from_api(
    namespace: &str,
    name: &str,
    spec: &api::nirmata::StaticEgressIPSpec,
) -> Result<Vec<(api::StaticEgressIPSpec, Claim)>, Vec<FieldError>> {
    let claim = |(name, spec): (String, api::StaticEgressIPSpec)| {
        let claim = rule_claim(namespace, &name, &spec)?;
        Ok((spec, claim))
    };
    specs_from_api(name, spec)?.into_iter().map(claim).collect()
}

/// Gives every claim without a pool the one whose ranges hold its address, of several the oldest;
/// where there is none, the one that its address was bound from. A claim that finds none is taken
/// out and reported.
pub fn choose_pools(snapshot: &mut Snapshot) {
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
    oldest.map(|pool| pool.name.clone()).or_else(|| {
        let bound = &snapshot.addresses.get(&address)?.value.plan;
        (bound.claim == claim.reference).then(|| bound.pool.clone())
    })
}

fn without_pool(claim: &Claim) -> InvalidObject {
    let (object, index) = rule_of(&claim.reference.name).unwrap_or((&claim.reference.name, 0));
    let namespace = claim.reference.namespace.as_ref().map(ToString::to_string).unwrap_or_default();
    let address = claim.addresses.first().map(IpAddr::to_string).unwrap_or_default();
    InvalidObject {
        place: format!("{KIND} {namespace}/{object}"),
        message: format!(
            "spec.rules[{index}].egressip: {address} is in no EgressPool: add it to the addresses \
             of one"
        ),
    }
}

/// The status of the claim `name`, as the object keeps it.
///
/// # Errors
/// Every fault of it.
pub fn claim_status(
    status: &api::nirmata::StaticEgressIPStatus,
    name: &str,
) -> Result<ClaimStatus, Vec<FieldError>> {
    status.claims.get(name).map_or_else(|| Ok(ClaimStatus::default()), claim_status_from_api)
}

/// Puts the status of the claim `name` into the object's; where it is the first rule's, says its
/// gateway as the original project does. `address_of` gives the address of a node.
pub fn put_claim_status(
    status: &mut api::nirmata::StaticEgressIPStatus,
    name: &str,
    claim: &ClaimStatus,
    address_of: impl Fn(&NodeName) -> Option<IpAddr>,
) {
    status.claims.insert(name.to_owned(), claim_status_to_api(claim));
    if rule_of(name).is_some_and(|(_, index)| index == 0) {
        let gateway = claim.gateways.first();
        status.gateway_node = gateway.map(NodeName::to_string).unwrap_or_default();
        let address = gateway.and_then(address_of);
        status.gateway_ip = address.map(|address| address.to_string()).unwrap_or_default();
    }
}
