//! The object of the original project, `staticegressips.nirmata.io/v1alpha1`, accepted as it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ClaimStatus;

/// What `apiVersion` of such an object says.
pub const API_VERSION: &str = "staticegressips.nirmata.io/v1alpha1";

/// Rules, each a claim of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(kube::CustomResource, schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    kube(
        group = "staticegressips.nirmata.io",
        version = "v1alpha1",
        kind = "StaticEgressIP",
        plural = "staticegressips",
        namespaced,
        status = "StaticEgressIPStatus",
        derive = "PartialEq",
        doc = "Rules of the original project's kind: each is served as one claim, from the EgressPool whose ranges contain its address.",
        printcolumn(name = "Gateway", type_ = "string", json_path = ".status.gateway-node"),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
    )
)]
pub struct StaticEgressIPSpec {
    /// The rules, each served as a claim.
    pub rules: Vec<Rule>,
}

/// Pods of one Service, one destination, one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Rule {
    /// A Service of the namespace: the pods that it selects are meant.
    pub service_name: String,
    /// The address that their traffic leaves with, such as 203.0.113.17.
    #[serde(rename = "egressip")]
    pub egress_ip: String,
    /// The destinations, such as 198.51.100.0/24.
    pub cidr: String,
}

/// Where the first rule's address is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct StaticEgressIPStatus {
    /// The node that holds the first rule's address; empty while nobody does.
    pub gateway_node: String,
    /// That node's address in the cluster.
    pub gateway_ip: String,
    /// The status of each claim that the rules make, by its name, such as
    /// eip.nirmata-203.0.113.17.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, ClaimStatus>,
}
