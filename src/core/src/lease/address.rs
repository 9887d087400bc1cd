//! One address on this node: its parts (candidate, holder, hand-over), who is known to hold it, and
//! what its map entry has to say (docs/leases.md rules 1, 6 and 10).

use std::net::IpAddr;
use std::time::Duration;

use super::candidate::{Candidate, CandidateStage};
use super::clock::nanoseconds;
use super::config::injected;
use super::context::Context;
use super::durable::DurableState;
use super::effect::Effects;
use super::handover::HandoverState;
use super::holder::{GrantedLease, Holder, holding};
use super::{
    AddressState, AddressView, Ask, BootTime, Effect, HandoverStep, ProbeFinding, Report, Successor,
};
use crate::model::{Epoch, Holding, NodeName};

mod delivery;
#[cfg(test)]
mod tests;

/// The last map entry written.
type WrittenEntry = (AddressState, Option<NodeName>, Option<BootTime>);

/// Everything that this node knows of one address beside the plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AddressLease {
    address: IpAddr,
    /// Idle while this node holds.
    pub candidate: Candidate,
    /// `None`: this node does not hold.
    pub holder: Option<Holder>,
    pub handover: HandoverState,
    /// The holder with the greatest epoch known.
    pub known_holder: Option<Holding>,
    /// An earlier process of this boot held it: its kernel entry goes on to its own deadline.
    pub adopted_until: Option<BootTime>,
    /// What this process has written; `None`: nothing yet.
    written: Option<WrittenEntry>,
    /// This node took it over since the one before was silent, and the fabric was not yet seen to
    /// deliver here.
    pub silent_predecessor: bool,
    /// From then on directors hear that the cloud does not deliver it here; `None`: it does, or nobody
    /// waits for a cloud.
    undelivered_from: Option<BootTime>,
}

impl AddressLease {
    /// An address that this process sees for the first time. What an earlier process of this boot
    /// held is asked for at once, and its kernel entry left alone until the voters have spoken.
    pub(super) fn new(cx: &Context<'_>, durable: &DurableState, address: IpAddr) -> Self {
        let held = durable.kept.held.contains_key(&address);
        let until = durable.kept.held_until.get(&address);
        let heard = until.map(|until| *until - cx.lease(address));
        Self {
            address,
            candidate: Candidate { heard, ..Candidate::default() },
            holder: None,
            handover: HandoverState::default(),
            known_holder: None,
            adopted_until: held.then(|| cx.now.boot + cx.lease(address)),
            written: None,
            silent_predecessor: false,
            undelivered_from: None,
        }
    }

    /// The node that was last known to hold it.
    pub(super) fn known_node(&self) -> Option<&NodeName> {
        self.known_holder.as_ref().map(|known| &known.node)
    }

    /// Neither asks nor holds.
    pub(super) fn is_idle(&self) -> bool {
        self.holder.is_none() && self.candidate.stage == CandidateStage::Idle
    }

    /// It is held, asked for, or was asked for in vain since `recent`.
    pub(super) fn is_asking(&self, recent: BootTime) -> bool {
        self.holder.is_some() || self.candidate.is_asking(recent)
    }

    /// Holds, asks, is coming or has an adopted kernel entry: all of which end with a release.
    pub(super) fn is_active(&self) -> bool {
        self.holder.is_some()
            || self.candidate.asks_in_earnest()
            || self.handover.incoming.is_some()
            || self.adopted_until.is_some()
    }

    /// When this node is to ask for it.
    pub(super) fn ask_due(&self, cx: &Context<'_>) -> Option<BootTime> {
        if self.holder.is_some() || self.handover.incoming.is_some() {
            return None;
        }
        self.candidate.due(cx, cx.plan(self.address)?, self.known_node())
    }

    /// Takes in whether the plan names this node as owner or standby.
    pub(super) fn read_rank(&mut self, cx: &Context<'_>, plan: &AddressView) {
        let ranked = plan.ranks().any(|node| *node == cx.config.me);
        if ranked && !self.candidate.ranked && self.adopted_until.is_none() {
            self.candidate.last_renewal = Some(cx.now.boot);
        }
        self.candidate.ranked = ranked;
    }

    /// Whether the plan takes the address away from this node: `active`, it has something to
    /// release.
    pub(super) fn is_taken_away(&self, plan: &AddressView, active: bool) -> bool {
        let fenced = self.holder.as_ref().is_some_and(|holder| plan.fence > holder.fence);
        let asks = self.candidate.stage != CandidateStage::Idle;
        fenced || (plan.revoked && active) || (asks && !self.candidate.ranked)
    }

    /// What the plan changes for its holder. `moves`: the plan may have it handed over.
    pub(super) fn follow_plan(&mut self, cx: &Context<'_>, plan: &AddressView, moves: bool) {
        let Some(holder) = &mut self.holder else { return };
        holder.lease = u32::try_from(plan.lease.0).unwrap_or(u32::MAX);
        if moves {
            self.handover.follow_plan(cx, plan, holder);
        }
    }

