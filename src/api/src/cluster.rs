use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The cluster: one object, named `cluster`, written by the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(kube::CustomResource, schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    kube(
        group = "egret.dev",
        version = "v1alpha1",
        kind = "EgressCluster",
        plural = "egressclusters",
        category = "egret",
        derive = "PartialEq",
        doc = "What all of Egret's nodes share: the cluster's id, its voters and the ranges that are never steered. One object, named cluster.",
        printcolumn(name = "Set", type_ = "integer", json_path = ".spec.set.number"),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
    )
)]
#[serde(rename_all = "camelCase")]
pub struct EgressClusterSpec {
    /// Tells this cluster's state from another's.
    pub id: String,
    /// The newest set of voters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<VoterSet>,
    /// The longest lease that any pool may have, such as 10s.
    pub t_max: String,
    /// What is never steered.
    #[serde(default)]
    pub ranges: ClusterRanges,
    /// Set by egret uninstall: agents take everything out of their nodes' kernels and nothing is
    /// planned any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uninstalling: bool,
}

/// A numbered set of voters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct VoterSet {
    /// Grows with every change.
    pub number: u64,
    /// The members, in order of their nodes' names.
    pub members: Vec<Voter>,
}

/// A voter, with what is needed to reach it without the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Voter {
    /// The node whose agent votes.
    pub node: String,
    /// Where its agent listens, one address per family at most.
    pub endpoints: Vec<String>,
    /// The UDP port there.
    pub peer_port: u16,
    /// Its X25519 public key, 64 hexadecimal digits.
    pub public_key: String,
}

/// Ranges that are inside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterRanges {
    /// Ranges of pod addresses.
    pub pods: BTreeSet<String>,
    /// Where the ranges of pods were found.
    pub pods_from: PodRangeSource,
    /// Ranges of Service addresses.
    pub services: BTreeSet<String>,
    /// Addresses of nodes.
    pub nodes: BTreeSet<String>,
}

/// Where the ranges of pods were found; the first that has any is believed alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PodRangeSource {
    /// The flag --pod-cidr of the controller.
    Flags,
    /// The IPPools of Calico.
    CalicoIPPools,
    /// The CiliumNodes of Cilium.
    CiliumNodes,
    /// spec.podCIDRs of the Nodes.
    #[default]
    Nodes,
}
