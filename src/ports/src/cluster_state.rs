//! The store of Egret's objects: a directory of manifests or the Kubernetes API.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use egret_core::model::{
    AddressPlan, AddressStatus, ClaimRef, ClaimStatus, Cluster, EgressNodeSpec, EgressNodeStatus,
    NodeName, PoolName, PoolStatus, Snapshot, Timestamp, Version,
};
use tokio::sync::watch;

use crate::error::PortError;

/// Reads and writes the cluster's objects.
///
/// # Guarantees
/// - The watched snapshot is complete (every kind has been listed) or `None`; while the store is
///   unreachable the last one stays, and nothing counts as deleted.
/// - A write with `expect` changes nothing where the stored version is another
///   (`ErrorClass::Conflict`). `expect: None` creates, and conflicts where the object exists.
///   The version is one for spec and status of an object, as `resourceVersion` is: a status
///   written in between makes a plan conflict, and its writer reads again and decides again.
/// - Writes are idempotent: writing what is there is success and changes no version.
/// - A version never repeats, not even when the object is deleted and made anew.
/// - Cancelling a future leaves the write done or not done, never half.
pub trait ClusterState: Send + Sync + 'static {
    /// The newest snapshot and its changes; `None` before the first complete one.
    fn watch(&self) -> watch::Receiver<Option<Arc<Snapshot>>>;

    /// Whether the last access to the store succeeded: changes are what conditions and events
    /// about an outage are made from.
    fn reachable(&self) -> watch::Receiver<bool>;

    /// A snapshot that is at least as new as the moment of the call (a quorum read; under the lock
    /// for a directory).
    fn read_consistent(&self) -> impl Future<Output = Result<Arc<Snapshot>, PortError>> + Send;

    /// One write; returns the version now stored.
    fn write(&self, write: Write) -> impl Future<Output = Result<Version, PortError>> + Send;

    /// Draws `count` numbers from the cluster's fence counter by compare-and-swap and returns the
    /// first: the caller owns `first .. first + count`. Numbers never repeat, not even when
    /// objects are deleted and made anew. Port-block epochs come from the same counter.
    fn draw_fences(&self, count: u64) -> impl Future<Output = Result<u64, PortError>> + Send;

    /// Takes or renews the leader lease for `holder`, a name that no other process uses; true where
    /// it is ours for `for_seconds` from the call. Who sees false or an error must not write plans.
    /// 0 seconds give it up, so that another takes it at once; the answer is false.
    ///
    /// Another's lease is taken when this process has seen it unchanged for as long as it says: no
    /// two clocks are compared, and a leader that was paused for that long has lost it.
    fn lead(
        &self,
        holder: &str,
        for_seconds: u32,
    ) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Appends an event for people; best effort, aggregated by the store.
    fn event(&self, event: Event) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// One write, of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The plan of an address (leader, or a person's command while no leader is there).
    AddressPlan {
        /// Which.
        address: IpAddr,
        /// The version that the decision was made from; `None` to create.
        expect: Option<Version>,
        /// The new plan.
        plan: AddressPlan,
    },
    /// The status of an address (its holder or the leader). Conflicts by version too;
    /// `ErrorClass::NotFound` where there is no such address.
    AddressStatus {
        /// Which.
        address: IpAddr,
        /// The version read.
        expect: Option<Version>,
        /// The new status.
        status: AddressStatus,
    },
    /// Removes an address that is free; success where it is gone already.
    DeleteAddress {
        /// Which.
        address: IpAddr,
        /// The version read.
        expect: Option<Version>,
    },
    /// Blocks and drain of a node. Creates the object where `expect` is `None`.
    NodeSpec {
        /// Which.
        node: NodeName,
        /// The version read.
        expect: Option<Version>,
        /// The new spec.
        spec: EgressNodeSpec,
    },
    /// Removes an `EgressNode` that has no block; success where it is gone already.
    DeleteNode {
        /// Which.
        node: NodeName,
        /// The version read.
        expect: Option<Version>,
    },
    /// Takes the startup taint off a Node; success where it has none. `ErrorClass::Invalid` in a
    /// store whose Nodes are files of people.
    AdmitPods {
        /// Which.
        node: NodeName,
    },
    /// What an agent says of itself. Creates the object where it is missing; never conflicts with
    /// a `NodeSpec` write of another (a subresource).
    NodeStatus {
        /// Which.
        node: NodeName,
        /// The new status.
        status: EgressNodeStatus,
    },
    /// The cluster object.
    Cluster {
        /// The version read; `None` to create.
        expect: Option<Version>,
        /// The new content.
        cluster: Cluster,
    },
    /// Pauses a pool or lets it go on (`spec.paused`). `ErrorClass::Invalid` in a store whose pools
    /// are files of people.
    PoolPaused {
        /// Which.
        pool: PoolName,
        /// Whether it is paused.
        paused: bool,
    },
    /// A pool's status; `ErrorClass::NotFound` where there is no such pool.
    PoolStatus {
        /// Which.
        pool: PoolName,
        /// The new status.
        status: PoolStatus,
    },
    /// A claim's status; `ErrorClass::NotFound` where there is no such claim.
    ClaimStatus {
        /// Which.
        claim: ClaimRef,
        /// The new status.
        status: ClaimStatus,
    },
}

/// Something that happened, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is about, such as `StaticEgressIP payments/bank` or `EgressNode node-3`.
    pub about: String,
    /// Warning where true, Normal where false.
    pub warning: bool,
    /// CamelCase, such as `HolderLost`.
    pub reason: String,
    /// The sentence.
    pub message: String,
    /// Who says so: `controller` or a node's name.
    pub source: String,
    /// When.
    pub at: Timestamp,
}
