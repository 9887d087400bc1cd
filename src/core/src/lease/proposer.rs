//! Asking the voters for addresses and giving them back: what this node's rounds and
//! addresses have to do with each other (docs/leases.md rules 1 and 4 to 11).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::address::AddressLease;
use super::addresses::Addresses;
use super::candidate::CandidateStage;
use super::config::injected;
use super::effect::Effects;
use super::holder::holding;
use super::invocation::Invocation;
use super::random::SplitMix64;
use super::resends::Resends;
use super::rounds::{RoundResult, Rounds};
use super::{
    AddressView, Answer, Ask, LeaseConfig, Message, Now, Refusal, Release, ReleasedAddress, Report,
    RequestKind, Successor, encoding,
};
use crate::model::{Holding, NodeName};

#[cfg(test)]
mod tests;

/// What this node asks for and holds; PaxosLease's proposer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Proposer {
    pub addresses: Addresses,
    pub rounds: Rounds,
    pub resends: Resends,
    random: SplitMix64,
}

impl Proposer {
    pub(super) fn new(config: &LeaseConfig, now: Now, seed: u64) -> Self {
        Self {
            addresses: Addresses::default(),
            rounds: Rounds::new(config, now),
            resends: Resends::default(),
            random: SplitMix64::new(seed),
        }
    }

    /// Starts a round; false without a set of voters. This node's own vote counts like any other:
    /// what it grants is kept before any effect of it.
    fn start_round(
        &mut self,
        call: &mut Invocation<'_>,
        kind: RequestKind,
        asks: BTreeMap<IpAddr, Ask>,
    ) -> bool {
        let (cx, me) = (call.cx, &call.cx.config.me);
        let Some(request) = self.rounds.start(&cx, call.durable, kind, asks, call.out) else {
            return false;
        };
        if call.durable.is_voter(me) {
            match call.voter.vote(&cx, call.durable, me, &request) {
                Some(Message::Answer(answer)) => self.on_answer(call, me, &answer),
                Some(Message::Refusal(refusal)) => self.on_refusal(call, me, &refusal),
                _ => {}
            }
        }
        true
    }

    pub(super) fn on_answer(
        &mut self,
        call: &mut Invocation<'_>,
        from: &NodeName,
        answer: &Answer,
    ) {
        if let Some(result) = self.rounds.on_answer(&call.cx, from, answer) {
            self.on_result(call, &result);
        }
    }

    pub(super) fn on_refusal(
        &mut self,
        call: &mut Invocation<'_>,
        from: &NodeName,
        refusal: &Refusal,
    ) {
        let result = self.rounds.on_refusal(&call.cx, call.durable, from, refusal, call.out);
        if let Some(result) = result {
            self.on_result(call, &result);
        }
    }

    fn on_result(&mut self, call: &mut Invocation<'_>, result: &RoundResult) {
        let cx = call.cx;
        let mut willing = BTreeSet::new();
        for (ask, epoch) in &result.granted {
            let pre_vote = result.kind == RequestKind::PreVote;
            if pre_vote {
                call.durable.know_epoch(ask.address, *epoch);
            }
            let Some(entry) = self.addresses.get_mut(ask.address) else { continue };
            if !pre_vote {
                entry.granted(&cx, call.durable, result.started, ask, *epoch, call.out);
            } else if entry.candidate.stage == CandidateStage::PreVote(result.counter) {
                willing.insert(ask.address);
            }
        }
        self.fail(call, result.counter, &result.refused);
        self.begin_round(call, RequestKind::Vote, &willing);
    }

    /// One round for all of `addresses`.
    pub(super) fn begin_round(
        &mut self,
        call: &mut Invocation<'_>,
        kind: RequestKind,
        addresses: &BTreeSet<IpAddr>,
    ) {
        let round = self.rounds.next_id().counter;
        let mut asks = BTreeMap::new();
        for address in addresses {
            let epoch = call.durable.greatest_epoch(*address) + 1;
            let Some(ask) = call.cx.ask(*address, epoch) else { continue };
            let Some(entry) = self.addresses.get_mut(*address) else { continue };
            entry.candidate.begin(kind, round);
            asks.insert(*address, ask);
        }
        if asks.is_empty() || self.start_round(call, kind, asks) {
            return;
        }
        for address in addresses {
            if let Some(entry) = self.addresses.get_mut(*address) {
                entry.candidate.stop();
                entry.candidate.pause = call.cx.now.boot + call.cx.config.timing.pause;
            }
        }
    }

