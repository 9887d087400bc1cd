//! The lease thread: renewals, takeovers and announcements, on a thread of its own.
//!
//! State: the protocol's [`Machine`], the peers' socket, the address map, the announcer and the
//! kept file, all owned by this thread and written by nobody else. Always: nothing here waits for
//! the store, the rule set or the executor; what the machine keeps is on the file before anything
//! that rests on it is sent; effects are carried out in order, and behind the first one of `Persist`
//! or `Kernel` that fails none is.

mod address_probe;
mod clocks;
mod effects;
mod map_entry;
mod persisted;
mod thread;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::mpsc;

use egret_core::lease::{Now, PlanView, Report};
use egret_core::model::NodeName;
use egret_peers::{Peer, Waker};
use egret_ports::gateway::UplinkLink;

pub(crate) use clocks::now;
pub(crate) use effects::LeasePorts;
pub(crate) use persisted::PersistedLeaseFile;
pub(crate) use thread::spawn;

/// What the main loop tells the lease thread.
#[derive(Debug)]
pub(crate) enum LeaseCommand {
    /// What the store says has changed.
    Update(Box<PlanUpdate>),
    /// A consistent read has answered.
    Consistent { began: Now, update: Box<PlanUpdate> },
    /// Every port-block grant up to this number is in the kernel.
    GrantsApplied(u64),
    /// Ask the holder whether it has the grants up to `epoch`.
    AskGrants { address: IpAddr, epoch: u64 },
    /// There is traffic for an address of which no holder is known.
    NeedHolder(IpAddr),
    /// The process is to end.
    Stop { handover: bool },
}

/// The store's word, as far as the lease thread needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlanUpdate {
    pub(crate) view: PlanView,
    /// Every other agent: where it listens and its key.
    pub(crate) peers: BTreeMap<NodeName, Peer>,
    /// Where each node's tunnel ends.
    pub(crate) endpoints: BTreeMap<NodeName, Vec<IpAddr>>,
    /// How this node would carry each address: its uplink, and what is on the wire.
    pub(crate) links: BTreeMap<IpAddr, CarryingLink>,
}

/// How this node would carry an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CarryingLink {
    pub(crate) uplink: Option<UplinkLink>,
    pub(crate) wire: Option<IpAddr>,
}

/// What the lease thread tells the main loop.
#[derive(Debug)]
pub(crate) enum LeaseEvent {
    /// The machine's report.
    Report(Report),
    /// A consistent read is wanted.
    ReadConsistently,
    /// A foreign host claims an address that is held here.
    Conflict { address: IpAddr, mac: [u8; 6] },
    /// The thread cannot go on: the process must end, so that the kernel's deadlines do.
    Failed(String),
}

/// The main loop's end of the lease thread.
#[derive(Debug)]
pub(crate) struct LeaseHandle {
    commands: mpsc::Sender<LeaseCommand>,
    waker: Waker,
}

impl LeaseHandle {
    /// Hands a command over and wakes the thread. A thread that has ended has said so by
    /// [`LeaseEvent::Failed`] or [`Report::Stopped`]: nothing is left to tell it.
    pub(crate) fn send(&self, command: LeaseCommand) {
        if self.commands.send(command).is_ok() {
            self.waker.wake();
        }
    }
}
