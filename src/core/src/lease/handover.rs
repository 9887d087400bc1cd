//! One address in a planned move, at either end (docs/design.md decision 10, docs/leases.md
//! rule 6): make before break.
//!
//! Holder: *come*. Successor: *how long does your lease still run?* Holder: *so long*. Successor,
//! its entry *coming* until then, counted from its question: *I am coming*. Holder: *leaving*,
//! releases by name: *yours*. Successor: asks the voters.

use std::net::IpAddr;
use std::time::Duration;

use super::clock::nanoseconds;
use super::context::Context;
use super::durable::DurableState;
use super::effect::Effects;
use super::holder::{Holder, holding};
use super::{AddressView, BootTime, HandoverStep, Message};
use crate::model::NodeName;

#[cfg(test)]
mod tests;

/// The moves of one address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct HandoverState {
    /// As its holder.
    pub outgoing: Option<OutgoingHandover>,
    /// As a successor.
    pub incoming: Option<IncomingHandover>,
    pub finished: Option<FinishedHandover>,
}

/// A holder that hands over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct OutgoingHandover {
    pub to: NodeName,
    /// The successor's question that was answered last, as it named it.
    question: Option<u64>,
    /// When it is asked to come again.
    next: BootTime,
    pause: Duration,
    /// Set by who stops, is cut off or is not ranked: when the next standby is asked instead.
    give_up: Option<BootTime>,
    /// Who is cut off or not ranked has asked each standby in vain.
    again: bool,
}

/// A successor before its own lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct IncomingHandover {
    /// The holder.
    pub from: NodeName,
    /// The question to it, and the moment that its answer is counted from.
    pub question: BootTime,
    /// The end of the holder's lease; `None` before its answer.
    pub deadline: Option<BootTime>,
    /// When the voters are asked (again), once the holder has released.
    pub vote_at: Option<BootTime>,
    /// When it is over without an answer.
    until: BootTime,
}

/// A holder that has handed over, for 2 s.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FinishedHandover {
    pub to: NodeName,
    until: BootTime,
}

/// What the holder's word that the address is released means to its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReleasedToSuccessor {
    /// It asks the voters now.
    Asks,
    /// It does so already.
    AsksAlready,
    /// It comes no more, but the voters still keep the address for it.
    TooLate,
}

impl OutgoingHandover {
    fn new(cx: &Context<'_>, to: NodeName, give_up: Option<BootTime>) -> Self {
        let pause = cx.config.timing.notice_first;
        Self { to, question: None, next: cx.now.boot, pause, give_up, again: false }
    }
}

impl HandoverState {
    /// Begins (or goes on) to hand over, as the plan says; ends it where the plan says no longer. Who is
    /// cut off, or is in no rank, offers it to all in turn instead ([`Self::try_standbys_in_turn`]).
    pub(super) fn follow_plan(&mut self, cx: &Context<'_>, plan: &AddressView, holder: &Holder) {
        let me = &cx.config.me;
        let mine = plan.made_for.as_ref() == Some(&holding(me, holder.epoch));
        let to = plan.owner.as_ref().filter(|owner| *owner != me && mine && !plan.paused);
        let offered = plan.is_offered_by(me);
        let ranked = |its: &&mut OutgoingHandover| plan.ranks().any(|node| *node == its.to);
        match self.outgoing.as_mut().filter(ranked) {
            // The owner that the plan wants is the first in rank, and may be dead.
            Some(its) if offered => {
                its.give_up.get_or_insert(cx.now.boot + cx.config.timing.cut_off);
            }
            Some(its) if Some(&its.to) == to => (its.give_up, its.again) = (None, false),
            _ if offered => self.outgoing = None,
            _ => self.outgoing = to.map(|to| OutgoingHandover::new(cx, to.clone(), None)),
        }
    }

    /// When who stops, is cut off or is not ranked asks a standby, or the next one; at once where it has asked none.
    pub(super) fn next_standby_due(&self) -> Option<BootTime> {
        self.outgoing.as_ref().map_or(Some(BootTime(0)), |last| last.give_up)
    }

    /// Asks the next standby in rank; false where none is left.
    pub(super) fn try_next_standby(&mut self, cx: &Context<'_>, plan: &AddressView) -> bool {
        let mut others = plan.ranks().filter(|node| **node != cx.config.me);
        let next = match &self.outgoing {
            None => others.next(),
            Some(last) => others.skip_while(|node| **node != last.to).nth(1),
        };
        let Some(to) = next else { return false };
        let give_up = cx.now.boot + cx.config.timing.successor;
        self.outgoing = Some(OutgoingHandover::new(cx, to.clone(), Some(give_up)));
        true
    }

    /// Asks the next standby in rank, and after the last one the first again, seldom from then on: where nobody
    /// reaches the network, nobody will for a while.
    pub(super) fn try_standbys_in_turn(&mut self, cx: &Context<'_>, plan: &AddressView) {
        let timing = &cx.config.timing;
        let mut again = self.outgoing.as_ref().is_some_and(|last| last.again);
        if !self.try_next_standby(cx, plan) {
            again = self.outgoing.take().is_some();
            self.try_next_standby(cx, plan);
        }
        let Some(outgoing) = &mut self.outgoing else { return };
        outgoing.again = again;
        if again {
            outgoing.pause = timing.notice_max;
        }
        let patience = if again { timing.cut_off_again } else { timing.cut_off };
        outgoing.give_up = Some(cx.now.boot + patience);
    }

    /// Holder: *come*, again and again.
    pub(super) fn ask_to_come(&mut self, cx: &Context<'_>, address: IpAddr, out: &mut Effects) {
        let Some(outgoing) = self.outgoing.as_mut().filter(|its| its.next <= cx.now.boot) else {
            return;
        };
        outgoing.next = cx.now.boot + outgoing.pause;
        outgoing.pause = outgoing.pause.saturating_mul(2).min(cx.config.timing.notice_max);
        out.send(&outgoing.to, Message::Move(HandoverStep::Come(address)));
    }

