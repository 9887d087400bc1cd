//! The store of Egret's objects: a directory of manifests or the Kubernetes API.

use std::future::Future;
use std::sync::Arc;

pub use egret_core::model::Write;
use egret_core::model::{ObjectRef, ResourceVersion, Snapshot, Timestamp};
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
    fn write(
        &self,
        write: Write,
    ) -> impl Future<Output = Result<ResourceVersion, PortError>> + Send;

    /// Draws `count` numbers from the cluster's fence counter by compare-and-swap and returns the
    /// first: the caller owns `first .. first + count`. Numbers never repeat, not even when
    /// objects are deleted and made anew. Port-block epochs come from the same counter.
    fn draw_fences(&self, count: u64) -> impl Future<Output = Result<u64, PortError>> + Send;

    /// Takes or renews the leader lease for `holder`, a name that no other process uses; true where
    /// it is ours for `for_seconds` from the call. Who sees false must not write plans; an error
    /// lengthens nothing, and what an earlier call has taken is ours until that runs out.
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

/// Something that happened, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is about.
    pub about: ObjectRef,
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
