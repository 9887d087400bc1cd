//! One write: what is there is read, compared and replaced where it has not changed.

use egret_core::model::{
    AddressSpec, ClaimRef, Condition, EgressNodeSpec, ResourceVersion, STARTUP_TAINT,
};
use egret_ports::cluster_state::Write;
use serde_json::{Value, json};

use super::cache::ObjectCache;
use super::decode::CLUSTER;
use super::kind::{ObjectId, ResourceKind};
use super::nirmata;
use super::object::{drop_managed_fields, to_json, version};
use super::scope::ROLE_LABEL;
use crate::convert::{self, nirmata::keep_former_name};
use crate::error::{StoreError, VersionConflict};

/// Keeps an address from going before it is free.
const RELEASE: &str = "egret.dev/release";
/// Keeps a node's port blocks from being given out again before their quarantine is over.
const BLOCKS: &str = "egret.dev/blocks";
/// Tries of a step that others may overtake and that does not depend on what they wrote.
const TRIES: u32 = 5;

/// The object that a write is about.
pub fn subject(write: &Write) -> ObjectId {
    match write {
        Write::AddressPlan { address, .. }
        | Write::AddressStatus { address, .. }
        | Write::DeleteAddress { address, .. } => {
            ObjectId::cluster(ResourceKind::Address, convert::object_name(*address))
        }
        Write::NodeSpec { node, .. }
        | Write::NodeStatus { node, .. }
        | Write::AgentAbsent { node, .. }
        | Write::DeleteNode { node, .. } => {
            ObjectId::cluster(ResourceKind::EgressNode, node.as_str())
        }
        Write::AdmitPods { node } => ObjectId::cluster(ResourceKind::Node, node.as_str()),
        Write::Cluster { .. } | Write::ClusterStatus { .. } => {
            ObjectId::cluster(ResourceKind::Cluster, CLUSTER)
        }
        Write::PoolPaused { pool, .. } | Write::PoolStatus { pool, .. } => {
            ObjectId::cluster(ResourceKind::Pool, pool.as_str())
        }
        Write::ClaimStatus { claim, .. } => claim_id(claim),
    }
}

fn claim_id(claim: &ClaimRef) -> ObjectId {
    match &claim.namespace {
        Some(namespace) => {
            ObjectId::namespaced(ResourceKind::Claim, namespace.as_str(), &claim.name)
        }
        None => ObjectId::cluster(ResourceKind::ClusterClaim, &claim.name),
    }
}