    /// The move from this holder, as far as it has come.
    pub(super) fn incoming_from(&self, from: &NodeName) -> Option<&IncomingHandover> {
        self.incoming.as_ref().filter(|incoming| incoming.from == *from)
    }

    /// Successor: begins anew. Returns the question: *how long does your lease still run?*
    pub(super) fn begin_to_come(&mut self, cx: &Context<'_>, from: &NodeName) -> u64 {
        let question = cx.now.boot;
        let until = question + cx.config.timing.notice_max;
        let from = from.clone();
        self.incoming =
            Some(IncomingHandover { from, question, deadline: None, vote_at: None, until });
        question.0
    }

    /// Holder: *so long*; a promise from then on (rule 6).
    pub(super) fn on_how_long(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        address: IpAddr,
        holder: &Holder,
        from: &NodeName,
        question: u64,
    ) -> Option<HandoverStep> {
        let outgoing = self.outgoing.as_mut().filter(|outgoing| outgoing.to == *from)?;
        let Holder { deadline, epoch, .. } = *holder;
        let other = durable.kept.promised.get(&address).filter(|(to, _)| to != from);
        if deadline <= cx.now.boot || other.is_some_and(|(_, until)| *until > cx.now.boot) {
            return None;
        }
        durable.kept.promised.insert(address, (from.clone(), deadline));
        durable.dirty = true;
        outgoing.question = Some(question);
        let remaining = nanoseconds(deadline.since(cx.now.boot));
        Some(HandoverStep::Remaining { address, question, remaining, epoch })
    }

    /// Successor: forwards until the end of the holder's lease, counted from the question, since
    /// that lease runs at least as long after it. Whether it does from now on.
    pub(super) fn on_remaining(
        &mut self,
        cx: &Context<'_>,
        from: &NodeName,
        question: u64,
        remaining: u64,
    ) -> bool {
        let asked = |incoming: &&mut IncomingHandover| {
            incoming.from == *from && incoming.question.0 == question && incoming.deadline.is_none()
        };
        let Some(incoming) = self.incoming.as_mut().filter(asked) else { return false };
        let deadline = incoming.question + Duration::from_nanos(remaining);
        if deadline <= cx.now.boot {
            self.incoming = None;
            return false;
        }
        (incoming.deadline, incoming.until) = (Some(deadline), deadline);
        true
    }

    /// Holder: whether *I am coming* rests on its last answer.
    pub(super) fn is_answered(&self, from: &NodeName, question: u64) -> bool {
        let outgoing = self.outgoing.as_ref();
        outgoing.is_some_and(|its| its.to == *from && its.question == Some(question))
    }

    /// Successor: the holder has released it to this node.
    pub(super) fn on_released(&mut self, cx: &Context<'_>, from: &NodeName) -> ReleasedToSuccessor {
        match self.incoming.as_mut().filter(|incoming| incoming.from == *from) {
            Some(incoming) if incoming.vote_at.is_none() => {
                incoming.vote_at = Some(cx.now.boot);
                ReleasedToSuccessor::Asks
            }
            Some(_) => ReleasedToSuccessor::AsksAlready,
            None => ReleasedToSuccessor::TooLate,
        }
    }

    /// A vote in earnest has failed. The voters keep the address for the successor, and a release
    /// would close what forwards: they are asked again. False where this is none.
    pub(super) fn vote_again(&mut self, cx: &Context<'_>) -> bool {
        let Some(incoming) = &mut self.incoming else { return false };
        incoming.vote_at = Some(cx.now.boot + cx.config.timing.repeats[0]);
        true
    }

    /// Whether the voters are to be asked.
    pub(super) fn vote_due(&self, cx: &Context<'_>) -> bool {
        let at = self.incoming.as_ref().and_then(|incoming| incoming.vote_at);
        at.is_some_and(|at| at <= cx.now.boot)
    }

    /// Ends what is over. Whether a successor that ended had asked the voters; `None` where
    /// nothing ended.
    pub(super) fn end(&mut self, cx: &Context<'_>) -> Option<bool> {
        let over = |at: BootTime| at <= cx.now.boot;
        let finished = self.finished.take_if(|finished| over(finished.until)).is_some();
        let incoming = self.incoming.take_if(|incoming| over(incoming.until));
        let asked = incoming.as_ref().is_some_and(|incoming| incoming.vote_at.is_some());
        (finished || incoming.is_some()).then_some(asked)
    }

    /// This node begins to hold. Whether that is the end of a planned move.
    pub(super) fn hold(&mut self) -> bool {
        std::mem::take(self).incoming.is_some()
    }

    /// This node gives the address up, to a successor or to nobody.
    pub(super) fn give_up(&mut self, cx: &Context<'_>, to: Option<&NodeName>) {
        let until = cx.now.boot + cx.config.timing.leaving;
        let finished = to.map(|to| FinishedHandover { to: to.clone(), until });
        *self = Self { finished, ..Self::default() };
    }

    /// When time alone next changes something. `idle`: this node does not ask in a round.
    pub(super) fn deadline(&self, idle: bool) -> Option<BootTime> {
        let come = self.outgoing.as_ref().map(|outgoing| outgoing.next);
        let leaving = self.finished.as_ref().map(|finished| finished.until);
        let coming = self.incoming.as_ref().map(|incoming| {
            let vote = incoming.vote_at.filter(|_| idle);
            vote.map_or(incoming.until, |at| at.min(incoming.until))
        });
        [leaving, coming, come].into_iter().flatten().min()
    }
}
