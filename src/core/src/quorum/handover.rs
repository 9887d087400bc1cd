//! Planned moves, make before break, and stopping (docs/design.md decision 10, docs/leases.md
//! rule 6).
//!
//! Holder: *come*. Successor: *how long does your lease still run?* Holder: *so long*. Successor,
//! its entry *coming* until then, counted from its question: *I am coming*. Holder: *leaving*,
//! releases by name: *yours*. Successor: asks the voters.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::address::Role;
use super::machine::{Machine, Out};
use super::{Message, Move, Now, Report, RequestKind, RoundId, Successor};
use crate::model::NodeName;

/// A holder that hands over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Handover {
    pub to: NodeName,
    /// The successor's question that was answered last.
    pub question: Option<u64>,
    /// When it is asked to come again.
    pub next: u64,
    pub pause: u64,
    /// Set by who stops: when the next standby is asked instead.
    pub give_up: Option<u64>,
}

/// A successor before its own lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Coming {
    /// The holder.
    pub from: NodeName,
    /// The question to it, and the moment that its answer is counted from.
    pub question: u64,
    /// The end of the holder's lease; `None` before its answer.
    pub deadline: Option<u64>,
    /// When the voters are asked (again), once the holder has released.
    pub vote_at: Option<u64>,
    /// When it is over without an answer.
    pub until: u64,
}

/// A holder that has handed over, for 2 s.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leaving {
    pub to: NodeName,
    pub until: u64,
}

impl Machine {
    /// Begins (or goes on) to hand over, as the plan says; ends it where the plan says no longer.
    pub(super) fn follow_plan(&mut self, now: Now, address: IpAddr) {
        let me = &self.config.me;
        let Some(plan) = self.plan(address) else { return };
        let Some(holder) = self.addresses.get(&address).and_then(|entry| entry.holder()) else {
            return;
        };
        let mine = plan.made_for.as_ref().is_some_and(|made_for| {
            made_for.node == *me
                && made_for.epoch.node == *me
                && made_for.epoch.counter == holder.epoch
        });
        let to = plan.owner.clone().filter(|owner| owner != me && mine && !plan.paused);
        let entry = self.addresses.get_mut(&address);
        let Some(holder) = entry.and_then(|entry| entry.holder_mut()) else { return };
        let same = holder.handover.as_ref().map(|handover| &handover.to) == to.as_ref();
        if self.stopping || same {
            return;
        }
        let pause = self.config.timing.notice_first;
        holder.handover =
            to.map(|to| Handover { to, question: None, next: now.boot.0, pause, give_up: None });
    }

    pub(super) fn on_move(&mut self, now: Now, from: &NodeName, step: Move, out: &mut Out) {
        match step {
            Move::Come(address) => self.on_come(now, from, address, out),
            Move::HowLong { address, question } => {
                self.on_how_long(now, from, address, question, out);
            }
            Move::Remaining { address, question, remaining, epoch } => {
                self.know_epoch(address, epoch);
                self.on_remaining(now, from, address, question, remaining, out);
            }
            Move::Coming { address, question, round } => {
                self.on_coming(now, from, address, question, round, out);
            }
            Move::Yours(address) => self.on_yours(now, from, address, out),
        }
    }

    fn on_come(&mut self, now: Now, from: &NodeName, address: IpAddr, out: &mut Out) {
        let willing = self.plan(address).is_some_and(|plan| !plan.revoked && !plan.paused);
        let until = now.boot.0 + self.config.timing.notice_max;
        let round = self.next_round_id();
        let Some(entry) = self.addresses.get_mut(&address) else { return };
        if self.stopping || !willing || !entry.ranked || entry.holder().is_some() {
            return;
        }
        if let Some(coming) = entry.coming.as_ref().filter(|coming| coming.from == *from) {
            if coming.vote_at.is_none() && coming.deadline.is_some() {
                let question = coming.question;
                out.send(from, Message::Move(Move::Coming { address, question, round }));
                return;
            }
            if coming.vote_at.is_some() {
                return;
            }
        }
        if matches!(entry.role, Role::Vote(_)) {
            self.release(now, &[(address, None)], out);
        }
        let Some(entry) = self.addresses.get_mut(&address) else { return };
        let question = now.boot.0;
        entry.role = Role::Idle;
        entry.coming =
            Some(Coming { from: from.clone(), question, deadline: None, vote_at: None, until });
        self.refresh_kernel(address, out);
        out.send(from, Message::Move(Move::HowLong { address, question }));
    }

