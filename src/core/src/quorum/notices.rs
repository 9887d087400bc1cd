//! Telling directors and gateways who holds an address (docs/leases.md rule 10, docs/design.md
//! decision 11): at the beginning, at every new epoch and every 30 s, again until each has answered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::address::holding;
use super::machine::{Machine, Out};
use super::{Announced, Message, NoticeAnswer, Now, size};
use crate::model::{Epoch, Holding, NodeName};

/// What one receiver has not acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Outgoing {
    pub pending: BTreeSet<IpAddr>,
    pub next: u64,
    pub pause: u64,
}

impl Machine {
    /// Who is told of this address's holder.
    fn receivers(&self, address: IpAddr) -> BTreeSet<NodeName> {
        let plan = self.plan(address);
        let all = plan.into_iter().flat_map(|plan| plan.directors.union(&plan.gateways));
        all.filter(|node| **node != self.config.me).cloned().collect()
    }

    /// To be told now, without waiting for an earlier pause to end.
    pub(super) fn notify(&mut self, now: Now, address: IpAddr, receivers: BTreeSet<NodeName>) {
        if !self.may_announce(address) {
            return;
        }
        for node in receivers {
            let outgoing = self.outgoing.entry(node).or_default();
            outgoing.pending.insert(address);
            outgoing.next = now.boot.0;
            outgoing.pause = self.config.timing.notice_first;
        }
    }

    pub(super) fn advance_notices(&mut self, now: Now, out: &mut Out) {
        let again = now.boot.0 + self.config.timing.again;
        let mut due = Vec::new();
        for (address, entry) in &mut self.addresses {
            if let Some(holder) = entry.holder_mut().filter(|its| its.next_notice <= now.boot.0) {
                holder.next_notice = again;
                due.push(*address);
            }
        }
        for address in due {
            self.notify(now, address, self.receivers(address));
        }
        let held: BTreeMap<IpAddr, u64> = self
            .addresses
            .iter()
            .filter_map(|(address, entry)| Some((*address, entry.holder()?.epoch)))
            .collect();
        for (node, outgoing) in &mut self.outgoing {
            outgoing.pending.retain(|address| held.contains_key(address));
            if outgoing.next > now.boot.0 {
                continue;
            }
            outgoing.next = now.boot.0 + outgoing.pause;
            outgoing.pause = (outgoing.pause * 2).min(self.config.timing.notice_max);
            let pending = outgoing.pending.iter();
            let announced =
                pending.filter_map(|a| Some(Announced { address: *a, epoch: *held.get(a)? }));
            for piece in size::pieces(announced) {
                out.send(node, Message::Notice(piece));
            }
        }
        self.outgoing.retain(|_, outgoing| !outgoing.pending.is_empty());
    }

    pub(super) fn notices_due(&self) -> Option<u64> {
        self.outgoing.values().map(|outgoing| outgoing.next).min()
    }

    pub(super) fn on_notice(
        &mut self,
        now: Now,
        from: &NodeName,
        announced: &[Announced],
        out: &mut Out,
    ) {
        let mut answers = Vec::new();
        for one in announced {
            let new = holding(from, one.epoch);
            let greater = self.greater_than(one.address, &new);
            if greater.is_none() {
                self.learn_holder(one.address, &new, out);
                self.sign_of_holder(now, one.address, out);
            }
            answers.push(NoticeAnswer { address: one.address, epoch: one.epoch, greater });
        }
        for piece in size::pieces(answers) {
            out.send(from, Message::NoticeAnswer(piece));
        }
    }

    /// A greater epoch than `new`, or its counter with another node's name.
    fn greater_than(&self, address: IpAddr, new: &Holding) -> Option<Epoch> {
        let known = self.addresses.get(&address)?.known.as_ref()?;
        let greater = known.epoch.counter > new.epoch.counter
            || (known.epoch.counter == new.epoch.counter && known.node != new.node);
        greater.then(|| known.epoch.clone())
    }

    pub(super) fn on_notice_answer(
        &mut self,
        now: Now,
        from: &NodeName,
        answers: &[NoticeAnswer],
        out: &mut Out,
    ) {
        for answer in answers {
            let entry = self.addresses.get(&answer.address);
            let Some(epoch) = entry.and_then(|entry| Some(entry.holder()?.epoch)) else { continue };
            match &answer.greater {
                Some(greater) if greater.counter >= epoch => {
                    self.raise_epoch(now, answer.address, greater.counter, out);
                }
                None if answer.epoch == epoch => {
                    if let Some(outgoing) = self.outgoing.get_mut(from) {
                        outgoing.pending.remove(&answer.address);
                    }
                }
                _ => {}
            }
        }
    }
}
