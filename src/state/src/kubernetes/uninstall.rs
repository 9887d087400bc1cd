//! What no write of the planner does: the last steps of `egret uninstall`.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::ApiError;
use super::kind::{Id, Kind};
use super::shared::Shared;

const CONTROLLER: &str = "egret-controller";
const FENCES: &str = "egret-fences";
const LOOKS: u32 = 60;

/// Scales the controller's Deployment to nothing and waits until its pods are gone, for at most a
/// minute: one that still ran would make again what is deleted. Success where there is none.
pub async fn stop_controller(shared: &Shared) -> Result<(), ApiError> {
    let id = Id::namespaced(Kind::Deployment, &shared.namespace, CONTROLLER);
    match shared.api.merge(&id, &json!({"spec": {"replicas": 0}})).await {
        Ok(_) => {}
        Err(error) if error.is_missing() => return Ok(()),
        Err(error) => return Err(error),
    }
    for _ in 0..LOOKS {
        let Some(deployment) = shared.api.find(&id).await? else { return Ok(()) };
        let status = &deployment["status"];
        if status["replicas"].as_u64().unwrap_or(0) == 0
            && status["terminatingReplicas"].as_u64().unwrap_or(0) == 0
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err(ApiError::Invalid(format!("{id} still has pods after {LOOKS} s")))
}

/// Deletes the cluster object, the leader's Lease and the fence counter. Success where they are
/// gone.
pub async fn forget_cluster(shared: &Shared) -> Result<(), ApiError> {
    let namespace = &shared.namespace;
    for id in [
        Id::cluster(Kind::Cluster, super::decode::CLUSTER),
        Id::namespaced(Kind::Lease, namespace, CONTROLLER),
        Id::namespaced(Kind::ConfigMap, namespace, FENCES),
    ] {
        let Some(object) = shared.api.find(&id).await? else { continue };
        let version = match &object["metadata"]["resourceVersion"] {
            Value::String(version) => version.clone(),
            _ => continue,
        };
        match shared.api.delete(&id, &version).await {
            Ok(_) => {}
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
