//! What is in no object: an agent's own counters, through the API server's proxy to its pod.

use serde_json::Value;

use super::client::ApiClient;
use crate::error::StoreError;

/// How the chart labels agents' pods.
const SELECTOR: &str = "app.kubernetes.io%2Fname%3Degret%2Capp.kubernetes.io%2Fcomponent%3Dagent";
/// How it names the port of the metrics.
const PORT: &str = "metrics";

/// The metrics of the agent on `node`, as a scrape of it gives them. Needs the right to list pods
/// of the system namespace and to `get` their `proxy`.
pub async fn metrics(api: &ApiClient, namespace: &str, node: &str) -> Result<String, StoreError> {
    let folder = format!("/api/v1/namespaces/{namespace}/pods");
    let query = format!("{folder}?labelSelector={SELECTOR}&fieldSelector=spec.nodeName%3D{node}");
    let pods: Value = api.read(&query).await?;
    let running = |pod: &&Value| pod["status"]["phase"] == "Running";
    let pod = pods["items"].as_array().into_iter().flatten().find(running);
    let missing = || StoreError::Invalid(format!("no agent runs on node {node}"));
    let pod = pod.ok_or_else(missing)?;
    let port = port(pod).ok_or_else(|| {
        StoreError::Invalid(format!("the agent on node {node} serves no metrics"))
    })?;
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let text = api.text(&format!("{folder}/{name}:{port}/proxy/metrics")).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn port(pod: &Value) -> Option<u64> {
    let containers = pod["spec"]["containers"].as_array()?;
    let mut ports = containers.iter().filter_map(|container| container["ports"].as_array());
    ports
        .find_map(|ports| ports.iter().find(|port| port["name"] == PORT)?["containerPort"].as_u64())
}
