//! The director: knowing the holder of the addresses that this node has port blocks of
//! (docs/leases.md rule 10), whether there is one at all, and whether it has our grants.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::context::Context;
use super::durable::DurableState;
use super::effect::Effects;
use super::holder::holding;
use super::{BootTime, Holds, Message, Now, Report, encoding};
use crate::model::{Holding, NodeName};

#[cfg(test)]
mod tests;

/// What this node knows, as a director, of its addresses beside their holders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Directors(BTreeMap<IpAddr, DirectorState>);

/// What a director knows of one address beside the holder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct DirectorState {
    /// When the voters were last asked; `None`: never.
    asked: Option<BootTime>,
    /// The last question has found no majority yet.
    open: bool,
    /// The voters are to be asked as soon as the interval allows.
    wanted: bool,
    answers: BTreeMap<NodeName, Option<(NodeName, u64)>>,
    nobody_since: Option<BootTime>,
    unavailable: bool,
    /// The holder's last announcement, answer to a ping, or the voters' word for it.
    sign: BootTime,
    /// A ping that is not answered: since when, and when it is sent next.
    ping: Option<(BootTime, BootTime)>,
    grants: Option<GrantQuestion>,
}

/// Asked of the holder until it answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct GrantQuestion {
    epoch: u64,
    next: BootTime,
    pause: Duration,
}

impl DirectorState {
    fn new(now: Now) -> Self {
        Self { wanted: true, sign: now.boot, ..Self::default() }
    }

    /// What a majority of the voters names.
    fn majority(&self, voters: usize) -> Option<Holding> {
        let named = || self.answers.values().flatten();
        named().find_map(|(node, _)| {
            let epochs = || named().filter(|(holder, _)| holder == node).map(|(_, epoch)| *epoch);
            (epochs().count() > voters / 2).then(|| epochs().max())?.map(|max| holding(node, max))
        })
    }
}

