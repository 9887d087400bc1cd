//! Whether the directors of addresses reach their holder, by their own word: when they are asked, and which
//! standby may have an address instead.
//!
//! Voters hear a holder by another way than the one that pods' packets take. So a holder may keep its leases
//! that nobody reaches: only the directors know.
//!
//! Always: one director alone, whatever it says, moves nothing. Nothing is decided by what a leader remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::membership::liveness;
use crate::model::{AddressPlan, Millis, NodeName, Reach, ReachAnswer, Snapshot, Timestamp};

/// An address that was moved off a holder stays where it went for so long.
pub(crate) const MOVE_AGAIN_AFTER: Millis = Millis::from_secs(600);
/// While directors complain they are asked so often.
const ASK_AGAIN_AFTER: Millis = Millis::from_secs(600);
/// A director that complains although it has answered otherwise has them asked again no sooner.
const ASK_LATECOMERS_AFTER: Millis = Millis::from_secs(60);
/// For answers that are missing nobody waits longer.
const ANSWER_WITHIN: Millis = Millis::from_secs(30);
/// Older answers say nothing of now.
const ANSWERS_LAST: Millis = Millis::from_secs(60);

/// What the directors say of holders.
pub(crate) struct HolderReach<'a> {
    snapshot: &'a Snapshot,
    now: Timestamp,
    /// The present nodes that say that they do not reach a holder.
    complaints: BTreeMap<&'a NodeName, Vec<&'a NodeName>>,
    absent: BTreeSet<NodeName>,
}

impl<'a> HolderReach<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, now: Timestamp) -> Self {
        let absent = liveness::absent(snapshot);
        let mut complaints: BTreeMap<&NodeName, Vec<&NodeName>> = BTreeMap::new();
        for (name, node) in snapshot.egress_nodes.iter().filter(|(name, _)| !absent.contains(*name))
        {
            for holder in &node.value.status.unreached_holders {
                complaints.entry(holder).or_default().push(name);
            }
        }
        Self { snapshot, now, complaints, absent }
    }

    /// `EgressNodeSpec::reach_asked_at` of `holder` as it should be: now, where its directors are to be asked.
    pub(crate) fn asked_at(&self, holder: &NodeName) -> Option<Timestamp> {
        let before = self.snapshot.egress_nodes.get(holder)?.value.spec.reach_asked_at;
        // One of a clock that went wrong would keep them from being asked for good.
        let before = before.filter(|asked| *asked <= self.now);
        let complain = self.complaints.get(holder).map(Vec::as_slice).unwrap_or_default();
        let complain: Vec<_> =
            complain.iter().filter(|from| self.has_ports_of(from, holder)).collect();
        if self.absent.contains(holder) || complain.is_empty() {
            return before.filter(|asked| self.now.since(*asked) < ASK_AGAIN_AFTER);
        }
        let Some(asked) = before else { return Some(self.now) };
        let is_late = |director: &&&NodeName| {
            let answer = self.answer(director, holder, asked);
            answer.is_none_or(|answer| answer.holder != Reach::Unreached)
        };
        let after = match complain.iter().any(is_late) {
            true => ASK_LATECOMERS_AFTER,
            false => ASK_AGAIN_AFTER,
        };
        Some(if self.now.since(asked) >= after { self.now } else { asked })
    }

    /// The standbys that `address` may move to since its holder is not reached, in the order of `plan`: at least
    /// two of its directors, and more than half of those that have traffic, reach that one and not the holder.
    pub(crate) fn instead(&self, address: IpAddr, plan: &'a AddressPlan) -> Vec<&'a NodeName> {
        let none = Vec::new();
        let Some(stored) = self.snapshot.addresses.get(&address) else { return none };
        let holder = stored.value.status.holding.as_ref().map(|holding| &holding.node);
        // On its way already, or just taken over.
        let Some(holder) = holder.filter(|holder| plan.owner.as_ref() == Some(*holder)) else {
            return none;
        };
        let rests = |at: Timestamp| self.now.since(at) < MOVE_AGAIN_AFTER;
        if plan.moved_off.as_ref().is_some_and(|moved| rests(moved.at)) {
            return none;
        }
        let node = self.snapshot.egress_nodes.get(holder);
        let Some(asked) = node.and_then(|node| node.value.spec.reach_asked_at) else { return none };
        let age = self.now.since(asked);
        if asked > self.now || age >= ANSWERS_LAST {
            return none;
        }
        let directors = self.directors(address).filter(|director| *director != holder);
        let mut answers = Vec::new();
        for director in directors {
            match self.answer(director, holder, asked) {
                Some(answer) => answers.push(answer),
                None if age < ANSWER_WITHIN => return none,
                None => {}
            }
        }
        let busy = answers.iter().filter(|answer| answer.holder != Reach::Idle).count();
        let enough = |standby: &&NodeName| {
            let instead = answers.iter().filter(|answer| {
                answer.holder == Reach::Unreached && answer.standbys.contains(*standby)
            });
            let count = instead.count();
            count >= 2 && count * 2 > busy
        };
        plan.standbys.iter().filter(enough).collect()
    }

    /// When time alone changes what is asked or decided.
    pub(crate) fn wakes(&self) -> impl Iterator<Item = Timestamp> {
        let nodes = self.snapshot.egress_nodes.values();
        nodes.filter_map(|node| node.value.spec.reach_asked_at).flat_map(|asked| {
            [ANSWER_WITHIN, ASK_LATECOMERS_AFTER, ASK_AGAIN_AFTER].map(|after| asked + after)
        })
    }

    fn answer(
        &self,
        director: &NodeName,
        holder: &NodeName,
        asked: Timestamp,
    ) -> Option<&'a ReachAnswer> {
        let node = self.snapshot.egress_nodes.get(director)?;
        node.value.status.reach_answers.get(holder).filter(|answer| answer.asked_at == asked)
    }

    /// The present nodes that have ports of an address.
    fn directors(&self, address: IpAddr) -> impl Iterator<Item = &'a NodeName> {
        let nodes = self.snapshot.egress_nodes.iter();
        nodes
            .filter(move |(_, node)| {
                node.value
                    .spec
                    .blocks
                    .iter()
                    .any(|grant| grant.address == address && grant.ended.is_none())
            })
            .map(|(name, _)| name)
            .filter(|name| !self.absent.contains(*name))
    }

    fn has_ports_of(&self, director: &NodeName, holder: &NodeName) -> bool {
        let Some(node) = self.snapshot.egress_nodes.get(director) else { return false };
        let mut live = node.value.spec.blocks.iter().filter(|grant| grant.ended.is_none());
        live.any(|grant| {
            let stored = self.snapshot.addresses.get(&grant.address);
            let holding = stored.and_then(|stored| stored.value.status.holding.as_ref());
            holding.is_some_and(|holding| holding.node == *holder)
        })
    }
}

#[cfg(test)]
mod tests;
