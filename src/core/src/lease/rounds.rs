//! The open rounds of this node: one request to all voters each, and their answers (docs/leases.md
//! rules 1, 4, 7, 8 and 9).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::config::injected;
use super::context::Context;
use super::durable::DurableState;
use super::effect::Effects;
use super::round::{Round, RoundTally};
use super::voter::send_set;
use super::{
    Answer, Ask, BootTime, LeaseConfig, Message, Now, Refusal, RefusalReason, Report, Request,
    RequestKind, RoundId, Vote, encoding, message,
};
use crate::model::NodeName;

#[cfg(test)]
mod tests;

/// Every round that may still be answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rounds {
    /// This boot in round numbers.
    boot: u64,
    next: u64,
    open: BTreeMap<u64, Round>,
    /// When each voter last answered.
    answered: BTreeMap<NodeName, BootTime>,
}

/// What the answers have decided of some addresses of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoundResult {
    pub counter: u64,
    pub kind: RequestKind,
    pub started: BootTime,
    /// What a majority has granted, with the greatest epoch that the voters know.
    pub granted: Vec<(Ask, u64)>,
    /// What no majority can grant any more; never of a renewal (rule 5).
    pub refused: BTreeSet<IpAddr>,
}

impl Rounds {
    pub(super) fn new(config: &LeaseConfig, now: Now) -> Self {
        let (boot, next) = match injected!(config, RoundNumbersRepeat) {
            true => (0, 1),
            false => (message::boot_number(&config.boot_id), now.boot.0.max(1)),
        };
        Self { boot, next, open: BTreeMap::new(), answered: BTreeMap::new() }
    }

    /// The id of the next round.
    pub(super) fn next_id(&self) -> RoundId {
        RoundId { boot: self.boot, counter: self.next }
    }

    /// When each voter last answered.
    pub(super) fn answered(&self) -> &BTreeMap<NodeName, BootTime> {
        &self.answered
    }

    /// Whether an open round asks for the address.
    pub(super) fn asks_for(&self, address: IpAddr) -> bool {
        self.open.values().any(|round| round.asks.contains_key(&address))
    }

    /// The addresses of an open round.
    pub(super) fn addresses(&self, counter: u64) -> BTreeSet<IpAddr> {
        let round = self.open.get(&counter);
        round.map(|round| round.asks.keys().copied().collect()).unwrap_or_default()
    }

    /// How long until enough refusals have run out; `None` where they do not say.
    pub(super) fn wait(&self, counter: u64, address: IpAddr) -> Option<Duration> {
        self.open.get(&counter)?.wait(address)
    }

    /// Starts a round and asks the others; what this node has to ask itself. `None` without a set
    /// of voters.
    pub(super) fn start(
        &mut self,
        cx: &Context<'_>,
        durable: &DurableState,
        kind: RequestKind,
        asks: BTreeMap<IpAddr, Ask>,
        out: &mut Effects,
    ) -> Option<Request> {
        let set = durable.set_id()?;
        let members: BTreeSet<NodeName> = durable.voters().into_iter().collect();
        let id = self.next_id();
        self.next += 1;
        let answers = BTreeMap::new();
        let round = Round { started: cx.now.boot, set, members, kind, asks, answers, repeated: 0 };
        send_round(cx, id, &round, &round.members, out);
        if kind == RequestKind::Renewal {
            send_renewals(cx, id, &round, out);
        }
        let asks = round.asks.values().cloned().collect();
        self.open.insert(id.counter, round);
        Some(Request { round: id, set, kind, asks })
    }

    pub(super) fn on_answer(
        &mut self,
        cx: &Context<'_>,
        from: &NodeName,
        answer: &Answer,
    ) -> Option<RoundResult> {
        let (counter, round) = self.find(cx, answer.round, from)?;
        let mut settled = BTreeSet::new();
        for one in &answer.answers {
            if round.asks.contains_key(&one.address) {
                let answers = round.answers.entry(one.address).or_default();
                // A repetition may be granted where the first was refused; never the other way
                // round: what was granted once stays granted.
                let old = answers.get(from);
                if !matches!(old, Some(Some((Vote::Granted, _)))) {
                    answers.insert(from.clone(), Some((one.vote, one.epoch)));
                    settled.insert(one.address);
                }
            }
        }
        let result = result(counter, round, settled);
        self.answered.insert(from.clone(), cx.now.boot);
        Some(result)
    }

    pub(super) fn on_refusal(
        &mut self,
        cx: &Context<'_>,
        durable: &DurableState,
        from: &NodeName,
        refusal: &Refusal,
        out: &mut Effects,
    ) -> Option<RoundResult> {
        let (counter, round) = self.find(cx, refusal.round, from)?;
        let addresses: BTreeSet<IpAddr> = round.asks.keys().copied().collect();
        for address in &addresses {
            round.answers.entry(*address).or_default().entry(from.clone()).or_insert(None);
        }
        match refusal.reason {
            RefusalReason::NewerSet => send_set(durable, from, out),
            RefusalReason::OtherSet => {
                let (number, from) = (round.set.number, from.clone());
                out.report(Report::SetConflict { number, from });
            }
            RefusalReason::Silent | RefusalReason::OlderSet => {}
        }
        Some(result(counter, round, addresses))
    }

