//! The status of claims that are rules of the original project's objects: in the object's own.

use egret_api::nirmata::StaticEgressIPStatus;
use egret_core::model::{ClaimRef, ClaimStatus, ResourceVersion};

use super::cache::ObjectCache;
use super::json::read_status;
use super::kind::{ObjectId, ResourceKind};
use super::object::{drop_managed_fields, to_json, version};
use crate::convert::nirmata::{put_claim_status, rule_of};
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
