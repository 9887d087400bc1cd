//! The director: knowing the holder of the addresses that this node has port blocks of
//! (docs/leases.md rule 10), whether there is one at all, and whether it has our grants.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::address::holding;
use super::machine::{Machine, Out};
use super::timing::ns;
use super::{Holds, Message, Now, Report, size};
use crate::model::NodeName;

/// What a director knows of one address beside the holder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Directed {
    /// When the voters were last asked; `None`: never.
    asked: Option<u64>,
    /// The last question has found no majority yet.
    open: bool,
    /// The voters are to be asked as soon as the interval allows.
    wanted: bool,
    answers: BTreeMap<NodeName, Option<(NodeName, u64)>>,
    nobody_since: Option<u64>,
    unavailable: bool,
    /// The holder's last announcement, answer to a ping, or the voters' word for it.
    sign: u64,
    /// A ping that is not answered: since when, and when it is sent next.
    ping: Option<(u64, u64)>,
    grants: Option<GrantQuestion>,
}

/// Asked of the holder until it answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct GrantQuestion {
    epoch: u64,
    next: u64,
    pause: u64,
}

impl Directed {
    pub(super) fn new(now: Now) -> Self {
        Self { wanted: true, sign: now.boot.0, ..Self::default() }
    }
}

impl Machine {
    pub(super) fn need_holder(&mut self, now: Now, address: IpAddr, out: &mut Out) {
        let Some(directed) = self.directed.get_mut(&address) else { return };
        let known = self.addresses.get(&address).and_then(|entry| entry.known.as_ref());
        let Some(known) = known else {
            directed.wanted = true;
            return;
        };
        let lease = self.view.as_ref().and_then(|view| view.addresses.get(&address));
        let lease = lease.map_or(0, |plan| ns(plan.lease));
        let quiet = directed.sign + 2 * lease <= now.boot.0;
        if known.node != self.config.me && directed.ping.is_none() && quiet {
            directed.ping = Some((now.boot.0, now.boot.0 + lease));
            let to = known.node.clone();
            out.send(&to, Message::Ping(address));
        }
    }

    pub(super) fn on_ping(&mut self, _: Now, from: &NodeName, address: IpAddr, out: &mut Out) {
        let entry = self.addresses.get(&address);
        let epoch = entry.and_then(|entry| Some(entry.holder()?.epoch));
        out.send(from, Message::Pong(address, epoch));
    }

    pub(super) fn on_pong(
        &mut self,
        now: Now,
        from: &NodeName,
        address: IpAddr,
        epoch: Option<u64>,
        out: &mut Out,
    ) {
        let known = self.addresses.get(&address).and_then(|entry| entry.known.as_ref());
        if known.is_none_or(|known| known.node != *from) {
            return;
        }
        if epoch.is_some() {
            return self.sign_of_holder(now, address, out);
        }
        if let Some(directed) = self.directed.get_mut(&address) {
            (directed.ping, directed.wanted) = (None, true);
        }
    }

    /// The holder lives.
    pub(super) fn sign_of_holder(&mut self, now: Now, address: IpAddr, out: &mut Out) {
        let Some(directed) = self.directed.get_mut(&address) else { return };
        directed.sign = now.boot.0;
        directed.ping = None;
        (directed.open, directed.wanted, directed.nobody_since) = (false, false, None);
        if std::mem::take(&mut directed.unavailable) {
            out.report(Report::AvailableAgain { address });
        }
    }

    pub(super) fn advance_directors(&mut self, now: Now, out: &mut Out) {
        let mut due = BTreeSet::new();
        let timing = &self.config.timing;
        let view = self.view.as_ref();
        for (address, directed) in &mut self.directed {
            let lease = view.and_then(|view| view.addresses.get(address));
            let lease = lease.map_or(0, |plan| ns(plan.lease));
            if directed.sign + timing.director_silence <= now.boot.0 {
                directed.wanted = true;
            }
            if directed.ping.is_some_and(|(since, _)| since + 2 * lease <= now.boot.0) {
                (directed.ping, directed.wanted) = (None, true);
            }
            let rested = directed.asked.is_none_or(|at| at + timing.ask_interval <= now.boot.0);
            if directed.open && rested {
                directed.wanted = true;
                directed.nobody_since = directed.nobody_since.or(directed.asked);
            }
            if directed.wanted && rested {
                due.insert(*address);
            }
            let since = directed.nobody_since;
            if since.is_some_and(|since| since + timing.unavailable <= now.boot.0)
                && !std::mem::replace(&mut directed.unavailable, true)
            {
                out.report(Report::Unavailable { address: *address });
            }
        }
        self.ping_again(now, out);
        self.ask_who_holds(now, &due, out);
        self.repeat_grant_questions(now, out);
    }

    fn ping_again(&mut self, now: Now, out: &mut Out) {
        for (address, directed) in &mut self.directed {
            let known = self.addresses.get(address).and_then(|entry| entry.known.as_ref());
            let (Some(known), Some((since, next))) = (known, directed.ping) else { continue };
            if next <= now.boot.0 {
                directed.ping = Some((since, now.boot.0 + (next - since).max(1)));
                out.send(&known.node, Message::Ping(*address));
            }
        }
    }

    fn ask_who_holds(&mut self, now: Now, addresses: &BTreeSet<IpAddr>, out: &mut Out) {
        if addresses.is_empty() {
            return;
        }
        for address in addresses {
            if let Some(directed) = self.directed.get_mut(address) {
                directed.asked = Some(now.boot.0);
                (directed.open, directed.wanted) = (true, false);
                directed.answers.clear();
            }
        }
        let me = self.config.me.clone();
        for voter in self.voters() {
            if voter == me {
                let own = self.holds(now, addresses.iter());
                self.on_holds(now, &me, &own, out);
                continue;
            }
            for piece in size::pieces(addresses.iter().copied()) {
                out.send(&voter, Message::WhoHolds(piece));
            }
        }
    }

