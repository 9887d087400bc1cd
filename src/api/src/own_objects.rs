//! The kinds that Egret alone writes: types of `egret-core` as custom resources.
#![expect(
    clippy::duplicated_attributes,
    reason = "clippy takes the fields of several printcolumns for those of one"
)]

use egret_core::model::{
    AddressSpec, AddressStatus, Cluster, ClusterStatus, EgressNodeSpec, EgressNodeStatus,
};
use serde::{Deserialize, Serialize};

/// The plan of one egress address: written by the controller.
#[derive(
    Clone, Debug, PartialEq, Eq, Serialize, Deserialize, kube::CustomResource, schemars::JsonSchema,
)]
#[kube(
    group = "egret.dev",
    version = "v1alpha1",
    kind = "EgressAddress",
    plural = "egressaddresses",
    category = "egret",
    status = "AddressStatus",
    selectable = ".spec.poolRef.name",
    selectable = ".spec.owner",
    derive = "PartialEq",
    doc = "One egress address in use: who should hold it (spec, written by the controller) and who does (status).",
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.address"),
    printcolumn(name = "Pool", type_ = "string", json_path = ".spec.poolRef.name"),
    printcolumn(name = "Claim", type_ = "string", json_path = ".spec.summary.claim"),
    printcolumn(name = "Holder", type_ = "string", json_path = ".status.holding.node"),
    printcolumn(name = "Standbys", type_ = "string", json_path = ".spec.summary.standbys"),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.since"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    )
)]
#[serde(transparent)]
pub struct EgressAddressSpec(pub AddressSpec);

/// What the controller leased to a node and asks of it.
#[derive(
    Clone, Debug, PartialEq, Eq, Serialize, Deserialize, kube::CustomResource, schemars::JsonSchema,
)]
#[kube(
    group = "egret.dev",
    version = "v1alpha1",
    kind = "EgressNode",
    plural = "egressnodes",
    category = "egret",
    status = "EgressNodeStatus",
    derive = "PartialEq",
    doc = "What Egret knows of one node: port blocks leased to it and drain (spec, written by the controller), and what its agent says (status).",
    printcolumn(name = "Drain", type_ = "boolean", json_path = ".spec.drain"),
    printcolumn(name = "Leaving", type_ = "string", json_path = ".spec.leaving"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Agent absent",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="AgentAbsent")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(transparent)]
pub struct EgressNodeKindSpec(pub EgressNodeSpec);

/// The cluster: one object, named `cluster`, written by the controller.
#[derive(
    Clone, Debug, PartialEq, Eq, Serialize, Deserialize, kube::CustomResource, schemars::JsonSchema,
)]
#[kube(
    group = "egret.dev",
    version = "v1alpha1",
    kind = "EgressCluster",
    plural = "egressclusters",
    category = "egret",
    status = "ClusterStatus",
    derive = "PartialEq",
    doc = "What all of Egret's nodes share: the cluster's id, its voters and the ranges that are never steered. One object, named cluster.",
    printcolumn(name = "Set", type_ = "integer", json_path = ".spec.set.number"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(transparent)]
pub struct EgressClusterSpec(pub Cluster);
