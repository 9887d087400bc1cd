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

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::mpsc;

use egret_core::lease::{AddressView, Now, PlanView, Report, StopMode, UplinkReach};
use egret_core::model::NodeName;
use egret_peers::{Peer, Waker};
use egret_ports::gateway::UplinkLink;

pub(crate) use clocks::now;
pub(crate) use effects::LeasePorts;
pub(crate) use persisted::PersistedLeaseFile;
pub(crate) use thread::spawn;

/// What the main loop and the feed of plans tell the lease thread.
#[derive(Debug)]
pub(crate) enum LeaseCommand {
    /// What the store says has changed.
    Update(Box<PlanUpdate>),
    /// A consistent read has answered.
    Consistent { began: Now, update: Box<PlanUpdate> },
    /// This node has other addresses by now, the tunnel's family first.
    Listen(Vec<IpAddr>),
    /// Every port-block grant up to this number is in the kernel.
    GrantsApplied(u64),
    /// Ask the holder whether it has the grants up to `epoch`.
    AskGrants { address: IpAddr, epoch: u64 },
    /// There is traffic for an address of which no holder is known.
    NeedHolder(IpAddr),
    /// The process is to end.
    Stop(StopMode),
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
    /// The egress addresses that this node has on an interface.
    pub(crate) local: BTreeSet<IpAddr>,
    /// Addresses of this node's uplinks that are no egress addresses: nobody outside answers for them.
    pub(crate) host: BTreeSet<IpAddr>,
    /// Hardware addresses that keep nobody off an address which is not answered for yet: of the uplinks of its
    /// last holder, where the voters do not hear it, since it is the network that answers with them (ARP
    /// suppression keeps the dead one's answer); and, where it was held, of the nodes that have it on an
    /// interface.
    pub(crate) harmless: BTreeMap<IpAddr, BTreeSet<[u8; 6]>>,
}

impl PlanUpdate {
    /// A gateway answers for the address. What a status says of one that is revoked is over.
    fn is_answered_for(&self, address: IpAddr) -> bool {
        let plan = self.view.addresses.get(&address);
        plan.is_some_and(|plan| plan.probed && !plan.revoked)
    }

    /// The addresses whose network this host, `me`, does not reach: those that it may carry, and all.
    pub(crate) fn cut_off(&self, me: &NodeName) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let ranked = |plan: &AddressView| plan.ranks().any(|node| node == me);
        let lost = || self.view.addresses.iter().filter(|its| its.1.reach == UplinkReach::Lost);
        let mine = lost().filter(|(_, plan)| ranked(plan)).map(|(address, _)| *address);
        (mine.collect(), lost().map(|(address, _)| *address).collect())
    }

    /// The addresses that live in a subnet of an uplink, here or elsewhere.
    pub(crate) fn on_link(&self) -> Vec<IpAddr> {
        let all = self.view.addresses.iter().filter(|(_, plan)| plan.is_on_link());
        all.map(|(address, _)| *address).collect()
    }

    /// Whether what the programs read of addresses differs by `after`.
    fn lacks_of_entries(&self, after: &Self) -> bool {
        let answered = |update: &Self| {
            let all = update.local.iter().map(|address| update.is_answered_for(*address));
            all.collect::<Vec<bool>>()
        };
        self.endpoints != after.endpoints
            || self.links != after.links
            || self.local != after.local
            || answered(self) != answered(after)
    }
}

/// How this node would carry an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CarryingLink {
    pub(crate) uplink: Option<UplinkLink>,
    pub(crate) wire: Option<IpAddr>,
    /// A cloud says by which interface it delivers, or would deliver, the address to this node.
    pub(crate) named: bool,
}

impl CarryingLink {
    /// Whether what this node has announced by `before` may have reached nobody: it had no interface,
    /// or another one, or the cloud, which follows only the nodes that it knows, knew nothing of it.
    pub(crate) fn is_ready_since(&self, before: Option<&Self>) -> bool {
        let Some(uplink) = self.uplink else { return false };
        let same = |before: &Self| {
            let interface = before.uplink.map(|before| (before.index, before.mac));
            interface == Some((uplink.index, uplink.mac)) && (before.named || !self.named)
        };
        !before.is_some_and(same)
    }
}

/// What the lease thread tells the main loop.
#[derive(Debug)]
pub(crate) enum LeaseEvent {
    /// The machine's report.
    Report(Report),
    /// A consistent read is wanted.
    ReadConsistently,
    /// Another host claims an address that is held here, or is about to be.
    Conflict { address: IpAddr, mac: [u8; 6] },
    /// Whether it listens on the addresses that this node has by now; where not, on those before, and it
    /// tries again.
    Listening(Result<(), String>),
    /// The thread cannot go on: the process must end, so that the kernel's deadlines do.
    Failed(String),
}

/// The end of the lease thread that others have. A clone leads to the same one.
#[derive(Clone, Debug)]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn link(interface: Option<u8>, named: bool) -> CarryingLink {
        let uplink = interface.map(|number| UplinkLink {
            index: u32::from(number),
            mac: [2, 0, 0, 0, 0, number],
            next_hop: None,
            on_link_bits: 0,
        });
        CarryingLink { uplink, wire: None, named }
    }

    #[test]
    fn an_interface_that_is_there_at_last_or_that_the_cloud_names_at_last_is_ready() {
        let ready =
            |before: Option<CarryingLink>, now: CarryingLink| now.is_ready_since(before.as_ref());
        assert!(ready(None, link(Some(2), false)), "its first one");
        assert!(ready(Some(link(None, true)), link(Some(2), true)), "the link has come");
        assert!(ready(Some(link(None, false)), link(Some(2), true)), "named and there");
        assert!(ready(Some(link(Some(2), false)), link(Some(2), true)), "no endpoint until now");
        assert!(ready(Some(link(Some(2), true)), link(Some(3), true)), "another one");
        assert!(!ready(Some(link(Some(2), true)), link(Some(2), true)), "nothing new");
        assert!(!ready(Some(link(Some(2), true)), link(Some(2), false)), "the cloud forgets it");
        assert!(!ready(Some(link(Some(2), true)), link(None, true)), "the link has gone");
        assert!(!ready(None, link(None, true)), "and was never there");
        let routed = CarryingLink {
            uplink: link(Some(2), true)
                .uplink
                .map(|uplink| UplinkLink { next_hop: Some([10, 0, 0, 1].into()), ..uplink }),
            ..link(Some(2), true)
        };
        assert!(!ready(Some(link(Some(2), true)), routed), "a router is of no matter");
    }
}
