//! Planned moves, and the end of the process, which moves everything (docs/design.md decision 10,
//! docs/leases.md rule 6): what the steps between two nodes make this one ask for and give up.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::address::AddressLease;
use super::context::Context;
use super::handover::ReleasedToSuccessor;
use super::invocation::Invocation;
use super::proposer::Proposer;
use super::{
    AddressView, BootTime, HandoverStep, Message, Report, RequestKind, RoundId, StopMode, Successor,
};
use crate::model::NodeName;

#[cfg(test)]
mod tests;

/// How far the end of the process has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Moves {
    /// None is to come: only plans move addresses.
    #[default]
    AsPlanned,
    /// Hands over what it holds, and asks for nothing.
    Stopping,
    /// The same, and what the fabric delivers here too.
    Leaving,
    /// It has ended.
    Stopped,
}

impl Moves {
    /// Whether plans count, and this node may ask for addresses.
    pub(super) fn as_planned(self) -> bool {
        self == Self::AsPlanned
    }

    pub(super) fn on_step(
        self,
        call: &mut Invocation<'_>,
        proposer: &mut Proposer,
        from: &NodeName,
        step: HandoverStep,
    ) {
        match step {
            HandoverStep::Come(address) => self.on_come(call, proposer, from, address),
            HandoverStep::HowLong { address, question } => {
                on_how_long(call, proposer, from, address, question);
            }
            HandoverStep::Remaining { address, question, remaining, epoch } => {
                call.durable.know_epoch(address, epoch);
                on_remaining(call, proposer, from, address, (question, remaining));
            }
            HandoverStep::Coming { address, question, round } => {
                on_coming(call, proposer, from, address, (question, round));
            }
            HandoverStep::Yours(address) => self.on_yours(call, proposer, from, address),
        }
    }

    fn on_come(
        self,
        call: &mut Invocation<'_>,
        proposer: &mut Proposer,
        from: &NodeName,
        address: IpAddr,
    ) {
        let cx = call.cx;
        let willing = |plan: &AddressView| !plan.revoked && !plan.paused && plan.is_reached();
        let willing = cx.plan(address).is_some_and(willing);
        let round = proposer.rounds.next_id();
        let Some(entry) = proposer.addresses.get(address) else { return };
        if !self.as_planned() || !willing || !entry.candidate.ranked || entry.holder.is_some() {
            return;
        }
        if let Some(incoming) = entry.handover.incoming_from(from) {
            let question = incoming.question.0;
            if incoming.vote_at.is_some() {
                return;
            }
            if incoming.deadline.is_some() {
                let coming = HandoverStep::Coming { address, question, round };
                return call.out.send(from, Message::Move(coming));
            }
        }
        if entry.candidate.asks_in_earnest() {
            proposer.release(call, &[(address, None)]);
        }
        let Some(entry) = proposer.addresses.get_mut(address) else { return };
        entry.candidate.stop();
        let question = entry.handover.begin_to_come(&cx, from);
        entry.write_entry(&cx, call.out);
        call.out.send(from, Message::Move(HandoverStep::HowLong { address, question }));
    }

    fn on_yours(
        self,
        call: &mut Invocation<'_>,
        proposer: &mut Proposer,
        from: &NodeName,
        address: IpAddr,
    ) {
        let Some(entry) = proposer.addresses.get_mut(address) else { return };
        match entry.handover.on_released(&call.cx, from) {
            ReleasedToSuccessor::Asks => {}
            ReleasedToSuccessor::AsksAlready => return,
            ReleasedToSuccessor::TooLate => entry.candidate.last_renewal = None,
        }
        self.advance(call, proposer);
    }

    /// What time alone changes.
    pub(super) fn advance(self, call: &mut Invocation<'_>, proposer: &mut Proposer) {
        let cx = call.cx;
        end(call, proposer);
        let due = |entry: &AddressLease| entry.is_idle() && entry.handover.vote_due(&cx);
        let due = proposer.addresses.which(due);
        proposer.begin_round(call, RequestKind::Vote, &due);
        self.try_next_standby(call, proposer);
        for (address, entry) in proposer.addresses.iter_mut() {
            entry.handover.ask_to_come(&cx, address, call.out);
        }
    }

    /// Hands everything over, or nothing, and ends.
    pub(super) fn stop(
        &mut self,
        call: &mut Invocation<'_>,
        proposer: &mut Proposer,
        mode: StopMode,
    ) {
        if !self.as_planned() {
            return;
        }
        let leaves = mode == StopMode::Leave;
        *self = if leaves { Self::Leaving } else { Self::Stopping };
        if !leaves {
            proposer.addresses.ask_to_wait(&call.cx, call.out);
        }
        if mode == StopMode::AtOnce {
            return self.finish_stop(call);
        }
        let asked = proposer.addresses.which(|entry| entry.candidate.asks_in_earnest());
        let asked: Vec<_> = asked.into_iter().map(|address| (address, None)).collect();
        proposer.release(call, &asked);
        for (_, entry) in proposer.addresses.iter_mut() {
            entry.candidate.stop();
            entry.handover.outgoing = None;
        }
        self.try_next_standby(call, proposer);
    }

