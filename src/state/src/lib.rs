//! Cluster state: objects in, snapshot out; writes by compare-and-swap.
//!
//! State: a directory of manifests, in which Egret writes only below `egret.dev/`, one object per
//! file (but for `paused` of a pool, which a person has it write into his file); or, with the feature `kubernetes`, the Kubernetes API.
//! Always: an object is checked once, here, and is a value of `egret-core` from then on; what
//! cannot be read is reported by file, line and remedy and never counts as deleted.
#![forbid(unsafe_code)]

pub mod convert;
pub mod directory;
mod election;
mod error;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod manifest;
mod mutex;
mod reachability;
mod recorded_event;

pub use directory::{DirectoryState, events, read_once};
pub use error::{Outage, StoreError, VersionConflict};
#[cfg(feature = "kubernetes")]
pub use kubernetes::KubernetesState;
pub use recorded_event::RecordedEvent;
