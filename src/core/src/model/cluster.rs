use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Millis, NodeName, PublicKey};

/// The `EgressCluster`: one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Random, made with the object: tells this cluster's state from another's.
    pub id: String,
    /// The newest set of voters; `None` before the first.
    #[serde(default)]
    pub set: Option<VoterSet>,
    /// The longest T that any pool may have; fixed once the first set is made.
    pub t_max: Millis,
    /// What is never steered.
    #[serde(default)]
    pub ranges: ClusterRanges,
    /// `egret uninstall` runs: agents take everything out of their kernels, and nothing is planned.
    #[serde(default)]
    pub uninstalling: bool,
}

/// A numbered set of voters (docs/leases.md rules 19 to 23).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoterSet {
    /// Grows with every change.
    pub number: u64,
    /// 1, 3 or 5 members at rest, in order of name; any number while it grows or shrinks.
    pub members: Vec<Voter>,
}

/// A voter, with what is needed to reach it without the API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Voter {
    /// The node whose agent votes.
    pub node: NodeName,
    /// Where its agent listens, one per family at most.
    pub endpoints: Vec<IpAddr>,
    /// The UDP port there.
    pub peer_port: u16,
    /// Its public key.
    pub public_key: PublicKey,
}

/// Ranges that traffic never leaves the cluster for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterRanges {
    /// Ranges of pod addresses.
    pub pods: BTreeSet<IpNet>,
    /// Where they were found.
    pub pods_from: PodRangeSource,
    /// Ranges of Service addresses.
    pub services: BTreeSet<IpNet>,
    /// Addresses of nodes.
    pub nodes: BTreeSet<IpAddr>,
}

/// Where the ranges of pods were found; the first of these that has any is believed alone, since a
/// network plug-in with ranges of its own leaves those of the Nodes unused.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum PodRangeSource {
    /// `--pod-cidr`.
    Flags,
    /// Calico's IPPools.
    CalicoIPPools,
    /// Cilium's CiliumNodes.
    CiliumNodes,
    /// `spec.podCIDRs` of the Nodes.
    #[default]
    Nodes,
}

/// Ranges that the store found in objects of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundRanges {
    /// Ranges of pods, by where they were found.
    pub pods: BTreeMap<PodRangeSource, BTreeSet<IpNet>>,
    /// Ranges of Services (ServiceCIDR objects).
    pub services: BTreeSet<IpNet>,
}
