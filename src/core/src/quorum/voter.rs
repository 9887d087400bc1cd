//! The voter: grants, releases, fences, sets, acknowledgements (docs/leases.md rules 2, 3, 6, 12 to
//! 17, 21 and 22). Everything on CLOCK_MONOTONIC_RAW.

use std::net::IpAddr;

use super::machine::{Machine, Out, mistaken};
use super::timing::{MS, ns};
use super::{
    AddressAnswer, Answer, Ask, Effect, Grant, Message, Now, Reason, Refusal, Release, Report,
    Request, RequestKind, RoundId, SetId, Successor, Verdict, size,
};
use crate::model::{Millis, NodeName, VoterSet};

/// What a voter remembers in the process alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Voting {
    /// When the newest set was first seen by this process.
    pub set_seen: u64,
    /// When the next consistent read is asked for, while one is needed.
    pub read_due: u64,
    /// [`Report::MayVote`] was said.
    pub said_may_vote: bool,
    /// Acknowledgements said.
    pub said_set: u64,
    /// Fences acknowledged, by address.
    pub said_fences: std::collections::BTreeMap<IpAddr, u64>,
}

impl Machine {
    /// Answers a request; `None` where this node is no voter of the set.
    pub(super) fn vote(&mut self, now: Now, from: &NodeName, request: &Request) -> Option<Message> {
        let round = request.round;
        let refuse = |reason| Some(Message::Refusal(Refusal { round, reason }));
        let Some(known) = self.set_id() else { return refuse(Reason::NewerSet) };
        if request.set != known {
            return match request.set.number.cmp(&known.number) {
                std::cmp::Ordering::Less => refuse(Reason::OlderSet),
                std::cmp::Ordering::Equal => refuse(Reason::OtherSet),
                std::cmp::Ordering::Greater => refuse(Reason::NewerSet),
            };
        }
        if !self.is_voter() {
            return None;
        }
        if !self.kept.may_grant {
            return refuse(Reason::Silent);
        }
        let answers = request.asks.iter().map(|ask| self.vote_one(now, from, request, ask));
        Some(Message::Answer(Answer { round, answers: answers.collect() }))
    }

    fn vote_one(
        &mut self,
        now: Now,
        from: &NodeName,
        request: &Request,
        ask: &Ask,
    ) -> AddressAnswer {
        let verdict = self.verdict(now, from, ask);
        let epoch = self.kept.epochs.get(&ask.address).copied().unwrap_or(0);
        if verdict == Verdict::Granted && request.kind != RequestKind::PreVote {
            self.grant(now, from, request, ask);
        }
        AddressAnswer { address: ask.address, verdict, epoch }
    }

    fn verdict(&self, now: Now, from: &NodeName, ask: &Ask) -> Verdict {
        match self.kept.fences.get(&ask.address) {
            None => return Verdict::Unplanned,
            Some(known) if known.gone => return Verdict::Unplanned,
            Some(known) if ask.fence < known.fence => {
                let epoch = self.kept.epochs.get(&ask.address).copied().unwrap_or(0);
                if !(mistaken!(self, RevokedByEpoch) && ask.epoch > epoch) {
                    return Verdict::Fenced;
                }
            }
            Some(_) => {}
        }
        if ask.lease == 0 || u64::from(ask.lease) > self.kept.t_max {
            return Verdict::TooLong;
        }
        match self.live_grant(now, ask.address) {
            Some(grant) if grant.node != *from => {
                let left = (grant.until - now.raw).div_ceil(MS);
                Verdict::Taken { remaining: u32::try_from(left).unwrap_or(u32::MAX) }
            }
            _ => Verdict::Granted,
        }
    }

    pub(super) fn live_grant(&self, now: Now, address: IpAddr) -> Option<&Grant> {
        self.kept.grants.get(&address).filter(|grant| grant.until > now.raw)
    }

    fn grant(&mut self, now: Now, from: &NodeName, request: &Request, ask: &Ask) {
        let until = now.raw + self.config.timing.grant(ns(Millis(u64::from(ask.lease))));
        let new = Grant {
            node: from.clone(),
            round: request.round,
            until,
            fence: ask.fence,
            lower_fence_until: 0,
            set: request.set.number,
            older_set_until: 0,
        };
        let grant = match self.live_grant(now, ask.address) {
            Some(old) => renewed(old, new, mistaken!(self, RenewalShortens)),
            None => new,
        };
        self.kept.grants.insert(ask.address, grant);
        if let Some(fence) = self.kept.fences.get_mut(&ask.address) {
            fence.fence = fence.fence.max(ask.fence);
        }
        self.know_epoch(ask.address, ask.epoch);
        self.dirty = true;
    }