    /// Its holder's answer to a successor; a promise.
    pub(super) fn on_how_long(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        from: &NodeName,
        question: u64,
    ) -> Option<HandoverStep> {
        let holder = self.holder.as_ref()?;
        self.handover.on_how_long(cx, durable, self.address, holder, from, question)
    }

    /// Rests after a round without a majority.
    pub(super) fn rest(&mut self, cx: &Context<'_>, wait: Option<Duration>, random: Duration) {
        let known = self.known_holder.as_ref().map(|known| &known.node);
        if let Some(plan) = cx.plan(self.address) {
            self.candidate.rest(cx, plan, known, wait, random);
        }
    }

    /// The greatest epoch wins: of a plan's status, a renewal, a notice, a voter's word.
    pub(super) fn learn_holder(&mut self, cx: &Context<'_>, holding: &Holding, out: &mut Effects) {
        let newer = self.known_holder.as_ref().is_none_or(|known| holding.epoch > known.epoch);
        if !newer || self.holder.is_some() {
            return;
        }
        self.known_holder = Some(holding.clone());
        if holding.node != cx.config.me {
            self.adopted_until = None;
            let (address, holding) = (self.address, holding.clone());
            out.report(Report::HolderKnown { address, holding });
        }
        self.write_entry(cx, out);
    }

    /// A greater epoch than `new`, or its counter with another node's name.
    pub(super) fn greater_than(&self, new: &Holding) -> Option<Epoch> {
        let known = self.known_holder.as_ref()?;
        let greater = known.epoch.counter > new.epoch.counter
            || (known.epoch.counter == new.epoch.counter && known.node != new.node);
        greater.then(|| known.epoch.clone())
    }

    /// A majority has granted it in a round begun at `started` (rule 1); `voters_epoch` is the
    /// greatest that they know.
    pub(super) fn granted(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        started: BootTime,
        ask: &Ask,
        voters_epoch: u64,
        out: &mut Effects,
    ) {
        let started = if injected!(cx.config, DeadlineFromAnswer) { cx.now.boot } else { started };
        let deadline = started + Duration::from_millis(u64::from(ask.lease));
        if deadline <= cx.now.boot {
            return;
        }
        // Whatever this node was: a round that was given up is no longer open, and one that is
        // open and granted is a lease.
        let Some(holder) = &mut self.holder else {
            let moved = self.handover.hold();
            let follows_closely = moved || self.candidate.follows_closely(cx, ask.lease);
            let granted = GrantedLease { ask, started, deadline, voters_epoch, follows_closely };
            return self.begin_to_hold(cx, durable, &granted, moved, out);
        };
        let outdone = voters_epoch > holder.epoch;
        if holder.extend(deadline) {
            self.write_entry(cx, out);
        }
        if outdone {
            self.raise_epoch(cx, durable, voters_epoch, out);
        }
    }

    fn begin_to_hold(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        granted: &GrantedLease<'_>,
        moved: bool,
        out: &mut Effects,
    ) {
        let (address, me) = (self.address, &cx.config.me);
        // Others may have learnt of a greater epoch since the question.
        let known = granted.voters_epoch.max(durable.greatest_epoch(address));
        let epoch = if known > granted.ask.epoch { known + 1 } else { granted.ask.epoch };
        let holder = Holder::new(cx, granted, epoch);
        let probes = holder.probe.is_running();
        let previous = self.known_holder.replace(holding(me, epoch)).map(|known| known.node);
        let heard = self.candidate.last_renewal;
        let silent_for = heard.map(|heard| cx.now.boot.since(heard));
        // Who handed it over, in time or too late, has not been silent: its path may be in use.
        let silent = !moved && silent_for.is_some_and(|silent| silent >= cx.lease(address));
        self.silent_predecessor = match &previous {
            Some(node) if node != me => silent || injected!(cx.config, FollowsMoveAtAccepted),
            _ => self.silent_predecessor,
        };
        self.adopted_until = None;
        self.candidate.stop();
        durable.hold(address, epoch);
        self.holder = Some(holder);
        self.note_delivery(cx);
        self.write_entry(cx, out);
        if !moved {
            let previous = previous.filter(|node| node != me);
            let silent_for = silent_for.map(nanoseconds);
            out.report(Report::TookOver { address, previous, silent_for });
        }
        self.report_held(cx, out);
        if probes {
            out.push(Effect::Probe { address });
        }
    }

    /// For the address's status.
    fn report_held(&self, cx: &Context<'_>, out: &mut Effects) {
        if let Some(holder) = &self.holder {
            holder.report(cx, self.address, out);
        }
    }

