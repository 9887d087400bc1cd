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
use crate::model::{
    AddressPlan, Millis, NodeName, Reach, ReachAnswer, ReachQuestion, Snapshot, Timestamp,
};

/// An address that was moved off a holder stays where it went for so long.
const MOVE_AGAIN_AFTER: Millis = Millis::from_secs(600);
/// While two directors or more complain they are asked again after this, and after twice as long each time.
const ASK_AGAIN_AFTER: Millis = Millis::from_secs(60);
/// But so often at least; and for one that complains alone no more often. Without a complaint the question goes after it.
const ASK_AGAIN_AT_LEAST: Millis = Millis::from_secs(600);
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

    /// `EgressNodeSpec::reach_question` of `holder` as it should be: one of now, where its directors are to be asked.
    pub(crate) fn question(&self, holder: &NodeName) -> Option<ReachQuestion> {
        let before = self.snapshot.egress_nodes.get(holder)?.value.spec.reach_question;
        // One of a clock that went wrong would keep them from being asked for good.
        let before = before.filter(|question| question.at <= self.now);
        let complain = self.complaints.get(holder).map(Vec::as_slice).unwrap_or_default();
        let complain = complain.iter().filter(|from| self.has_ports_of(from, holder)).count();
        let moves_none = complain == 0 || self.absent.contains(holder) || !self.may_move(holder);
        let Some(ReachQuestion { at, times }) = before else {
            return (!moves_none).then_some(ReachQuestion { at: self.now, times: 1 });
        };
        let again = match complain {
            0 | 1 => ASK_AGAIN_AT_LEAST,
            _ => Millis(ASK_AGAIN_AFTER.0 << times.clamp(1, 5).saturating_sub(1))
                .min(ASK_AGAIN_AT_LEAST),
        };
        match self.now.since(at) {
            age if moves_none => before.filter(|_| age < ASK_AGAIN_AT_LEAST),
            age if age < again => before,
            _ => Some(ReachQuestion { at: self.now, times: times.saturating_add(1) }),
        }
    }

    /// The standbys that `address` may move to since its holder is not reached, in the order of `plan`: at least
    /// two of its directors, and more than half of those with pods that use it, reach that one and not the holder.
    /// Who does not answer may be one that reaches it.
    pub(crate) fn instead(&self, address: IpAddr, plan: &'a AddressPlan) -> Vec<&'a NodeName> {
        let none = Vec::new();
        let Some(holder) = self.settled(address, plan).filter(|_| !self.rests(plan)) else {
            return none;
        };
        let node = self.snapshot.egress_nodes.get(holder);
        let Some(question) = node.and_then(|node| node.value.spec.reach_question) else {
            return none;
        };
        let age = self.now.since(question.at);
        if question.at > self.now || age >= ANSWERS_LAST {
            return none;
        }
        let directors = self.directors(address).filter(|director| *director != holder);
        let (mut unreached, mut busy) = (Vec::new(), 0);
        for director in directors {
            match self.answer(director, holder, question.at) {
                Some(answer) if !answer.used.contains(&address) => {}
                Some(answer) => {
                    busy += 1;
                    unreached.extend((answer.holder == Reach::Unreached).then_some(answer));
                }
                None if age < ANSWER_WITHIN => return none,
                None => busy += 1,
            }
        }
        let enough = |standby: &&NodeName| {
            let reach_it = |answer: &&&ReachAnswer| answer.standbys.contains(*standby);
            let count = unreached.iter().filter(reach_it).count();
            count >= 2 && count * 2 > busy
        };
        plan.standbys.iter().filter(enough).collect()
    }

    /// The nodes that some director does not reach now.
    pub(crate) fn unreached(&self) -> impl Iterator<Item = &'a NodeName> {
        self.complaints.keys().copied()
    }

    /// The present nodes whose pods use `address` and that do not reach `holder`, and how many use it.
    pub(crate) fn cut_off(&self, address: IpAddr, holder: &NodeName) -> (Vec<&'a NodeName>, usize) {
        let uses = |name: &&NodeName| {
            let node = self.snapshot.egress_nodes.get(*name);
            node.is_some_and(|node| node.value.status.block_needs.contains_key(&address))
        };
        let complain = self.complaints.get(holder).map(Vec::as_slice).unwrap_or_default();
        let complain: Vec<&NodeName> = complain.iter().copied().filter(uses).collect();
        if complain.is_empty() {
            return (complain, 0);
        }
        let present = self.snapshot.egress_nodes.keys().filter(|name| !self.absent.contains(*name));
        (complain, present.filter(uses).count())
    }

    /// When time alone changes what is asked or decided.
    pub(crate) fn wakes(&self) -> impl Iterator<Item = Timestamp> {
        let nodes = self.snapshot.egress_nodes.values();
        let questions = nodes.filter_map(|node| node.value.spec.reach_question);
        let asked = questions.flat_map(|question| {
            let again = (0..4).map(|doubled| Millis(ASK_AGAIN_AFTER.0 << doubled));
            again.chain([ANSWER_WITHIN, ASK_AGAIN_AT_LEAST]).map(move |after| question.at + after)
        });
        let addresses = self.snapshot.addresses.values();
        let moved = addresses.filter_map(|stored| stored.value.plan.moved_off.as_ref());
        asked.chain(moved.map(|moved| moved.at + MOVE_AGAIN_AFTER))
    }

    /// Its holder, where that is its owner: it is not on its way, nor just taken over.
    fn settled(&self, address: IpAddr, plan: &AddressPlan) -> Option<&'a NodeName> {
        let stored = self.snapshot.addresses.get(&address)?;
        let holder = &stored.value.status.holding.as_ref()?.node;
        (plan.owner.as_ref() == Some(holder)).then_some(holder)
    }

    fn rests(&self, plan: &AddressPlan) -> bool {
        let moved = plan.moved_off.as_ref().filter(|moved| moved.at <= self.now);
        moved.is_some_and(|moved| self.now.since(moved.at) < MOVE_AGAIN_AFTER)
    }

    /// Whether an address that `holder` has may move: else nobody needs to be asked.
    fn may_move(&self, holder: &NodeName) -> bool {
        self.snapshot.addresses.iter().any(|(address, stored)| {
            let plan = &stored.value.plan;
            let fixed = plan.paused || plan.is_revoked() || plan.standbys.is_empty();
            !fixed && !self.rests(plan) && self.settled(*address, plan) == Some(holder)
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