    fn on_how_long(
        &mut self,
        now: Now,
        from: &NodeName,
        address: IpAddr,
        question: u64,
        out: &mut Out,
    ) {
        let entry = self.addresses.get_mut(&address);
        let Some(holder) = entry.and_then(|entry| entry.holder_mut()) else { return };
        let (deadline, epoch) = (holder.deadline, holder.epoch);
        let Some(handover) = holder.handover.as_mut().filter(|handover| handover.to == *from)
        else {
            return;
        };
        let other = self.kept.promised.get(&address).filter(|(to, _)| to != from);
        if deadline <= now.boot.0 || other.is_some_and(|(_, until)| *until > now.boot.0) {
            return;
        }
        self.kept.promised.insert(address, (from.clone(), deadline));
        self.dirty = true;
        handover.question = Some(question);
        let remaining = deadline - now.boot.0;
        out.send(from, Message::Move(Move::Remaining { address, question, remaining, epoch }));
    }

    fn on_remaining(
        &mut self,
        now: Now,
        from: &NodeName,
        address: IpAddr,
        question: u64,
        remaining: u64,
        out: &mut Out,
    ) {
        let round = self.next_round_id();
        let Some(entry) = self.addresses.get_mut(&address) else { return };
        let Some(coming) = entry.coming.as_mut() else { return };
        if coming.from != *from || coming.question != question || coming.deadline.is_some() {
            return;
        }
        // Counted from the question: the holder's lease runs at least as long after it.
        let deadline = question.saturating_add(remaining);
        if deadline <= now.boot.0 {
            entry.coming = None;
            return;
        }
        coming.deadline = Some(deadline);
        coming.until = deadline;
        self.refresh_kernel(address, out);
        out.send(from, Message::Move(Move::Coming { address, question, round }));
    }

    fn on_coming(
        &mut self,
        now: Now,
        from: &NodeName,
        address: IpAddr,
        question: u64,
        round: RoundId,
        out: &mut Out,
    ) {
        let entry = self.addresses.get(&address);
        let handover = entry.and_then(|entry| entry.holder()?.handover.as_ref());
        if !handover.is_some_and(|its| its.to == *from && its.question == Some(question)) {
            return;
        }
        let successor = Successor { node: from.clone(), round };
        self.release(now, &[(address, Some(successor))], out);
        if let Some(entry) = self.addresses.get_mut(&address) {
            entry.heard = Some(now.boot.0);
        }
        let yours = Message::Move(Move::Yours(address));
        out.send(from, yours.clone());
        for after in self.config.timing.repeats {
            self.again.push((now.boot.0 + after, from.clone(), yours.clone()));
        }
        out.report(Report::Left { address, successor: Some(from.clone()) });
    }

    fn on_yours(&mut self, now: Now, from: &NodeName, address: IpAddr, out: &mut Out) {
        let Some(entry) = self.addresses.get_mut(&address) else { return };
        match entry.coming.as_mut().filter(|coming| coming.from == *from) {
            Some(coming) if coming.vote_at.is_none() => coming.vote_at = Some(now.boot.0),
            Some(_) => return,
            // Too late to have come: the voters still keep it for this node.
            None => entry.heard = None,
        }
        self.advance_moves(now, out);
    }

    pub(super) fn advance_moves(&mut self, now: Now, out: &mut Out) {
        self.end_moves(now, out);
        self.vote_for_moves(now, out);
        self.try_next_standby(now, out);
        for (address, entry) in &mut self.addresses {
            let Some(holder) = entry.holder_mut() else { continue };
            let Some(handover) = holder.handover.as_mut() else { continue };
            if handover.next <= now.boot.0 {
                handover.next = now.boot.0 + handover.pause;
                handover.pause = (handover.pause * 2).min(self.config.timing.notice_max);
                out.send(&handover.to, Message::Move(Move::Come(*address)));
            }
        }
    }

    fn end_moves(&mut self, now: Now, out: &mut Out) {
        let over = |at: u64| at <= now.boot.0;
        let mut changed = Vec::new();
        let mut given_up = Vec::new();
        for (address, entry) in &mut self.addresses {
            if entry.leaving.as_ref().is_some_and(|leaving| over(leaving.until)) {
                entry.leaving = None;
                changed.push(*address);
            }
            if let Some(coming) = entry.coming.take_if(|coming| over(coming.until)) {
                changed.push(*address);
                // It has asked the voters: what it got is released.
                if coming.vote_at.is_some() {
                    given_up.push((*address, None));
                }
            }
        }
        self.release(now, &given_up, out);
        for address in changed {
            self.refresh_kernel(address, out);
        }
    }

