//! What no write of the planner does: the last steps of `egret uninstall`.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::ApiClient;
use super::kind::{ObjectId, ResourceKind};
use crate::error::StoreError;

const CONTROLLER: &str = "egret-controller";
const FENCES: &str = "egret-fences";
const CHECKS: u32 = 60;

/// Scales the controller's Deployment to nothing and waits until its pods are gone, for at most a
/// minute: one that still ran would make again what is deleted. Success where there is none.
pub async fn stop_controller(api: &ApiClient, namespace: &str) -> Result<(), StoreError> {
    let id = ObjectId::namespaced(ResourceKind::Deployment, namespace, CONTROLLER);
    match api.merge(&id, &json!({"spec": {"replicas": 0}})).await {
        Ok(_) => {}
        Err(error) if error.is_missing() => return Ok(()),
        Err(error) => return Err(error),
    }
    for _ in 0..CHECKS {
        let Some(deployment) = api.find(&id).await? else { return Ok(()) };
        let status = &deployment["status"];
        if status["replicas"].as_u64().unwrap_or(0) == 0
            && status["terminatingReplicas"].as_u64().unwrap_or(0) == 0
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err(StoreError::Invalid(format!("{id} still has pods after {CHECKS} s")))
}

/// Deletes the cluster object, the leader's Lease and the fence counter. Success where they are
/// gone.
pub async fn forget_cluster(api: &ApiClient, namespace: &str) -> Result<(), StoreError> {
    for id in [
        ObjectId::cluster(ResourceKind::Cluster, super::decode::CLUSTER),
        ObjectId::namespaced(ResourceKind::Lease, namespace, CONTROLLER),
        ObjectId::namespaced(ResourceKind::ConfigMap, namespace, FENCES),
    ] {
        let Some(object) = api.find(&id).await? else { continue };
        let version = match &object["metadata"]["resourceVersion"] {
            Value::String(version) => version.clone(),
            _ => continue,
        };
        match api.delete(&id, &version).await {
            Ok(_) => {}
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
