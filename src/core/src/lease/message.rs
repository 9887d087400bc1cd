//! Datagrams between agents. `egret-peers` seals them, adds a version, and says who sent them.
//!
//! Always: the postcard encoding of what a machine sends is at most [`MAX_DATAGRAM`] bytes.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::{Epoch, NodeName, Voter, VoterSet};

/// Largest encoding of a message, in bytes (docs/leases.md rule 7).
pub const MAX_DATAGRAM: usize = 1200;

/// One round of one node; never repeats, across restarts and boots (docs/leases.md rule 4).
///
/// Only rounds of one boot are ordered.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RoundId {
    /// From the boot's id.
    pub boot: u64,
    /// Begins at the boot-time clock's nanoseconds when the process starts, so that a later
    /// process of the same boot begins above every round of an earlier one.
    pub counter: u64,
}

impl RoundId {
    /// Whether a release of this round ends a grant of `other`: only within a boot is there an
    /// order.
    pub fn covers(self, other: Self) -> bool {
        self.boot == other.boot && self.counter >= other.counter
    }
}

/// Names a set of voters: two sets of one number differ in the digest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct SetId {
    /// The set's number.
    pub number: u64,
    /// Of the cluster's id and the members' names.
    pub digest: u64,
}

impl SetId {
    /// The name of `set` in the cluster `cluster`.
    pub fn of(cluster: &str, set: &VoterSet) -> Self {
        let mut hash = Sha256::new();
        hash.update(cluster.as_bytes());
        hash.update(set.number.to_be_bytes());
        for member in &set.members {
            hash.update([0]);
            hash.update(member.node.as_str().as_bytes());
        }
        Self { number: set.number, digest: first_eight(&hash.finalize()) }
    }
}

/// A boot's id as the number in its rounds.
pub(super) fn boot_number(boot_id: &str) -> u64 {
    first_eight(&Sha256::digest(boot_id.as_bytes()))
}

fn first_eight(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Everything that agents say to each other about leases.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Message {
    /// Asks voters for addresses; from a holder it is also the renewal that standbys listen for.
    Request(Request),
    /// A voter's answer to a request's addresses.
    Answer(Answer),
    /// A voter's answer to a request as a whole.
    Refusal(Refusal),
    /// A set that the receiver does not know, or a part of it.
    Set(SetPart),
    /// The sender gives up what a round, and earlier ones, got it.
    Release(Release),
    /// The sender lives; to each voter once a second.
    Heartbeat,
    /// The sender holds these addresses; to directors and gateways.
    Notice(Vec<NoticedAddress>),
    /// The answer to a notice, address by address.
    NoticeAnswer(Vec<NoticeAnswer>),
    /// A director asks a voter who holds these addresses.
    WhoHolds(Vec<IpAddr>),
    /// A voter's answer: its own grants.
    Holds(Vec<Holds>),
    /// A director asks a node whether it holds the address.
    Ping(IpAddr),
    /// The answer: the counter of the epoch that it holds the address with.
    Pong(IpAddr, Option<u64>),
    /// A director asks the holder to say when its kernel has all grants up to the epoch.
    AskGrants {
        /// The egress address, for which the director has a new block.
        address: IpAddr,
        /// Up to this grant epoch.
        epoch: u64,
    },
    /// A gateway's kernel has all grants up to the epoch.
    GrantsApplied {
        /// The egress address asked about.
        address: IpAddr,
        /// Up to this grant epoch.
        epoch: u64,
    },
    /// A step of a planned move.
    Move(HandoverStep),
    /// The sender restarts and asks its standbys to wait for it (clouds; a hint).
    Wait(Vec<IpAddr>),
    // Agents before this one drop it, and count it as not understood.
    /// The sender has taken these addresses over from silent holders, and waits for the cloud to
    /// deliver them to it; to directors, again and again, without an answer.
    Undelivered(Vec<NoticedAddress>),
}

/// One datagram of a round.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Request {
    /// Which round it belongs to.
    pub round: RoundId,
    /// The set whose majority is asked.
    pub set: SetId,
    /// What is wanted.
    pub kind: RequestKind,
    /// The addresses, each to be granted by itself.
    pub asks: Vec<Ask>,
}

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RequestKind {
    /// Would you grant? Without effect.
    PreVote,
    /// A candidate's vote in earnest.
    Vote,
    /// A holder's renewal.
    Renewal,
}

