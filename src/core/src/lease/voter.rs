//! The voter: grants, releases, fences, sets, acknowledgements (docs/leases.md rules 2, 3, 6, 12 to
//! 17, 21 and 22). Everything on CLOCK_MONOTONIC_RAW.

use std::net::IpAddr;
use std::time::Duration;

use super::config::injected;
use super::context::Context;
use super::durable::DurableState;
use super::effect::Effects;
use super::{
    AddressAnswer, Answer, Ask, Effect, Message, Now, RawTime, Refusal, RefusalReason, Release,
    Report, Request, RequestKind, RoundId, SetId, Successor, Vote, VoterGrant, encoding,
};
use crate::model::{NodeName, VoterSet};

#[cfg(test)]
mod tests;

/// What a voter remembers in the process alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct VoterState {
    /// When the newest set was first seen by this process.
    pub set_seen: RawTime,
    /// When the next consistent read is asked for, while one is needed.
    pub read_due: RawTime,
    /// [`Report::MayVote`] was said.
    pub reported_may_vote: bool,
    /// Acknowledgements said.
    pub reported_set: u64,
    /// Fences acknowledged, by address.
    pub reported_fences: std::collections::BTreeMap<IpAddr, u64>,
}

impl VoterState {
    /// What of it can still change who holds an address.
    #[cfg(feature = "fault-injection")]
    pub(super) fn hash_part(&self, state: &mut impl std::hash::Hasher) {
        use std::hash::Hash as _;
        (self.set_seen, self.reported_set, &self.reported_fences).hash(state);
    }

    /// Answers a request; `None` where this node is no voter of the set.
    pub(super) fn vote(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        from: &NodeName,
        request: &Request,
    ) -> Option<Message> {
        let round = request.round;
        let refuse = |reason| Some(Message::Refusal(Refusal { round, reason }));
        let Some(known) = durable.set_id() else { return refuse(RefusalReason::NewerSet) };
        if request.set != known {
            return match request.set.number.cmp(&known.number) {
                std::cmp::Ordering::Less => refuse(RefusalReason::OlderSet),
                std::cmp::Ordering::Equal => refuse(RefusalReason::OtherSet),
                std::cmp::Ordering::Greater => refuse(RefusalReason::NewerSet),
            };
        }
        if !durable.is_voter(&cx.config.me) {
            return None;
        }
        if !durable.kept.may_grant {
            return refuse(RefusalReason::Silent);
        }
        let answers = request.asks.iter().map(|ask| self.vote_one(cx, durable, from, request, ask));
        Some(Message::Answer(Answer { round, answers: answers.collect() }))
    }

    fn vote_one(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        from: &NodeName,
        request: &Request,
        ask: &Ask,
    ) -> AddressAnswer {
        let vote = self.evaluate(cx, durable, from, ask);
        let epoch = durable.greatest_epoch(ask.address);
        if vote == Vote::Granted && request.kind != RequestKind::PreVote {
            self.grant(cx, durable, from, request, ask);
        }
        AddressAnswer { address: ask.address, vote, epoch }
    }

    fn evaluate(
        &self,
        cx: &Context<'_>,
        durable: &DurableState,
        from: &NodeName,
        ask: &Ask,
    ) -> Vote {
        match durable.kept.fences.get(&ask.address) {
            None => return Vote::Unplanned,
            Some(known) if known.gone => return Vote::Unplanned,
            Some(known) if ask.fence < known.fence => {
                let epoch = durable.greatest_epoch(ask.address);
                if !(injected!(cx.config, RevokedByEpoch) && ask.epoch > epoch) {
                    return Vote::Fenced;
                }
            }
            Some(_) => {}
        }
        if ask.lease == 0 || u64::from(ask.lease) > durable.kept.t_max {
            return Vote::TooLong;
        }
        match durable.live_grant(cx.now, ask.address) {
            Some(grant) if grant.node != *from => {
                let left = grant.until.since(cx.now.raw).as_nanos().div_ceil(1_000_000);
                Vote::Taken { remaining: u32::try_from(left).unwrap_or(u32::MAX) }
            }
            _ => Vote::Granted,
        }
    }

    fn grant(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        from: &NodeName,
        request: &Request,
        ask: &Ask,
    ) {
        let until =
            cx.now.raw + cx.config.timing.grant(Duration::from_millis(u64::from(ask.lease)));
        let new = VoterGrant {
            node: from.clone(),
            round: request.round,
            until,
            fence: ask.fence,
            lower_fence_until: RawTime(0),
            set: request.set.number,
            older_set_until: RawTime(0),
        };
        let grant = match durable.live_grant(cx.now, ask.address) {
            Some(old) => renewed(old, new, injected!(cx.config, RenewalShortens)),
            None => new,
        };
        durable.kept.grants.insert(ask.address, grant);
        if let Some(fence) = durable.kept.fences.get_mut(&ask.address) {
            fence.fence = fence.fence.max(ask.fence);
        }
        durable.know_epoch(ask.address, ask.epoch);
        durable.dirty = true;
    }

