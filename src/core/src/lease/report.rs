//! What a [`Machine`](super::Machine) says of what happened.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::{Holding, NodeName, VoterSet};

/// What happened: for statuses, conditions, events and the agent's main loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// This node has begun to hold an address that another held (or nobody).
    TookOver {
        /// The egress address.
        address: IpAddr,
        /// Who held it before, where known.
        previous: Option<NodeName>,
        /// Time since the previous holder's last renewal, in nanoseconds.
        silent_for: Option<u64>,
    },
    /// This node holds the address with this epoch: write it into the status. Said at the
    /// beginning, at every new epoch, and when `probed` or `conflict` changes.
    Held {
        /// The egress address.
        address: IpAddr,
        /// Holder (this node) and epoch.
        holding: Holding,
        /// The fence of the plan that it was asked with.
        fence: u64,
        /// It is answered for: nobody else was found to have it; false while it is only coming.
        probed: bool,
        /// Another host has it too.
        conflict: bool,
    },
    /// The lease of a held address ended against this node's will.
    Lost {
        /// The egress address.
        address: IpAddr,
    },
    /// This node has released an address: moved, revoked or stopped.
    Left {
        /// The egress address.
        address: IpAddr,
        /// Whom it named, where it handed over.
        successor: Option<NodeName>,
    },
    /// A director or gateway has learnt of a holder.
    HolderKnown {
        /// The egress address.
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
        /// The egress address.
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
        /// The egress address.
        address: IpAddr,
        /// The epoch asked for.
        epoch: u64,
    },
    /// The voters have said for 5 s that nobody holds it, or cannot be reached.
    Unavailable {
        /// The egress address.
        address: IpAddr,
    },
    /// It has a holder again.
    AvailableAgain {
        /// The egress address.
        address: IpAddr,
    },
    /// As a director: the addresses whose holder has taken over from a silent one and waits for the
    /// cloud have changed; these are all.
    Undelivered {
        /// All of them.
        addresses: BTreeSet<IpAddr>,
    },
    /// [`Input::Stop`] is done: nothing is held any more, or the kernel's deadlines see to it.
    Stopped,
}
