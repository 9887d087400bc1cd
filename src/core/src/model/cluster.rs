use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Condition, Millis, NodeName, PublicKey, RangeReading, text};

// What people read of these types in `kubectl explain` are their comments here.

/// The cluster: one object, named `cluster`, written by the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    // Random, made with the object.
    /// Tells this cluster's state from another's.
    pub id: String,
    // `None` before the first.
    /// The newest set of voters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<VoterSet>,
    // T_max; fixed once the first set is made.
    /// The longest lease that any pool may have, such as 10s.
    #[serde(with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub t_max: Millis,
    /// What is never steered.
    #[serde(default)]
    pub ranges: ClusterRanges,
    /// Set by egret uninstall: agents take everything out of their nodes' kernels and nothing is
    /// planned any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uninstalling: bool,
}

// docs/leases.md rules 19 to 23; 1, 3 or 5 members at rest, any number while it grows or shrinks.
/// A numbered set of voters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct VoterSet {
    /// Grows with every change.
    pub number: u64,
    /// The members, in order of their nodes' names.
    pub members: Vec<Voter>,
}

/// A voter, with what is needed to reach it without the API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Voter {
    /// The node whose agent votes.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub node: NodeName,
    /// Where its agent listens, one address per family at most.
    #[serde(with = "text::list")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub endpoints: Vec<IpAddr>,
    /// The UDP port there.
    pub peer_port: u16,
    /// Its X25519 public key, 64 hexadecimal digits.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub public_key: PublicKey,
}

/// Ranges that are inside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterRanges {
    /// Ranges of pod addresses.
    #[serde(with = "text::set")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub pods: BTreeSet<IpNet>,
    /// Where the ranges of pods were found.
    pub pods_from: PodRangeSource,
    /// Ranges of Service addresses.
    #[serde(with = "text::set")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub services: BTreeSet<IpNet>,
    /// Addresses of nodes.
    #[serde(with = "text::set")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub nodes: BTreeSet<IpAddr>,
    /// Objects whose ranges could not be read, and never could. While there is one, nobody knows what
    /// is outside the cluster.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unread: BTreeSet<String>,
    /// Objects whose ranges cannot be read now: what was read of them before counts.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub kept: BTreeSet<String>,
    // Empty where an earlier version wrote it.
    /// Addresses of the API servers: those behind the Service kubernetes in the namespace default. One
    /// stays for ten minutes after it was there last, and while nobody can tell.
    #[serde(with = "text::set", skip_serializing_if = "BTreeSet::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub api_servers: BTreeSet<IpAddr>,
}

/// What the controller cannot do for want of something that people must give it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterStatus {
    /// What is wrong, and what to do; nothing where all is well.
    pub conditions: Vec<Condition>,
}

// A network plug-in with ranges of its own leaves those of the Nodes unused.
/// Where the ranges of pods were found; the first that has any is believed alone.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
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

/// Ranges that the store found in objects of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoveredRanges {
    /// Ranges of pods, by where they were found.
    pub pods: BTreeMap<PodRangeSource, BTreeSet<IpNet>>,
    /// Those of them that are one node's alone, where the network plug-in assigns ranges to nodes.
    pub by_node: BTreeMap<NodeName, BTreeSet<IpNet>>,
    /// Ranges of Services (ServiceCIDR objects).
    pub services: BTreeSet<IpNet>,
    /// Addresses of the API servers (the EndpointSlice of `kubernetes.default`).
    pub api_servers: ApiServerReading,
    /// Objects whose ranges cannot be read now, and how what is above has them. Nodes say it
    /// themselves.
    pub unreadable: BTreeSet<UnreadableRanges>,
}

/// What was read of the API servers' addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ApiServerReading {
    /// Nobody asks: there is no API server, or this is no controller's view.
    #[default]
    NotAsked,
    /// The API server does not allow it (403).
    NotAllowed,
    /// There is no such object, or nothing of it can be read.
    Missing,
    /// These are there now.
    Read(BTreeSet<IpAddr>),
}

/// An object whose ranges cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnreadableRanges {
    /// Which ranges of pods it has; `None`: of Services.
    pub pods: Option<PodRangeSource>,
    /// Kind and name.
    pub object: String,
    /// `Kept` or `Unread`.
    pub reading: RangeReading,
}
