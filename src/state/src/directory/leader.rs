//! The leader lease: a Lease as Kubernetes has it, in a file.

use egret_core::model::{Text as _, Timestamp};
use serde::{Deserialize, Serialize};

use super::store::Access;
use crate::election::{FoundLease, LeaderLease, LeadershipRequest, ObservedLease, decide};
use crate::error::StoreError;

const FILE: &str = "egret.dev/leader.yaml";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: LeaderLease,
}

#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    name: String,
}

/// Takes, renews or (with `for_seconds` 0) gives up the lease; true where it is `holder`'s.
pub fn lead(
    access: &Access,
    observed: &mut ObservedLease<Vec<u8>>,
    holder: &str,
    for_seconds: u32,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let bytes = access.read_if_there(FILE).map_err(StoreError::io(FILE))?;
    let present = bytes.as_deref().and_then(parse);
    let found = match (&bytes, &present) {
        (None, _) => FoundLease::Nothing,
        (Some(_), None) => FoundLease::Unreadable,
        (Some(_), Some(lease)) => FoundLease::Lease(lease),
    };
    let unchanged = observed.unchanged(bytes.clone().unwrap_or_default());
    let request = LeadershipRequest { holder, for_seconds, now: &now.to_text() };
    let Some(lease) = decide(found, unchanged, request) else { return Ok(false) };
    save(access, lease)?;
    observed.forget();
    Ok(for_seconds > 0)
}

fn parse(bytes: &[u8]) -> Option<LeaderLease> {
    serde_saphyr::from_slice::<File>(bytes).ok().map(|file| file.spec)
}

fn save(access: &Access, spec: LeaderLease) -> Result<(), StoreError> {
    let file = File {
        api_version: "coordination.k8s.io/v1".to_owned(),
        kind: "Lease".to_owned(),
        metadata: Metadata { name: "egret-controller".to_owned() },
        spec,
    };
    let text = serde_saphyr::to_string(&file)
        .map_err(|error| StoreError::Invalid(format!("{FILE}: {error}")))?;
    access.replace_for_now(FILE, text.as_bytes()).map_err(StoreError::io(FILE))
}