    fn vote_for_moves(&mut self, now: Now, out: &mut Out) {
        let mut due = BTreeSet::new();
        for (address, entry) in &mut self.addresses {
            let Some(coming) = entry.coming.as_mut() else { continue };
            if entry.role == Role::Idle && coming.vote_at.is_some_and(|at| at <= now.boot.0) {
                due.insert(*address);
            }
        }
        self.begin_round(now, RequestKind::Vote, &due, out);
    }

    /// Hands everything over, or nothing, and ends.
    pub(super) fn stop(&mut self, now: Now, handover: bool, out: &mut Out) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.ask_to_wait(out);
        if !handover {
            self.stopped = true;
            return out.report(Report::Stopped);
        }
        let asking: Vec<_> = self
            .addresses
            .iter()
            .filter(|(_, entry)| matches!(entry.role, Role::Vote(_)))
            .map(|(address, _)| (*address, None))
            .collect();
        self.release(now, &asking, out);
        for entry in self.addresses.values_mut() {
            if !matches!(entry.role, Role::Holder(_)) {
                entry.role = Role::Idle;
            }
            if let Some(holder) = entry.holder_mut() {
                holder.handover = None;
            }
        }
        self.try_next_standby(now, out);
    }

    /// Who stops asks one standby after the other, in rank, and releases where none comes.
    fn try_next_standby(&mut self, now: Now, out: &mut Out) {
        if !self.stopping || self.stopped {
            return;
        }
        let mut next: BTreeMap<IpAddr, Option<NodeName>> = BTreeMap::new();
        for (address, entry) in &self.addresses {
            let Some(holder) = entry.holder() else { continue };
            let Some(plan) = self.plan(*address) else { continue };
            let mut others = plan.ranks().filter(|node| **node != self.config.me).cloned();
            if plan.paused || plan.unarmed {
                continue;
            }
            match &holder.handover {
                None => next.insert(*address, others.next()),
                Some(last) if last.give_up.is_some_and(|at| at <= now.boot.0) => {
                    let after = others.skip_while(|node| *node != last.to).nth(1);
                    next.insert(*address, after)
                }
                Some(_) => None,
            };
        }
        let pause = self.config.timing.notice_first;
        let give_up = Some(now.boot.0 + self.config.timing.successor);
        let mut alone = Vec::new();
        for (address, to) in next {
            let entry = self.addresses.get_mut(&address);
            let Some(holder) = entry.and_then(|entry| entry.holder_mut()) else { continue };
            match to {
                Some(to) => {
                    let next = now.boot.0;
                    holder.handover = Some(Handover { to, question: None, next, pause, give_up });
                }
                None => alone.push(address),
            }
        }
        self.leave(now, &alone, out);
    }

    /// Said once every repetition has been sent and nothing is held but what is paused or in a
    /// cloud: that is neither handed over nor released, and ends with its kernel deadline or with
    /// the fabric.
    pub(super) fn finish_stop(&mut self, out: &mut Out) {
        let stays = |address| self.plan(address).is_some_and(|plan| plan.paused || plan.unarmed);
        let mut held = self.addresses.iter().filter(|(_, entry)| entry.holder().is_some());
        let mut holds = || held.any(|(address, _)| !stays(*address));
        if self.stopping && !self.stopped && self.again.is_empty() && !holds() {
            self.stopped = true;
            out.report(Report::Stopped);
        }
    }

    pub(super) fn moves_due(&self) -> Option<u64> {
        let handover = |entry: &super::address::Address| {
            let handover = entry.holder()?.handover.as_ref()?;
            Some(handover.give_up.map_or(handover.next, |at| at.min(handover.next)))
        };
        let due = |entry: &super::address::Address| {
            let leaving = entry.leaving.as_ref().map(|leaving| leaving.until);
            let coming = entry.coming.as_ref().map(|coming| {
                let vote = coming.vote_at.filter(|_| entry.role == Role::Idle);
                vote.map_or(coming.until, |at| at.min(coming.until))
            });
            [leaving, coming, handover(entry)].into_iter().flatten().min()
        };
        self.addresses.values().filter_map(due).min()
    }
}
