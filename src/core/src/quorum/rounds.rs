//! Rounds: one request of this node to all voters, and their answers (docs/leases.md rules 1, 4
//! and 7).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::machine::{Machine, Out, mistaken};
use super::timing::{MS, ns};
use super::{
    Answer, Ask, Message, Now, Reason, Refusal, Report, Request, RequestKind, RoundId, SetId,
    SetPart, Verdict, size,
};
use crate::model::{Millis, NodeName, Voter, VoterSet};

/// A round that may still be answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Round {
    /// When it was started: what a majority of answers is counted from.
    pub started: u64,
    pub set: SetId,
    /// The voters of that set.
    pub members: BTreeSet<NodeName>,
    pub kind: RequestKind,
    /// What is asked, without the addresses that were given up since.
    pub asks: BTreeMap<IpAddr, Ask>,
    /// By address and voter; `None`: it refused the request as a whole.
    pub answers: BTreeMap<IpAddr, BTreeMap<NodeName, Option<(Verdict, u64)>>>,
    /// How often those who had not answered were asked again.
    pub repeated: usize,
}

/// How a round stands for one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tally {
    Granted,
    Open,
    Impossible,
}

impl Round {
    pub(super) fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }

    pub(super) fn tally(&self, address: IpAddr) -> Tally {
        let none = BTreeMap::new();
        let answers = self.answers.get(&address).unwrap_or(&none);
        let granted =
            answers.values().filter(|answer| matches!(answer, Some((Verdict::Granted, _)))).count();
        if granted >= self.majority() {
            Tally::Granted
        } else if granted + self.members.len() - answers.len() < self.majority() {
            Tally::Impossible
        } else {
            Tally::Open
        }
    }

    /// The greatest epoch counter that the voters know of the address.
    pub(super) fn epoch(&self, address: IpAddr) -> u64 {
        let answers = self.answers.get(&address).into_iter().flat_map(BTreeMap::values);
        answers.flatten().map(|(_, epoch)| *epoch).max().unwrap_or(0)
    }

    /// What the refusals say: how long until enough of them have run out, in nanoseconds; `None`
    /// where they do not say.
    pub(super) fn wait(&self, address: IpAddr) -> Option<u64> {
        let answers = self.answers.get(&address)?;
        let mut waits: Vec<u64> = answers
            .values()
            .filter_map(|answer| match answer {
                Some((Verdict::Granted, _)) => Some(0),
                Some((Verdict::Taken { remaining }, _)) => Some(u64::from(*remaining) * MS),
                _ => None,
            })
            .collect();
        waits.sort_unstable();
        waits.get(self.majority() - 1).copied()
    }

    fn silent(&self) -> BTreeSet<NodeName> {
        let answered = |voter: &&NodeName| {
            self.asks.keys().all(|address| {
                self.answers.get(address).is_some_and(|answers| answers.contains_key(*voter))
            })
        };
        self.members.iter().filter(|voter| !answered(voter)).cloned().collect()
    }

    /// The longest T that it asks for, in nanoseconds.
    fn longest(&self) -> u64 {
        self.asks.values().map(|ask| ns(Millis(u64::from(ask.lease)))).max().unwrap_or(0)
    }

    /// When it is over whatever comes: a holder's counts for T, a candidate's for its 50 ms.
    fn ends(&self, candidate: u64) -> u64 {
        match self.kind {
            RequestKind::Renewal => self.started + self.longest(),
            RequestKind::PreVote | RequestKind::Vote => self.started + candidate,
        }
    }
}

impl Machine {
    /// Starts a round; `None` without a set of voters.
    pub(super) fn start_round(
        &mut self,
        now: Now,
        kind: RequestKind,
        asks: BTreeMap<IpAddr, Ask>,
        out: &mut Out,
    ) -> Option<u64> {
        let set = self.set_id()?;
        let members: BTreeSet<NodeName> =
            self.kept.set.iter().flat_map(|set| &set.members).map(|m| m.node.clone()).collect();
        let id = self.next_round_id();
        self.next_round += 1;
        let round = Round {
            started: now.boot.0,
            set,
            members,
            kind,
            asks,
            answers: BTreeMap::new(),
            repeated: 0,
        };
        self.send_round(id.counter, &round, &round.members, out);
        if kind == RequestKind::Renewal {
            self.send_renewals(id, &round, out);
        }
        let asks_me = round.members.contains(&self.config.me);
        let request =
            Request { round: id, set, kind, asks: round.asks.values().cloned().collect() };
        self.rounds.insert(id.counter, round);
        if asks_me {
            self.ask_myself(now, &request, out);
        }
        Some(id.counter)
    }

