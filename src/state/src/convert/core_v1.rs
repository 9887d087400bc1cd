use std::collections::{BTreeMap, BTreeSet};

use egret_core::membership::departure::leaving;
use egret_core::model::{
    ENDPOINT_ANNOTATION, EndpointAnnotation, EndpointChoice, LabelSelector, Labels, Namespace,
    NamespaceName, Node, NodeName, Pod, RangeReading, STARTUP_TAINT, Service, Text as _, Timestamp,
    Uid,
};
use ipnet::IpNet;
use serde::Deserialize;

use super::metadata::ObjectMeta;
use super::{Checked, FieldErrors, lenient_address, lenient_cidr};

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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Taint {
    key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    addresses: Option<Vec<NodeAddress>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    r#type: Option<String>,
    address: Option<String>,
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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodIp {
    ip: Option<String>,
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

/// A Node. An odd address is passed over and noted, as another of the Node may do; a list of ranges
/// with one is not half a list, and counts as unread.
pub fn node(manifest: CoreObject<NodeSpec, NodeStatus>) -> Checked<Node> {
    let mut faults = FieldErrors::default();
    let name = faults.name(manifest.metadata.checked_name());
    let labels = manifest.metadata.labels.unwrap_or_default();
    let spec = manifest.spec.unwrap_or_default();
    let mut addresses = BTreeSet::new();
    let listed = manifest.status.unwrap_or_default().addresses.unwrap_or_default();
    for (index, entry) in listed.iter().enumerate() {
        if matches!(entry.r#type.as_deref(), Some("InternalIP" | "ExternalIP")) {
            let field = format!("status.addresses[{index}].address");
            let text = entry.address.as_deref().unwrap_or_default();
            addresses.extend(faults.pass_over(field, lenient_address(text)));
        }
    }
    let (field, texts) = match (spec.pod_cidrs, spec.pod_cidr) {
        (Some(all), _) => ("spec.podCIDRs", all),
        (None, one) => ("spec.podCIDR", one.into_iter().collect()),
    };
    let pod_cidrs = cidrs(&mut faults, field, &texts);
    let tunnel_endpoint = endpoint_annotation(&mut faults, manifest.metadata.annotations.as_ref());
    let taints = || spec.taints.iter().flatten().filter_map(|taint| taint.key.as_deref());
    let node = name.map(|name| Node {
        name: NodeName::new(name),
        zone: labels.get(ZONE_LABEL).cloned().unwrap_or_default(),
        labels,
        cordoned: spec.unschedulable.unwrap_or(false),
        addresses,
        pod_cidrs_reading: match pod_cidrs.len() < texts.len() {
            true => RangeReading::Unread,
            false => RangeReading::Read,
        },
        pod_cidrs,
        provider_id: spec.provider_id.unwrap_or_default(),
        awaits_agent: taints().any(|key| key == STARTUP_TAINT),
        leaving: leaving(taints(), manifest.metadata.deletion_timestamp.is_some()),
        tunnel_endpoint,
    });
    faults.finish(node)
}

fn endpoint_annotation(
    faults: &mut FieldErrors,
    annotations: Option<&BTreeMap<String, String>>,
) -> EndpointAnnotation {
    let said = annotations.and_then(|annotations| annotations.get(ENDPOINT_ANNOTATION));
    let Some(text) = said else { return EndpointAnnotation::Absent };
    let field = format!("metadata.annotations.{ENDPOINT_ANNOTATION}");
    let read = faults.pass_over(field, EndpointChoice::from_text(text));
    read.map_or(EndpointAnnotation::Unread, EndpointAnnotation::Says)
}

pub fn namespace(manifest: CoreObject<Unread, Unread>) -> Checked<Namespace> {
    let mut faults = FieldErrors::default();
    let name = faults.name(manifest.metadata.checked_name());
    let labels = manifest.metadata.labels.unwrap_or_default();
    faults.finish(name.map(|name| labelled_namespace(name, labels)))
}

/// A namespace as the API server would show it.
pub fn labelled_namespace(name: String, mut labels: Labels) -> Namespace {
    labels.insert(NAMESPACE_LABEL.to_owned(), name.clone());
    Namespace { name: NamespaceName::new(name), labels }
}

/// `None` for a Pod that has no node, or that has ended: its addresses may be another's already.
pub fn pod(manifest: CoreObject<PodSpec, PodStatus>) -> Checked<Option<Pod>> {
    let mut faults = FieldErrors::default();
    let name = faults.name(manifest.metadata.checked_name());
    let namespace = faults.name(manifest.metadata.checked_namespace());
    let spec = manifest.spec.unwrap_or_default();
    let status = manifest.status.unwrap_or_default();
    let mut sources = BTreeSet::new();
    let listed = status.pod_ips.unwrap_or_default();
    for (index, entry) in listed.iter().enumerate() {
        let Some(text) = entry.ip.as_deref().filter(|text| !text.is_empty()) else { continue };
        let field = format!("status.podIPs[{index}].ip");
        let address = faults.pass_over(field, lenient_address(text));
        sources.extend(address.map(IpNet::from));
    }
    if let Some(text) = status.pod_ip.filter(|text| !text.is_empty()) {
        let address = faults.pass_over("status.podIP".to_owned(), lenient_address(&text));
        sources.extend(address.map(IpNet::from));
    }
    let annotations = manifest.metadata.annotations.unwrap_or_default();
    if let Some(text) = annotations.get(CIDR_ANNOTATION) {
        let parts: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
        let field = format!("metadata.annotations.{CIDR_ANNOTATION}");
        let ranges = cidrs(&mut faults, &field, &parts);
        // Half of the workloads would leave with another address, and nobody would see why.
        if ranges.len() < parts.len() {
            return faults.finish(None);
        }
        sources.extend(ranges);
    }
    let ended = status.phase.is_some_and(|phase| phase == "Succeeded" || phase == "Failed");
    let Some(node) = spec.node_name.filter(|node| !node.is_empty() && !ended) else {
        return faults.finish(Some(None));
    };
    let created = manifest.metadata.creation_timestamp.as_deref().unwrap_or_default();
    let pod = namespace.zip(name).map(|(namespace, name)| Pod {
        namespace: NamespaceName::new(namespace),
        name,
        labels: manifest.metadata.labels.unwrap_or_default(),
        node: NodeName::new(node),
        host_network: spec.host_network.unwrap_or(false),
        sources,
        uid: Uid::new(manifest.metadata.uid.unwrap_or_default()),
        created: Timestamp::from_text(created).unwrap_or_default(),
        terminating: manifest.metadata.deletion_timestamp.is_some(),
    });
    faults.finish(pod.map(Some))
}

pub fn service(manifest: CoreObject<ServiceSpec, Unread>) -> Checked<Service> {
    let mut faults = FieldErrors::default();
    let namespace = faults.name(manifest.metadata.checked_namespace());
    let name = faults.name(manifest.metadata.checked_name());
    let spec = manifest.spec.unwrap_or_default();
    // Kubernetes ignores the selector of an ExternalName Service.
    let external = spec.r#type.is_some_and(|kind| kind == "ExternalName");
    let selector = spec.selector.filter(|selector| !selector.is_empty() && !external);
    let service = namespace.zip(name).map(|(namespace, name)| Service {
        namespace: NamespaceName::new(namespace),
        name,
        selector: selector
            .map(|match_labels| LabelSelector { match_labels, match_expressions: Vec::new() }),
    });
    faults.finish(service)
}

/// The ranges that can be read.
fn cidrs(faults: &mut FieldErrors, field: &str, texts: &[String]) -> Vec<IpNet> {
    let each = texts.iter().enumerate();
    let read = each.filter_map(|(index, text)| {
        faults.pass_over(format!("{field}[{index}]"), lenient_cidr(text))
    });
    read.map(|cidr| cidr.net()).collect()
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
            let pod = pod(serde_json::from_str(&text).unwrap()).fresh().unwrap().unwrap();
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
    fn a_node_says_where_its_tunnel_ends_and_an_odd_annotation_hides_no_node() {
        let read = |metadata: &str| {
            let text = format!(r#"{{"metadata": {{"name": "a"{metadata}}}}}"#);
            let checked = node(serde_json::from_str(&text).unwrap());
            let (read, told) = checked.stored().unwrap();
            (read.tunnel_endpoint, told)
        };
        assert_eq!(read("").0, EndpointAnnotation::Absent);
        let said = read(r#", "annotations": {"egret.dev/tunnel-endpoint": "InternalIP"}"#);
        assert_eq!(said.0, EndpointAnnotation::Says(EndpointChoice::InternalIP));
        let (odd, told) = read(r#", "annotations": {"egret.dev/tunnel-endpoint": "eth1"}"#);
        assert_eq!(odd, EndpointAnnotation::Unread);
        let told = format!("{told:?}");
        for part in ["egret.dev/tunnel-endpoint", "eth1", "InternalIP", "10.1.0.0/16"] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn a_node_that_is_being_deleted_leaves() {
        let read = |metadata: &str| {
            let text = format!(r#"{{"metadata": {{"name": "a"{metadata}}}}}"#);
            node(serde_json::from_str(&text).unwrap()).fresh().unwrap().leaving
        };
        assert_eq!(read(""), None);
        let deleted = read(r#", "deletionTimestamp": "2026-01-01T00:00:00Z""#);
        assert_eq!(deleted, Some(LeavingReason::Deleted));
    }
}
