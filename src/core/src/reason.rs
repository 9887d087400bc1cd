//! The reasons that conditions and events give: the documented list, one word each.

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
    /// An address asked for is the network or broadcast address of a range, or the router anycast
    /// address of a gateway's subnet.
    AddressReserved,
    /// An address asked for is bound to another claim.
    AddressInUse,
    /// An address asked for is the address of a node.
    AddressIsNodeAddress,
    /// The pool has no address of a family asked for.
    FamilyNotInPool,
    /// An address asked for is the next hop of a gateway.
    AddressIsNextHop,
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
    /// No node reports that it cannot program the claim.
    Programmed,
    /// A node with pods of the claim cannot steer them: its `DatapathBypassed` is true.
    DatapathBypassed,
    /// A node with pods of the claim is not Ready.
    NodeNotReady,
    /// The claim names a Service that does not exist, or that has no selector.
    ServiceNotFound,
    /// Pods of the claim are on a node where no agent runs, and nothing steers them.
    NoAgent,
    // === Overridden (claim) ===
    /// Another claim selects some of its pods and destinations and wins them: the longest prefix,
    /// then the older claim, then the name.
    OtherClaimWins,
    // === OutsidePool (address, claim, pool) ===
    /// The pool has the address no longer: it shrank, or was made anew. It stays with its claim.
    NotInPool,
    // === Ready (claim), Ready (address) ===
    /// Nothing is missing.
    Ready,
    /// The claim has not all of its addresses.
    NotBound,
    /// A node cannot program the claim.
    NotProgrammed,
    /// Egret was removed from the cluster: nobody serves the claim until it is installed again.
    NotServed,
    /// A gateway holds the address.
    Held,
    /// No gateway has held the address yet.
    NoHolder,
    /// The holder is absent and nobody has taken over.
    HolderAbsent,
    /// Too few voters answer: its lease is not renewed, and nobody can have a new one.
    NoMajority,
    /// Most of the nodes whose pods use the address do not reach its holder through the tunnel.
    HolderUnreached,
    /// No node may carry the address.
    NoGateway,
    /// Another host answers for the address.
    Conflict,
    /// The cloud does not deliver the address to its holder (yet).
    NotAttached,
    /// The network interface of its holder cannot carry it: the message says why.
    InterfaceUnusable,
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
    /// Some gateways have a dataplane beside which Google supports no other programs.
    UnsupportedDataplane,
    // === Ready (pool) ===
    /// The cloud does not say which addresses the pool has.
    DiscoveryFailed,
    /// No address has the pool's tags.
    NothingFound,
    /// A range of the pool overlaps one of an older pool.
    OverlapsPool,
    /// A range of the pool lies in the cluster's pod or Service ranges.
    OverlapsClusterRange,
    /// The lease is longer than the cluster's longest.
    LeaseTooLong,
    /// The selector matches no node.
    NoGatewayNode,
    /// Every gateway is absent, drained or without an agent.
    NoLivingGateway,
    // === Paused (pool) ===
    /// A person paused the pool.
    Paused,
    /// The pool is not paused.
    NotPaused,
    // === Balanced (pool) ===
    /// No move makes its addresses lie more evenly on its gateways.
    Even,
    /// An address is about to move to a gateway that has fewer.
    MoveIntended,
    /// Something is going on among the gateways: nothing moves for evenness meanwhile.
    MoveHeldBack,
    // === AgentAbsent (EgressNode) ===
    /// A majority of the voters has not heard the node's agent for 10 s; or the voters that are left, too few for a
    /// majority, have not, and it votes.
    AgentNotHeard,
    // === ApiServersUnread (cluster) ===
    /// The controller may not read the EndpointSlice of the API servers.
    NotAllowed,
    /// The API servers have no EndpointSlice that can be read.
    NotThere,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants are spelled as the API spells them.
        fmt::Debug::fmt(self, f)
    }
}

