//! What goes into a [`Machine`](super::Machine) and what comes out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Kept, Message, Timing};
use crate::model::{Holding, Millis, NodeName, VoterSet};

/// A moment of CLOCK_BOOTTIME, in nanoseconds: the clock of kernel deadlines. 0 is always past.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BootTime(pub u64);

/// A moment on both clocks of one machine, read one after the other without sleeping between.
///
/// Neither runs backwards within a boot; neither is ever compared with another machine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now {
    /// CLOCK_MONOTONIC_RAW in nanoseconds: voters count on it, no time daemon bends it.
    pub raw: u64,
    /// CLOCK_BOOTTIME in nanoseconds: holders' deadlines, since BPF can read it.
    pub boot: BootTime,
}

/// What an address is on this node (docs/design.md decision 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AddressState {
    /// Nothing to the world; what comes from the tunnel is relayed once to the holder.
    Standby,
    /// Forwards from the tunnel until the deadline; answers no ARP or NDP.
    Coming,
    /// Forwards, answers, may announce, all until the deadline.
    Held,
    /// Nothing to the world, relays to the new holder, answers nothing.
    Leaving,
}

/// What a machine is made with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// This node.
    pub me: NodeName,
    /// `/proc/sys/kernel/random/boot_id`: tells kept state of this boot from an earlier one's.
    pub boot_id: String,
    /// Lengths of time; [`Timing::default`] outside tests.
    pub timing: Timing,
    /// Rules to break, for the checker that must notice.
    #[cfg(feature = "mistakes")]
    pub mistakes: super::Mistakes,
}

impl Config {
    /// The protocol as it is meant, with its default lengths of time.
    pub fn new(me: NodeName, boot_id: impl Into<String>) -> Self {
        Self {
            me,
            boot_id: boot_id.into(),
            timing: Timing::default(),
            #[cfg(feature = "mistakes")]
            mistakes: super::Mistakes::default(),
        }
    }
}

/// What the store says, as far as leases need it. The last one read stays in force while the
/// store cannot be reached. `Default` is a store without a cluster object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// The cluster's id, newest set and longest lease; `None` before the object exists.
    pub cluster: Option<ClusterView>,
    /// Every address that has a plan.
    pub addresses: BTreeMap<IpAddr, AddressView>,
    /// Every node that has an agent: the voters watch them for absence.
    pub nodes: BTreeSet<NodeName>,
}

/// The `EgressCluster`, as far as leases need it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterView {
    /// The cluster's id.
    pub id: String,
    /// The newest set of voters; `None` before the first.
    pub set: Option<VoterSet>,
    /// The longest T that any pool may have (docs/leases.md rule 13).
    pub t_max: Millis,
}

/// The plan and the status of one address, as far as leases need them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressView {
    /// Rank 0.
    pub owner: Option<NodeName>,
    /// Ranks 1, 2, … in order.
    pub standbys: Vec<NodeName>,
    /// docs/leases.md rule 15.
    pub fence: u64,
    /// T: 1 ms … T_max; a voter refuses a longer one.
    pub lease: Millis,
    /// The holder and epoch that the plan was made for.
    pub made_for: Option<Holding>,
    /// The holder that the status names.
    pub holding: Option<Holding>,
    /// The status says that the address has been probed since it was bound.
    pub probed: bool,
    /// The address is revoked: closed at once, and nobody asks for it. (`Released` is no concern
    /// of leases: such an address stays held.)
    pub revoked: bool,
    /// The pool is paused: nobody hands over or takes over; who holds goes on holding.
    pub paused: bool,
    /// The fabric is the fence (clouds): the kernel deadline is not armed.
    pub unarmed: bool,
    /// The node that the fabric was last seen to deliver to; without meaning where it is no fence.
    #[serde(default)]
    pub attached: Option<NodeName>,
    /// Who probes and announces: true for L2, false where a cloud attaches.
    pub announces: bool,
    /// Nodes with a port block of the address, ended grants in quarantine included.
    pub directors: BTreeSet<NodeName>,
    /// The gateways of the address's pool.
    pub gateways: BTreeSet<NodeName>,
}

impl AddressView {
    /// Owner and standbys in order of rank.
    pub fn ranks(&self) -> impl Iterator<Item = &NodeName> {
        self.owner.iter().chain(&self.standbys)
    }
}

/// What happens to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time has passed: at [`Machine::next_wakeup`](super::Machine::next_wakeup), and whenever.
    Tick,
    /// A datagram that verified.
    Receive {
        /// Whose key it verified with.
        from: NodeName,
        /// Its content.
        message: Message,
    },
    /// The store says something new. Also once after a restart of the process, with the kept
    /// snapshot.
    View(Box<View>),
    /// A consistent read has answered ([`Effect::ReadConsistently`]).
    ConsistentRead {
        /// A moment before the read was sent.
        began: Now,
        /// What it said: at least as new as `began`.
        view: Box<View>,
    },
    /// The probe of an address ([`Effect::Probe`]) is over (RFC 5227; about 5 s).
    Probed {
        /// Which.
        address: IpAddr,
        /// A foreign host answered: the address is not announced, and probed again later.
        conflict: bool,
    },
    /// As a gateway: every port-block grant and end up to `epoch` is in this node's kernel.
    GrantsApplied {
        /// Up to this number of the grants' own counter.
        epoch: u64,
    },
    /// As a director: ask the holder of `address` until it has applied the grants up to `epoch`;
    /// answered by [`Report::GrantAcknowledged`]. A later question for the address replaces it.
    AskGrants {
        /// Which.
        address: IpAddr,
        /// Up to this number.
        epoch: u64,
    },
    /// As a director: there is traffic of this address, and no holder is known or nothing comes
    /// back. May be said as often as the caller likes; the questions are limited (rule 10).
    NeedHolder {
        /// Which.
        address: IpAddr,
    },
    /// The process is to end; answered by [`Report::Stopped`].
    Stop {
        /// True: hand every held address over to its first living standby, then stop. False: stop
        /// at once and release nothing: the kernel entries go on to their deadlines.
        handover: bool,
    },
}

