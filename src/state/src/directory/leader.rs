//! The leader lease: a Lease as Kubernetes has it, in a file.

use std::time::{Duration, Instant};

use egret_core::model::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::store::Access;
use crate::convert::timestamp_to_text;

const FILE: &str = "egret.dev/leader.yaml";

/// The lease of somebody else, as it was seen last, and since when it has been like that.
///
/// Clocks of two processes are never compared: a lease has run out when *we* have seen it
/// unchanged for as long as it says. So a leader that was stopped for that long has lost it, and
/// one whose clock is wrong has not.
#[derive(Debug)]
pub struct Observed {
    bytes: Vec<u8>,
    since: Instant,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    holder_identity: String,
    lease_duration_seconds: u32,
    acquire_time: String,
    renew_time: String,
    lease_transitions: u64,
}

/// Takes, renews or (with `for_seconds` 0) gives up the lease; true where it is `holder`'s.
pub fn lead(
    access: &Access,
    observed: &mut Option<Observed>,
    holder: &str,
    for_seconds: u32,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let bytes = access.read_if_there(FILE).map_err(StoreError::io(FILE))?;
    let present: Option<Spec> = bytes.as_deref().and_then(parse);
    let ours = present.as_ref().is_some_and(|lease| lease.holder_identity == holder);
    let free =
        bytes.is_none() || present.as_ref().is_some_and(|lease| lease.holder_identity.is_empty());
    let time = timestamp_to_text(now);
    if for_seconds == 0 {
        if ours && let Some(lease) = present {
            save(access, Spec { holder_identity: String::new(), renew_time: time, ..lease })?;
        }
        return Ok(false);
    }
    if ours && let Some(lease) = present {
        let lease = Spec { lease_duration_seconds: for_seconds, renew_time: time, ..lease };
        save(access, lease)?;
        return Ok(true);
    }
    // What cannot be read is somebody's for as long as we would have it.
    let lasts = present.as_ref().map_or(for_seconds, |lease| lease.lease_duration_seconds);
    if !free && !run_out(observed, bytes.unwrap_or_default(), lasts) {
        return Ok(false);
    }
    let lease = Spec {
        holder_identity: holder.to_owned(),
        lease_duration_seconds: for_seconds,
        acquire_time: time.clone(),
        renew_time: time,
        lease_transitions: present.map_or(0, |lease| lease.lease_transitions + 1),
    };
    save(access, lease)?;
    *observed = None;
    Ok(true)
}

fn run_out(observed: &mut Option<Observed>, bytes: Vec<u8>, seconds: u32) -> bool {
    match observed {
        Some(before) if before.bytes == bytes => {
            before.since.elapsed() >= Duration::from_secs(u64::from(seconds))
        }
        _ => {
            *observed = Some(Observed { bytes, since: Instant::now() });
            false
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Spec> {
    serde_saphyr::from_slice::<File>(bytes).ok().map(|file| file.spec)
}

fn save(access: &Access, spec: Spec) -> Result<(), StoreError> {
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
