//! Cluster state: objects in, snapshot out; writes by compare-and-swap.
//!
//! State: a directory of manifests. People write the files; Egret writes only below
//! `egret.dev/` in it, one object per file.
//! Always: an object is checked once, here, and is a value of `egret-core` from then on; what
//! cannot be read is reported by file, line and remedy and never counts as deleted.
#![forbid(unsafe_code)]

pub mod convert;
pub mod directory;
pub mod manifest;

pub use directory::{DirectoryState, RecordedEvent, StoreError, events, read_once};
