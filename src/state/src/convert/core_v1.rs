use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::membership::departure::leaving;
use egret_core::model::{
    LabelSelector, Labels, Namespace, NamespaceName, Node, NodeName, Pod, STARTUP_TAINT, Service,
    Text as _, Timestamp, Uid,
};
use ipnet::IpNet;
use serde::Deserialize;

use super::metadata::ObjectMeta;
use super::{FieldError, parse_address, parse_cidr};

/// The annotation of a Pod that stands for ranges of workloads on its node.
pub const CIDR_ANNOTATION: &str = "egret.dev/cidr";
/// The label that every namespace has.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// What Egret reads of a `v1` object: narrow, since real manifests have a hundred other fields.
#[derive(Debug, Deserialize)]
pub struct CoreObject<S, T> {
    #[serde(default)]
    pub metadata: ObjectMeta,
    pub spec: Option<S>,
    pub status: Option<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    unschedulable: Option<bool>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    taints: Option<Vec<Taint>>,
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Taint {
    key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    addresses: Option<Vec<NodeAddress>>,
}

#[derive(Debug, Deserialize)]
pub struct NodeAddress {
    r#type: String,
    address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    node_name: Option<String>,
    host_network: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
}

#[derive(Debug, Deserialize)]
pub struct PodIp {
    ip: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    selector: Option<BTreeMap<String, String>>,
    r#type: Option<String>,
}

/// A part that is not read at all.
#[derive(Debug, Default, Deserialize)]
pub struct Unread {}

pub fn node(manifest: CoreObject<NodeSpec, NodeStatus>) -> Result<Node, FieldError> {
    let name = manifest.metadata.checked_name()?.to_owned();
    let labels = manifest.metadata.labels.unwrap_or_default();
    let spec = manifest.spec.unwrap_or_default();
    let mut addresses = BTreeSet::new();
    let listed = manifest.status.unwrap_or_default().addresses.unwrap_or_default();
    for (index, entry) in listed.iter().enumerate() {
        if entry.r#type == "InternalIP" || entry.r#type == "ExternalIP" {
            let field = format!("status.addresses[{index}].address");
            addresses.insert(field_error(field, parse_address(&entry.address))?);
        }
    }
    let pod_cidrs = match (spec.pod_cidrs, spec.pod_cidr) {
        (Some(all), _) => cidrs("spec.podCIDRs", &all)?,
        (None, Some(one)) => cidrs("spec.podCIDR", &[one])?,
        (None, None) => Vec::new(),
    };
    let taints = || spec.taints.iter().flatten().map(|taint| taint.key.as_str());
    Ok(Node {
        name: NodeName::new(name),
        zone: labels.get(ZONE_LABEL).cloned().unwrap_or_default(),
        labels,
        cordoned: spec.unschedulable.unwrap_or(false),
        addresses,
        pod_cidrs,
        provider_id: spec.provider_id.unwrap_or_default(),
        awaits_agent: taints().any(|key| key == STARTUP_TAINT),
        leaving: leaving(taints(), manifest.metadata.deletion_timestamp.is_some()),
    })
}

pub fn namespace(manifest: CoreObject<Unread, Unread>) -> Result<Namespace, FieldError> {
    let name = manifest.metadata.checked_name()?.to_owned();
    Ok(labelled_namespace(name, manifest.metadata.labels.unwrap_or_default()))
}

/// A namespace as the API server would show it.
pub fn labelled_namespace(name: String, mut labels: Labels) -> Namespace {
    labels.insert(NAMESPACE_LABEL.to_owned(), name.clone());
    Namespace { name: NamespaceName::new(name), labels }
}

