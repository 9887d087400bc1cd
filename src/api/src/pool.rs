#![cfg_attr(
    feature = "schema",
    expect(
        clippy::duplicated_attributes,
        reason = "clippy takes the fields of several printcolumns for those of one"
    )
)]

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::common::{Condition, LabelSelector};

/// Where egress addresses come from, which nodes may carry them and who may claim them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(kube::CustomResource, schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    kube(
        group = "egret.dev",
        version = "v1alpha1",
        kind = "EgressPool",
        plural = "egresspools",
        category = "egret",
        status = "EgressPoolStatus",
        derive = "PartialEq",
        doc = "A pool of egress addresses: where they come from, which nodes may carry them and which namespaces may claim them.",
        printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider"),
        printcolumn(name = "Paused", type_ = "boolean", json_path = ".spec.paused"),
        printcolumn(
            name = "Ready",
            type_ = "string",
            json_path = r#".status.conditions[?(@.type=="Ready")].status"#
        ),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
    )
)]
#[serde(rename_all = "camelCase")]
pub struct EgressPoolSpec {
    /// Who attaches the addresses to nodes.
    pub provider: Provider,
    /// The addresses: CIDRs (203.0.113.16/29), ranges (203.0.113.40-203.0.113.47) and single
    /// addresses, of both families. The network and broadcast address of an IPv4 CIDR shorter than
    /// /31 are never given out. A pool of provider AWS may have aws instead, or both.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// How a pool of provider AWS finds its addresses, in addition to those listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsPool>,
    /// Which nodes carry the addresses.
    pub gateways: Gateways,
    /// Labels of the namespaces that may claim addresses; {} admits all, and without it none is
    /// admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<LabelSelector>,
    /// How the source ports of an address are shared between nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Ports>,
    /// Leases, failback and the end of an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// A paused pool moves nothing and fences nothing.
    #[serde(default)]
    pub paused: bool,
}

/// Who attaches addresses to nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Provider {
    /// Addresses of a local subnet, announced by ARP and NDP.
    #[default]
    L2,
    /// Private addresses and Elastic IPs of EC2, attached to network interfaces of the gateways.
    #[serde(rename = "AWS")]
    Aws,
}

/// The most tags of a resource of EC2 and the longest key and value of one, in characters
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions>).
pub const MAX_TAGS: usize = 50;
/// See [`MAX_TAGS`].
pub const MAX_TAG_KEY: usize = 128;
/// See [`MAX_TAGS`].
pub const MAX_TAG_VALUE: usize = 256;

/// How a pool of provider AWS finds its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AwsPool {
    /// Every Elastic IP of the account and region that has all of these tags is an address of the
    /// pool. At least one; keys have 1 to 128 characters, values at most 256.
    #[serde(default, rename = "elasticIPTags")]
    pub elastic_ip_tags: BTreeMap<String, String>,
}

/// Which nodes carry the addresses of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Gateways {
    /// Labels of the nodes; {} selects all nodes.
    pub node_selector: LabelSelector,
    /// The most addresses that one node holds, at least 1; no limit without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_addresses_per_node: Option<u32>,
}

/// How the source ports of an address are shared between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Ports {
    /// The largest default size of a node's port block: a power of two, 128 to 8192.
    #[serde(default = "default_ports_per_node")]
    pub per_node: u32,
}

/// `spec.ports.perNode` of a pool that does not say.
pub const DEFAULT_PORTS_PER_NODE: u32 = 1024;

fn default_ports_per_node() -> u32 {
    DEFAULT_PORTS_PER_NODE
}

/// Leases, failback and the end of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// How long a holder keeps an address without renewal, such as 450ms: 100ms to 10s. Default:
    /// 450ms, 2s where a cloud is the provider, or 10s where the node selector matches exactly one
    /// node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// When an address goes back to the node that it failed over from.
    #[serde(default)]
    pub failback: Failback,
    /// How long an address whose claim has ended serves its open connections, such as 1h (the
    /// default); 0s ends it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_after: Option<String>,
}

/// When an address goes back to the node that it failed over from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Failback {
    /// It stays where it is.
    #[default]
    Never,
    /// Back when the present holder is drained.
    WhenDrained,
    /// Back after 5 minutes of health.
    Immediately,
}

/// What the controller says of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct EgressPoolStatus {
    /// The generation that the conditions speak of.
    pub observed_generation: i64,
    /// The addresses that were found by the tags of the spec.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub addresses: BTreeSet<String>,
    /// Ready, Paused and others.
    pub conditions: Vec<Condition>,
}