    /// When who stops, is cut off or is not ranked asks a standby, or the next one.
    fn next_standby_due(
        self,
        cx: &Context<'_>,
        address: IpAddr,
        entry: &AddressLease,
    ) -> Option<BootTime> {
        let me = &cx.config.me;
        let gives_up = |plan: &&AddressView| match self.hands_over() {
            true => !self.keeps(plan),
            false => self.as_planned() && plan.is_offered_by(me) && plan.has_others(me),
        };
        cx.plan(address).filter(|plan| entry.holder.is_some() && gives_up(plan))?;
        entry.handover.next_standby_due()
    }

    /// Who stops asks one standby after the other, in rank, and releases where none comes. Who is cut off
    /// or not ranked asks them in turn, and goes on holding where none comes: perhaps nobody reaches that
    /// network, or all are dead.
    fn try_next_standby(self, call: &mut Invocation<'_>, proposer: &mut Proposer) {
        let cx = call.cx;
        let mut alone = BTreeSet::new();
        for (address, entry) in proposer.addresses.iter_mut() {
            let due = self.next_standby_due(&cx, address, entry);
            let Some(plan) = cx.plan(address) else { continue };
            if due.is_none_or(|at| at > cx.now.boot) {
                continue;
            }
            if !self.hands_over() {
                entry.handover.try_standbys_in_turn(&cx, plan);
            } else if !entry.handover.try_next_standby(&cx, plan) {
                alone.insert(address);
            }
        }
        proposer.leave(call, &alone);
    }

    fn hands_over(self) -> bool {
        matches!(self, Self::Stopping | Self::Leaving)
    }

    /// Who stops neither hands over nor releases it: it ends with its kernel deadline or with the
    /// fabric.
    fn keeps(self, plan: &AddressView) -> bool {
        plan.paused || (plan.no_deadline && self != Self::Leaving)
    }

    /// Whether an orderly stop is over: every repetition has been sent, and nothing is held but what
    /// stays. Who leaves goes on relaying until the fabric has followed, where anybody else may have
    /// the address.
    pub(super) fn may_finish_stop(self, cx: &Context<'_>, proposer: &Proposer) -> bool {
        let me = &cx.config.me;
        let keeps = |address| cx.plan(address).is_some_and(|plan| self.keeps(plan));
        let awaits_fabric = |plan: &AddressView| {
            plan.has_others(me) && plan.delivers_to(me) && !plan.revoked && !self.keeps(plan)
        };
        let mut held = proposer.addresses.holders();
        self.hands_over()
            && proposer.resends.is_empty()
            && held.all(|(address, _)| keeps(address))
            && !(self == Self::Leaving && cx.plans().any(|(_, plan)| awaits_fabric(plan)))
    }

    pub(super) fn finish_stop(&mut self, call: &mut Invocation<'_>) {
        *self = Self::Stopped;
        call.out.report(Report::Stopped);
    }

    pub(super) fn deadline(self, cx: &Context<'_>, proposer: &Proposer) -> Option<BootTime> {
        proposer.addresses.first(|address, entry| {
            let step = entry.handover.deadline(entry.is_idle());
            let standby = self.next_standby_due(cx, address, entry);
            [step, standby].into_iter().flatten().min()
        })
    }
}

fn on_how_long(
    call: &mut Invocation<'_>,
    proposer: &mut Proposer,
    from: &NodeName,
    address: IpAddr,
    question: u64,
) {
    let Some(entry) = proposer.addresses.get_mut(address) else { return };
    let answer = entry.on_how_long(&call.cx, call.durable, from, question);
    if let Some(answer) = answer {
        call.out.send(from, Message::Move(answer));
    }
}

fn on_remaining(
    call: &mut Invocation<'_>,
    proposer: &mut Proposer,
    from: &NodeName,
    address: IpAddr,
    (question, remaining): (u64, u64),
) {
    let round = proposer.rounds.next_id();
    let Some(entry) = proposer.addresses.get_mut(address) else { return };
    if entry.handover.on_remaining(&call.cx, from, question, remaining) {
        entry.write_entry(&call.cx, call.out);
        let coming = HandoverStep::Coming { address, question, round };
        call.out.send(from, Message::Move(coming));
    }
}

/// Holder: leaves, and releases by name.
fn on_coming(
    call: &mut Invocation<'_>,
    proposer: &mut Proposer,
    from: &NodeName,
    address: IpAddr,
    (question, round): (u64, RoundId),
) {
    let entry = proposer.addresses.get(address);
    if !entry.is_some_and(|entry| entry.handover.is_answered(from, question)) {
        return;
    }
    let successor = Successor { node: from.clone(), round };
    proposer.release(call, &[(address, Some(successor))]);
    if let Some(entry) = proposer.addresses.get_mut(address) {
        entry.candidate.last_renewal = Some(call.cx.now.boot);
    }
    let yours = Message::Move(HandoverStep::Yours(address));
    proposer.resends.send(&call.cx, from, yours, call.out);
    call.out.report(Report::Left { address, successor: Some(from.clone()) });
}

/// Ends the moves that are over.
fn end(call: &mut Invocation<'_>, proposer: &mut Proposer) {
    let mut ended = Vec::new();
    let mut given_up = Vec::new();
    for (address, entry) in proposer.addresses.iter_mut() {
        let Some(asked) = entry.handover.end(&call.cx) else { continue };
        ended.push(address);
        // What the voters have granted it since is released.
        if asked {
            given_up.push((address, None));
        }
    }
    proposer.release(call, &given_up);
    for address in ended {
        proposer.write_entry(call, address);
    }
}