    /// A candidate's round has found no majority for these: releases what it got, and asks again
    /// after a pause (rule 9).
    fn fail(&mut self, call: &mut Invocation<'_>, round: u64, addresses: &BTreeSet<IpAddr>) {
        let cx = call.cx;
        // One for all of the round: each with a chance of its own, they would never share one again.
        let mut random = None;
        let mut released = Vec::new();
        for address in addresses {
            let Some(entry) = self.addresses.get_mut(*address) else { continue };
            let Some(earnest) = entry.candidate.fail(round) else { continue };
            if earnest && entry.handover.vote_again(&cx) {
                continue;
            }
            let longest = cx.config.timing.pause_random;
            let random = *random.get_or_insert_with(|| self.random.up_to(longest));
            entry.rest(&cx, self.rounds.wait(round, *address), random);
            if earnest {
                released.push((*address, None));
            }
        }
        self.release(call, &released);
    }

    /// Repetitions and ends of rounds.
    pub(super) fn advance_rounds(&mut self, call: &mut Invocation<'_>) {
        self.rounds.repeat(&call.cx, call.out);
        for counter in self.rounds.over(&call.cx) {
            let addresses = self.rounds.addresses(counter);
            self.fail(call, counter, &addresses);
            self.rounds.close(counter);
        }
    }

    /// Another node's renewal.
    pub(super) fn on_renewal(&mut self, call: &mut Invocation<'_>, from: &NodeName, ask: &Ask) {
        let entry = self.addresses.get_mut(ask.address).filter(|entry| entry.holder.is_none());
        let Some(entry) = entry else { return call.durable.know_epoch(ask.address, ask.epoch) };
        let succeeds = entry.handover.incoming_from(from).is_some();
        if entry.candidate.on_renewal(&call.cx, succeeds) {
            self.release(call, &[(ask.address, None)]);
        }
        if call.cx.has_no_deadline(ask.address) {
            return call.durable.know_epoch(ask.address, ask.epoch);
        }
        self.learn_holder(call, ask.address, &holding(from, ask.epoch));
    }

    pub(super) fn learn_holder(
        &mut self,
        call: &mut Invocation<'_>,
        address: IpAddr,
        holding: &Holding,
    ) {
        call.durable.know_epoch(address, holding.epoch.counter);
        if let Some(entry) = self.addresses.get_mut(address) {
            entry.learn_holder(&call.cx, holding, call.out);
        }
    }

    /// Asks for what nobody holds (rule 8).
    pub(super) fn advance_candidates(&mut self, call: &mut Invocation<'_>) {
        let cx = call.cx;
        let due = |entry: &AddressLease| entry.ask_due(&cx).is_some_and(|at| at <= cx.now.boot);
        let due = self.addresses.which(due);
        self.begin_round(call, RequestKind::PreVote, &due);
    }

    /// Ends of leases, renewals, probes and announcements.
    pub(super) fn advance_holders(&mut self, call: &mut Invocation<'_>) {
        let cx = call.cx;
        for (_, entry) in self.addresses.iter_mut() {
            entry.end_lease(&cx, call.durable, call.out);
        }
        if let Some(asks) = self.addresses.renew(&cx) {
            self.start_round(call, RequestKind::Renewal, asks);
        }
        self.addresses.announce(&cx, call.out);
        for (_, entry) in self.addresses.iter_mut() {
            entry.end_adoption(&cx, call.out);
        }
    }

    /// Gives addresses up: first the kernel entry is closed, whichever process opened it, and
    /// every open round abandoned; then the voters are told (rule 6).
    pub(super) fn release(
        &mut self,
        call: &mut Invocation<'_>,
        given_up: &[(IpAddr, Option<Successor>)],
    ) {
        let (cx, mut newest) = (call.cx, self.rounds.next_id());
        let mut released = Vec::new();
        for (address, successor) in given_up {
            newest = self.rounds.abandon(&cx, *address);
            if let Some(entry) = self.addresses.get_mut(*address) {
                entry.give_up(&cx, successor.as_ref());
                if !injected!(cx.config, ReleaseBeforeClosing) {
                    entry.write_entry(&cx, call.out);
                }
            }
            call.durable.let_go(*address);
            if !call.durable.others_may_forward(&cx, *address, successor.as_ref()) {
                released.push(ReleasedAddress { address: *address, successor: successor.clone() });
            }
        }
        for released in encoding::pieces(released) {
            self.tell_voters(call, &Release { round: newest, released });
        }
        for (address, _) in given_up {
            self.write_entry(call, *address);
        }
    }

