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
/// - `never_steered` wins over a flow that covers it: a flow may be as wide as `0.0.0.0/0`, and
///   should be, since every hole that is cut out of it becomes a dozen flows.
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
    /// The claim selects everything outside the cluster, and a pod's address is in no known range.
    UnknownRange,
    /// A new connection of a pod address that no pod is known to have, to where a claim might want
    /// it.
    UnknownPod,
    /// A frame from the tunnel that belongs to no connection of this node.
    NotEstablished,
    /// A pod's own packet to the tunnel's port.
    ForgedTunnelForward,
    /// A packet to the tunnel's port from an address that is no cluster node's.
    ForgedTunnelInput,
}

impl SteeringDrop {
    /// Every reason, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::InvalidOrUntracked,
        Self::WrongDevice,
        Self::NotMarked,
        Self::NoBlock,
        Self::UnsupportedProtocol,
        Self::FamilyWithoutAddress,
        Self::NoAddress,
        Self::UnknownRange,
        Self::UnknownPod,
        Self::NotEstablished,
        Self::ForgedTunnelForward,
        Self::ForgedTunnelInput,
    ];

    /// The counter's name, what it means and what to do: for `egret explain --live`.
    #[must_use]
    pub fn describe(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::InvalidOrUntracked => (
                "invalid_or_untracked",
                "a packet that the connection table cannot place, from a selected pod",
                "look for a notrack rule, or for clients that send outside their connection",
            ),
            Self::WrongDevice => (
                "wrong_device",
                "a steered packet was about to leave without the tunnel",
                "see the events: somebody changed the tunnel device, our rule or our routes",
            ),
            Self::NotMarked => (
                "not_marked",
                "a new selected connection had not been marked",
                "look for rules that clear the mark, or for DNAT after prerouting",
            ),
            Self::NoBlock => (
                "no_block",
                "no port block of the address is open on this node",
                "is the controller running, and does somebody hold the address? See egret status",
            ),
            Self::UnsupportedProtocol => (
                "unsupported_protocol",
                "a protocol without ports (not TCP, UDP, SCTP or ICMP echo)",
                "take the destination out of the claim, or use another protocol",
            ),
            Self::FamilyWithoutAddress => (
                "family_without_address",
                "the claim has no address of this family",
                "give the claim an address of the family, or name its destinations",
            ),
            Self::NoAddress => {
                ("no_address", "the claim has no address yet", "read the conditions of the claim")
            }
            Self::UnknownRange => (
                "unknown_range",
                "a pod of this node has an address in no known range of pods",
                "name the ranges of pods: --pod-cidr of the controller (podCIDRs in Helm)",
            ),
            Self::UnknownPod => (
                "unknown_pod",
                "a pod sent before the agent had read of it",
                "a few at a pod's start are normal; many: is there a workload that no Pod names?",
            ),
            Self::NotEstablished => (
                "not_established",
                "a frame from the tunnel that belongs to no connection of this node",
                "normal for scans from outside; else the connection table was flushed",
            ),
            Self::ForgedTunnelForward => (
                "forged_tunnel_forward",
                "a pod sent to the tunnel's port",
                "find the pod: it tries to forge frames, or uses the port by chance",
            ),
            Self::ForgedTunnelInput => (
                "forged_tunnel_input",
                "a packet to the tunnel's port from no node of the cluster",
                "find the sender; an unknown node has no agent or no endpoint yet",
            ),
        }
    }
}
