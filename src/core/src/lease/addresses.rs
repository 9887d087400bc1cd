//! All addresses that concern this node, and what is done for many of them at once (docs/leases.md
//! rule 7).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::address::AddressLease;
use super::context::Context;
use super::durable::DurableState;
use super::effect::Effects;
use super::holder::Holder;
use super::{AddressView, Ask, BootTime, Effect, Message, NoticeAnswer, ProbeFinding, encoding};
use crate::model::NodeName;

/// By address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Addresses(BTreeMap<IpAddr, AddressLease>);

impl Addresses {
    pub(super) fn get(&self, address: IpAddr) -> Option<&AddressLease> {
        self.0.get(&address)
    }

    pub(super) fn get_mut(&mut self, address: IpAddr) -> Option<&mut AddressLease> {
        self.0.get_mut(&address)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (IpAddr, &mut AddressLease)> {
        self.0.iter_mut().map(|(address, entry)| (*address, entry))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (IpAddr, &AddressLease)> {
        self.0.iter().map(|(address, entry)| (*address, entry))
    }

    /// Those of which this holds.
    pub(super) fn which(&self, holds: impl Fn(&AddressLease) -> bool) -> BTreeSet<IpAddr> {
        self.iter().filter(|(_, entry)| holds(entry)).map(|(address, _)| address).collect()
    }

    /// What this node holds.
    pub(super) fn holders(&self) -> impl Iterator<Item = (IpAddr, &Holder)> {
        self.iter().filter_map(|(address, entry)| Some((address, entry.holder.as_ref()?)))
    }

    fn holders_mut(&mut self) -> impl Iterator<Item = (IpAddr, &mut Holder)> {
        let holders = self.0.iter_mut();
        holders.filter_map(|(address, entry)| Some((*address, entry.holder.as_mut()?)))
    }

    /// The node that was last known to hold the address.
    pub(super) fn known_node(&self, address: IpAddr) -> Option<&NodeName> {
        self.get(address)?.known_node()
    }

    /// The epoch of an address that this node holds.
    pub(super) fn held_epoch(&self, address: IpAddr) -> Option<u64> {
        Some(self.get(address)?.holder.as_ref()?.epoch)
    }

    /// The epochs of all that this node holds.
    pub(super) fn held_epochs(&self) -> BTreeMap<IpAddr, u64> {
        self.holders().map(|(address, holder)| (address, holder.epoch)).collect()
    }

    /// What this node holds and the cloud does not deliver to it: since when directors hear of it, and
    /// the epoch.
    pub(super) fn undelivered(&self) -> impl Iterator<Item = (IpAddr, BootTime, u64)> {
        self.iter().filter_map(|(address, entry)| {
            let (from, epoch) = entry.undelivered()?;
            Some((address, from, epoch))
        })
    }

    /// Whether any is held, asked for, or was lately asked for in vain.
    pub(super) fn are_asked_for(&self, cx: &Context<'_>) -> bool {
        let recent = cx.now.boot - cx.config.timing.majority_lost;
        self.0.values().any(|entry| entry.is_asking(recent))
    }

    /// The first moment of any address.
    pub(super) fn first(
        &self,
        due: impl Fn(IpAddr, &AddressLease) -> Option<BootTime>,
    ) -> Option<BootTime> {
        self.iter().filter_map(|(address, entry)| due(address, entry)).min()
    }

    /// The addresses whose holder is to be told to everybody again.
    pub(super) fn notices_due(&mut self, cx: &Context<'_>) -> Vec<IpAddr> {
        let due = |(address, entry): (&IpAddr, &mut AddressLease)| {
            let due = entry.holder.as_mut().is_some_and(|holder| holder.notice_due(cx));
            (due && entry.may_announce(cx)).then_some(*address)
        };
        self.0.iter_mut().filter_map(due).collect()
    }

    /// Calls `told` for each address that is held, with whether who had it before was silent; that
    /// is over where the plan has the fabric deliver here. Notes of each whether it does.
    pub(super) fn each_held(&mut self, cx: &Context<'_>, mut told: impl FnMut(IpAddr, bool)) {
        for (address, entry) in &mut self.0 {
            if entry.holder.is_some() {
                told(*address, entry.silent_predecessor);
            }
            entry.end_early_following(cx);
            entry.note_delivery(cx);
        }
    }

    /// An answer to a notice of this node's; whether it acknowledges the present epoch.
    pub(super) fn on_notice_answer(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        answer: &NoticeAnswer,
        out: &mut Effects,
    ) -> bool {
        let Some(entry) = self.0.get_mut(&answer.address) else { return false };
        let Some(epoch) = entry.holder.as_ref().map(|holder| holder.epoch) else { return false };
        match &answer.greater {
            Some(greater) if greater.counter >= epoch => {
                entry.raise_epoch(cx, durable, greater.counter, out);
                false
            }
            greater => greater.is_none() && answer.epoch == epoch,
        }
    }

    /// One round for all addresses that are due, or soon will be (rule 7); `None` where none is.
    pub(super) fn renew(&mut self, cx: &Context<'_>) -> Option<BTreeMap<IpAddr, Ask>> {
        self.holders().find(|(_, holder)| holder.next_renewal <= cx.now.boot)?;
        let asks = self.holders_mut().filter_map(|(a, holder)| Some((a, holder.renew(cx, a)?)));
        Some(asks.collect())
    }

    /// Renews at once.
    pub(super) fn renew_now(&mut self, cx: &Context<'_>) {
        self.holders_mut().for_each(|(_, holder)| holder.renew_now(cx));
    }

    pub(super) fn on_probed(
        &mut self,
        cx: &Context<'_>,
        address: IpAddr,
        found: ProbeFinding,
        out: &mut Effects,
    ) {
        if let Some(entry) = self.0.get_mut(&address) {
            entry.on_probed(cx, found, out);
        }
    }

    pub(super) fn on_link_ready(&mut self, cx: &Context<'_>, address: IpAddr) {
        let entry = self.0.get_mut(&address);
        if let Some(holder) = entry.and_then(|entry| entry.holder.as_mut()) {
            holder.announce_anew(cx);
        }
    }

    pub(super) fn announce(&mut self, cx: &Context<'_>, out: &mut Effects) {
        for (address, holder) in self.holders_mut() {
            if let Some(plan) = cx.plan(address).filter(|plan| plan.announces) {
                holder.announce(cx, address, plan, out);
            }
        }
    }

    /// A holder that stops hands nothing over in a cloud, since every move costs calls there: it
    /// asks its standbys to wait for it. Its kernel goes on forwarding meanwhile.
    pub(super) fn ask_to_wait(&self, cx: &Context<'_>, out: &mut Effects) {
        let mut told: BTreeMap<&NodeName, Vec<IpAddr>> = BTreeMap::new();
        for (address, _) in self.holders() {
            let plan = cx.plan(address).filter(|plan| plan.no_deadline);
            for node in plan.into_iter().flat_map(AddressView::ranks) {
                if *node != cx.config.me {
                    told.entry(node).or_default().push(address);
                }
            }
        }
        for (node, addresses) in told {
            for piece in encoding::pieces(addresses) {
                out.send(node, Message::Wait(piece));
            }
        }
    }

    /// A hint: no lease rests on it. Only the holder that this node knows is waited for.
    pub(super) fn on_wait(&mut self, cx: &Context<'_>, from: &NodeName, addresses: &[IpAddr]) {
        for address in addresses {
            let Some(entry) = self.0.get_mut(address) else { continue };
            if cx.has_no_deadline(*address) && entry.known_node() == Some(from) {
                entry.candidate.wait_for_restart(cx);
            }
        }
    }

    /// Adds what the plan makes a concern of this node; false where it is none.
    pub(super) fn read_plan(
        &mut self,
        cx: &Context<'_>,
        durable: &DurableState,
        address: IpAddr,
        plan: &AddressView,
    ) -> bool {
        if concerns(cx, plan) {
            self.0.entry(address).or_insert_with(|| AddressLease::new(cx, durable, address));
        }
        let entry = self.0.get_mut(&address);
        entry.map(|entry| entry.read_rank(cx, plan)).is_some()
    }

    /// What is in no plan any more, or concerns this node no longer. A holder that the plan has
    /// dropped goes on until another one comes.
    pub(super) fn unconcerned(&self, cx: &Context<'_>) -> BTreeSet<IpAddr> {
        let ended = |address: IpAddr, entry: &AddressLease| match cx.plan(address) {
            None => true,
            Some(plan) => entry.holder.is_none() && !concerns(cx, plan),
        };
        self.iter().filter(|(address, its)| ended(*address, its)).map(|(a, _)| a).collect()
    }

    pub(super) fn forget(&mut self, address: IpAddr, out: &mut Effects) {
        self.0.remove(&address);
        out.push(Effect::Forget { address });
    }

    pub(super) fn forget_all(&mut self, out: &mut Effects) {
        for address in std::mem::take(&mut self.0).into_keys() {
            out.push(Effect::Forget { address });
        }
    }

    #[cfg(feature = "fault-injection")]
    pub(super) fn hash_part(&self, state: &mut impl std::hash::Hasher) {
        self.0.values().for_each(|entry| entry.hash_part(state));
    }
}

/// Whether this node is anything to the address.
fn concerns(cx: &Context<'_>, plan: &AddressView) -> bool {
    let me = &cx.config.me;
    plan.ranks().any(|node| node == me) || plan.directors.contains(me) || plan.gateways.contains(me)
}
