//! One address on this node: asking for it, holding it, knowing who does. Its rules are those of
//! docs/leases.md.

use std::net::IpAddr;

use super::handover::{Coming, Handover, Leaving};
use super::machine::{Machine, Out, mistaken};
use super::timing::ns;
use super::{AddressState, AddressView, Ask, BootTime, Effect, Now, Report};
use crate::model::{Holding, Millis, NodeName};

/// What this node is to an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// Neither asking nor holding.
    Idle,
    /// Asks without effect, in this round.
    PreVote(u64),
    /// Asks in earnest, in this round.
    Vote(u64),
    /// Holds it.
    Holder(Holder),
}

/// A lease, and what its holder does with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Holder {
    /// The counter of its epoch.
    pub epoch: u64,
    /// The fence that it was asked with.
    pub fence: u64,
    /// T in milliseconds, as the plan says now.
    pub lease: u32,
    /// The start of the newest round that a majority has granted, plus its T.
    pub deadline: u64,
    pub next_renewal: u64,
    pub next_notice: u64,
    pub probe: Probe,
    /// How often it was announced since it is held.
    pub announced: u8,
    pub next_announcement: u64,
    pub handover: Option<Handover>,
}

/// Whether a foreign host may have the address (RFC 5227).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Probe {
    Done,
    Running,
    Conflict { again: u64 },
}

/// The last map entry written.
pub(super) type Entry = (AddressState, Option<NodeName>, Option<BootTime>);

/// Everything that this node knows of one address beside the plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub role: Role,
    /// The last sign of a holder, or the reading of the plan; `None`: ask at once.
    pub heard: Option<u64>,
    /// Not asked for before this.
    pub pause: u64,
    /// The plan names this node as owner or standby.
    pub ranked: bool,
    /// The holder with the greatest epoch known.
    pub known: Option<Holding>,
    /// As a successor in a planned move.
    pub coming: Option<Coming>,
    pub leaving: Option<Leaving>,
    /// An earlier process of this boot held it: its kernel entry goes on to its own deadline.
    pub adopted_until: Option<u64>,
    /// What this process has written; `None`: nothing yet.
    pub kernel: Option<Entry>,
}

impl Address {
    pub(super) fn new() -> Self {
        Self {
            role: Role::Idle,
            heard: None,
            pause: 0,
            ranked: false,
            known: None,
            coming: None,
            leaving: None,
            adopted_until: None,
            kernel: None,
        }
    }

    pub(super) fn holder(&self) -> Option<&Holder> {
        match &self.role {
            Role::Holder(holder) => Some(holder),
            _ => None,
        }
    }

    pub(super) fn holder_mut(&mut self) -> Option<&mut Holder> {
        match &mut self.role {
            Role::Holder(holder) => Some(holder),
            _ => None,
        }
    }

    fn entry(&self, me: &NodeName, plan: Option<&AddressView>) -> Entry {
        let armed =
            |deadline: u64| (!plan.is_some_and(|plan| plan.unarmed)).then_some(BootTime(deadline));
        if let Role::Holder(holder) = &self.role {
            let ready = holder.probe == Probe::Done;
            let state = if ready { AddressState::Held } else { AddressState::Coming };
            return (state, Some(me.clone()), armed(holder.deadline));
        }
        if let Some(deadline) = self.coming.as_ref().and_then(|coming| coming.deadline) {
            return (AddressState::Coming, Some(me.clone()), armed(deadline));
        }
        if plan.is_some_and(|plan| plan.delivers_to(me) && !plan.revoked) {
            return (AddressState::Held, Some(me.clone()), None);
        }
        let past = Some(BootTime(0));
        if let Some(leaving) = &self.leaving {
            return (AddressState::Leaving, Some(leaving.to.clone()), past);
        }
        let other = self.known.as_ref().map(|known| &known.node).filter(|node| *node != me);
        (AddressState::Standby, other.cloned(), past)
    }
}

