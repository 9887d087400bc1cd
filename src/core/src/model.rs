//! What Egret knows: pools, claims, addresses, nodes, workloads, and the snapshot of them all.
//!
//! Values here are validated: a manifest or an API object becomes one of them once, at the edge
//! (`egret-state`), and is never checked again further in.

mod address;
mod address_spec;
mod claim;
mod cluster;
mod condition;
mod endpoint;
mod event;
mod labels;
mod names;
mod net;
mod node;
mod object_ref;
mod pool;
mod provider;
mod reach;
mod settings;
mod snapshot;
mod text;
mod time;
mod workload;
mod write;

pub use address::{
    AddressEnd, AddressPlan, AddressStatus, Attachment, EgressAddress, Epoch, Holding,
};
pub use address_spec::AddressSpec;
pub use claim::{
    Claim, ClaimPart, ClaimStatus, Destination, PodSelection, SelectedPods, WhenUnavailable,
};
pub use cluster::{
    ApiServerReading, Cluster, ClusterRanges, ClusterStatus, DiscoveredRanges, PodRangeSource,
    UnreadableRanges, Voter, VoterSet,
};
pub use condition::{Condition, ConditionSummary, ConditionType};
pub use endpoint::{ENDPOINT_ANNOTATION, EndpointAnnotation, EndpointChoice, address_or_subnet};
pub use event::EventDraft;
pub use labels::{LabelSelector, Labels, Operator, Requirement};
pub use names::{ClaimRef, NamespaceName, NodeName, PoolName, Uid};
pub use net::{AddressRange, Family, PortRange};
pub use node::{
    BlockGrant, EgressNode, EgressNodeSpec, EgressNodeStatus, NAMED_SHARED_ADDRESSES, NodeRole,
    PublicKey, Uplink,
};
pub use object_ref::ObjectRef;
pub use pool::{Failback, Failover, Pool, PoolStatus, Rebalance, RebalanceMove};
pub use provider::{AnnouncementForm, Announcing, Fence, Placement, ProviderFacts, ProviderKind};
pub use reach::{MovedOff, Reach, ReachAnswer, ReachQuestion};
pub use settings::ControllerSettings;
pub use snapshot::{InvalidObject, ResourceVersion, Snapshot, SnapshotScope, Stored};
pub use text::{Text, not_a_cidr};
pub use time::{BadDuration, Millis, Timestamp};
pub use workload::{LeavingReason, Namespace, Node, Pod, RangeReading, STARTUP_TAINT, Service};
pub use write::Write;
