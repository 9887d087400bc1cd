//! The types of Egret's custom resources, group `egret.dev/v1alpha1`, as people write and read
//! them.
//!
//! With the feature `schema` they are kinds of `kube` too, and have CustomResourceDefinitions.
//!
//! State: none. Text stays text here (`203.0.113.16/29`, `450ms`); `egret-state` turns it into
//! values of `egret-core`, or into sentences that name the field and the remedy.
//! Always: every field is in the schema with a description. Unknown fields are ignored by these
//! types, so that an older program reads what a newer one wrote; who parses what a person wrote
//! must refuse them, since a selector with a typing mistake in it selects everything.
#![forbid(unsafe_code)]

mod address;
mod claim;
mod cluster;
mod common;
#[cfg(feature = "schema")]
mod crd;
pub mod nirmata;
mod node;
mod pool;

#[cfg(feature = "schema")]
pub use address::EgressAddress;
pub use address::{
    AddressSummary, Attachment, ClaimRef, EgressAddressSpec, EgressAddressStatus, Epoch, Holding,
    Released, Revoked,
};
pub use claim::{
    ClaimStatus, ClaimSummary, ClusterStaticEgressIPSpec, Destination, MAX_COUNT, SelectedPods,
    StaticEgressIPSpec, WhenUnavailable,
};
#[cfg(feature = "schema")]
pub use claim::{ClusterStaticEgressIP, StaticEgressIP};
#[cfg(feature = "schema")]
pub use cluster::EgressCluster;
pub use cluster::{ClusterRanges, EgressClusterSpec, PodRangeSource, Voter, VoterSet};
pub use common::{
    Condition, ConditionStatus, Family, LabelSelector, ObjectRef, Operator, Requirement,
};
#[cfg(feature = "schema")]
pub use crd::{YamlError, crds, crds_yaml, nirmata_crd, to_yaml};
#[cfg(feature = "schema")]
pub use node::EgressNode;
pub use node::{BlockGrant, EgressNodeSpec, EgressNodeStatus, PortRange, Role, Uplink};
#[cfg(feature = "schema")]
pub use pool::EgressPool;
pub use pool::{
    AwsPool, DEFAULT_PORTS_PER_NODE, EgressPoolSpec, EgressPoolStatus, Failback, Failover,
    Gateways, MAX_TAG_KEY, MAX_TAG_VALUE, MAX_TAGS, Ports, Provider,
};

/// The API group of Egret's kinds.
pub const GROUP: &str = "egret.dev";
/// The version of that group that this crate describes.
pub const VERSION: &str = "v1alpha1";
/// What `apiVersion` of Egret's manifests says.
pub const API_VERSION: &str = "egret.dev/v1alpha1";
