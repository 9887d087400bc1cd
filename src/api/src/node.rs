use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::common::Condition;

/// What the controller leased to a node and asks of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(kube::CustomResource, schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    kube(
        group = "egret.dev",
        version = "v1alpha1",
        kind = "EgressNode",
        plural = "egressnodes",
        category = "egret",
        status = "EgressNodeStatus",
        derive = "PartialEq",
        doc = "What Egret knows of one node: port blocks leased to it and drain (spec, written by the controller), and what its agent says (status).",
        printcolumn(name = "Drain", type_ = "boolean", json_path = ".spec.drain"),
        printcolumn(
            name = "Ready",
            type_ = "string",
            json_path = r#".status.conditions[?(@.type=="Ready")].status"#
        ),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
    )
)]
#[serde(rename_all = "camelCase", default)]
pub struct EgressNodeSpec {
    /// Port blocks leased to this node.
    pub blocks: Vec<BlockGrant>,
    /// Hand over what the node holds and give it nothing new (egret drain).
    pub drain: bool,
    /// Why every agent knows this node: Gateway, Voter or both.
    pub roles: BTreeSet<Role>,
    /// Ranges of the node's own pods, where the cluster assigns them by node.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: BTreeSet<String>,
}

/// Why every agent knows a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Role {
    /// A pool's node selector selects it.
    Gateway,
    /// It is a member of the newest voter set.
    Voter,
}

/// A lease of ports of one egress address to one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BlockGrant {
    /// The egress address.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "ip")))]
    pub address: String,
    /// The source ports.
    pub ports: PortRange,
    /// Orders grants; gateways acknowledge up to a number.
    pub epoch: u64,
    /// The epoch of the grant's end, once it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// When every gateway had acknowledged the end (RFC 3339): quarantine counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub quarantined_since: Option<String>,
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

/// What a node's agent says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct EgressNodeStatus {
    /// Addresses of the tunnel and of the agent's datagrams, one per family at most.
    pub endpoints: Vec<String>,
    /// The UDP port of messages between agents.
    pub peer_port: u16,
    /// The node's X25519 public key, 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Links to the world, with their subnets.
    pub uplinks: Vec<Uplink>,
    /// The id of the boot for which the agent is past its silence and may vote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_vote: Option<String>,
    /// The newest voter set that this voter has acknowledged.
    pub acknowledged_set: u64,
    /// Fences of ending addresses that this voter has acknowledged.
    pub acknowledged_fences: BTreeMap<String, u64>,
    /// Nodes that this voter has not heard for 10 s.
    pub absent: BTreeSet<String>,
    /// How many port blocks this node needs of each address that its pods use.
    pub block_needs: BTreeMap<String, u32>,
    /// Every grant and end up to this epoch is in this gateway's kernel.
    pub acknowledged_blocks: u64,
    /// Released addresses of which this node has no connection left.
    pub idle_addresses: BTreeSet<String>,
    /// Claims with pods on this node that it cannot programme, such as payments/bank; the conditions
    /// say why.
    pub unprogrammed_claims: BTreeSet<String>,
    /// Claims that lose destinations of pods on this node to other claims, and to which.
    pub overridden_claims: BTreeMap<String, BTreeSet<String>>,
    /// Ready, DatapathBypassed and others.
    pub conditions: Vec<Condition>,
}

/// A link to the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Uplink {
    /// The interface's name.
    pub name: String,
    /// The subnets of its addresses.
    pub subnets: Vec<String>,
}
