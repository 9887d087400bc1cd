//! A laboratory of network namespaces: nodes, pods, a router and an outside world.
//!
//! ```text
//!  watch ──┐                          ┌── 198.51.100.20, 2001:db8:6::20
//!  gateway-1 ──┤                      │
//!  gateway-2 ──┼── lan (a switch) ── router ── out
//!  director-1 ─┘   203.0.113.0/24, 2001:db8:5::/64
//! ```
//!
//! [`cloud`] has another picture, with EC2's double and subnets in the place of the LAN.
//!
//! State: one [`Lab`] owns its namespaces, processes and a temporary directory; nothing of it has a
//! name outside them, so several run side by side. Always: dropping the lab removes all of it, and
//! [`cleanup`] removes what a killed one left. Every node has a network namespace, a mount
//! namespace with a bpffs and a /run of its own, and a directory that survives its reboots.
//! Times are nanoseconds of the wall clock ([`Stamp`]), the clock of captured packets.
#![forbid(unsafe_code)]

pub mod address;
pub mod bench;
mod builder;
pub mod checks;
mod clock;
pub mod cloud;
pub mod control;
mod faults;
pub mod figures;
mod ground;
mod journal;
mod lab;
pub mod load;
mod machine;
mod manifest;
mod node;
pub mod oracle;
pub mod picture;
mod process;
pub mod say;
mod socket;
mod stage;
pub mod story;
mod tap;
pub mod timeline;
pub mod wire;

/// The UDP port of messages between agents, Egret's default.
pub const PEERS_PORT: u16 = 5481;
/// The UDP port of the tunnel, Egret's default.
pub const TUNNEL_PORT: u16 = 5480;

pub use builder::{LabBuilder, PodSpec};
pub use clock::{Stamp, wait_until};
pub use faults::Way;
pub use ground::{Grant, Ground, PodNet, Surroundings};
pub use journal::{Entry, Journal};
pub use lab::{Announced, Lab, cleanup, cleanup_own, end_on_signal, on_signal};
pub use manifest::{masquerading, pod_manifest};
pub use node::{Node, Pod, Role, addressing, prepare};
pub use process::{Daemon, binary};
pub use socket::bound;
pub use stage::{LEASE, Stage};
pub use tap::{Frame, Tap};
