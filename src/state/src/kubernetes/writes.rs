//! One write: what is there is read, compared and replaced where it has not changed.

use egret_api as api;
use egret_core::model::{
    AddressStatus, ClaimRef, Cluster, EgressAddress, EgressNodeSpec, STARTUP_TAINT, Version,
};
use egret_ports::cluster_state::Write;
use serde::Serialize;
use serde_json::{Value, json};

use super::decode::{CLUSTER, decode};
use super::error::ApiError;
use super::kind::{Id, Kind};
use super::nirmata;
use super::shared::{ROLE_LABEL, Shared};
use crate::convert;

/// Keeps an address from going before it is free.
const RELEASE: &str = "egret.dev/release";
/// Keeps a node's port blocks from being given out again before their quarantine is over.
const BLOCKS: &str = "egret.dev/blocks";
/// Tries of a step that others may overtake and that does not depend on what they wrote.
const TRIES: u32 = 5;

/// The object that a write is about.
pub fn subject(write: &Write) -> Id {
    match write {
        Write::AddressPlan { address, .. }
        | Write::AddressStatus { address, .. }
        | Write::DeleteAddress { address, .. } => {
            Id::cluster(Kind::Address, convert::object_name(*address))
        }
        Write::NodeSpec { node, .. }
        | Write::NodeStatus { node, .. }
        | Write::DeleteNode { node, .. } => Id::cluster(Kind::EgressNode, node.as_str()),
        Write::AdmitPods { node } => Id::cluster(Kind::Node, node.as_str()),
        Write::Cluster { .. } => Id::cluster(Kind::Cluster, CLUSTER),
        Write::PoolPaused { pool, .. } | Write::PoolStatus { pool, .. } => {
            Id::cluster(Kind::Pool, pool.as_str())
        }
        Write::ClaimStatus { claim, .. } => claim_id(claim),
    }
}

fn claim_id(claim: &ClaimRef) -> Id {
    match &claim.namespace {
        Some(namespace) => Id::namespaced(Kind::Claim, namespace.as_str(), &claim.name),
        None => Id::cluster(Kind::ClusterClaim, &claim.name),
    }
}

