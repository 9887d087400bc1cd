//! The leader lease: a Lease of `coordination.k8s.io`.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::client::ApiClient;
use super::kind::{ObjectId, ResourceKind};
use super::object::version;
use crate::election::{FoundLease, LeaderLease, LeadershipRequest, ObservedLease, decide};
use crate::error::StoreError;
use crate::mutex::locked;

const NAME: &str = "egret-controller";

/// Takes, renews or (with `for_seconds` 0) gives up the lease; true where it is `holder`'s.
pub async fn lead(
    api: &ApiClient,
    namespace: &str,
    observed: &Mutex<ObservedLease<String>>,
    holder: &str,
    for_seconds: u32,
) -> Result<bool, StoreError> {
    let id = ObjectId::namespaced(ResourceKind::Lease, namespace, NAME);
    let request = LeadershipRequest { holder, for_seconds, now: &micro_time() };
    let present = api.find(&id).await?;
    let written = match present {
        None => {
            let lease = decide(FoundLease::Nothing, Duration::ZERO, request);
            let Some(lease) = lease else { return Ok(false) };
            let mut object = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": id.name, "namespace": id.namespace},
            });
            put_spec(&mut object, &lease);
            api.create(&id, &object).await
        }
        Some(mut object) => {
            let unchanged = locked(observed).unchanged(version(&object).0);
            let lease = Option::deserialize(&object["spec"]).map(Option::unwrap_or_default);
            let found = lease.as_ref().map_or(FoundLease::Unreadable, FoundLease::Lease);
            let lease = decide(found, unchanged, request);
            let Some(lease) = lease else { return Ok(false) };
            put_spec(&mut object, &lease);
            api.replace(&id, "", &object).await
        }
    };
    match written {
        Ok(_) => {
            locked(observed).forget();
            Ok(for_seconds > 0)
        }
        // Another was first.
        Err(error) if error.is_conflict() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Puts the lease into an object; what it does not say stays, since the API server takes no empty
/// holder, no empty time and no duration of 0.
fn put_spec(object: &mut Value, lease: &LeaderLease) {
    let mut fields = json!(lease);
    if lease.holder_identity.is_empty() {
        fields["holderIdentity"] = Value::Null;
    }
    for (name, value) in fields.as_object().into_iter().flatten() {
        let unset = value == "" || (name == "leaseDurationSeconds" && value == 0);
        if !unset {
            object["spec"][name] = value.clone();
        }
    }
}

/// Now as a MicroTime, for people: six digits are what the API server parses.
fn micro_time() -> String {
    let now = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    format!("{now:.6}")
}