    /// This node's own vote needs no datagram, but counts like any other: what it grants is kept
    /// before any effect of it.
    fn ask_myself(&mut self, now: Now, request: &Request, out: &mut Out) {
        let me = self.config.me.clone();
        match self.vote(now, &me, request) {
            Some(Message::Answer(answer)) => self.on_answer(now, &me, &answer, out),
            Some(Message::Refusal(refusal)) => self.on_refusal(now, &me, &refusal, out),
            _ => {}
        }
    }

    fn send_round(&self, counter: u64, round: &Round, to: &BTreeSet<NodeName>, out: &mut Out) {
        let id = RoundId { boot: self.boot, counter };
        for asks in size::pieces(round.asks.values().cloned()) {
            let request = Request { round: id, set: round.set, kind: round.kind, asks };
            for node in to.iter().filter(|node| **node != self.config.me) {
                out.send(node, Message::Request(request.clone()));
            }
        }
    }

    /// The same messages are the heartbeat to every other node in the addresses' plans (rule 7).
    fn send_renewals(&self, id: RoundId, round: &Round, out: &mut Out) {
        let Some(view) = &self.view else { return };
        let mut to: BTreeMap<&NodeName, Vec<Ask>> = BTreeMap::new();
        for (address, ask) in &round.asks {
            for node in view.addresses.get(address).into_iter().flat_map(|plan| plan.ranks()) {
                if *node != self.config.me && !round.members.contains(node) {
                    to.entry(node).or_default().push(ask.clone());
                }
            }
        }
        for (node, asks) in to {
            for asks in size::pieces(asks) {
                let request = Request { round: id, set: round.set, kind: round.kind, asks };
                out.send(node, Message::Request(request));
            }
        }
    }

    /// A request: hears it as a renewal, and votes.
    pub(super) fn on_request(
        &mut self,
        now: Now,
        from: &NodeName,
        request: &Request,
        out: &mut Out,
    ) {
        if request.kind == RequestKind::Renewal {
            for ask in &request.asks {
                self.heard_renewal(now, from, ask, out);
            }
        }
        let Some(answer) = self.vote(now, from, request) else { return };
        let older = matches!(&answer, Message::Refusal(no) if no.reason == Reason::OlderSet);
        out.send(from, answer);
        if older {
            self.send_set(from, out);
        }
    }

    pub(super) fn on_answer(&mut self, now: Now, from: &NodeName, answer: &Answer, out: &mut Out) {
        let Some(round) = self.open_round(answer.round, from) else { return };
        let mut settled = BTreeSet::new();
        for one in &answer.answers {
            if round.asks.contains_key(&one.address) {
                let answers = round.answers.entry(one.address).or_default();
                // A repetition may be granted where the first was refused; never the other way
                // round: what was granted once stays granted.
                let old = answers.get(from);
                if !matches!(old, Some(Some((Verdict::Granted, _)))) {
                    answers.insert(from.clone(), Some((one.verdict, one.epoch)));
                    settled.insert(one.address);
                }
            }
        }
        self.answered.insert(from.clone(), now.boot.0);
        self.settle(now, answer.round.counter, settled, out);
    }

    pub(super) fn on_refusal(
        &mut self,
        now: Now,
        from: &NodeName,
        refusal: &Refusal,
        out: &mut Out,
    ) {
        let Some(round) = self.open_round(refusal.round, from) else {
            return;
        };
        let addresses: BTreeSet<IpAddr> = round.asks.keys().copied().collect();
        for address in &addresses {
            round.answers.entry(*address).or_default().entry(from.clone()).or_insert(None);
        }
        let number = round.set.number;
        match refusal.reason {
            Reason::NewerSet => self.send_set(from, out),
            Reason::OtherSet => {
                out.report(Report::SetConflict { number, from: from.clone() });
            }
            Reason::Silent | Reason::OlderSet => {}
        }
        self.settle(now, refusal.round.counter, addresses, out);
    }

    fn open_round(&mut self, id: RoundId, from: &NodeName) -> Option<&mut Round> {
        let mut counter = id.counter;
        if mistaken!(self, OldAnswersCountNow) {
            counter = self.rounds.keys().next_back().copied()?;
        }
        let same_boot = id.boot == self.boot || mistaken!(self, RoundNumbersRepeat);
        let round = self.rounds.get_mut(&counter).filter(|_| same_boot)?;
        round.members.contains(from).then_some(round)
    }

