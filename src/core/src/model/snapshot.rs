use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    Claim, ClaimRef, ClaimStatus, Cluster, ClusterStatus, DiscoveredRanges, EgressAddress,
    EgressNode, Namespace, NamespaceName, Node, NodeName, Pod, Pool, PoolName, PoolStatus, Service,
};

/// The version of a stored object, opaque: only compared for equality (`resourceVersion`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceVersion(pub String);

impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An object with the version that a compare-and-swap names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// The version read.
    pub version: ResourceVersion,
    /// The object.
    pub value: T,
}

/// Everything that was read, complete: a snapshot is only made when every kind has been listed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Pools with their written status.
    pub pools: BTreeMap<PoolName, Stored<(Pool, PoolStatus)>>,
    /// Claims with their written status.
    pub claims: BTreeMap<ClaimRef, Stored<(Claim, ClaimStatus)>>,
    /// Addresses in use.
    pub addresses: BTreeMap<IpAddr, Stored<EgressAddress>>,
    /// Egret's view of nodes.
    pub egress_nodes: BTreeMap<NodeName, Stored<EgressNode>>,
    /// The cluster object.
    pub cluster: Option<Stored<Cluster>>,
    /// The cluster object's written status.
    pub cluster_status: ClusterStatus,
    /// Kubernetes' nodes.
    pub nodes: BTreeMap<NodeName, Node>,
    /// Namespaces.
    pub namespaces: BTreeMap<NamespaceName, Namespace>,
    /// Pods by namespace and name.
    pub pods: BTreeMap<(NamespaceName, String), Pod>,
    /// Services by namespace and name.
    pub services: BTreeMap<(NamespaceName, String), Service>,
    /// What could not be read, skipped and reported.
    pub invalid_objects: Vec<InvalidObject>,
    /// Claims that are there and could never be read: what they have stays theirs.
    pub unreadable_claims: BTreeSet<ClaimRef>,
    /// Whose view this is.
    pub scope: SnapshotScope,
    /// Ranges found in objects that are not Egret's.
    pub discovered: DiscoveredRanges,
}

/// How much of the cluster a snapshot shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnapshotScope {
    /// All of it.
    #[default]
    Cluster,
    /// What the agent of one node watches in a large cluster: no Nodes, Namespaces and Services
    /// (claims carry what the controller resolved), only its own node's pods, and of the
    /// `EgressNode`s only those that it needs.
    Node,
}

/// An object or file that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InvalidObject {
    /// The file (with line) or object.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
}