    /// The holder, or a candidate, gives up (rule 6).
    pub(super) fn on_release(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        from: &NodeName,
        release: &Release,
    ) {
        for released in &release.released {
            let Some(grant) = durable.kept.grants.get_mut(&released.address) else { continue };
            let covered =
                release.round.covers(grant.round) || injected!(cx.config, LateReleaseEndsAll);
            if grant.node != *from || !covered {
                continue;
            }
            durable.dirty = true;
            let Some(Successor { node, round }) = &released.successor else {
                durable.kept.grants.remove(&released.address);
                continue;
            };
            // The successor forwards until the old lease's end ("coming"): for fences and sets
            // the old grant goes on.
            grant.node = node.clone();
            grant.round = *round;
            if injected!(cx.config, SuccessionFreesAtOnce) {
                (grant.fence, grant.lower_fence_until) = (u64::MAX, RawTime(0));
                (grant.set, grant.older_set_until) = (u64::MAX, RawTime(0));
            }
        }
    }

    /// Adopts a set that is newer than the one known; says so where another of its number exists.
    /// True where it did: what is held is to be renewed under it.
    pub(super) fn adopt_set(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        set: &VoterSet,
        from: &NodeName,
        out: &mut Effects,
    ) -> bool {
        let Some(cluster) = durable.kept.cluster.as_deref() else { return false };
        let new = SetId::of(cluster, set);
        match durable.set_id() {
            Some(known) if known.number > new.number => false,
            Some(known) if known.number == new.number => {
                if known != new {
                    let (number, from) = (new.number, from.clone());
                    out.report(Report::SetConflict { number, from });
                }
                false
            }
            _ => {
                durable.kept.set = Some(set.clone());
                self.set_seen = cx.now.raw;
                self.read_due = cx.now.raw;
                durable.dirty = true;
                true
            }
        }
    }

    /// When the silence after the boot ends; `None` before T_max is known.
    fn boot_grace_ends(&self, cx: &Context<'_>, durable: &DurableState) -> Option<RawTime> {
        if injected!(cx.config, NoSilence) {
            return Some(durable.kept.boot_grace_since);
        }
        let longest = if injected!(cx.config, ShortSilence) { 1 } else { durable.kept.t_max };
        (durable.kept.t_max > 0).then(|| {
            let silence = cx.config.timing.grant(Duration::from_millis(longest));
            durable.kept.boot_grace_since + silence
        })
    }

    /// A consistent read, begun at `began`, has been taken in as a view (rules 13 and 22).
    pub(super) fn on_consistent_read(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        began: Now,
        out: &mut Effects,
    ) {
        let silence_over = self.boot_grace_ends(cx, durable).is_some_and(|end| began.raw >= end);
        if silence_over && !durable.kept.may_grant {
            durable.kept.may_grant = true;
            durable.dirty = true;
        }
        // The store lists kinds one after the other: the set of this very read may be newer than
        // its fences, so only a set seen before the read began counts.
        let number = durable.set_number();
        let seen = began.raw >= self.set_seen || injected!(cx.config, ReadsIndependently);
        if durable.kept.may_grant && seen && number > durable.kept.fences_read_for {
            durable.kept.fences_read_for = number;
            durable.dirty = true;
        }
        self.advance(cx, durable, out);
    }

    /// What time alone changes for a voter.
    pub(super) fn advance(
        &mut self,
        cx: &Context<'_>,
        durable: &mut DurableState,
        out: &mut Effects,
    ) {
        let silence_over = self.boot_grace_ends(cx, durable).is_some_and(|end| cx.now.raw >= end);
        if silence_over && !self.reported_may_vote {
            self.reported_may_vote = true;
            out.report(Report::MayVote { boot: cx.config.boot_id.clone() });
        }
        if self.forgets_silence(cx, durable) {
            durable.kept.may_grant = true;
            durable.dirty = true;
        }
        if silence_over && self.needs_read(cx, durable) && cx.now.raw >= self.read_due {
            self.read_due = cx.now.raw + cx.config.timing.read_again;
            out.push(Effect::ReadConsistently);
        }
        if self.acknowledges(cx, durable) {
            self.acknowledge_set(cx, durable, out);
            self.acknowledge_fences(cx, durable, out);
        }
    }

    fn forgets_silence(&self, cx: &Context<'_>, durable: &DurableState) -> bool {
        let set = durable.kept.set.is_some();
        injected!(cx.config, NoSilence) && set && !durable.kept.may_grant
    }

    /// Whether this node acknowledges anything at all (rule 13).
    fn acknowledges(&self, cx: &Context<'_>, durable: &DurableState) -> bool {
        let speaks = durable.kept.may_grant || injected!(cx.config, AcknowledgesInSilence);
        speaks && durable.is_voter(&cx.config.me)
    }