    fn settle(&mut self, now: Now, counter: u64, addresses: BTreeSet<IpAddr>, out: &mut Out) {
        let mut counter = counter;
        if mistaken!(self, OldAnswersCountNow) {
            counter = self.rounds.keys().next_back().copied().unwrap_or(counter);
        }
        let Some(round) = self.rounds.get(&counter) else { return };
        let (kind, started) = (round.kind, round.started);
        let tallies: Vec<_> = addresses
            .into_iter()
            .filter_map(|address| {
                let ask = round.asks.get(&address)?;
                Some((address, round.tally(address), round.epoch(address), ask.clone()))
            })
            .collect();
        let mut willing = BTreeSet::new();
        let mut refused = BTreeSet::new();
        for (address, tally, epoch, ask) in tallies {
            match (kind, tally) {
                (RequestKind::PreVote, Tally::Granted) => {
                    self.know_epoch(address, epoch);
                    willing.insert(address);
                }
                (_, Tally::Granted) => self.granted(now, started, &ask, epoch, out),
                (RequestKind::Renewal, _) | (_, Tally::Open) => {}
                (_, Tally::Impossible) => {
                    refused.insert(address);
                }
            }
        }
        self.fail(now, counter, &refused, out);
        self.vote_in_earnest(now, counter, &willing, out);
    }

    /// Takes the address out of every open round: late answers change nothing any more (rule 6).
    /// Returns the newest round that asked for it.
    pub(super) fn abandon(&mut self, address: IpAddr) -> RoundId {
        if !mistaken!(self, RoundsOutliveRelease) {
            for round in self.rounds.values_mut() {
                round.asks.remove(&address);
                round.answers.remove(&address);
            }
            self.rounds.retain(|_, round| !round.asks.is_empty());
        }
        RoundId { boot: self.boot, counter: self.next_round.saturating_sub(1) }
    }

    /// Asks again those who have not answered, and ends what is over (rules 8 and 9).
    pub(super) fn advance_rounds(&mut self, now: Now, out: &mut Out) {
        let repeats = self.config.timing.repeats;
        let ends = self.config.timing.round;
        let mut again = Vec::new();
        for (counter, round) in &mut self.rounds {
            let due = repeats.get(round.repeated).map(|after| round.started + after);
            if due.is_some_and(|due| due <= now.boot.0) {
                round.repeated += 1;
                again.push(*counter);
            }
        }
        for counter in again {
            let Some(round) = self.rounds.get(&counter) else { continue };
            let silent = round.silent();
            self.send_round(counter, round, &silent, out);
        }
        let over: Vec<u64> = self
            .rounds
            .iter()
            .filter(|(_, round)| round.ends(ends) <= now.boot.0)
            .map(|(counter, _)| *counter)
            .collect();
        for counter in over {
            let addresses =
                self.rounds.get(&counter).map(|round| round.asks.keys().copied().collect());
            self.fail(now, counter, &addresses.unwrap_or_default(), out);
            self.rounds.remove(&counter);
        }
    }

    pub(super) fn rounds_due(&self) -> Option<u64> {
        let due = |round: &Round| {
            let repeat = self.config.timing.repeats.get(round.repeated);
            let ends = round.ends(self.config.timing.round);
            repeat.map_or(ends, |after| ends.min(round.started + after))
        };
        self.rounds.values().map(due).min()
    }

    /// A part of a set that this node did not know.
    pub(super) fn on_set(&mut self, now: Now, from: &NodeName, part: SetPart, out: &mut Out) {
        let known = self.set_id().map_or(0, |id| id.number);
        if part.set.number <= known || usize::from(part.total) > usize::from(u8::MAX / 8) {
            return;
        }
        let members = match self.set_parts.take() {
            Some((id, members)) if id == part.set => members,
            _ => BTreeMap::new(),
        };
        let mut members: BTreeMap<u8, Voter> = members;
        for (place, member) in (part.first..part.total).zip(part.members) {
            members.insert(place, member);
        }
        if members.len() < usize::from(part.total) {
            self.set_parts = Some((part.set, members));
            return;
        }
        let set = VoterSet { number: part.set.number, members: members.into_values().collect() };
        let cluster = self.kept.cluster.as_deref();
        if cluster.is_some_and(|cluster| SetId::of(cluster, &set) == part.set) {
            self.adopt_set(now, &set, from, out);
            out.report(Report::NewSet(set));
        }
    }
}