    /// Remembers the greatest epoch of an address.
    pub(super) fn know_epoch(&mut self, address: IpAddr, epoch: u64) {
        let known = self.kept.epochs.entry(address).or_default();
        if epoch > *known {
            *known = epoch;
            self.dirty = true;
        }
    }

    /// The holder, or a candidate, gives up (rule 6).
    pub(super) fn on_release(&mut self, from: &NodeName, release: &Release) {
        for released in &release.released {
            let Some(grant) = self.kept.grants.get_mut(&released.address) else { continue };
            let covered = release.round.covers(grant.round) || mistaken!(self, LateReleaseEndsAll);
            if grant.node != *from || !covered {
                continue;
            }
            self.dirty = true;
            let Some(Successor { node, round }) = &released.successor else {
                self.kept.grants.remove(&released.address);
                continue;
            };
            // The successor forwards until the old lease's end ("coming"): for fences and sets
            // the old grant goes on.
            grant.node = node.clone();
            grant.round = *round;
            if mistaken!(self, SuccessionFreesAtOnce) {
                (grant.fence, grant.lower_fence_until) = (u64::MAX, 0);
                (grant.set, grant.older_set_until) = (u64::MAX, 0);
            }
        }
    }

    /// Adopts a set that is newer than the one known; says so where another of its number exists.
    pub(super) fn adopt_set(&mut self, now: Now, set: &VoterSet, from: &NodeName, out: &mut Out) {
        let Some(cluster) = self.kept.cluster.as_deref() else { return };
        let new = SetId::of(cluster, set);
        match self.set_id() {
            Some(known) if known.number > new.number => {}
            Some(known) if known.number == new.number => {
                if known != new {
                    let (number, from) = (new.number, from.clone());
                    out.report(Report::SetConflict { number, from });
                }
            }
            _ => {
                self.kept.set = Some(set.clone());
                self.voting.set_seen = now.raw;
                self.voting.read_due = now.raw;
                self.dirty = true;
                self.renew_now(now);
            }
        }
    }

    /// The newest set known.
    pub(super) fn set_id(&self) -> Option<SetId> {
        let set = self.kept.set.as_ref()?;
        Some(SetId::of(self.kept.cluster.as_deref()?, set))
    }

    /// This node is a member of the newest set.
    pub(super) fn is_voter(&self) -> bool {
        self.kept.set.as_ref().is_some_and(|set| is_member(set, &self.config.me))
    }

    /// When the silence after the boot ends; `None` before T_max is known.
    fn silence_ends(&self) -> Option<u64> {
        if mistaken!(self, NoSilence) {
            return Some(self.kept.silent_since);
        }
        let longest = if mistaken!(self, ShortSilence) { 1 } else { self.kept.t_max };
        (self.kept.t_max > 0).then(|| {
            self.kept.silent_since.saturating_add(self.config.timing.grant(ns(Millis(longest))))
        })
    }

    /// A consistent read, begun at `began`, has been taken in as a view (rules 13 and 22).
    pub(super) fn on_consistent_read(&mut self, now: Now, began: Now, out: &mut Out) {
        let silence_over = self.silence_ends().is_some_and(|end| began.raw >= end);
        if silence_over && !self.kept.may_grant {
            self.kept.may_grant = true;
            self.dirty = true;
        }
        // The store lists kinds one after the other: the set of this very read may be newer than
        // its fences, so only a set seen before the read began counts.
        let number = self.kept.set.as_ref().map_or(0, |set| set.number);
        let seen = began.raw >= self.voting.set_seen || mistaken!(self, ReadsIndependently);
        if self.kept.may_grant && seen && number > self.kept.fences_read_for {
            self.kept.fences_read_for = number;
            self.dirty = true;
        }
        self.advance_voter(now, out);
    }

    /// What time alone changes for a voter.
    pub(super) fn advance_voter(&mut self, now: Now, out: &mut Out) {
        let silence_over = self.silence_ends().is_some_and(|end| now.raw >= end);
        if silence_over && !self.voting.said_may_vote {
            self.voting.said_may_vote = true;
            out.report(Report::MayVote { boot: self.config.boot_id.clone() });
        }
        if mistaken!(self, NoSilence) && self.kept.set.is_some() && !self.kept.may_grant {
            self.kept.may_grant = true;
            self.dirty = true;
        }
        if silence_over && self.needs_read() && now.raw >= self.voting.read_due {
            self.voting.read_due = now.raw + self.config.timing.read_again;
            out.push(Effect::ReadConsistently);
        }
        if self.is_voter() && (self.kept.may_grant || mistaken!(self, AcknowledgesInSilence)) {
            self.acknowledge_set(now, out);
            self.acknowledge_fences(now, out);
        }
    }