impl Directors {
    /// Directs what the plans say, and nothing else.
    pub(super) fn read_plans(&mut self, cx: &Context<'_>) {
        let me = &cx.config.me;
        self.0
            .retain(|address, _| cx.plan(*address).is_some_and(|plan| plan.directors.contains(me)));
        for (address, plan) in cx.plans() {
            if plan.directors.contains(me) {
                self.0.entry(*address).or_insert_with(|| DirectorState::new(cx.now));
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// There is traffic, and no holder is known or nothing comes back.
    pub(super) fn need_holder(
        &mut self,
        cx: &Context<'_>,
        address: IpAddr,
        known: Option<&NodeName>,
        out: &mut Effects,
    ) {
        let Some(directed) = self.0.get_mut(&address) else { return };
        let Some(known) = known else {
            directed.wanted = true;
            return;
        };
        let lease = cx.lease(address);
        let quiet = directed.sign + lease.saturating_mul(2) <= cx.now.boot;
        if *known != cx.config.me && directed.ping.is_none() && quiet {
            directed.ping = Some((cx.now.boot, cx.now.boot + lease));
            out.send(known, Message::Ping(address));
        }
    }

    /// The known holder says whether it still holds the address.
    pub(super) fn on_pong(
        &mut self,
        cx: &Context<'_>,
        address: IpAddr,
        holds: bool,
        out: &mut Effects,
    ) {
        if holds {
            return self.sign_of_holder(cx, address, out);
        }
        if let Some(directed) = self.0.get_mut(&address) {
            (directed.ping, directed.wanted) = (None, true);
        }
    }

    /// The holder lives.
    pub(super) fn sign_of_holder(&mut self, cx: &Context<'_>, address: IpAddr, out: &mut Effects) {
        let Some(directed) = self.0.get_mut(&address) else { return };
        directed.sign = cx.now.boot;
        directed.ping = None;
        (directed.open, directed.wanted, directed.nobody_since) = (false, false, None);
        if std::mem::take(&mut directed.unavailable) {
            out.report(Report::AvailableAgain { address });
        }
    }

    /// What time alone changes; the addresses of which the voters are asked now. `known`: the
    /// holder of an address, where this node knows one.
    pub(super) fn advance<'a>(
        &mut self,
        cx: &Context<'_>,
        known: impl Fn(IpAddr) -> Option<&'a NodeName>,
        out: &mut Effects,
    ) -> BTreeSet<IpAddr> {
        let mut due = BTreeSet::new();
        let (now, timing) = (cx.now.boot, &cx.config.timing);
        for (address, directed) in &mut self.0 {
            let patience = cx.lease(*address).saturating_mul(2);
            if directed.sign + timing.director_silence <= now {
                directed.wanted = true;
            }
            if directed.ping.is_some_and(|(since, _)| since + patience <= now) {
                (directed.ping, directed.wanted) = (None, true);
            }
            let rested = directed.asked.is_none_or(|at| at + timing.ask_interval <= now);
            if directed.open && rested {
                directed.wanted = true;
                directed.nobody_since = directed.nobody_since.or(directed.asked);
            }
            if directed.wanted && rested {
                due.insert(*address);
            }
            let since = directed.nobody_since;
            if since.is_some_and(|since| since + timing.unavailable <= now)
                && !std::mem::replace(&mut directed.unavailable, true)
            {
                out.report(Report::Unavailable { address: *address });
            }
        }
        self.ping_again(now, known, out);
        for address in &due {
            if let Some(directed) = self.0.get_mut(address) {
                directed.asked = Some(now);
                (directed.open, directed.wanted) = (true, false);
                directed.answers.clear();
            }
        }
        due
    }

    fn ping_again<'a>(
        &mut self,
        now: BootTime,
        known: impl Fn(IpAddr) -> Option<&'a NodeName>,
        out: &mut Effects,
    ) {
        for (address, directed) in &mut self.0 {
            let (Some(known), Some((since, next))) = (known(*address), directed.ping) else {
                continue;
            };
            if next <= now {
                let pause = next.since(since).max(Duration::from_nanos(1));
                directed.ping = Some((since, now + pause));
                out.send(known, Message::Ping(*address));
            }
        }
    }

    /// Asks the voters; where this node is one of them, returns its own answer.
    pub(super) fn ask_who_holds(
        cx: &Context<'_>,
        durable: &DurableState,
        addresses: &BTreeSet<IpAddr>,
        out: &mut Effects,
    ) -> Option<Vec<Holds>> {
        let mut own = None;
        for voter in durable.voters() {
            if voter == cx.config.me {
                own = Some(durable.holds(cx, &Vec::from_iter(addresses.iter().copied())));
                continue;
            }
            for piece in encoding::pieces(addresses.iter().copied()) {
                out.send(&voter, Message::WhoHolds(piece));
            }
        }
        own
    }

    /// A voter's word. One voter may have granted to a candidate that will find no majority: only
    /// a majority's word makes a holder. Returns those that it makes.
    pub(super) fn on_holds(
        &mut self,
        durable: &DurableState,
        from: &NodeName,
        holds: Vec<Holds>,
    ) -> Vec<(IpAddr, Holding)> {
        if !durable.is_voter(from) {
            return Vec::new();
        }
        let voters = durable.voters().len();
        let made = |one: Holds| {
            let directed = self.0.get_mut(&one.address)?;
            directed.answers.insert(from.clone(), one.holder);
            Some((one.address, directed.majority(voters)?))
        };
        holds.into_iter().filter_map(made).collect()
    }

    pub(super) fn deadline(&self, cx: &Context<'_>) -> Option<BootTime> {
        let timing = &cx.config.timing;
        let due = |(address, directed): (&IpAddr, &DirectorState)| {
            let patience = cx.lease(*address).saturating_mul(2);
            let rested = directed.asked.map_or(BootTime(0), |at| at + timing.ask_interval);
            let ask = (directed.open || directed.wanted).then_some(rested);
            let silence = (!directed.wanted && !directed.open)
                .then_some((directed.sign + timing.director_silence).max(rested));
            let unavailable = directed
                .nobody_since
                .filter(|_| !directed.unavailable)
                .map(|since| since + timing.unavailable);
            let ping = directed.ping.map(|(since, next)| next.min(since + patience));
            let grants = directed.grants.as_ref().map(|question| question.next);
            [ask, silence, unavailable, ping, grants].into_iter().flatten().min()
        };
        self.0.iter().filter_map(due).min()
    }

    /// The holder is to be asked until it has applied the grants up to `epoch`.
    pub(super) fn ask_grants(&mut self, cx: &Context<'_>, address: IpAddr, epoch: u64) {
        let pause = cx.config.timing.notice_first;
        let directed = self.0.entry(address).or_insert_with(|| DirectorState::new(cx.now));
        directed.grants = Some(GrantQuestion { epoch, next: cx.now.boot, pause });
    }

    /// Asks the holders whose time has come; where that is this node, `applied` is its own answer.
    pub(super) fn repeat_grant_questions<'a>(
        &mut self,
        cx: &Context<'_>,
        known: impl Fn(IpAddr) -> Option<&'a NodeName>,
        applied: u64,
        out: &mut Effects,
    ) {
        let (now, longest) = (cx.now.boot, cx.config.timing.notice_max);
        for (address, directed) in &mut self.0 {
            let Some(question) = directed.grants.as_mut().filter(|its| its.next <= now) else {
                continue;
            };
            question.next = now + question.pause;
            question.pause = question.pause.saturating_mul(2).min(longest);
            let Some(known) = known(*address) else { continue };
            let (address, epoch) = (*address, question.epoch);
            if *known != cx.config.me {
                out.send(known, Message::AskGrants { address, epoch });
            } else if applied >= epoch {
                directed.grants = None;
                out.report(Report::GrantAcknowledged { address, epoch });
            }
        }
    }

    /// This node's own kernel has more grants: it may be the holder that is asked.
    pub(super) fn on_own_grants(&mut self) {
        for question in self.0.values_mut().filter_map(|its| its.grants.as_mut()) {
            question.next = BootTime(0);
        }
    }

    /// The known holder's kernel has the grants up to `epoch`.
    pub(super) fn on_grants_applied(&mut self, address: IpAddr, epoch: u64, out: &mut Effects) {
        let Some(directed) = self.0.get_mut(&address) else { return };
        if let Some(asked) = directed.grants.take_if(|question| question.epoch <= epoch) {
            out.report(Report::GrantAcknowledged { address, epoch: asked.epoch });
        }
    }
}
