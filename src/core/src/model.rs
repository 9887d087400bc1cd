//! What Egret knows: pools, claims, addresses, nodes, workloads, and the snapshot of them all.
//!
//! Values here are validated: a manifest or an API object becomes one of them once, at the edge
//! (`egret-state`), and is never checked again further in.

mod address;
mod claim;
mod cluster;
mod labels;
mod names;
mod net;
mod node;
mod pool;
mod snapshot;
mod time;
mod workload;

pub use address::{
    AddressEnd, AddressPlan, AddressStatus, Attachment, EgressAddress, Epoch, Holding,
};
pub use claim::{Claim, ClaimStatus, Destination, PodSelection, SelectedPods, WhenUnavailable};
pub use cluster::{Cluster, ClusterRanges, FoundRanges, PodRangeSource, Voter, VoterSet};
pub use labels::{LabelSelector, Labels, Operator, Requirement};
pub use names::{ClaimRef, NamespaceName, NodeName, PoolName, Uid};
pub use net::{AddressRange, Family, PortRange};
pub use node::{BlockGrant, EgressNode, EgressNodeSpec, EgressNodeStatus, PublicKey, Role, Uplink};
pub use pool::{Failback, Failover, Pool, PoolStatus, ProviderKind};
pub use snapshot::{Broken, Condition, Scope, Snapshot, Stored, Version};
pub use time::{BadDuration, Millis, Timestamp};
pub use workload::{Namespace, Node, Pod, STARTUP_TAINT, Service};