    fn holds<'a>(&self, now: Now, addresses: impl Iterator<Item = &'a IpAddr>) -> Vec<Holds> {
        if !self.is_voter() || !self.kept.may_grant {
            return Vec::new();
        }
        let one = |address: &IpAddr| {
            let grant = self.live_grant(now, *address);
            let holder = grant.map(|grant| (grant.node.clone(), self.greatest_epoch(*address)));
            Holds { address: *address, holder }
        };
        addresses.map(one).collect()
    }

    pub(super) fn on_who_holds(
        &mut self,
        now: Now,
        from: &NodeName,
        addresses: &[IpAddr],
        out: &mut Out,
    ) {
        for piece in size::pieces(self.holds(now, addresses.iter())) {
            out.send(from, Message::Holds(piece));
        }
    }

    /// One voter may have granted to a candidate that will find no majority: only a majority's
    /// word makes a holder.
    pub(super) fn on_holds(&mut self, now: Now, from: &NodeName, holds: &[Holds], out: &mut Out) {
        let voters = self.voters();
        if !voters.contains(from) {
            return;
        }
        for one in holds {
            let Some(directed) = self.directed.get_mut(&one.address) else { continue };
            directed.answers.insert(from.clone(), one.holder.clone());
            let majority = voters.len() / 2 + 1;
            let agree = |node: &NodeName| {
                let named = directed.answers.values().flatten();
                named.filter(|(holder, _)| holder == node).map(|(_, epoch)| *epoch).collect()
            };
            let holder = directed.answers.values().flatten().find_map(|(node, _)| {
                let epochs: Vec<u64> = agree(node);
                let greatest = epochs.iter().max().copied()?;
                (epochs.len() >= majority).then(|| holding(node, greatest))
            });
            if let Some(holder) = holder {
                self.learn_holder(one.address, &holder, out);
                self.sign_of_holder(now, one.address, out);
            }
        }
    }

    pub(super) fn directors_due(&self) -> Option<u64> {
        let timing = &self.config.timing;
        let due = |directed: &Directed| {
            let rested = directed.asked.map_or(0, |at| at + timing.ask_interval);
            let ask = (directed.open || directed.wanted).then_some(rested);
            let silence = (!directed.wanted && !directed.open)
                .then_some((directed.sign + timing.director_silence).max(rested));
            let unavailable = directed
                .nobody_since
                .filter(|_| !directed.unavailable)
                .map(|since| since + timing.unavailable);
            let ping = directed.ping.map(|(_, next)| next);
            let grants = directed.grants.as_ref().map(|question| question.next);
            [ask, silence, unavailable, ping, grants].into_iter().flatten().min()
        };
        self.directed.values().filter_map(due).min()
    }

    pub(super) fn ask_grants(&mut self, now: Now, address: IpAddr, epoch: u64, out: &mut Out) {
        let pause = self.config.timing.notice_first;
        let directed = self.directed.entry(address).or_insert_with(|| Directed::new(now));
        directed.grants = Some(GrantQuestion { epoch, next: now.boot.0, pause });
        self.repeat_grant_questions(now, out);
    }

    fn repeat_grant_questions(&mut self, now: Now, out: &mut Out) {
        for (address, directed) in &mut self.directed {
            let Some(question) = directed.grants.as_mut() else { continue };
            if question.next > now.boot.0 {
                continue;
            }
            question.next = now.boot.0 + question.pause;
            question.pause = (question.pause * 2).min(self.config.timing.notice_max);
            let known = self.addresses.get(address).and_then(|entry| entry.known.as_ref());
            let Some(known) = known else { continue };
            let (address, epoch) = (*address, question.epoch);
            if known.node != self.config.me {
                out.send(&known.node, Message::AskGrants { address, epoch });
            } else if self.grants_applied >= epoch {
                directed.grants = None;
                out.report(Report::GrantAcknowledged { address, epoch });
            }
        }
    }

    /// As a gateway: answers when the kernel has the grants, which may be later.
    pub(super) fn on_ask_grants(
        &mut self,
        from: &NodeName,
        address: IpAddr,
        epoch: u64,
        out: &mut Out,
    ) {
        if self.grants_applied >= epoch {
            let epoch = self.grants_applied;
            out.send(from, Message::GrantsApplied { address, epoch });
        } else if self.view.as_ref().is_some_and(|view| view.nodes.contains(from)) {
            self.waiting.insert((from.clone(), address), epoch);
        }
    }

    pub(super) fn on_own_grants(&mut self, epoch: u64, out: &mut Out) {
        self.grants_applied = self.grants_applied.max(epoch);
        let applied = self.grants_applied;
        self.waiting.retain(|(node, address), wanted| {
            if *wanted <= applied {
                out.send(node, Message::GrantsApplied { address: *address, epoch: applied });
            }
            *wanted > applied
        });
        for question in self.directed.values_mut().filter_map(|its| its.grants.as_mut()) {
            question.next = 0;
        }
    }

    pub(super) fn on_grants_applied(
        &mut self,
        from: &NodeName,
        address: IpAddr,
        epoch: u64,
        out: &mut Out,
    ) {
        let known = self.addresses.get(&address).and_then(|entry| entry.known.as_ref());
        let is_holder = known.is_some_and(|known| known.node == *from);
        let Some(directed) = self.directed.get_mut(&address).filter(|_| is_holder) else { return };
        if let Some(asked) = directed.grants.take_if(|question| question.epoch <= epoch) {
            out.report(Report::GrantAcknowledged { address, epoch: asked.epoch });
        }
    }
}
