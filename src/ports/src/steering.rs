//! The SNAT back end of a director: nftables, later iptables.

use std::collections::BTreeMap;

use egret_core::programme::SteeringProgramme;

use crate::error::PortError;

/// Marks, guards and SNATs the selected flows of this node's pods.
///
/// # Guarantees
/// - `apply` is one transaction in the kernel: afterwards all of the programme holds, or nothing
///   has changed. The guard stands before the first flow is steered.
/// - Idempotent; an unchanged programme writes nothing. Nothing outside Egret's own table or
///   chains is touched.
/// - A connection that is steered stays steered when its flow leaves the programme.
/// - Safe to repeat after a crash at any point: what the kernel has is read, not remembered.
pub trait Steering {
    /// Makes the kernel hold `programme`.
    fn apply(&mut self, programme: &SteeringProgramme) -> Result<Applied, PortError>;

    /// Whether the kernel still holds what was applied last; a foreign change says false.
    fn verify(&mut self) -> Result<bool, PortError>;

    /// Packets dropped, by reason.
    fn drops(&mut self) -> Result<BTreeMap<SteeringDrop, u64>, PortError>;

    /// Removes everything, the guard last.
    fn teardown(&mut self) -> Result<(), PortError>;
}

/// What `apply` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The kernel was changed.
    Changed,
    /// It held already.
    AlreadySo,
}

/// Why a director's rules dropped a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SteeringDrop {
    /// A packet of conntrack state `invalid` or `untracked` from a selected pod to a selected
    /// destination.
    InvalidOrUntracked,
    /// A steered packet about to leave by another device than the tunnel.
    WrongDevice,
    /// A new connection that should have been steered and was not marked.
    NotMarked,
    /// A new steered connection, and no port block of the address is open here.
    NoBlock,
    /// A protocol that port ranges do not work for (not TCP, UDP, SCTP or ICMP echo).
    UnsupportedProtocol,
    /// The claim selects the destination and has no address of its family.
    FamilyWithoutAddress,
    /// The claim has no bound address.
    NoAddress,
    /// A frame from the tunnel that belongs to no connection of this node.
    NotEstablished,
    /// A pod's own packet to the tunnel's port.
    ForgedTunnelForward,
    /// A packet to the tunnel's port from an address that is no cluster node's.
    ForgedTunnelInput,
}
