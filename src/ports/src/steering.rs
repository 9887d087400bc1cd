//! The SNAT back end of a director: nftables, later iptables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use egret_core::node_config::SteeringConfig;

use crate::error::PortError;

/// Marks, guards and SNATs the selected flows of this node's pods.
///
/// # Guarantees
/// - `apply` is one transaction in the kernel: afterwards all of the steering config holds, or nothing
///   has changed. The guard stands before the first flow is steered.
/// - Idempotent; an unchanged steering config writes nothing. Nothing outside Egret's own table or
///   chains is touched.
/// - A connection that is steered stays steered when its flow leaves the steering config.
/// - `never_steered` wins over a flow that covers it: a flow may be as wide as `0.0.0.0/0`, and
///   should be, since every hole that is cut out of it becomes a dozen flows.
/// - Safe to repeat after a crash at any point: what the kernel has is read, not remembered.
pub trait Steering: Send {
    /// Makes the kernel hold `config`.
    fn apply(&mut self, config: &SteeringConfig) -> Result<Applied, PortError>;

    /// Whether the kernel still holds `config`: false after a foreign change, and where something
    /// else, or nothing, was applied last.
    fn verify(&mut self, config: &SteeringConfig) -> Result<bool, PortError>;

    /// Another MTU of the tunnel device in bytes, from the next `apply` on.
    fn set_mtu(&mut self, mtu: u32);

    /// Another mark, all 32 bits of it, for packets that go into the tunnel, from the next `apply` on: what the
    /// policy rule matches. Not 0.
    fn set_packet_mark(&mut self, mark: u32);

    /// Whether a proxy of Cilium's takes packets on this node, by the mark 0x200 in the bits 0xf00, from the next `apply`
    /// on: these keep their mark, and are dropped where no proxy takes them. Where there is none, such a mark is one like any
    /// other, as before the first call.
    fn set_proxy(&mut self, is_there: bool);

    /// What the rules count, for any thread.
    fn counters(&self) -> Box<dyn SteeringCounters>;

    /// Others on this host that have what this back end would take for its own, such as a table of
    /// its name. What any version of this back end has left here is no collision.
    ///
    /// # Errors
    /// `NotFound` where a tool is missing; `Denied` without CAP_NET_ADMIN.
    fn collisions(&self) -> Result<BTreeSet<Collision>, PortError>;

    /// Listens, in the network namespace of the calling thread, to what anybody, this process
    /// included, changes of the rules. What happens after this returns is told.
    ///
    /// # Errors
    /// `Denied` or `Invalid` where the kernel refuses to tell.
    fn watch(&self) -> Result<Box<dyn SteeringWatcher>, PortError>;

    /// Removes everything, the guard last.
    fn teardown(&mut self) -> Result<(), PortError>;
}

/// How far packets of steered connections came on this host, since the rules were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SteeredPackets {
    /// Those of IPv4.
    pub ipv4: FamilyPackets,
    /// Those of IPv6.
    pub ipv6: FamilyPackets,
    /// Packets that the rules have dropped, of either family and for whatever reason.
    pub refused: u64,
}

/// The same of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilyPackets {
    /// First packets of selected connections, in prerouting or, where a proxy on this host sends them, in output.
    pub selected: u64,
    /// First packets that postrouting let into the tunnel.
    pub entered: u64,
    /// Packets from the tunnel that have reached postrouting, on their way to pods, or a proxy on this host.
    pub returned: u64,
}

/// Reads what the rules count in the network namespace of the calling thread.
pub trait SteeringCounters: Send + Sync {
    /// First packets of selected connections that have reached our hook since the rules were made:
    /// where selected pods connect and this does not grow, something forwards past the hook.
    ///
    /// # Errors
    /// `NotFound` where nothing was applied.
    fn selected(&self) -> Result<u64, PortError> {
        self.steered().map(|packets| packets.ipv4.selected + packets.ipv6.selected)
    }

    /// What has passed this host's hooks.
    ///
    /// # Errors
    /// `NotFound` where nothing was applied.
    fn steered(&self) -> Result<SteeredPackets, PortError>;

    /// Packets dropped, by reason; empty where nothing was applied.
    fn drops(&self) -> Result<BTreeMap<SteeringDrop, u64>, PortError>;
}

/// Somebody else who uses what Egret would take.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Collision {
    /// What is taken, such as `the mark bit 0x1000`.
    pub what: String,
    /// Who takes it, such as `nft table inet foo, chain bar`.
    pub who: String,
    /// Which setting to change, such as `mark`.
    pub setting: &'static str,
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, who, setting } = self;
        write!(f, "{what} is used by {who}: choose another {setting}")
    }
}

