//! The status of claims that are rules of the original project's objects: in the object's own.

use egret_api::nirmata::StaticEgressIPStatus;
use egret_core::model::{ClaimRef, ClaimStatus, Version};

use super::error::ApiError;
use super::kind::{Id, Kind};
use super::shared::Shared;
use super::writes::{drop_managed_fields, note, to_json, version};
use crate::convert::nirmata::{put_claim_status, rule_of};

/// Tries against others that write the same object: several claims share one.
const TRIES: u32 = 5;

/// The object whose rule this claim is; `None` for a claim of a person.
pub fn object_of(shared: &Shared, claim: &ClaimRef) -> Option<Id> {
    let namespace = claim.namespace.as_ref()?.as_str();
    let (object, _) = rule_of(&claim.name)?;
    let own = Id::namespaced(Kind::Claim, namespace, &claim.name);
    let persons = shared.look(|index| index.contains(&own));
    (!persons).then(|| Id::namespaced(Kind::Nirmata, namespace, object))
}

/// Puts the status of one claim into its object's.
pub async fn write_status(
    shared: &Shared,
    id: &Id,
    claim: &str,
    status: &ClaimStatus,
) -> Result<Version, ApiError> {
    let mut tries = 0;
    loop {
        let mut object = shared.api.get(id).await?;
        let before = object["status"].clone();
        // One that cannot be read is written anew.
        let mut whole: StaticEgressIPStatus =
            serde_json::from_value(before.clone()).unwrap_or_default();
        shared.look(|index| {
            put_claim_status(&mut whole, claim, status, |node| index.address_of(node.as_str()));
        });
        object["status"] = to_json(&whole)?;
        if object["status"] == before {
            return Ok(version(&object));
        }
        drop_managed_fields(&mut object);
        tries += 1;
        match shared.api.replace(id, "/status", &object).await {
            Err(error) if error.is_conflict() && tries < TRIES => {}
            done => return note(shared, id, done),
        }
    }
}
