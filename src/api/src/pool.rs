#![cfg_attr(
    feature = "schema",
    expect(
        clippy::duplicated_attributes,
        reason = "clippy takes the fields of several printcolumns for those of one"
    )
)]

use std::collections::BTreeMap;

use egret_core::model::{Failback, LabelSelector, Rebalance};
use serde::{Deserialize, Serialize};

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
        status = "egret_core::model::PoolStatus",
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
    /// Who brings the addresses to nodes: a cloud, or with L2 the gateways themselves, which announce
    /// them by ARP and NDP.
    pub provider: PoolProvider,
    /// The addresses: CIDRs (203.0.113.16/29), ranges (203.0.113.40-203.0.113.47) and single
    /// addresses, of both families. The network and broadcast address of an IPv4 CIDR shorter than
    /// /31 are never given out. A pool of provider AWS may have aws instead, or both, and one of
    /// provider GCP gcp.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// How a pool of provider AWS finds its addresses, in addition to those listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsPool>,
    /// What only a pool of provider GCP has: its mode, and how it finds addresses in addition to
    /// those listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcp: Option<GcpPool>,
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
    /// While true, no address of the pool is bound, moved, revoked or freed.
    #[serde(default)]
    pub paused: bool,
}

/// Who brings the addresses of a pool to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PoolProvider {
    /// The gateways themselves: addresses of a local subnet, announced by ARP and NDP.
    L2,
    /// EC2: private addresses and Elastic IPs, attached to network interfaces of the gateways.
    #[serde(rename = "AWS")]
    Aws,
    /// Google Cloud, as spec.gcp.mode says.
    #[serde(rename = "GCP")]
    Gcp,
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

/// The most labels of a resource of Google Cloud, and the longest key and value of one, in characters
/// (<https://cloud.google.com/compute/docs/labeling-resources#restrictions>).
pub const MAX_LABELS: usize = 64;
/// See [`MAX_LABELS`].
pub const MAX_LABEL: usize = 63;

/// How a pool of provider GCP gets its addresses to gateways, and how it finds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GcpPool {
    /// How Google's network delivers the addresses: HAPolicy, to the gateway that announces them (static
    /// addresses, external and internal; no call to Google is in the way of a failover);
    /// TargetInstance, to the target instance of their forwarding rule, which Egret sets (static
    /// external addresses, for projects that cannot use HAPolicy); AliasRange, to the network interface
    /// that has them as alias ranges, which Egret moves (internal addresses of the gateways'
    /// subnetwork).
    #[serde(default)]
    pub mode: GcpMode,
    /// Every static address of the gateways' projects and regions that has all of these labels, and
    /// that the mode can serve, is an address of the pool. At least one; keys have 1 to 63 characters,
    /// values at most 63, and neither has capital letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_labels: Option<BTreeMap<String, String>>,
    /// While true, nodes of GKE with Dataplane V2 may be gateways. Google supports no eBPF programs of
    /// others beside it, so they are refused without this.
    #[serde(default)]
    pub accept_unsupported_dataplane: bool,
}

/// How Google's network delivers the addresses of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum GcpMode {
    /// To the gateway that announces them (haPolicy.fastIPMove): static addresses, external and
    /// internal. No call to Google is in the way of a failover.
    #[default]
    #[serde(rename = "HAPolicy")]
    HaPolicy,
    /// To the target instance of their forwarding rule, which Egret sets: static external addresses,
    /// for projects that cannot use HAPolicy.
    TargetInstance,
    /// To the network interface that has them as alias ranges, which Egret moves: internal addresses
    /// of the gateways' subnetwork.
    AliasRange,
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
    /// Whether addresses move to gateways that have fewer of the pool: Never; Gradually, one at a time, at
    /// most one a minute, to gateways that have been there for five minutes, while none is drained or
    /// absent. Default: Gradually with provider L2, where a move costs no connection; Never in clouds,
    /// where each costs calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<Rebalance>,
}

/// How the source ports of an address are shared between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Ports {
    /// The upper bound of a new port block's size: a power of two, 128 to 8192. Blocks are smaller
    /// where many nodes share an address.
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
    /// 450ms, 2s where the cloud moves addresses by calls (provider AWS; GCP with mode TargetInstance
    /// or AliasRange), or 10s where the node selector matches exactly one node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// When an address goes back to the node that it failed over from: Never; WhenDrained, once its
    /// holder is drained; Immediately, once that node has been healthy for five minutes.
    #[serde(default)]
    pub failback: Failback,
    /// How long an address whose claim has ended serves its open connections, such as 1h (the
    /// default); 0s ends it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_after: Option<String>,
}