impl Machine {
    pub(super) fn plan(&self, address: IpAddr) -> Option<&AddressView> {
        self.view.as_ref()?.addresses.get(&address)
    }

    /// Writes the map entry where it differs from the last one written.
    pub(super) fn refresh_kernel(&mut self, address: IpAddr, out: &mut Out) {
        let plan = self.view.as_ref().and_then(|view| view.addresses.get(&address));
        let Some(entry) = self.addresses.get_mut(&address) else { return };
        if entry.adopted_until.is_some() && entry.holder().is_none() && entry.coming.is_none() {
            return;
        }
        let wanted = entry.entry(&self.config.me, plan);
        if entry.kernel.as_ref() != Some(&wanted) {
            entry.kernel = Some(wanted.clone());
            let (state, holder, valid_until) = wanted;
            out.push(Effect::Kernel { address, state, holder, valid_until });
        }
    }

    /// The greatest epoch wins: of a plan's status, a renewal, a notice, a voter's word.
    pub(super) fn learn_holder(&mut self, address: IpAddr, holding: &Holding, out: &mut Out) {
        self.know_epoch(address, holding.epoch.counter);
        let me = self.config.me.clone();
        let Some(entry) = self.addresses.get_mut(&address) else { return };
        let newer = entry.known.as_ref().is_none_or(|known| holding.epoch > known.epoch);
        if !newer || entry.holder().is_some() {
            return;
        }
        entry.known = Some(holding.clone());
        if holding.node != me {
            entry.adopted_until = None;
            out.report(Report::HolderKnown { address, holding: holding.clone() });
        }
        self.refresh_kernel(address, out);
    }

    /// Another node's renewal: a standby waits, a candidate stops (rules 8 and 9).
    pub(super) fn heard_renewal(&mut self, now: Now, from: &NodeName, ask: &Ask, out: &mut Out) {
        let Some(entry) = self.addresses.get_mut(&ask.address) else {
            return self.know_epoch(ask.address, ask.epoch);
        };
        if entry.holder().is_some() {
            return self.know_epoch(ask.address, ask.epoch);
        }
        // Who restarts is waited for, whatever of it is still on its way.
        entry.heard = entry.heard.max(Some(now.boot.0));
        let succeeds = entry.coming.as_ref().is_some_and(|coming| coming.from == *from);
        let role = entry.role.clone();
        match role {
            Role::PreVote(_) => entry.role = Role::Idle,
            Role::Vote(_) if !succeeds => self.release(now, &[(ask.address, None)], out),
            _ => {}
        }
        if self.is_unarmed(ask.address) {
            return self.know_epoch(ask.address, ask.epoch);
        }
        self.learn_holder(ask.address, &holding(from, ask.epoch), out);
    }

    /// A majority has granted the address in a round begun at `started` (rule 1).
    pub(super) fn granted(
        &mut self,
        now: Now,
        started: u64,
        ask: &Ask,
        voters: u64,
        out: &mut Out,
    ) {
        let started = if mistaken!(self, DeadlineFromAnswer) { now.boot.0 } else { started };
        let deadline = started + ns(Millis(u64::from(ask.lease)));
        if deadline <= now.boot.0 {
            return;
        }
        let Some(entry) = self.addresses.get_mut(&ask.address) else { return };
        // Whatever this node was: a round that was given up is no longer open, and one that is
        // open and granted is a lease.
        let Some(holder) = entry.holder_mut() else {
            return self.begin_to_hold(now, started, deadline, ask, voters, out);
        };
        let outdone = voters > holder.epoch;
        if deadline > holder.deadline {
            holder.deadline = deadline;
            self.refresh_kernel(ask.address, out);
        }
        if outdone {
            self.raise_epoch(now, ask.address, voters, out);
        }
    }
}

pub(super) fn holding(node: &NodeName, counter: u64) -> Holding {
    let epoch = crate::model::Epoch { counter, node: node.clone() };
    Holding { node: node.clone(), epoch }
}