    fn needs_read(&self, cx: &Context<'_>, durable: &DurableState) -> bool {
        let number = durable.set_number();
        !durable.kept.may_grant
            || (durable.is_voter(&cx.config.me) && durable.kept.fences_read_for < number)
    }

    fn acknowledge_set(&mut self, cx: &Context<'_>, durable: &mut DurableState, out: &mut Effects) {
        if self.set_due(cx, durable).is_some_and(|at| at <= cx.now.raw) {
            durable.kept.acknowledged_set = durable.set_number();
            durable.dirty = true;
        }
        if durable.kept.acknowledged_set > self.reported_set {
            self.reported_set = durable.kept.acknowledged_set;
            out.report(Report::AcknowledgedSet(durable.kept.acknowledged_set));
        }
    }

    /// When the newest set can be acknowledged; `None` where it is already, or the fences have not
    /// been read for it (rule 22).
    fn set_due(&self, cx: &Context<'_>, durable: &DurableState) -> Option<RawTime> {
        let number = durable.set_number();
        let read = durable.kept.fences_read_for >= number
            || injected!(cx.config, ReadsIndependently)
            || injected!(cx.config, AcknowledgesInSilence);
        let at_once = injected!(cx.config, AcknowledgesSetAtOnce);
        let clear = if at_once { RawTime(0) } else { self.set_clears(durable, number) };
        (read && number > durable.kept.acknowledged_set).then_some(clear)
    }

    /// When the last grant under a set older than `number` ends.
    fn set_clears(&self, durable: &DurableState, number: u64) -> RawTime {
        let older = |grant: &VoterGrant| {
            if grant.set < number { grant.until } else { grant.older_set_until }
        };
        durable.kept.grants.values().map(older).max().unwrap_or_default()
    }

    /// When the last grant of the address under a fence lower than `fence` ends.
    fn fence_clears(&self, durable: &DurableState, address: IpAddr, fence: u64) -> RawTime {
        durable.kept.grants.get(&address).map_or(RawTime(0), |grant| {
            if grant.fence < fence { grant.until } else { grant.lower_fence_until }
        })
    }

    fn acknowledge_fences(&mut self, cx: &Context<'_>, durable: &DurableState, out: &mut Effects) {
        for (address, fence) in self.fences_to_acknowledge(cx) {
            if self.fence_clears(durable, address, fence) <= cx.now.raw {
                self.reported_fences.insert(address, fence);
                out.report(Report::AcknowledgedFence { address, fence });
            }
        }
    }

    /// Fences of revoked addresses that this voter knows and has not acknowledged.
    fn fences_to_acknowledge(&self, cx: &Context<'_>) -> Vec<(IpAddr, u64)> {
        let addresses = cx.plans();
        addresses
            .filter(|(_, plan)| plan.revoked)
            .filter(|(address, plan)| self.reported_fences.get(address) != Some(&plan.fence))
            .map(|(address, plan)| (*address, plan.fence))
            .collect()
    }

    /// When time alone next changes something for the voter.
    pub(super) fn deadline(&self, cx: &Context<'_>, durable: &DurableState) -> Option<RawTime> {
        let silence = self.boot_grace_ends(cx, durable);
        let may_vote = silence.filter(|_| !self.reported_may_vote);
        let read =
            silence.filter(|_| self.needs_read(cx, durable)).map(|end| end.max(self.read_due));
        let fault = self.forgets_silence(cx, durable).then_some(RawTime(0));
        let acknowledgement =
            self.acknowledges(cx, durable).then(|| self.acknowledgement_due(cx, durable)).flatten();
        [may_vote, read, fault, acknowledgement].into_iter().flatten().min()
    }

    fn acknowledgement_due(&self, cx: &Context<'_>, durable: &DurableState) -> Option<RawTime> {
        // A restarted process says again what an earlier one acknowledged.
        let again = durable.kept.acknowledged_set > self.reported_set;
        let fences = self.fences_to_acknowledge(cx).into_iter();
        let fence = fences.map(|(address, fence)| self.fence_clears(durable, address, fence)).min();
        [again.then_some(RawTime(0)), self.set_due(cx, durable), fence].into_iter().flatten().min()
    }
}

/// Sends the set that this node knows.
pub(super) fn send_set(durable: &DurableState, to: &NodeName, out: &mut Effects) {
    if let (Some(id), Some(set)) = (durable.set_id(), &durable.kept.set) {
        for part in encoding::set_parts(id, &set.members) {
            out.send(to, Message::Set(part));
        }
    }
}

/// A renewal of `old` by the same node: nothing of it ends earlier than before.
fn renewed(old: &VoterGrant, new: VoterGrant, shortens: bool) -> VoterGrant {
    let after = |raised: bool, until: RawTime| if raised { until.max(old.until) } else { until };
    VoterGrant {
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
