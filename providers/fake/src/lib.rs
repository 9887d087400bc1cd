//! A cloud in memory, and a provider for it: for tests of everything that moves addresses.
//!
//! State: a [`FakeCloud`] holds nodes with zones and room, addresses with zones and wire addresses,
//! what is attached where, a latency, a reading lag, and a script of faults. Tests write it through
//! its setters, [`FakeProvider`] through the three calls of its API. It serves the pools of any kind ([`FakeConnection`]). Always: an address is attached to one
//! node at most, and no node has more than its room.
#![forbid(unsafe_code)]

mod cloud;
mod connect;
mod provider;

pub use cloud::{FakeCall, FakeCloud, FakeFault};
pub use connect::FakeConnection;
pub use provider::FakeProvider;