/// `None` for a Pod that has no node, or that has ended: its addresses may be another's already.
pub fn pod(manifest: CoreObject<PodSpec, PodStatus>) -> Result<Option<Pod>, FieldError> {
    let name = manifest.metadata.checked_name()?.to_owned();
    let namespace = manifest.metadata.checked_namespace()?.to_owned();
    let spec = manifest.spec.unwrap_or_default();
    let status = manifest.status.unwrap_or_default();
    let mut sources = BTreeSet::new();
    let listed = status.pod_ips.unwrap_or_default();
    for (index, entry) in listed.iter().enumerate() {
        let field = format!("status.podIPs[{index}].ip");
        sources.insert(IpNet::from(field_error(field, parse_address(&entry.ip))?));
    }
    if let Some(text) = status.pod_ip.filter(|text| !text.is_empty()) {
        let address: IpAddr = field_error("status.podIP", parse_address(&text))?;
        sources.insert(IpNet::from(address));
    }
    let annotations = manifest.metadata.annotations.unwrap_or_default();
    if let Some(text) = annotations.get(CIDR_ANNOTATION) {
        let parts: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
        sources.extend(cidrs(&format!("metadata.annotations.{CIDR_ANNOTATION}"), &parts)?);
    }
    let ended = status.phase.is_some_and(|phase| phase == "Succeeded" || phase == "Failed");
    let Some(node) = spec.node_name.filter(|node| !node.is_empty() && !ended) else {
        return Ok(None);
    };
    let created = manifest.metadata.creation_timestamp.as_deref().unwrap_or_default();
    Ok(Some(Pod {
        namespace: NamespaceName::new(namespace),
        name,
        labels: manifest.metadata.labels.unwrap_or_default(),
        node: NodeName::new(node),
        host_network: spec.host_network.unwrap_or(false),
        sources,
        uid: Uid::new(manifest.metadata.uid.unwrap_or_default()),
        created: Timestamp::from_text(created).unwrap_or_default(),
        terminating: manifest.metadata.deletion_timestamp.is_some(),
    }))
}

pub fn service(manifest: CoreObject<ServiceSpec, Unread>) -> Result<Service, FieldError> {
    let spec = manifest.spec.unwrap_or_default();
    // Kubernetes ignores the selector of an ExternalName Service.
    let external = spec.r#type.is_some_and(|kind| kind == "ExternalName");
    let selector = spec.selector.filter(|selector| !selector.is_empty() && !external);
    Ok(Service {
        namespace: NamespaceName::new(manifest.metadata.checked_namespace()?),
        name: manifest.metadata.checked_name()?.to_owned(),
        selector: selector
            .map(|match_labels| LabelSelector { match_labels, match_expressions: Vec::new() }),
    })
}

fn cidrs(field: &str, texts: &[String]) -> Result<Vec<IpNet>, FieldError> {
    texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            field_error(format!("{field}[{index}]"), parse_cidr(text)).map(|cidr| cidr.net())
        })
        .collect()
}

fn field_error<T>(field: impl Into<String>, result: Result<T, String>) -> Result<T, FieldError> {
    result.map_err(|message| FieldError::new(field, message))
}

#[cfg(test)]
mod tests {
    use egret_core::model::LeavingReason;

    use super::*;

    #[test]
    fn a_pod_is_known_by_its_uid_and_its_age() {
        let read = |metadata: &str| {
            let text = format!(
                r#"{{"metadata": {{"name": "p"{metadata}}}, "spec": {{"nodeName": "a"}}}}"#
            );
            let pod = pod(serde_json::from_str(&text).unwrap()).unwrap().unwrap();
            (pod.uid, pod.created, pod.terminating)
        };
        assert_eq!(read(""), (Uid::new(""), Timestamp(0), false));
        let whole = r#", "uid": "u", "creationTimestamp": "1970-01-01T00:00:02Z",
                         "deletionTimestamp": "1970-01-01T00:00:03Z""#;
        assert_eq!(read(whole), (Uid::new("u"), Timestamp(2000), true));
        // An age that nobody can read is no reason to know nothing of the pod.
        assert_eq!(read(r#", "creationTimestamp": "yesterday""#).1, Timestamp(0));
    }

    #[test]
    fn a_node_that_is_being_deleted_leaves() {
        let read = |metadata: &str| {
            let text = format!(r#"{{"metadata": {{"name": "a"{metadata}}}}}"#);
            node(serde_json::from_str(&text).unwrap()).unwrap().leaving
        };
        assert_eq!(read(""), None);
        let deleted = read(r#", "deletionTimestamp": "2026-01-01T00:00:00Z""#);
        assert_eq!(deleted, Some(LeavingReason::Deleted));
    }
}