/// What a machine wants done, strictly in this order: a later effect may rest on an earlier one.
///
/// Whoever carries them out stops at the first [`Effect::Keep`] or [`Effect::Kernel`] that fails,
/// and does none of those behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Keep this where a restart of the process does not lose it and a reboot does, before any
    /// effect behind it. At most one per call, and the first.
    Keep(Box<Kept>),
    /// Send a datagram: best effort, never waits.
    Send {
        /// To this node's agent.
        to: NodeName,
        /// At most 1,200 bytes in postcard.
        message: Message,
    },
    /// Write the map entry of an address.
    Kernel {
        /// Which.
        address: IpAddr,
        /// This node's part.
        state: AddressState,
        /// Whom directors steer to and gateways relay to; this node where it holds.
        holder: Option<NodeName>,
        /// The deadline; `None` where it is not armed. The past (0) where the state is not
        /// `Coming` or `Held`.
        valid_until: Option<BootTime>,
    },
    /// Remove the map entry: the address is in no plan any more.
    Forget {
        /// Which.
        address: IpAddr,
    },
    /// Send one gratuitous ARP (request and reply form) or unsolicited NA.
    Announce {
        /// Which.
        address: IpAddr,
    },
    /// Begin to probe (RFC 5227); answered by [`Input::Probed`].
    Probe {
        /// Which.
        address: IpAddr,
    },
    /// Begin a consistent read of the store; answered by [`Input::ConsistentRead`]. Asked again
    /// every 2 s until answered: one that is under way need not be begun again, provided that it
    /// began after this effect was first seen; if in doubt begin anew.
    ReadConsistently,
    /// Tell people, metrics or the store.
    Report(Report),
}

/// What happened: for statuses, conditions, events and the agent's main loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// This node has begun to hold an address that another held (or nobody).
    TookOver {
        /// Which.
        address: IpAddr,
        /// Who held it before, where known.
        previous: Option<NodeName>,
        /// Time since the previous holder's last renewal, in nanoseconds.
        silent_for: Option<u64>,
    },
    /// This node holds the address with this epoch: write it into the status. Said at the
    /// beginning, at every new epoch, and when `probed` changes.
    Held {
        /// Which.
        address: IpAddr,
        /// Holder (this node) and epoch.
        holding: Holding,
        /// It has been probed; false while it is only coming.
        probed: bool,
    },
    /// The lease of a held address ended against this node's will.
    Lost {
        /// Which.
        address: IpAddr,
    },
    /// This node has released an address: moved, revoked or stopped.
    Left {
        /// Which.
        address: IpAddr,
        /// Whom it named, where it handed over.
        successor: Option<NodeName>,
    },
    /// A director or gateway has learnt of a holder.
    HolderKnown {
        /// Which.
        address: IpAddr,
        /// Who, and its epoch.
        holding: Holding,
    },
    /// Less than a majority of the voters has answered for 2 s, while this node asks for addresses.
    MajorityLost {
        /// The voters that have not answered.
        silent: BTreeSet<NodeName>,
    },
    /// A majority answers again.
    MajorityBack,
    /// This agent is past its silence: its status says `mayVote` with this boot's id.
    MayVote {
        /// The boot.
        boot: String,
    },
    /// This voter acknowledges the set of this number, and all before it.
    AcknowledgedSet(u64),
    /// This voter acknowledges a revoked address's fence, and all lower ones.
    AcknowledgedFence {
        /// Which.
        address: IpAddr,
        /// The fence.
        fence: u64,
    },
    /// As a voter: the nodes that have been silent for 10 s have changed; these are all.
    Absent {
        /// All of them.
        nodes: BTreeSet<NodeName>,
    },
    /// A refusal carried a newer set than the store: where its members are reached is in it.
    NewSet(VoterSet),
    /// Another set of the same number as ours exists (a restored backup), says this voter.
    SetConflict {
        /// The number.
        number: u64,
        /// Who knows the other set.
        from: NodeName,
    },
    /// The holder's kernel has the grants up to `epoch` ([`Input::AskGrants`]).
    GrantAcknowledged {
        /// Which.
        address: IpAddr,
        /// The epoch asked for.
        epoch: u64,
    },
    /// The voters have said for 5 s that nobody holds it, or cannot be reached.
    Unavailable {
        /// Which.
        address: IpAddr,
    },
    /// It has a holder again.
    AvailableAgain {
        /// Which.
        address: IpAddr,
    },
    /// A foreign host has the address: it is not announced.
    Conflict {
        /// Which.
        address: IpAddr,
    },
    /// [`Input::Stop`] is done: nothing is held any more, or the kernel's deadlines see to it.
    Stopped,
}
