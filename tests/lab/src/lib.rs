//! A laboratory of network namespaces: nodes, pods, a router and an outside world.
//!
//! ```text
//!  watch ──┐                          ┌── 198.51.100.20, 2001:db8:6::20
//!  gateway-1 ──┤                      │
//!  gateway-2 ──┼── lan (a switch) ── router ── out
//!  director-1 ─┘   203.0.113.0/24, 2001:db8:5::/64
//! ```
//!
//! [`cloud`] has another picture, with EC2's double and subnets in the place of the LAN, and
//! [`cloud::gce`] a third, with a VPC of Google.
//!
//! State: one [`Lab`] owns its namespaces, processes and a temporary directory; nothing of it has a
//! name outside them, so several run side by side. Always: dropping the lab removes all of it, and
//! [`cleanup`] removes what a killed one left. Every node has a network namespace, a mount
//! namespace with a bpffs and a /run of its own, and a directory that survives its reboots.
//! Times are nanoseconds of the wall clock ([`WallTime`]), the clock of captured packets.
#![forbid(unsafe_code)]

pub mod address;
pub mod bench;
pub mod checks;
mod cleanup;
mod clock;
pub mod cloud;
pub mod control;
pub mod demonstration;
mod faults;
pub mod figures;
mod fixture;
mod host_bus;
mod journal;
mod lab;
pub mod load;
mod machine;
mod manifest;
mod network;
mod node;
pub mod oracle;
pub mod picture;
mod pod;
mod process;
mod role;
pub mod say;
pub mod scenarios;
mod socket;
mod tap;
mod test_bed;
pub mod timeline;
pub mod wire;

/// The UDP port of messages between agents, Egret's default.
pub const PEERS_PORT: u16 = 5481;
/// The UDP port of the tunnel, Egret's default.
pub const TUNNEL_PORT: u16 = 5480;

pub use cleanup::{cleanup, cleanup_own, end_on_signal, on_signal};
pub use clock::{WallTime, wait_until};
pub use faults::CableDirection;
pub use fixture::{LEASE, LabFixture};
pub use journal::{JournalEntry, LabJournal};
pub use lab::{AnnouncedPod, Lab, LabBuilder};
pub use manifest::{NodeMarks, pod_manifest};
pub use network::LabNetwork;
pub use node::{LabNode, PRIVATE_LINK, PRIVATE_MTU, addressing, masquerading, prepare};
pub use pod::{LabPod, PodOptions};
pub use process::{Daemon, binary};
pub use role::LabNodeRole;
pub use socket::bound;
pub use tap::{Frame, FrameTap};
pub use test_bed::{PodNet, PortBlock, TestBed};
