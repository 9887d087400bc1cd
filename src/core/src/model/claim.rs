use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    ClaimRef, Condition, Family, LabelSelector, NamespaceName, NodeName, PoolName, Timestamp, Uid,
};

/// A `StaticEgressIP` or `ClusterStaticEgressIP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Namespace and name; no namespace for the cluster-wide kind.
    pub reference: ClaimRef,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// The pool to take addresses from.
    pub pool: PoolName,
    /// Addresses asked for by name; empty where the pool chooses.
    pub addresses: Vec<IpAddr>,
    /// Addresses per family where the pool chooses: at least 1.
    pub count: u32,
    /// The families asked for; `None`: what the pool has of the cluster's.
    pub families: Option<BTreeSet<Family>>,
    /// Which pods.
    pub pods: PodSelection,
    /// For the cluster-wide kind: which namespaces. `None` for the namespaced kind.
    pub namespaces: Option<LabelSelector>,
    /// Where to; `None`: everywhere outside the cluster.
    pub destinations: Option<Vec<Destination>>,
    /// What happens to new connections while nobody holds the address.
    pub when_unavailable: WhenUnavailable,
    /// Further pods with destinations of their own, for the same addresses: of an object of the
    /// original project, one for each further Service.
    pub further: Vec<ClaimPart>,
}

/// Pods, and where to they leave with the claim's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPart {
    /// Which pods.
    pub pods: PodSelection,
    /// Where to; `None`: everywhere outside the cluster.
    pub destinations: Option<Vec<Destination>>,
}

impl Claim {
    /// The pods of each part, with their destinations: at least one.
    pub fn parts(&self) -> impl Iterator<Item = (&PodSelection, Option<&[Destination]>)> {
        let further = self.further.iter().map(|part| (&part.pods, part.destinations.as_deref()));
        std::iter::once((&self.pods, self.destinations.as_deref())).chain(further)
    }
}

/// How a claim selects pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodSelection {
    /// `podSelector`.
    Labels(LabelSelector),
    /// `serviceName`: the pods that this Service's selector selects.
    Service(String),
}

/// A destination range without its exceptions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Destination {
    /// The range, truncated to its prefix.
    pub cidr: IpNet,
    /// Ranges inside `cidr` that are not selected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<IpNet>,
}

/// What happens to new connections while nobody holds the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum WhenUnavailable {
    /// They are dropped: selected traffic never leaves with another source.
    #[default]
    Drop,
    /// They leave with the node's own address.
    Node,
}

/// What the controller says of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimStatus {
    /// The generation that the conditions speak of.
    pub observed_generation: i64,
    /// The addresses bound, in order of family and value.
    pub addresses: Vec<IpAddr>,
    /// The holders of these addresses, for people: `GATEWAY` of `kubectl get`.
    pub gateways: Vec<NodeName>,
    /// The pods of a claim that names a Service or selects namespaces, as the controller resolved
    /// them; empty where the claim's own selector says it all.
    pub selected: Vec<SelectedPods>,
    /// `Accepted`, `Bound`, `Programmed`, `Ready`.
    pub conditions: Vec<Condition>,
}

/// Pods of some namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SelectedPods {
    /// The namespaces.
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub namespaces: BTreeSet<NamespaceName>,
    /// Labels of the pods in each of them.
    #[serde(rename = "podSelector")]
    pub pods: LabelSelector,
    // Controllers before this field leave it out: their claims name one Service at most.
    /// The Service that selects them, where the claim names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}