    /// A lost release keeps the address from everybody for T: it is said three times.
    fn tell_voters(&mut self, call: &mut Invocation<'_>, release: &Release) {
        let (cx, me) = (call.cx, &call.cx.config.me);
        for voter in call.durable.voters().into_iter().collect::<BTreeSet<NodeName>>() {
            if voter == *me {
                call.voter.on_release(&cx, call.durable, me, release);
            } else {
                self.resends.send(&cx, &voter, Message::Release(release.clone()), call.out);
            }
        }
    }

    /// Gives up what the plan, not time, takes away.
    pub(super) fn leave(&mut self, call: &mut Invocation<'_>, addresses: &BTreeSet<IpAddr>) {
        let given_up: Vec<_> = addresses.iter().map(|address| (*address, None)).collect();
        self.release(call, &given_up);
        for address in addresses {
            if let Some(entry) = self.addresses.get_mut(*address) {
                entry.candidate.last_renewal = Some(call.cx.now.boot);
            }
            call.out.report(Report::Left { address: *address, successor: None });
        }
    }

    pub(super) fn write_entry(&mut self, call: &mut Invocation<'_>, address: IpAddr) {
        if let Some(entry) = self.addresses.get_mut(address) {
            entry.write_entry(&call.cx, call.out);
        }
    }

    /// Whether the end of its concern has to be told to the voters.
    fn is_active(&self, address: IpAddr) -> bool {
        let entry = self.addresses.get(address);
        entry.is_some_and(|entry| entry.is_active() || self.rounds.asks_for(address))
    }

    /// Takes in the plans. `moves`: the plan may have them handed over.
    pub(super) fn read_plans(&mut self, call: &mut Invocation<'_>, moves: bool) {
        let dropped = self.addresses.unconcerned(&call.cx);
        let active = dropped.iter().copied().filter(|address| self.is_active(*address)).collect();
        self.leave(call, &active);
        for address in dropped {
            self.addresses.forget(address, call.out);
        }
        for (address, plan) in call.cx.plans() {
            self.read_plan(call, *address, plan, moves);
        }
        let known = |address: IpAddr| self.addresses.get(address).is_some();
        call.durable.forget_held(known, call.out);
    }

    fn read_plan(
        &mut self,
        call: &mut Invocation<'_>,
        address: IpAddr,
        plan: &AddressView,
        moves: bool,
    ) {
        let cx = call.cx;
        if !self.addresses.read_plan(&cx, call.durable, address, plan) {
            return;
        }
        match &plan.holding {
            Some(holding) if plan.may_announce(&holding.node, false) => {
                self.learn_holder(call, address, holding);
            }
            Some(holding) => call.durable.know_epoch(address, holding.epoch.counter),
            None => {}
        }
        let active = self.is_active(address);
        let Some(entry) = self.addresses.get_mut(address) else { return };
        let unranked = entry.holder.is_some() && !entry.candidate.ranked;
        let dropped = injected!(cx.config, LeavesWithItsRank) && unranked;
        if dropped || entry.is_taken_away(plan, active) {
            self.leave(call, &BTreeSet::from([address]));
        } else {
            entry.follow_plan(&cx, plan, moves);
        }
        let Some(entry) = self.addresses.get_mut(address) else { return };
        if plan.no_deadline || entry.is_unwritten() {
            entry.write_entry(&cx, call.out);
        }
    }

    #[cfg(feature = "fault-injection")]
    pub(super) fn hash_part(&self, state: &mut impl std::hash::Hasher) {
        self.rounds.hash_part(state);
        self.addresses.hash_part(state);
    }

    /// The store is another cluster's.
    pub(super) fn forget_all(&mut self, out: &mut Effects) {
        self.addresses.forget_all(out);
        self.rounds.abandon_all();
        self.resends.clear();
    }
}
