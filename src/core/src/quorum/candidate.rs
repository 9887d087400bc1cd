//! Asking for an address: whose turn it is, pre-vote, vote, pauses (docs/leases.md rules 8, 9, 11).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::address::{Address, Role};
use super::machine::{Machine, Out};
use super::timing::ns;
use super::{AddressView, Ask, Now, RequestKind};
use crate::model::NodeName;

impl Machine {
    /// Whether the plan lets this node ask at all.
    fn may_ask(&self, entry: &Address, plan: &AddressView) -> bool {
        let me = &self.config.me;
        if self.stopping
            || self.kept.set.is_none()
            || plan.revoked
            || !entry.ranked
            || entry.holder().is_some()
        {
            return false;
        }
        // A paused pool moves nothing: only the last holder may have it back, or the owner where
        // there never was one.
        let last = entry.known.as_ref().map(|known| &known.node).or(plan.owner.as_ref());
        !plan.paused || last == Some(me)
    }

    /// This node's place among those that may ask: the holder that has fallen silent is none.
    fn rank(&self, entry: &Address, plan: &AddressView) -> u64 {
        let me = &self.config.me;
        let silent = entry.known.as_ref().map(|known| &known.node).filter(|node| *node != me);
        let before = plan.ranks().take_while(|node| *node != me);
        before.filter(|node| Some(*node) != silent).map(|_| 1).sum()
    }

    /// When this node is to ask for the address.
    fn ask_due(&self, entry: &Address, plan: &AddressView) -> Option<u64> {
        if entry.role != Role::Idle || entry.coming.is_some() || !self.may_ask(entry, plan) {
            return None;
        }
        let unclaimed = entry.known.is_none() && plan.owner.as_ref() == Some(&self.config.me);
        let due = match entry.heard {
            Some(heard) if !unclaimed => {
                let timing = &self.config.timing;
                let silence = timing.ask(ns(plan.lease));
                heard + silence + timing.rank_step * self.rank(entry, plan)
            }
            _ => 0,
        };
        let step = self.config.timing.ask_step.max(1);
        Some(due.max(entry.pause).next_multiple_of(step))
    }

    /// What this node asks with for an address: the fence that it has read.
    pub(super) fn ask(&self, address: IpAddr, epoch: u64) -> Option<Ask> {
        let plan = self.plan(address)?;
        let lease = u32::try_from(plan.lease.0).unwrap_or(u32::MAX);
        Some(Ask { address, fence: plan.fence, lease, epoch })
    }

    pub(super) fn greatest_epoch(&self, address: IpAddr) -> u64 {
        self.kept.epochs.get(&address).copied().unwrap_or(0)
    }

    pub(super) fn advance_candidates(&mut self, now: Now, out: &mut Out) {
        let due: BTreeSet<IpAddr> = self
            .addresses
            .iter()
            .filter(|(address, entry)| {
                self.plan(**address)
                    .and_then(|plan| self.ask_due(entry, plan))
                    .is_some_and(|due| due <= now.boot.0)
            })
            .map(|(address, _)| *address)
            .collect();
        self.begin_round(now, RequestKind::PreVote, &due, out);
    }

    /// One round for all of `addresses`, whose role becomes that of the round.
    pub(super) fn begin_round(
        &mut self,
        now: Now,
        kind: RequestKind,
        addresses: &BTreeSet<IpAddr>,
        out: &mut Out,
    ) {
        let mut asks = BTreeMap::new();
        for address in addresses {
            let Some(ask) = self.ask(*address, self.greatest_epoch(*address) + 1) else { continue };
            let round = self.next_round;
            let Some(entry) = self.addresses.get_mut(address) else { continue };
            entry.role = match kind {
                RequestKind::PreVote => Role::PreVote(round),
                _ => Role::Vote(round),
            };
            asks.insert(*address, ask);
        }
        if asks.is_empty() || self.start_round(now, kind, asks, out).is_some() {
            return;
        }
        let pause = now.boot.0 + self.config.timing.pause;
        for address in addresses {
            if let Some(entry) = self.addresses.get_mut(address) {
                (entry.role, entry.pause) = (Role::Idle, pause);
            }
        }
    }

    /// A majority would grant these: ask in earnest.
    pub(super) fn vote_in_earnest(
        &mut self,
        now: Now,
        round: u64,
        willing: &BTreeSet<IpAddr>,
        out: &mut Out,
    ) {
        let asked = |address: &&IpAddr| {
            self.addresses.get(*address).is_some_and(|entry| entry.role == Role::PreVote(round))
        };
        let addresses: BTreeSet<IpAddr> = willing.iter().filter(asked).copied().collect();
        self.begin_round(now, RequestKind::Vote, &addresses, out);
    }

    /// A candidate's round has found no majority for these: releases what it got, and asks again
    /// after a pause (rule 9).
    pub(super) fn fail(
        &mut self,
        now: Now,
        round: u64,
        addresses: &BTreeSet<IpAddr>,
        out: &mut Out,
    ) {
        let mut released = Vec::new();
        let mut paused = Vec::new();
        for address in addresses {
            let wait = self.rounds.get(&round).and_then(|round| round.wait(*address));
            let Some(entry) = self.addresses.get_mut(address) else { continue };
            let earnest = entry.role == Role::Vote(round);
            if !earnest && entry.role != Role::PreVote(round) {
                continue;
            }
            entry.role = Role::Idle;
            if let Some(coming) = entry.coming.as_mut().filter(|_| earnest) {
                // The voters keep it for this node, and a release would close what forwards.
                coming.vote_at = Some(now.boot.0 + self.config.timing.repeats[0]);
                continue;
            }
            paused.push((*address, wait));
            if earnest {
                released.push((*address, None));
            }
        }
        self.pause(now, &paused);
        self.release(now, &released, out);
    }

    /// One pause for all of a round, but for rank and refusals: each with a chance of its own, they
    /// would never share a round again.
    fn pause(&mut self, now: Now, paused: &[(IpAddr, Option<u64>)]) {
        if paused.is_empty() {
            return;
        }
        let random = self.random(self.config.timing.pause_random + 1);
        let timing = &self.config.timing;
        for (address, wait) in paused {
            let wait = wait.unwrap_or(timing.pause).min(timing.pause);
            let Some(plan) = self.plan(*address) else { continue };
            let Some(entry) = self.addresses.get(address) else { continue };
            let pause = now.boot.0 + wait + timing.pause_rank * self.rank(entry, plan) + random;
            if let Some(entry) = self.addresses.get_mut(address) {
                entry.pause = pause;
            }
        }
    }

    pub(super) fn candidates_due(&self) -> Option<u64> {
        let due = |(address, entry): (&IpAddr, &Address)| self.ask_due(entry, self.plan(*address)?);
        self.addresses.iter().filter_map(due).min()
    }

    /// The voters of the newest set.
    pub(super) fn voters(&self) -> Vec<NodeName> {
        self.kept.set.iter().flat_map(|set| &set.members).map(|m| m.node.clone()).collect()
    }
}
