//! The leader lease: a Lease of `coordination.k8s.io`.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::error::ApiError;
use super::kind::{Id, Kind};
use super::shared::{Shared, locked};
use super::writes::version;

const NAME: &str = "egret-controller";

/// The version of the lease that was seen last, and since when it has been that one.
///
/// Clocks of two machines are never compared: a lease has run out when *we* have seen it unchanged
/// for as long as it says. So a leader that was stopped for that long has lost it, and one whose
/// clock is wrong has not.
#[derive(Debug)]
pub struct Observed {
    version: String,
    since: Instant,
}

/// Takes, renews or (with `for_seconds` 0) gives up the lease; true where it is `holder`'s.
pub async fn lead(shared: &Shared, holder: &str, for_seconds: u32) -> Result<bool, ApiError> {
    let id = Id::namespaced(Kind::Lease, &shared.namespace, NAME);
    let Some(present) = shared.api.find(&id).await? else {
        if for_seconds == 0 {
            return Ok(false);
        }
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": id.name, "namespace": id.namespace},
            "spec": taken(holder, for_seconds, 0),
        });
        return won(shared, shared.api.create(&id, &lease).await);
    };
    let spec = &present["spec"];
    let holds = spec["holderIdentity"].as_str().unwrap_or_default();
    let lasts = spec["leaseDurationSeconds"].as_u64().unwrap_or(for_seconds.into());
    let next = if for_seconds == 0 {
        if holds != holder {
            return Ok(false);
        }
        let mut spec = spec.clone();
        spec["holderIdentity"] = Value::Null;
        spec["renewTime"] = micro_time().into();
        spec
    } else if holds == holder {
        let mut spec = spec.clone();
        spec["leaseDurationSeconds"] = for_seconds.into();
        spec["renewTime"] = micro_time().into();
        spec
    } else if holds.is_empty() || run_out(shared, version(&present).0, lasts) {
        taken(holder, for_seconds, spec["leaseTransitions"].as_u64().unwrap_or(0) + 1)
    } else {
        return Ok(false);
    };
    let mut lease = present;
    lease["spec"] = next;
    let ours = won(shared, shared.api.replace(&id, "", &lease).await)?;
    Ok(ours && for_seconds > 0)
}

fn taken(holder: &str, for_seconds: u32, transitions: u64) -> Value {
    let now = micro_time();
    json!({
        "holderIdentity": holder, "leaseDurationSeconds": for_seconds,
        "acquireTime": now, "renewTime": now, "leaseTransitions": transitions,
    })
}

fn won(shared: &Shared, written: Result<Value, ApiError>) -> Result<bool, ApiError> {
    match written {
        Ok(_) => {
            *locked(&shared.observed) = None;
            Ok(true)
        }
        // Another was first.
        Err(error) if error.is_conflict() => Ok(false),
        Err(error) => Err(error),
    }
}

fn run_out(shared: &Shared, version: String, seconds: u64) -> bool {
    let mut observed = locked(&shared.observed);
    match &*observed {
        Some(before) if before.version == version => {
            before.since.elapsed() >= Duration::from_secs(seconds)
        }
        _ => {
            *observed = Some(Observed { version, since: Instant::now() });
            false
        }
    }
}

/// Now as a MicroTime, for people: six digits are what the API server parses.
fn micro_time() -> String {
    let now = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    format!("{now:.6}")
}