    /// Somebody knows an epoch that is not below ours: takes a new one in a new round, without
    /// letting go (rule 10).
    pub(super) fn raise_epoch(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        known: u64,
        out: &mut Effects,
    ) {
        let Some(holder) = &mut self.holder else { return };
        let epoch = durable.greatest_epoch(self.address).max(known) + 1;
        holder.raise_epoch(cx, epoch);
        self.known_holder = Some(holding(&cx.config.me, epoch));
        durable.hold(self.address, epoch);
        self.report_held(cx, out);
    }

    /// A holder past its deadline is a candidate like the others.
    pub(super) fn end_lease(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        out: &mut Effects,
    ) {
        let past = |holder: &mut Holder| holder.deadline <= cx.now.boot;
        let Some(ended) = self.holder.take_if(past) else { return };
        self.handover.outgoing = None;
        self.candidate.last_renewal = Some(ended.deadline - ended.length());
        self.candidate.heard = ended.probe.is_cleared().then_some(ended.deadline - ended.length());
        durable.let_go(self.address);
        self.write_entry(cx, out);
        out.report(Report::Lost { address: self.address });
    }

    /// The voters have had the time to speak: an earlier process's entry is not left alone longer.
    pub(super) fn end_adoption(&mut self, cx: &Context<'_>, out: &mut Effects) {
        if self.adopted_until.take_if(|until| *until <= cx.now.boot).is_some() {
            self.write_entry(cx, out);
        }
    }

    pub(super) fn on_probed(&mut self, cx: &Context<'_>, found: ProbeFinding, out: &mut Effects) {
        let Some(holder) = &mut self.holder else { return };
        let told = holder.on_probed(cx, self.address, found);
        self.write_entry(cx, out);
        if told {
            self.report_held(cx, out);
        }
    }

    /// Gives it up, to a successor or to nobody. The entry is closed by whoever calls.
    pub(super) fn give_up(&mut self, cx: &Context<'_>, to: Option<&Successor>) {
        if self.holder.take().is_some_and(|holder| holder.probe.is_cleared()) {
            self.candidate.heard = Some(cx.now.boot);
        }
        self.candidate.stop();
        self.adopted_until = None;
        self.handover.give_up(cx, to.map(|successor| &successor.node));
    }

    /// When time alone next changes something for its holder, or for what one held before.
    pub(super) fn holder_deadline(&self, cx: &Context<'_>) -> Option<BootTime> {
        let announces = || cx.plan(self.address).is_some_and(|plan| plan.announces);
        let holder = self.holder.as_ref().map(|holder| holder.deadline(announces()));
        [self.adopted_until, holder].into_iter().flatten().min()
    }

    /// Whether this process has written no entry yet.
    pub(super) fn is_unwritten(&self) -> bool {
        self.written.is_none()
    }

    /// Writes the map entry where it differs from the last one written.
    pub(super) fn write_entry(&mut self, cx: &Context<'_>, out: &mut Effects) {
        let coming = self.handover.incoming.is_some();
        if self.adopted_until.is_some() && self.holder.is_none() && !coming {
            return;
        }
        let wanted = self.entry(cx);
        if self.written.as_ref() != Some(&wanted) {
            self.written = Some(wanted.clone());
            let (state, holder, valid_until) = wanted;
            out.push(Effect::Kernel { address: self.address, state, holder, valid_until });
        }
    }

    fn entry(&self, cx: &Context<'_>) -> WrittenEntry {
        let (me, plan) = (&cx.config.me, cx.plan(self.address));
        let no_deadline = plan.is_some_and(|plan| plan.no_deadline);
        let armed = |deadline: BootTime| (!no_deadline).then_some(deadline);
        if let Some(holder) = &self.holder {
            let (state, until) = holder.entry();
            return (state, Some(me.clone()), armed(until));
        }
        if let Some(deadline) = self.handover.incoming.as_ref().and_then(|its| its.deadline) {
            return (AddressState::Coming, Some(me.clone()), armed(deadline));
        }
        if plan.is_some_and(|plan| plan.delivers_to(me) && !plan.revoked) {
            return (AddressState::Held, Some(me.clone()), None);
        }
        let past = Some(BootTime(0));
        if let Some(finished) = &self.handover.finished {
            return (AddressState::Leaving, Some(finished.to.clone()), past);
        }
        let other = self.known_node().filter(|node| *node != me);
        (AddressState::Standby, other.cloned(), past)
    }

    /// What of it can still change who holds it.
    #[cfg(feature = "fault-injection")]
    pub(super) fn hash_part(&self, state: &mut impl std::hash::Hasher) {
        use std::hash::Hash as _;
        let candidate = &self.candidate;
        std::mem::discriminant(&candidate.stage).hash(state);
        (candidate.last_renewal, candidate.pause, candidate.ranked).hash(state);
        let holder = |its: &Holder| (its.fence, its.lease, its.deadline, its.next_renewal);
        self.holder.as_ref().map(holder).hash(state);
        (&self.handover, self.adopted_until, &self.written, self.known_node()).hash(state);
        self.silent_predecessor.hash(state);
    }
}