/// Why a condition that an agent writes is what it is.
///
/// Problems of a node are in order of their names, and the first of several is the condition's
/// reason: keep the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentReason {
    // === EgressNode Ready ===
    /// The kernel refused port blocks.
    BlocksNotApplied,
    /// See the condition of that name.
    DatapathBypassed,
    /// The address by which other nodes reach this one is on no interface: the message says which, and
    /// what to do.
    EndpointMissing,
    /// Too few voters answer: what this node holds it keeps only where a majority renews it.
    NoMajority,
    /// A pod of this node has an address in no known range of pods. So Egret cannot tell what is
    /// outside the cluster: name the ranges (--pod-cidr, cluster.podCIDRs in Helm).
    PodRangesUnknown,
    /// True: the kernel holds what the store asks for.
    Programmed,
    /// The kernel refused rules or routes: the message has the command or the error.
    RulesNotApplied,
    /// Two voter sets have the same number: one was written by hand.
    VoterSetConflict,
    /// A cloud delivers, or would deliver, an address to a network interface that this node does not
    /// have, or that carries no addresses (--uplink): the message names it.
    InterfaceNotFound,
    /// A tool of this host makes an address that a cloud placed here the host's own, again and again, or
    /// it cannot be taken back: the message says who probably does it, and what stops it.
    AddressIsLocal,
    /// A network interface that carries, or would carry, addresses cannot: it is down, has no carrier or no
    /// address of its own, and Egret leaves it alone. The message says what to do, and who configures it.
    InterfaceUnusable,
    /// The router behind an interface that carries addresses no longer answers: what leaves there is lost. The message
    /// names it. In a cloud that is said after 10 s, on a LAN when addresses are handed over.
    RouterSilent,
    /// Security groups for pods in strict mode take the traffic of pods here past Egret's rule: it leaves with the
    /// pod's own address. Set `POD_SECURITY_GROUP_ENFORCING_MODE=standard` on the DaemonSet aws-node and start those pods
    /// anew; the message names their devices.
    PodsRerouted,
    /// Other nodes do not reach this one by all its addresses: one of `--endpoint` that the tunnel does not need is on no
    /// interface, or the agent cannot listen on one yet; or the tunnel ends elsewhere than an annotation or
    /// `--endpoint-of` asks. Pods are steered all the same; the message says which, and what to do.
    EndpointImpaired,
    /// Others match every mark that packets could carry into the tunnel: what they take of it is dropped. The message says
    /// who; narrow a mask, or set `--rule-priority`.
    NoFreeMark,
    /// A rule of another overwrites the whole mark of connections, and the bit that says that they are steered: what it
    /// meets of them is dropped. The message says whose; give that rule a mask.
    ConnectionMarkOverwritten,
    /// Egret's programs do not run on an uplink, since a tc filter of another ends the chain before them: no address is carried
    /// there. The message says which filter to look at.
    ProgramsPassedBy,
    /// Rules of another on this host drop packets of steered connections, before the tunnel or behind it: the message says
    /// where, and what to look for.
    DroppedByOthers,
    /// The holder of an egress address that pods here use does not answer through the tunnel, or no long packets: what
    /// they send is lost on the way. The message names holder and remedy.
    TunnelUnanswered,
    // === EgressNode DatapathBypassed ===
    /// True: traffic of pods bypasses this host's netfilter; the message says what to set.
    EbpfHostRouting,
    /// False: none was seen.
    NotSeen,
    // === EgressNode TornDown ===
    /// True: egret uninstall has left nothing in the kernel.
    Clean,
    /// False: something is left; the message says what.
    LeftBehind,
    // === EgressNode GuardedAtBoot ===
    /// True: what pods sent after the boot was held off until the agent ran.
    GuardLoaded,
    /// False: nothing had loaded the guard, and what selected pods sent before the agent ran left with the node's address.
    /// Have the unit egret-guard or the chained CNI plugin load it; the next boot says whether it does.
    GuardNotLoaded,
    // === EgressAddress Conflict ===
    /// True: another host answers for the address; the message has its MAC address.
    ForeignHost,
    /// False: none does.
    NoForeignHost,
    /// True: a node of the cluster has the address on an interface; the message names both.
    OnInterface,
}

impl fmt::Display for AgentReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants are spelled as the API spells them.
        fmt::Debug::fmt(self, f)
    }
}

/// Why an event is recorded: what has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventReason {
    // === Events of a claim ===
    /// An address was bound to it.
    Bound,
    /// One of its addresses goes to another node; the message says why.
    Moved,
    /// No node may carry one of its addresses.
    NoGateway,
    // === Events of an address ===
    /// A node holds it.
    Held,
    /// The holder has been silent, and another node took over.
    HolderLost,
    /// The lease of its holder has ended.
    LeaseLost,
    /// Another host answers for it.
    Conflict,
    /// Its claim has ended, or its holder has let go of it.
    Released,
    /// The voters are asked to let go of it.
    Revoked,
    /// It is free again.
    Freed,
    /// Its pool was paused.
    Paused,
    /// Its pool goes on.
    Resumed,
    /// The cloud delivers it to its node.
    Attached,
    /// The cloud does not attach it: the message says why.
    AttachFailed,
    /// The cloud does not detach it: the message says why.
    DetachFailed,
    /// Somebody has moved it in the cloud; it is moved back.
    Drifted,
    /// A tool of the host made it an address of a node, which drops packets from it then; the message
    /// says who probably did it, and what stops it. It is none any more.
    TakenBack,
    // === Events of an address or a node, in a cloud ===
    /// A standby cannot be made ready: the message says why.
    NotPrepared,
    // === Events of a pool ===
    /// The cloud does not say which addresses the pool has.
    DiscoveryFailed,
    // === Events of a node ===
    /// Somebody has changed what Egret has in the kernel; it was put back.
    Repaired,
    /// The chained CNI plugin is not installed: the message says why.
    CniNotChained,
    // === Events of a pod ===
    /// A claim selects it, but it uses its node's network and leaves with the node's address.
    HostNetwork,
    /// Another pod of its node has its address: what it sends is taken for that pod's.
    AddressShared,
    // === Events of the cluster ===
    /// The voters are others than before.
    Voters,
    // === Events of any object ===
    /// The object cannot be read: the message names the field and the remedy.
    NotUnderstood,
}

impl fmt::Display for EventReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants are spelled as events spell them.
        fmt::Debug::fmt(self, f)
    }
}

/// A reason with its sentence: what is so, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// From the list.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

impl Cause {
    /// A verdict.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

#[cfg(test)]
mod tests;