/// Tells of changes to a back end's rules, in a thread of its own.
pub trait SteeringWatcher: Send {
    /// Waits for the next changes, a second at most, and for nothing else.
    ///
    /// # Errors
    /// Nothing can be told any more.
    fn wait(&mut self) -> Result<Vec<SteeringChange>, PortError>;
}

/// What was changed of a back end's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SteeringChange {
    /// Some of them.
    Rules {
        /// What, for a person, such as `the nft table was removed`.
        what: String,
        /// Whose transaction it was, such as `nft (4711)`, where the kernel says.
        by: Option<String>,
    },
    /// Notices were lost: anything may have changed.
    Unknown,
}

/// What `apply` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The kernel was changed.
    Changed,
    /// It held already.
    AlreadySo,
}

/// The one list of reasons: the enum, the counters' names, metrics, `egret explain --live` and the
/// page for 3 a.m. come from it. A back end takes the names for its counters.
macro_rules! steering_drops {
    ($($(#[$doc:meta])* $reason:ident: $name:literal, $meaning:literal, $remedy:literal;)*) => {
        /// Why a director's rules dropped a packet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SteeringDrop {
            $($(#[$doc])* $reason,)*
        }

        impl SteeringDrop {
            /// Every reason, in the order in which they are shown.
            pub const ALL: &[Self] = &[$(Self::$reason,)*];

            /// The counter's name, what it means and what to do: for `egret explain --live`.
            #[must_use]
            pub fn describe(self) -> (&'static str, &'static str, &'static str) {
                match self {
                    $(Self::$reason => ($name, $meaning, $remedy),)*
                }
            }
        }
    };
}

steering_drops! {
    /// A packet of conntrack state `invalid` or `untracked` from a selected pod to a selected
    /// destination.
    InvalidOrUntracked: "invalid_or_untracked",
        "a packet that the connection table cannot place, from a selected pod",
        "look for a notrack rule, or for clients that send outside their connection";
    /// A steered packet about to leave by another device than the tunnel.
    WrongDevice: "wrong_device",
        "a steered packet was about to leave without the tunnel",
        "see the events: somebody changed the tunnel device, our rule or our routes";
    /// A packet of a steered connection that has lost the mark that leads into the tunnel.
    MarkOverwritten: "mark_overwritten",
        "a packet of a steered connection had lost Egret's mark",
        "find who overwrites or restores marks after prerouting -90: nft list ruleset, iptables-save";
    /// A packet of a connection that leaves with an egress address and has lost the bit that says so.
    ConnectionMarkOverwritten: "connection_mark_overwritten",
        "a packet with an egress address was about to leave without the tunnel: its connection had lost Egret's bit",
        "find who overwrites the whole mark of connections: nft list ruleset (ct mark set), iptables-save (CONNMARK)";
    /// A new connection that should have been steered and was not marked.
    NotMarked: "not_marked",
        "a new selected connection had not been marked",
        "look for rules that clear the mark, or for DNAT after prerouting";
    /// A new steered connection, and no port block of the address is open here.
    NoBlock: "no_block",
        "no port block of the address is open on this node",
        "is the controller running, and does somebody hold the address? See egret status";
    /// A protocol that port ranges do not work for (not TCP, UDP, SCTP or ICMP echo).
    UnsupportedProtocol: "unsupported_protocol",
        "a protocol without ports (not TCP, UDP, SCTP or ICMP echo)",
        "take the destination out of the claim, or use another protocol";
    /// The claim selects the destination and has no address of its family.
    FamilyWithoutAddress: "family_without_address",
        "the claim has no address of this family",
        "give the claim an address of the family, or name its destinations";
    /// The claim has no bound address.
    NoAddress: "no_address",
        "the claim has no address yet",
        "read the conditions of the claim";
    /// The claim selects everything outside the cluster, and a pod's address is in no known range.
    UnknownRange: "unknown_range",
        "a pod of this node has an address in no known range of pods",
        "name the ranges of pods: --pod-cidr of the controller (cluster.podCIDRs in Helm)";
    /// A new connection of a pod address that no pod is known to have, to where a claim might want
    /// it.
    UnknownPod: "unknown_pod",
        "a pod sent before the agent had read of it",
        "a few at a pod's start are normal; many: is there a workload that no Pod names?";
    /// A frame from the tunnel that belongs to no connection of this node.
    NotEstablished: "not_established",
        "a frame from the tunnel that belongs to no connection of this node",
        "normal for scans from outside; else the connection table was flushed";
    /// A pod's own packet to the tunnel's port.
    ForgedTunnelForward: "forged_tunnel_forward",
        "a pod sent to the tunnel's port",
        "find the pod: it tries to forge frames, or uses the port by chance";
    /// A packet to the tunnel's port from an address that is no cluster node's.
    ForgedTunnelInput: "forged_tunnel_input",
        "a packet to the tunnel's port from no node of the cluster",
        "find the sender; an unknown node has no agent or no endpoint yet";
}
