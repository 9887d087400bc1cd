//! A cloud in memory, and a provider for it: for tests of everything that moves addresses.
//!
//! State: a [`Cloud`] holds nodes with zones and room, addresses with zones and wire addresses,
//! what is attached where, a latency, a reading lag, and a script of faults. Tests write it through
//! its setters, [`Fake`] through the three calls of its API. Always: an address is attached to one
//! node at most, and no node has more than its room.
#![forbid(unsafe_code)]

mod cloud;
mod provider;

pub use cloud::{Call, Cloud, Fault};
pub use provider::Fake;
