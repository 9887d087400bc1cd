//! What both daemons share: arguments, logging, metrics, health, shutdown, clocks, and
//! what only a node has: one lock, a raised thread.
//!
//! State: the process's log subscriber ([`log::init`], once), its signal handlers
//! ([`shutdown::Shutdown::install`], once), its [`health::Health`] and metrics registry, and the
//! lock file of the node ([`lock::NodeLock`]). Each is written by who made it.
//! Always: nothing here knows what an egress address is.
#![forbid(unsafe_code)]

pub mod clock;
mod exposition;
pub mod health;
pub mod http;
pub mod log;
pub mod metrics;
pub mod shutdown;

#[cfg(target_os = "linux")]
pub mod lock;
#[cfg(target_os = "linux")]
pub mod memory;
#[cfg(target_os = "linux")]
pub mod priority;

pub use prometheus_client;
