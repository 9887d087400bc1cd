//! Addresses of Google Cloud: static addresses, external and internal, each the address of a forwarding
//! rule whose backend service has `haPolicy.fastIPMove: GARP_RA`. The gateways are the service's
//! endpoints. The one that announces the address gets its packets at once; afterwards this crate makes
//! that one the service's leader, so that nothing rests on the announcements.
//!
//! State: Compute Engine's, read anew for every decision. Written by the one process that leads.
//! Always: a step is decided by a pure function of what was read (`plan`), and the next one from a new
//! read, so that a crash between any two is gone on from; an operation that somebody began is waited
//! for before anything is decided on its target; what Egret did not make is never changed or deleted.
//!
//! Sources: the discovery document of compute v1, and
//! <https://cloud.google.com/load-balancing/docs/garp-ra-packet-spec>.
#![forbid(unsafe_code)]

mod alias_range;
mod compute;
mod connect;
mod driver;
mod errors;
mod ha_policy;
mod inputs;
mod mode;
mod names;
mod options;
mod provider;
mod raw;
mod reads;
mod refusal;
mod snapshot;
mod step;
mod target_instance;

pub use connect::GcpCloud;
pub use options::GcpOptions;
pub use provider::Gcp;

#[cfg(test)]
mod tests;
