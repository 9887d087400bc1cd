//! What goes into a [`Machine`](super::Machine).

use std::net::IpAddr;

use super::{Message, Now, PlanView};
use crate::model::NodeName;

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
    View(Box<PlanView>),
    /// A consistent read has answered ([`Effect::ReadConsistently`]).
    ConsistentRead {
        /// A moment before the read was sent.
        began: Now,
        /// What it said: at least as new as `began`.
        view: Box<PlanView>,
    },
    /// A round of probes of an address ([`Effect::Probe`](super::Effect::Probe)) is over (RFC 5227;
    /// about 5 s); or another host claims an address that is held here; or it is known by now who that was.
    Probed {
        /// The egress address.
        address: IpAddr,
        /// Who has it too.
        found: ProbeFinding,
    },
    /// This node has another interface for the address than before, or its first one; or a cloud has
    /// only now begun to follow what it announces there. What was announced until now has reached
    /// nobody.
    LinkReady {
        /// The egress address.
        address: IpAddr,
    },
    /// As a gateway: every port-block grant and end up to `epoch` is in this node's kernel.
    GrantsApplied {
        /// Up to this number of the grants' own counter.
        epoch: u64,
    },
    /// As a director: ask the holder of `address` until it has applied the grants up to `epoch`;
    /// answered by [`Report::GrantAcknowledged`]. A later question for the address replaces it.
    AskGrants {
        /// The egress address.
        address: IpAddr,
        /// Up to this number.
        epoch: u64,
    },
    /// As a director: there is traffic of this address, and no holder is known or nothing comes
    /// back. May be said as often as the caller likes; the questions are limited
    /// (docs/leases.md rule 10).
    NeedHolder {
        /// The egress address.
        address: IpAddr,
    },
    /// The process is to end; answered by [`Report::Stopped`].
    Stop(StopMode),
}

/// Who has an address that is probed or held here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeFinding {
    /// Nobody, or only who keeps nobody off.
    Nobody,
    /// Another host: what is not answered for yet is not used at all, and who has it is looked for every
    /// 60 s until two rounds have passed in silence.
    Host,
    /// All that were found since this node holds it keep nobody off, as is known only now. What is not
    /// answered for yet is probed again at once.
    Harmless,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopMode {
    /// At once, and releases nothing: the kernel entries go on to their deadlines.
    AtOnce,
    /// Another process follows on this node. Every held address is handed over to its first living
    /// standby first; where the fabric is the fence it stays, and its standbys are asked to wait.
    Restart,
    /// The node goes. Every held address is handed over first, wherever it is; where the fabric is the
    /// fence, the end comes when it delivers nothing to this node any more. That may be never: the
    /// caller ends the wait.
    Leave,
}
