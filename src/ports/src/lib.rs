//! The traits behind which Egret's effects live, with their contracts.
//!
//! State: none. Every trait takes and returns values of `egret-core`; no SDK, Kubernetes or
//! netlink type appears. Beside them is how errors of all of them are met (by class, with a wait
//! that grows), and for providers locks by name and changes that become one call. Behind the feature `contract` are the suites that every implementation
//! of a trait runs as its own test.
#![forbid(unsafe_code)]

pub mod announcer;
pub mod backoff;
pub mod clock;
pub mod cluster_state;
pub mod error;
pub mod gateway;
pub mod locks;
pub mod merge;
pub mod provider;
pub mod steering;

#[cfg(feature = "contract")]
pub mod contract;