/// What a write makes of an object's metadata.
#[derive(Debug, Default)]
struct Marks {
    /// A finalizer, and whether it is to be there.
    finalizer: Option<(&'static str, bool)>,
    /// The value of the role label; `None` in it: no such label.
    role: Option<Option<String>>,
}

/// Carries out a write.
pub async fn apply(shared: &Shared, write: Write) -> Result<Version, ApiError> {
    let id = subject(&write).checked()?;
    match write {
        Write::AddressPlan { address, expect, plan } => {
            let marks = Marks { finalizer: Some((RELEASE, true)), ..Marks::default() };
            let (spec, _) = convert::address_to_api(&EgressAddress {
                address,
                plan,
                status: AddressStatus::default(),
                deleting: false,
            });
            put(shared, &id, expect, to_json(&spec)?, marks).await
        }
        Write::AddressStatus { expect, status, .. } => {
            let status = to_json(&convert::address_status_to_api(&status))?;
            put_status(shared, &id, expect, status).await
        }
        Write::NodeSpec { expect, spec, .. } => {
            let marks = Marks {
                finalizer: Some((BLOCKS, !spec.blocks.is_empty())),
                role: Some(role_label(&spec)),
            };
            let spec = to_json(&convert::node_spec_to_api(&spec))?;
            put(shared, &id, expect, spec, marks).await
        }
        Write::Cluster { expect, cluster } => put_cluster(shared, &id, expect, &cluster).await,
        Write::DeleteAddress { expect, .. } => delete(shared, &id, expect, RELEASE).await,
        Write::DeleteNode { expect, .. } => delete(shared, &id, expect, BLOCKS).await,
        Write::NodeStatus { status, .. } => {
            let status = to_json(&convert::node_status_to_api(&status))?;
            match apply_status(shared, &id, &status).await {
                Err(error) if error.is_missing() => {
                    create_node(shared, &id).await?;
                    apply_status(shared, &id, &status).await
                }
                done => done,
            }
        }
        Write::AdmitPods { .. } => admit_pods(shared, &id).await,
        Write::PoolPaused { paused, .. } => {
            let patch = json!({"spec": {"paused": paused}});
            let patched = shared.api.merge(&id, &patch).await;
            note(shared, &id, patched)
        }
        Write::PoolStatus { status, .. } => {
            let status = to_json(&convert::pool_status_to_api(&status))?;
            apply_status(shared, &id, &status).await
        }
        Write::ClaimStatus { claim, status } => {
            if let Some(object) = nirmata::object_of(shared, &claim) {
                return nirmata::write_status(shared, &object, &claim.name, &status).await;
            }
            let status = to_json(&convert::claim_status_to_api(&status))?;
            apply_status(shared, &id, &status).await
        }
    }
}

/// Takes the startup taint off a Node that nobody has changed meanwhile.
async fn admit_pods(shared: &Shared, id: &Id) -> Result<Version, ApiError> {
    let node = shared.api.get(id).await?;
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let left: Vec<Value> =
        taints.iter().filter(|taint| taint["key"] != STARTUP_TAINT).cloned().collect();
    if left.len() == taints.len() {
        return Ok(version(&node));
    }
    let patch = json!({
        "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
        "spec": {"taints": left},
    });
    note(shared, id, shared.api.merge(id, &patch).await)
}

async fn put_cluster(
    shared: &Shared,
    id: &Id,
    expect: Option<Version>,
    cluster: &Cluster,
) -> Result<Version, ApiError> {
    let spec: api::EgressClusterSpec = convert::cluster_to_api(cluster);
    put(shared, id, expect, to_json(&spec)?, Marks::default()).await
}

/// The value of the label by which agents find the nodes that they must know.
fn role_label(spec: &EgressNodeSpec) -> Option<String> {
    use egret_core::model::Role;
    let names = spec.roles.iter().map(|role| match role {
        Role::Gateway => "gateway",
        Role::Voter => "voter",
    });
    let names: Vec<&str> = names.collect();
    (!names.is_empty()).then(|| names.join("."))
}

/// Creates an object, or changes its spec where it has the version that is expected.
async fn put(
    shared: &Shared,
    id: &Id,
    expect: Option<Version>,
    spec: Value,
    marks: Marks,
) -> Result<Version, ApiError> {
    let Some(expect) = expect else {
        let mut object = json!({
            "apiVersion": id.kind.api_version(), "kind": id.kind.name(),
            "metadata": {"name": id.name}, "spec": spec,
        });
        mark(&mut object["metadata"], &marks);
        let created = shared.api.create(id, &object).await;
        return note(shared, id, created);
    };
    let Some(mut object) = shared.api.find(id).await? else {
        return Err(conflict(id, None, Some(&expect)));
    };
    compare(id, &object, Some(&expect))?;
    let before = object.clone();
    object["spec"] = spec;
    mark(&mut object["metadata"], &marks);
    if object == before {
        return Ok(expect);
    }
    drop_managed_fields(&mut object);
    let replaced = shared.api.replace(id, "", &object).await;
    note(shared, id, replaced)
}

async fn put_status(
    shared: &Shared,
    id: &Id,
    expect: Option<Version>,
    status: Value,
) -> Result<Version, ApiError> {
    let mut object = shared.api.get(id).await?;
    compare(id, &object, expect.as_ref())?;
    object["status"] = status;
    drop_managed_fields(&mut object);
    let replaced = shared.api.replace(id, "/status", &object).await;
    note(shared, id, replaced)
}

async fn apply_status(shared: &Shared, id: &Id, status: &Value) -> Result<Version, ApiError> {
    let object = json!({
        "apiVersion": id.kind.api_version(), "kind": id.kind.name(),
        "metadata": {"name": id.name}, "status": status,
    });
    let applied = shared.api.apply_status(id, &object).await;
    note(shared, id, applied)
}

async fn create_node(shared: &Shared, id: &Id) -> Result<(), ApiError> {
    let object = json!({
        "apiVersion": id.kind.api_version(), "kind": id.kind.name(),
        "metadata": {"name": id.name}, "spec": {},
    });
    match shared.api.create(id, &object).await {
        Ok(_) => Ok(()),
        // The controller was first.
        Err(error) if error.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Deletes an object and takes our finalizer off it. The finalizer goes last: an object that a
/// crash leaves in between is one that is being deleted, and that is seen.
async fn delete(
    shared: &Shared,
    id: &Id,
    expect: Option<Version>,
    finalizer: &'static str,
) -> Result<Version, ApiError> {
    let Some(mut object) = shared.api.find(id).await? else {
        return Ok(expect.unwrap_or_default());
    };
    compare(id, &object, expect.as_ref())?;
    let version = expect.unwrap_or_default();
    let uid = object["metadata"]["uid"].clone();
    if object["metadata"]["deletionTimestamp"].is_null() {
        match shared.api.delete(id, &version.0).await {
            Ok(_) => {}
            Err(error) if error.is_missing() => return Ok(version),
            Err(error) => return Err(error),
        }
        match shared.api.find(id).await? {
            Some(left) if left["metadata"]["uid"] == uid => object = left,
            _ => return Ok(version),
        }
    }
    let marks = Marks { finalizer: Some((finalizer, false)), ..Marks::default() };
    for _ in 0..TRIES {
        let before = object.clone();
        mark(&mut object["metadata"], &marks);
        if object == before {
            // Somebody else's finalizer keeps it; ours does not.
            return Ok(version);
        }
        drop_managed_fields(&mut object);
        match shared.api.replace(id, "", &object).await {
            Ok(_) => return Ok(version),
            Err(error) if error.is_missing() => return Ok(version),
            // It is being deleted already: nothing that somebody wrote meanwhile can matter.
            Err(error) if error.is_conflict() => match shared.api.find(id).await? {
                Some(left) if left["metadata"]["uid"] == uid => object = left,
                _ => return Ok(version),
            },
            Err(error) => return Err(error),
        }
    }
    Err(conflict(id, None, Some(&version)))
}

/// Shows the process what it wrote itself, and returns the version now stored.
pub fn note(
    shared: &Shared,
    id: &Id,
    written: Result<Value, ApiError>,
) -> Result<Version, ApiError> {
    let object = written?;
    let version = version(&object);
    if let Ok(seen) = decode(id.kind, &object.to_string()) {
        shared.change(|index| index.written(seen));
    }
    Ok(version)
}

fn mark(metadata: &mut Value, marks: &Marks) {
    if let Some((finalizer, wanted)) = marks.finalizer {
        let listed = metadata["finalizers"].as_array();
        let mut finalizers: Vec<Value> = listed.cloned().unwrap_or_default();
        let there = finalizers.iter().any(|listed| listed == finalizer);
        // The API server takes no new finalizer for what is being deleted.
        let deleting = !metadata["deletionTimestamp"].is_null();
        if wanted && !there && !deleting {
            finalizers.push(finalizer.into());
            metadata["finalizers"] = finalizers.into();
        } else if !wanted && there {
            finalizers.retain(|listed| listed != finalizer);
            metadata["finalizers"] = finalizers.into();
        }
    }
    match &marks.role {
        Some(Some(role)) => metadata["labels"][ROLE_LABEL] = role.as_str().into(),
        Some(None) => {
            if let Some(labels) = metadata["labels"].as_object_mut() {
                labels.remove(ROLE_LABEL);
            }
        }
        None => {}
    }
    // Indexing leaves nulls where nothing was.
    if let Some(fields) = metadata.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
}

/// Sent back, they would be parsed for nothing; left out, the API server keeps its own.
pub fn drop_managed_fields(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
}

/// `metadata.resourceVersion` of an object.
pub fn version(object: &Value) -> Version {
    Version(object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned())
}

fn compare(id: &Id, object: &Value, expect: Option<&Version>) -> Result<(), ApiError> {
    let stored = version(object);
    if expect == Some(&stored) { Ok(()) } else { Err(conflict(id, Some(&stored), expect)) }
}

fn conflict(id: &Id, stored: Option<&Version>, expected: Option<&Version>) -> ApiError {
    let text = |version: Option<&Version>| version.map_or("none".to_owned(), ToString::to_string);
    ApiError::Conflict { what: id.to_string(), stored: text(stored), expected: text(expected) }
}

/// A value as JSON.
pub fn to_json(value: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|error| ApiError::Invalid(error.to_string()))
}