    /// The open round that an answer of `from` belongs to.
    fn find(
        &mut self,
        cx: &Context<'_>,
        id: RoundId,
        from: &NodeName,
    ) -> Option<(u64, &mut Round)> {
        let mut counter = id.counter;
        if injected!(cx.config, OldAnswersCountNow) {
            counter = self.open.keys().next_back().copied()?;
        }
        let same_boot = id.boot == self.boot || injected!(cx.config, RoundNumbersRepeat);
        let round = self.open.get_mut(&counter).filter(|_| same_boot)?;
        round.members.contains(from).then_some((counter, round))
    }

    /// Takes the address out of every open round: late answers change nothing any more (rule 6).
    /// Returns the newest round that may have asked for it.
    pub(super) fn abandon(&mut self, cx: &Context<'_>, address: IpAddr) -> RoundId {
        if !injected!(cx.config, RoundsOutliveRelease) {
            self.open.retain(|_, round| {
                round.asks.remove(&address);
                round.answers.remove(&address);
                !round.asks.is_empty()
            });
        }
        RoundId { boot: self.boot, counter: self.next.saturating_sub(1) }
    }

    pub(super) fn abandon_all(&mut self) {
        self.open.clear();
    }

    /// Asks again those who have not answered (rule 8).
    pub(super) fn repeat(&mut self, cx: &Context<'_>, out: &mut Effects) {
        for (counter, round) in &mut self.open {
            let due = cx.config.timing.repeats.get(round.repeated);
            if due.is_some_and(|after| round.started + *after <= cx.now.boot) {
                round.repeated += 1;
                let id = RoundId { boot: self.boot, counter: *counter };
                send_round(cx, id, round, &round.silent(), out);
            }
        }
    }

    /// The rounds that are over, whatever else comes (rule 9).
    pub(super) fn over(&self, cx: &Context<'_>) -> Vec<u64> {
        let over = |round: &Round| round.ends(cx.config.timing.round) <= cx.now.boot;
        self.open.iter().filter(|(_, round)| over(round)).map(|(counter, _)| *counter).collect()
    }

    pub(super) fn close(&mut self, counter: u64) {
        self.open.remove(&counter);
    }

    pub(super) fn deadline(&self, cx: &Context<'_>) -> Option<BootTime> {
        let timing = &cx.config.timing;
        let due = |round: &Round| {
            let ends = round.ends(timing.round);
            let repeat = timing.repeats.get(round.repeated);
            repeat.map_or(ends, |after| ends.min(round.started + *after))
        };
        self.open.values().map(due).min()
    }

    /// What of the rounds can still change who holds an address.
    #[cfg(feature = "fault-injection")]
    pub(super) fn hash_part(&self, state: &mut impl std::hash::Hasher) {
        use std::hash::Hash as _;
        (self.boot, self.next).hash(state);
        for (counter, round) in &self.open {
            (counter, round.started, round.kind, round.set, &round.members).hash(state);
            for (address, ask) in &round.asks {
                (address, ask.fence, ask.lease).hash(state);
                for (voter, answer) in round.answers.get(address).into_iter().flatten() {
                    (voter, answer.map(|(vote, _)| vote)).hash(state);
                }
            }
        }
    }
}

fn result(counter: u64, round: &Round, addresses: BTreeSet<IpAddr>) -> RoundResult {
    let (kind, started) = (round.kind, round.started);
    let (mut granted, mut refused) = (Vec::new(), BTreeSet::new());
    for address in addresses {
        let Some(ask) = round.asks.get(&address) else { continue };
        match round.tally(address) {
            RoundTally::Granted => granted.push((ask.clone(), round.epoch(address))),
            RoundTally::Impossible if kind != RequestKind::Renewal => {
                refused.insert(address);
            }
            RoundTally::Impossible | RoundTally::Open => {}
        }
    }
    RoundResult { counter, kind, started, granted, refused }
}

fn send_round(
    cx: &Context<'_>,
    id: RoundId,
    round: &Round,
    to: &BTreeSet<NodeName>,
    out: &mut Effects,
) {
    for asks in encoding::pieces(round.asks.values().cloned()) {
        let request = Request { round: id, set: round.set, kind: round.kind, asks };
        for node in to.iter().filter(|node| **node != cx.config.me) {
            out.send(node, Message::Request(request.clone()));
        }
    }
}

/// The same messages are the heartbeat to every other node in the addresses' plans (rule 7).
fn send_renewals(cx: &Context<'_>, id: RoundId, round: &Round, out: &mut Effects) {
    let mut to: BTreeMap<&NodeName, Vec<Ask>> = BTreeMap::new();
    for (address, ask) in &round.asks {
        for node in cx.plan(*address).into_iter().flat_map(|plan| plan.ranks()) {
            if *node != cx.config.me && !round.members.contains(node) {
                to.entry(node).or_default().push(ask.clone());
            }
        }
    }
    for (node, asks) in to {
        for asks in encoding::pieces(asks) {
            let request = Request { round: id, set: round.set, kind: round.kind, asks };
            out.send(node, Message::Request(request));
        }
    }
}