/// One address of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ask {
    /// The egress address.
    pub address: IpAddr,
    /// The fence of the plan that the asker has read.
    pub fence: u64,
    /// T in milliseconds.
    pub lease: u32,
    /// The counter of the sender's epoch.
    pub epoch: u64,
}

/// A voter's answer to one datagram of a round.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// The round that it answers.
    pub round: RoundId,
    /// One entry for each address of the request.
    pub answers: Vec<AddressAnswer>,
}

/// A voter's answer for one address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AddressAnswer {
    /// The egress address.
    pub address: IpAddr,
    /// Yes or no.
    pub vote: Vote,
    /// The counter of the greatest epoch that the voter knows; 0: none.
    pub epoch: u64,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Vote {
    /// Granted (or, in a pre-vote, it would be).
    Granted,
    /// Granted to another node, or kept for a named successor.
    Taken {
        /// How long the voter's grant still runs, in milliseconds, rounded up.
        remaining: u32,
    },
    /// The request's fence is lower than the voter has read.
    Fenced,
    /// The voter has read no plan of the address.
    Unplanned,
    /// T is longer than T_max.
    TooLong,
}

/// A voter's answer to a request as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Refusal {
    /// The round that it answers.
    pub round: RoundId,
    /// Why.
    pub reason: RefusalReason,
}

/// Why a voter refuses a request as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RefusalReason {
    /// It is in its silence after a boot, or has not read the fences since.
    Silent,
    /// The request names an older set; [`Message::Set`] follows.
    OlderSet,
    /// The request names a newer set than this voter knows: send it.
    NewerSet,
    /// Another set of the same number.
    OtherSet,
}

/// A set of voters, or a part where all members do not fit into one datagram.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SetPart {
    /// Which set.
    pub set: SetId,
    /// How many members it has.
    pub total: u8,
    /// The position of the first member below.
    pub first: u8,
    /// Members from there on.
    pub members: Vec<Voter>,
}

/// Gives up addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Release {
    /// The sender's newest round that asked for any of them: grants of it and of earlier rounds
    /// end, those of later ones do not.
    pub round: RoundId,
    /// Which addresses.
    pub released: Vec<ReleasedAddress>,
}

/// One address given up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReleasedAddress {
    /// The egress address.
    pub address: IpAddr,
    /// For whom it is kept until the released grant's own end.
    pub successor: Option<Successor>,
}

/// To whom an address is handed over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Successor {
    /// Its name.
    pub node: NodeName,
    /// Its first round after it said that it is coming: a release of an earlier round of it, still
    /// under way, must not end what is kept for it.
    pub round: RoundId,
}

/// One address of a notice: the sender holds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NoticedAddress {
    /// The egress address.
    pub address: IpAddr,
    /// The counter of the sender's epoch.
    pub epoch: u64,
}

/// The answer for one address of a notice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NoticeAnswer {
    /// The egress address.
    pub address: IpAddr,
    /// The counter that the notice named.
    pub epoch: u64,
    /// A greater epoch, or the same counter with another node's name, where the receiver knows one.
    pub greater: Option<Epoch>,
}

/// A voter's word on who holds an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holds {
    /// The egress address.
    pub address: IpAddr,
    /// To whom the voter has granted it now, with the counter of the epoch.
    pub holder: Option<(NodeName, u64)>,
}

/// A step of a planned move, between the holder and its successor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HandoverStep {
    /// Holder: will you take it over?
    Come(IpAddr),
    /// Successor: how long does your lease still run? Counted from this question.
    HowLong {
        /// Which address.
        address: IpAddr,
        /// Names the question.
        question: u64,
    },
    /// Holder: so long.
    Remaining {
        /// Which address.
        address: IpAddr,
        /// The question answered.
        question: u64,
        /// Nanoseconds.
        remaining: u64,
        /// The counter of the holder's epoch.
        epoch: u64,
    },
    /// Successor: my kernel forwards. Hand it over to this round of mine, or a later one.
    Coming {
        /// Which address.
        address: IpAddr,
        /// The question whose answer it rests on.
        question: u64,
        /// The successor's next round.
        round: RoundId,
    },
    /// Holder: I have released it to you.
    Yours(IpAddr),
}
