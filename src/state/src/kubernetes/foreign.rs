//! Objects of Kubernetes and of network plug-ins: narrow types, since a Node has a hundred fields
//! and three are used.

use std::collections::BTreeSet;

use egret_core::model::{Namespace, Node, Pod, Service};
use ipnet::IpNet;
use serde::Deserialize;

use super::decode::read;
use crate::convert::{FieldError, parse_cidr};
use crate::manifest::core_v1;

pub fn node(text: &str) -> Result<Node, String> {
    core_v1::node(read(text)?).map_err(sentence)
}

pub fn namespace(text: &str) -> Result<Namespace, String> {
    core_v1::namespace(read(text)?).map_err(sentence)
}

pub fn service(text: &str) -> Result<Service, String> {
    core_v1::service(read(text)?).map_err(sentence)
}

/// `None` for a pod without node, and for one that has ended: its addresses may be another's.
pub fn pod(text: &str) -> Result<Option<Pod>, String> {
    let mut manifest: core_v1::Manifest<core_v1::PodSpec, core_v1::PodStatus> = read(text)?;
    // Ranges by annotation are for machines without Kubernetes: here anybody who may make a pod
    // could take other pods' traffic with one.
    manifest.metadata.annotations = None;
    core_v1::pod(manifest).map_err(sentence)
}

fn sentence(error: FieldError) -> String {
    error.to_string()
}

#[derive(Deserialize)]
struct Object<S> {
    spec: Option<S>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceCidrSpec {
    cidrs: Vec<String>,
}

/// `spec.cidrs` of a `networking.k8s.io/v1` ServiceCIDR.
pub fn service_cidr(text: &str) -> Result<BTreeSet<IpNet>, String> {
    let object: Object<ServiceCidrSpec> = read(text)?;
    ranges("spec.cidrs", &object.spec.unwrap_or_default().cidrs)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IpPoolSpec {
    cidr: Option<String>,
    disabled: bool,
}

/// `spec.cidr` of Calico's IPPool. A disabled pool gives out no address any more, but pods may
/// still have addresses of it, so that it counts where it is listed at all would be safe; Calico's
/// users disable the default pool before they make their own, and its range may be anybody's then.
pub fn calico(text: &str) -> Result<BTreeSet<IpNet>, String> {
    let object: Object<IpPoolSpec> = read(text)?;
    let spec = object.spec.unwrap_or_default();
    let cidr: Vec<String> = spec.cidr.into_iter().filter(|_| !spec.disabled).collect();
    ranges("spec.cidr", &cidr)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CiliumSpec {
    ipam: CiliumIpam,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CiliumIpam {
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
}

/// `spec.ipam.podCIDRs` of Cilium's CiliumNode.
pub fn cilium(text: &str) -> Result<BTreeSet<IpNet>, String> {
    let object: Object<CiliumSpec> = read(text)?;
    ranges("spec.ipam.podCIDRs", &object.spec.unwrap_or_default().ipam.pod_cidrs)
}

fn ranges(field: &str, texts: &[String]) -> Result<BTreeSet<IpNet>, String> {
    texts
        .iter()
        .map(|text| parse_cidr(text).map(|cidr| cidr.net()))
        .collect::<Result<_, _>>()
        .map_err(|message| format!("{field}: {message}"))
}
