//! The status of claims that are rules of the original project's objects: in the object's own.

use std::net::IpAddr;

use egret_api::nirmata::{StaticEgressIPSpec, StaticEgressIPStatus};
use egret_core::model::{ClaimRef, ClaimStatus, ResourceVersion};
use serde::Deserialize as _;
use serde_json::Value;

use super::cache::ObjectCache;
use super::json::read_status;
use super::kind::{ObjectId, ResourceKind};
use super::object::{drop_managed_fields, to_json, version};
use crate::convert::nirmata::{claims_from_api, drop_former_statuses, put_claim_status, rule_of};
use crate::convert::parse_address;
use crate::error::StoreError;

/// Tries against others that write the same object: several claims share one.
const TRIES: u32 = 5;

/// The object whose rule this claim is; `None` for a claim of a person.
pub fn object_of(cache: &ObjectCache, claim: &ClaimRef) -> Option<ObjectId> {
    let namespace = claim.namespace.as_ref()?.as_str();
    let (object, _) = rule_of(&claim.name)?;
    let own = ObjectId::namespaced(ResourceKind::Claim, namespace, &claim.name);
    let written_by_person = cache.with_index(|index| index.contains(&own));
    (!written_by_person).then(|| ObjectId::namespaced(ResourceKind::Nirmata, namespace, object))
}

/// The addresses of the rules; `None` where a rule cannot be read: the claims that were read before go
/// on, with statuses of theirs.
fn addresses(object: &str, spec: &Value) -> Option<Vec<IpAddr>> {
    let spec = StaticEgressIPSpec::deserialize(spec).ok()?;
    let claims = claims_from_api("", object, &spec).fresh().ok()?;
    Some(claims.into_iter().flat_map(|(_, claim)| claim.addresses).collect())
}

/// Puts the status of one claim into its object's.
pub async fn write_status(
    cache: &ObjectCache,
    id: &ObjectId,
    claim: &str,
    status: &ClaimStatus,
) -> Result<ResourceVersion, StoreError> {
    let mut tries = 0;
    loop {
        let mut object = cache.api.get(id).await?;
        let before = object["status"].clone();
        let first = object["spec"]["rules"][0]["egressip"].as_str();
        let first = first.and_then(|text| parse_address(text).ok());
        let mut object_status: StaticEgressIPStatus = read_status(id, Some(before.clone()));
        cache.with_index(|index| {
            put_claim_status(&mut object_status, claim, first, status, |node| {
                index.address_of(node.as_str())
            });
        });
        if let Some(rules) = addresses(&id.name, &object["spec"]) {
            drop_former_statuses(&mut object_status, &id.name, &rules);
        }
        object["status"] = to_json(&object_status)?;
        if object["status"] == before {
            return Ok(version(&object));
        }
        drop_managed_fields(&mut object);
        tries += 1;
        match cache.api.replace(id, "/status", &object).await {
            Err(error) if error.is_conflict() && tries < TRIES => {}
            done => return cache.note_written(id, done),
        }
    }
}