    fn needs_read(&self) -> bool {
        let number = self.kept.set.as_ref().map_or(0, |set| set.number);
        !self.kept.may_grant || (self.is_voter() && self.kept.fences_read_for < number)
    }

    fn acknowledge_set(&mut self, now: Now, out: &mut Out) {
        let number = self.kept.set.as_ref().map_or(0, |set| set.number);
        let read = self.kept.fences_read_for >= number
            || mistaken!(self, ReadsIndependently)
            || mistaken!(self, AcknowledgesInSilence);
        let clear = self.set_clears(number) <= now.raw || mistaken!(self, AcknowledgesSetAtOnce);
        if number > self.kept.acknowledged_set && read && clear {
            self.kept.acknowledged_set = number;
            self.dirty = true;
        }
        if self.kept.acknowledged_set > self.voting.said_set {
            self.voting.said_set = self.kept.acknowledged_set;
            out.report(Report::AcknowledgedSet(self.kept.acknowledged_set));
        }
    }

    /// When the last grant under a set older than `number` ends.
    fn set_clears(&self, number: u64) -> u64 {
        let older = |grant: &Grant| {
            if grant.set < number { grant.until } else { grant.older_set_until }
        };
        self.kept.grants.values().map(older).max().unwrap_or(0)
    }

    /// When the last grant of the address under a fence lower than `fence` ends.
    fn fence_clears(&self, address: IpAddr, fence: u64) -> u64 {
        self.kept.grants.get(&address).map_or(0, |grant| {
            if grant.fence < fence { grant.until } else { grant.lower_fence_until }
        })
    }

    fn acknowledge_fences(&mut self, now: Now, out: &mut Out) {
        for (address, fence) in self.fences_to_acknowledge() {
            if self.fence_clears(address, fence) <= now.raw {
                self.voting.said_fences.insert(address, fence);
                out.report(Report::AcknowledgedFence { address, fence });
            }
        }
    }

    /// Fences of revoked addresses that this voter knows and has not acknowledged.
    fn fences_to_acknowledge(&self) -> Vec<(IpAddr, u64)> {
        let addresses = self.view.iter().flat_map(|view| &view.addresses);
        addresses
            .filter(|(_, plan)| plan.revoked)
            .filter(|(address, plan)| self.voting.said_fences.get(address) != Some(&plan.fence))
            .map(|(address, plan)| (*address, plan.fence))
            .collect()
    }

    /// When time alone next changes something for the voter, on CLOCK_MONOTONIC_RAW.
    pub(super) fn voter_due(&self) -> Option<u64> {
        let number = self.kept.set.as_ref().map_or(0, |set| set.number);
        let silence = self.silence_ends();
        let may_vote = silence.filter(|_| !self.voting.said_may_vote);
        let read = silence.filter(|_| self.needs_read()).map(|end| end.max(self.voting.read_due));
        let acknowledges = self.is_voter() && self.kept.may_grant;
        let set = (acknowledges
            && self.kept.fences_read_for >= number
            && self.kept.acknowledged_set < number)
            .then(|| self.set_clears(number));
        let fences = self.fences_to_acknowledge().into_iter();
        let fence = fences.map(|(address, fence)| self.fence_clears(address, fence)).min();
        [may_vote, read, set, fence.filter(|_| acknowledges)].into_iter().flatten().min()
    }

    /// Sends the set that this node knows.
    pub(super) fn send_set(&self, to: &NodeName, out: &mut Out) {
        if let (Some(id), Some(set)) = (self.set_id(), &self.kept.set) {
            for part in size::set_parts(id, &set.members) {
                out.send(to, Message::Set(part));
            }
        }
    }
}

pub(super) fn is_member(set: &VoterSet, node: &NodeName) -> bool {
    set.members.iter().any(|member| member.node == *node)
}

/// A renewal of `old` by the same node: nothing of it ends earlier than before.
fn renewed(old: &Grant, new: Grant, shortens: bool) -> Grant {
    let after = |raised: bool, until: u64| if raised { until.max(old.until) } else { until };
    Grant {
        round: later(old.round, new.round),
        until: if shortens { new.until } else { old.until.max(new.until) },
        lower_fence_until: after(new.fence > old.fence, old.lower_fence_until),
        older_set_until: after(new.set > old.set, old.older_set_until),
        fence: old.fence.max(new.fence),
        set: old.set.max(new.set),
        node: new.node,
    }
}

fn later(old: RoundId, new: RoundId) -> RoundId {
    if old.covers(new) { old } else { new }
}
