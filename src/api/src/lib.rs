//! The types of Egret's custom resources, group `egret.dev/v1alpha1`, as people write and read
//! them.
//!
//! With the feature `schema` they are kinds of `kube` too, and have CustomResourceDefinitions.
//!
//! State: none. In what people write text stays text here (`203.0.113.16/29`, `450ms`);
//! `egret-state` turns it into values of `egret-core`, or into sentences that name the field and
//! the remedy. What Egret alone writes is a type of `egret-core`, and only a kind here.
//! Always: every field is in the schema with a description. Unknown fields are ignored by these
//! types, so that an older program reads what a newer one wrote; who parses what a person wrote
//! must refuse them, since a selector with a typing mistake in it selects everything.
#![forbid(unsafe_code)]

mod claim;
mod common;
#[cfg(feature = "schema")]
mod crd;
pub mod nirmata;
#[cfg(feature = "schema")]
mod own_objects;
mod pool;

pub use claim::{
    ClaimStatus, ClaimSummary, ClusterStaticEgressIPSpec, Destination, MAX_COUNT,
    StaticEgressIPSpec,
};
#[cfg(feature = "schema")]
pub use claim::{ClusterStaticEgressIP, StaticEgressIP};
pub use common::LocalObjectReference;
#[cfg(feature = "schema")]
pub use crd::{YamlError, crds, crds_yaml, nirmata_crd, to_yaml};
#[cfg(feature = "schema")]
pub use own_objects::{EgressAddress, EgressCluster, EgressNode};
#[cfg(feature = "schema")]
pub use pool::EgressPool;
pub use pool::{
    AwsPool, DEFAULT_PORTS_PER_NODE, EgressPoolSpec, Failover, Gateways, GcpMode, GcpPool,
    MAX_LABEL, MAX_LABELS, MAX_TAG_KEY, MAX_TAG_VALUE, MAX_TAGS, PoolProvider, Ports,
};

/// The version of the API group `egret.dev` that this crate describes.
pub const VERSION: &str = "v1alpha1";
/// What `apiVersion` of Egret's manifests says.
pub const API_VERSION: &str = "egret.dev/v1alpha1";
