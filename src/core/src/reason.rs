//! The reasons that conditions give: the documented list, one word each.

use std::fmt;

use serde::Serialize;

/// Why a condition is what it is. Each message beside it says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Reason {
    // === Accepted (claim) ===
    /// The spec makes sense and the pool lets this claim in.
    Accepted,
    /// The claim names a pool that does not exist.
    PoolNotFound,
    /// The pool itself is not usable: see its conditions.
    PoolNotReady,
    /// The pool does not admit the claim's namespace.
    NamespaceNotAllowed,
    /// An address asked for is in no range of the pool.
    AddressOutsidePool,
    /// An address asked for is the network or broadcast address of a range.
    AddressReserved,
    /// An address asked for is bound to another claim.
    AddressInUse,
    /// An address asked for is the address of a node.
    AddressIsNodeAddress,
    /// The pool has no address of a family asked for.
    FamilyNotInPool,
    // === Bound (claim) ===
    /// The claim has its addresses.
    Bound,
    /// The claim was not accepted.
    NotAccepted,
    /// Every address of the pool is in use.
    PoolExhausted,
    /// The pool is paused and gives out nothing.
    PoolPaused,
    /// An address asked for is still being freed by the claim that had it.
    AddressReleasing,
    // === Programmed (claim) ===
    /// No node reports that it cannot programme the claim.
    Programmed,
    /// A node with pods of the claim cannot steer them: its `DatapathBypassed` is true.
    DatapathBypassed,
    /// A node with pods of the claim is not Ready.
    NodeNotReady,
    /// The claim names a Service that does not exist, or that has no selector.
    ServiceNotFound,
    // === Overridden (claim) ===
    /// Another claim selects some of its pods and destinations and wins them: the longest prefix,
    /// then the older claim, then the name.
    OtherClaimWins,
    // === Ready (claim), Ready (address) ===
    /// All of it is so.
    Ready,
    /// The claim has not all of its addresses.
    NotBound,
    /// A node cannot programme the claim.
    NotProgrammed,
    /// A gateway holds the address.
    Held,
    /// No gateway has held the address yet.
    NoHolder,
    /// The holder is absent and nobody has taken over.
    HolderAbsent,
    /// No node may carry the address.
    NoGateway,
    /// A foreign host claims the address.
    Conflict,
    /// The cloud does not deliver the address to its holder (yet).
    NotAttached,
    /// The claim has ended; open connections are served until they end.
    Released,
    /// The claim has ended and the voters are asked to let go of the address.
    Revoked,
    // === Attached (address, in a cloud) ===
    /// The cloud delivers the address to its holder.
    Attached,
    /// The cloud refuses, or cannot be reached: the message says which.
    AttachFailed,
    /// This build has no provider for the pool's cloud.
    ProviderMissing,
    // === GatewaysUsable (pool, in a cloud) ===
    /// The cloud can deliver to every gateway.
    GatewaysUsable,
    /// The cloud cannot deliver to some gateways.
    GatewaysRefused,
    // === Ready (pool) ===
    /// The cloud has no answer to which addresses the pool has.
    DiscoveryFailed,
    /// No address has the pool's tags.
    NothingFound,
    /// A range of the pool is a range of an older pool too.
    OverlapsPool,
    /// A range of the pool lies in the cluster's pod or Service ranges.
    OverlapsClusterRange,
    /// The lease is longer than the cluster's longest.
    LeaseTooLong,
    /// The selector matches no node.
    NoGatewayNode,
    // === Paused (pool) ===
    /// A person paused the pool.
    Paused,
    /// The pool is not paused.
    NotPaused,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants are spelled as the API spells them.
        fmt::Debug::fmt(self, f)
    }
}

/// A reason with its sentence: what is so, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// From the list.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

impl Verdict {
    /// A verdict.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