/// What a write makes of an object's metadata.
#[derive(Debug, Default)]
struct MetadataUpdate {
    /// A finalizer, and whether it is to be there.
    finalizer: Option<(&'static str, bool)>,
    /// The value of the role label; `None` in it: no such label.
    role: Option<Option<String>>,
}

/// Carries out a write.
pub async fn apply(cache: &ObjectCache, write: Write) -> Result<ResourceVersion, StoreError> {
    let id = subject(&write).checked()?;
    match write {
        Write::AddressPlan { address, expect, plan } => {
            let update =
                MetadataUpdate { finalizer: Some((RELEASE, true)), ..MetadataUpdate::default() };
            let spec = |before: &Value| {
                let before = serde_json::from_value::<AddressSpec>(before["spec"].clone());
                let plan = match before {
                    Ok(before) => keep_former_name(&before.into_plan().1, plan),
                    Err(_) => plan,
                };
                to_json(&AddressSpec::new(address, plan))
            };
            put(cache, &id, expect, spec, update).await
        }
        Write::AddressStatus { expect, status, .. } => {
            put_status(cache, &id, expect, to_json(&status)?).await
        }
        Write::NodeSpec { expect, spec, .. } => {
            let update = MetadataUpdate {
                finalizer: Some((BLOCKS, !spec.blocks.is_empty())),
                role: Some(role_label(&spec)),
            };
            put(cache, &id, expect, |_| to_json(&spec), update).await
        }
        Write::Cluster { expect, cluster } => {
            put(cache, &id, expect, |_| to_json(&cluster), MetadataUpdate::default()).await
        }
        Write::DeleteAddress { expect, .. } => delete(cache, &id, expect, RELEASE).await,
        Write::DeleteNode { expect, .. } => delete(cache, &id, expect, BLOCKS).await,
        Write::NodeStatus { status, .. } => put_node_status(cache, &id, &to_json(&status)?).await,
        Write::AgentAbsent { condition, .. } => put_agent_absent(cache, &id, condition).await,
        Write::AdmitPods { .. } => admit_pods(cache, &id).await,
        Write::PoolPaused { paused, .. } => {
            let patch = json!({"spec": {"paused": paused}});
            let patched = cache.api.merge(&id, &patch).await;
            cache.note_written(&id, patched)
        }
        Write::ClusterStatus { status } => apply_status(cache, &id, &to_json(&status)?).await,
        Write::PoolStatus { status, .. } => apply_status(cache, &id, &to_json(&status)?).await,
        Write::ClaimStatus { claim, status } => {
            if let Some(object) = nirmata::object_of(cache, &claim) {
                return nirmata::write_status(cache, &object, &claim.name, &status).await;
            }
            let status = to_json(&convert::claim_status_to_api(&status))?;
            apply_status(cache, &id, &status).await
        }
    }
}

/// Takes the startup taint off a Node that nobody has changed meanwhile.
async fn admit_pods(cache: &ObjectCache, id: &ObjectId) -> Result<ResourceVersion, StoreError> {
    let node = cache.api.get(id).await?;
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
    cache.note_written(id, cache.api.merge(id, &patch).await)
}

/// The value of the label by which agents find the nodes that they must know.
fn role_label(spec: &EgressNodeSpec) -> Option<String> {
    use egret_core::model::NodeRole;
    let names = spec.roles.iter().map(|role| match role {
        NodeRole::Gateway => "gateway",
        NodeRole::Voter => "voter",
    });
    let names: Vec<&str> = names.collect();
    (!names.is_empty()).then(|| names.join("."))
}

/// Creates an object, or changes its spec where it has the version that is expected. `spec` is made
/// from the object as it is, which is null where there is none.
async fn put(
    cache: &ObjectCache,
    id: &ObjectId,
    expect: Option<ResourceVersion>,
    spec: impl FnOnce(&Value) -> Result<Value, StoreError>,
    update: MetadataUpdate,
) -> Result<ResourceVersion, StoreError> {
    let Some(expect) = expect else {
        let mut object = json!({
            "apiVersion": id.kind.api_version(), "kind": id.kind.name(),
            "metadata": {"name": id.name}, "spec": spec(&Value::Null)?,
        });
        update_metadata(&mut object["metadata"], &update);
        let created = cache.api.create(id, &object).await;
        return cache.note_written(id, created);
    };
    let Some(mut object) = cache.api.find(id).await? else {
        return Err(conflict(id, None, Some(&expect)));
    };
    compare(id, &object, Some(&expect))?;
    let before = object.clone();
    object["spec"] = spec(&before)?;
    update_metadata(&mut object["metadata"], &update);
    if object == before {
        return Ok(expect);
    }
    drop_managed_fields(&mut object);
    let replaced = cache.api.replace(id, "", &object).await;
    cache.note_written(id, replaced)
}

async fn put_status(
    cache: &ObjectCache,
    id: &ObjectId,
    expect: Option<ResourceVersion>,
    status: Value,
) -> Result<ResourceVersion, StoreError> {
    let mut object = cache.api.get(id).await?;
    compare(id, &object, expect.as_ref())?;
    object["status"] = status;
    drop_managed_fields(&mut object);
    let replaced = cache.api.replace(id, "/status", &object).await;
    cache.note_written(id, replaced)
}

async fn apply_status(
    cache: &ObjectCache,
    id: &ObjectId,
    status: &Value,
) -> Result<ResourceVersion, StoreError> {
    let applied = cache.api.apply_status(id, &with_status(id, status)).await;
    cache.note_written(id, applied)
}

fn with_status(id: &ObjectId, status: &Value) -> Value {
    json!({
        "apiVersion": id.kind.api_version(), "kind": id.kind.name(),
        "metadata": {"name": id.name}, "status": status,
    })
}

/// An agent's status; creates the object where it is missing.
async fn put_node_status(
    cache: &ObjectCache,
    id: &ObjectId,
    status: &Value,
) -> Result<ResourceVersion, StoreError> {
    match apply_status(cache, id, status).await {
        Err(error) if error.is_missing() => {
            create_node(cache, id).await?;
            apply_status(cache, id, status).await
        }
        done => done,
    }
}

/// Whoever writes it: what the agent applies says nothing of it, and must not take it away.
const AGENT_ABSENT_MANAGER: &str = "egret-agent-absent";

async fn put_agent_absent(
    cache: &ObjectCache,
    id: &ObjectId,
    condition: Option<Condition>,
) -> Result<ResourceVersion, StoreError> {
    let status = match condition {
        Some(condition) => json!({"conditions": [to_json(&condition)?]}),
        None => json!({}),
    };
    let object = with_status(id, &status);
    let applied = cache.api.apply_status_as(AGENT_ABSENT_MANAGER, id, &object).await;
    cache.note_written(id, applied)
}

async fn create_node(cache: &ObjectCache, id: &ObjectId) -> Result<(), StoreError> {
    let object = json!({
        "apiVersion": id.kind.api_version(), "kind": id.kind.name(),
        "metadata": {"name": id.name}, "spec": {},
    });
    match cache.api.create(id, &object).await {
        Ok(_) => Ok(()),
        // The controller was first.
        Err(error) if error.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Deletes an object and takes our finalizer off it. The finalizer goes last: an object that a
/// crash leaves in between is one that is being deleted, and that is seen.
async fn delete(
    cache: &ObjectCache,
    id: &ObjectId,
    expect: Option<ResourceVersion>,
    finalizer: &'static str,
) -> Result<ResourceVersion, StoreError> {
    let Some(mut object) = cache.api.find(id).await? else {
        return Ok(expect.unwrap_or_default());
    };
    compare(id, &object, expect.as_ref())?;
    let version = expect.unwrap_or_default();
    let uid = object["metadata"]["uid"].clone();
    if object["metadata"]["deletionTimestamp"].is_null() {
        match cache.api.delete(id, &version.0).await {
            Ok(_) => {}
            Err(error) if error.is_missing() => return Ok(version),
            Err(error) => return Err(error),
        }
        match cache.api.find(id).await? {
            Some(left) if left["metadata"]["uid"] == uid => object = left,
            _ => return Ok(version),
        }
    }
    let update =
        MetadataUpdate { finalizer: Some((finalizer, false)), ..MetadataUpdate::default() };
    for _ in 0..TRIES {
        let before = object.clone();
        update_metadata(&mut object["metadata"], &update);
        if object == before {
            // Somebody else's finalizer keeps it; ours does not.
            return Ok(version);
        }
        drop_managed_fields(&mut object);
        match cache.api.replace(id, "", &object).await {
            Ok(_) => return Ok(version),
            Err(error) if error.is_missing() => return Ok(version),
            // It is being deleted already: nothing that somebody wrote meanwhile can matter.
            Err(error) if error.is_conflict() => match cache.api.find(id).await? {
                Some(left) if left["metadata"]["uid"] == uid => object = left,
                _ => return Ok(version),
            },
            Err(error) => return Err(error),
        }
    }
    Err(conflict(id, None, Some(&version)))
}

fn update_metadata(metadata: &mut Value, update: &MetadataUpdate) {
    if let Some((finalizer, wanted)) = update.finalizer {
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
    match &update.role {
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

fn compare(
    id: &ObjectId,
    object: &Value,
    expect: Option<&ResourceVersion>,
) -> Result<(), StoreError> {
    let stored = version(object);
    if expect == Some(&stored) { Ok(()) } else { Err(conflict(id, Some(&stored), expect)) }
}

fn conflict(
    id: &ObjectId,
    stored: Option<&ResourceVersion>,
    expected: Option<&ResourceVersion>,
) -> StoreError {
    VersionConflict::new(id, stored, expected).into()
}
