//! Addresses that were taken over from a silent holder and that the cloud does not deliver to the new
//! one yet: said by the new holder again and again, heard by directors, whose new connections go on
//! with another address of the claim (docs/design.md decision 15).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::addresses::Addresses;
use super::context::Context;
use super::effect::Effects;
use super::holder::holding;
use super::{BootTime, Message, NoticedAddress, Report, encoding};
use crate::model::{Holding, NodeName};

/// How long a holder waits before it says it again: at first, and at most. Nobody answers: what is lost
/// comes again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));

/// Both sides of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Undelivered {
    /// When this node says again what it waits for, and how long it waits behind that.
    next: BootTime,
    pause: Duration,
    /// What it said last.
    said: BTreeSet<IpAddr>,
    /// As a director: what this node waits for itself.
    own: BTreeSet<IpAddr>,
    /// As a director: which other nodes wait.
    waiting: BTreeMap<IpAddr, Holding>,
    /// As a director: who has served the address last, by its own notice. A word of it that comes
    /// late does not count.
    serving: BTreeMap<IpAddr, Holding>,
    /// What was reported last.
    reported: BTreeSet<IpAddr>,
}

impl Undelivered {
    /// When this node next says what it waits for; `None` where that is nothing.
    pub(super) fn deadline(&self, addresses: &Addresses) -> Option<BootTime> {
        addresses.undelivered().map(|(_, from, _)| from.max(self.next)).min()
    }

    /// Tells the directors what this node holds and waits for, with its epochs.
    pub(super) fn advance(&mut self, cx: &Context<'_>, addresses: &Addresses, out: &mut Effects) {
        let due = addresses.undelivered().filter(|(_, from, _)| *from <= cx.now.boot);
        let due: BTreeMap<IpAddr, u64> = due.map(|(address, _, epoch)| (address, epoch)).collect();
        let more = due.keys().any(|address| !self.said.contains(address));
        self.pause = if more { PAUSES.0 } else { self.pause.saturating_mul(2).min(PAUSES.1) };
        self.next = cx.now.boot + self.pause;
        self.said = due.keys().copied().collect();
        let mut told: BTreeMap<&NodeName, Vec<NoticedAddress>> = BTreeMap::new();
        for (address, epoch) in due {
            let directors = cx.plan(address).into_iter().flat_map(|plan| &plan.directors);
            for node in directors.filter(|node| **node != cx.config.me) {
                told.entry(node).or_default().push(NoticedAddress { address, epoch });
            }
        }
        for (node, noticed) in told {
            for piece in encoding::pieces(noticed) {
                out.send(node, Message::Undelivered(piece));
            }
        }
        self.read_plans(cx, addresses, out);
    }

    /// As a director: `from` has taken addresses over and waits for the cloud.
    pub(super) fn on_message(
        &mut self,
        cx: &Context<'_>,
        addresses: &Addresses,
        from: &NodeName,
        noticed: &[NoticedAddress],
        out: &mut Effects,
    ) {
        for one in noticed {
            let new = holding(from, one.epoch);
            let known = addresses.get(one.address);
            if known.is_none_or(|known| known.greater_than(&new).is_none()) {
                self.hear(cx, one.address, &new);
            }
        }
        self.report(out);
    }

    fn hear(&mut self, cx: &Context<'_>, address: IpAddr, holding: &Holding) {
        let concerns = cx.plan(address).is_some_and(|plan| {
            let from = &holding.node;
            plan.no_deadline
                && plan.directors.contains(&cx.config.me)
                && (plan.gateways.contains(from) || plan.ranks().any(|node| node == from))
        });
        let serving = self.serving.get(&address);
        let newer = |known: &Holding| holding.epoch.counter > known.epoch.counter;
        if concerns && serving.is_none_or(newer) {
            self.waiting.insert(address, holding.clone());
        }
    }

    /// As a director: `holding` serves the address, by a notice that nothing known contradicts.
    pub(super) fn serves(&mut self, cx: &Context<'_>, address: IpAddr, holding: &Holding) {
        self.waiting.remove(&address);
        let fenced = cx.plan(address).is_some_and(|plan| plan.no_deadline);
        let known = self.serving.get(&address);
        if fenced && known.is_none_or(|known| holding.epoch.counter >= known.epoch.counter) {
            self.serving.insert(address, holding.clone());
        }
    }

    /// Forgets the addresses that this node has no port block of, and what others said of those that it
    /// holds by now: it hears no notice of its own.
    pub(super) fn read_plans(
        &mut self,
        cx: &Context<'_>,
        addresses: &Addresses,
        out: &mut Effects,
    ) {
        let me = &cx.config.me;
        let directed =
            |address: &IpAddr| cx.plan(*address).is_some_and(|plan| plan.directors.contains(me));
        let held = |address: &IpAddr| addresses.held_epoch(*address).is_some();
        self.waiting.retain(|address, _| directed(address) && !held(address));
        self.serving.retain(|address, _| directed(address));
        let own = addresses.undelivered().filter(|(_, from, _)| *from <= cx.now.boot);
        self.own = own.map(|(address, ..)| address).filter(directed).collect();
        self.report(out);
    }

    /// Forgets everything: the epochs of another cluster are no longer comparable.
    pub(super) fn clear(&mut self, out: &mut Effects) {
        *self = Self { reported: std::mem::take(&mut self.reported), ..Self::default() };
        self.report(out);
    }

    /// Says which addresses wait, where those have changed.
    pub(super) fn report(&mut self, out: &mut Effects) {
        let addresses: BTreeSet<IpAddr> = self.waiting.keys().chain(&self.own).copied().collect();
        if addresses != self.reported {
            self.reported.clone_from(&addresses);
            out.report(Report::Undelivered { addresses });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::tests::{address, at, name, view};
    use crate::lease::{Effect, LeaseConfig, PlanView};

    fn fenced_by_a_fabric() -> PlanView {
        let mut view = view();
        view.addresses.get_mut(&address()).unwrap().no_deadline = true;
        view
    }

    #[test]
    fn a_director_believes_gateways_until_one_serves() {
        let (config, view) = (LeaseConfig::new(name(4), "boot"), fenced_by_a_fabric());
        let cx = Context::new(&config, Some(&view), at(0));
        let mut undelivered = Undelivered::default();
        let mut reported = |call: &dyn Fn(&mut Undelivered)| {
            let mut out = Effects::default();
            call(&mut undelivered);
            undelivered.report(&mut out);
            out.0.into_iter().find_map(|effect| match effect {
                Effect::Report(Report::Undelivered { addresses }) => Some(addresses.len()),
                _ => None,
            })
        };
        let (two, three) = (name(2), name(3));
        assert_eq!(
            reported(&|it| it.hear(&cx, address(), &holding(&name(9), 9))),
            None,
            "no gateway"
        );
        assert_eq!(reported(&|it| it.hear(&cx, address(), &holding(&two, 5))), Some(1));
        assert_eq!(reported(&|it| it.serves(&cx, address(), &holding(&two, 5))), Some(0));
        assert_eq!(reported(&|it| it.hear(&cx, address(), &holding(&two, 5))), None, "late");
        assert_eq!(reported(&|it| it.hear(&cx, address(), &holding(&three, 6))), Some(1));
        let mut none = view.clone();
        none.addresses.clear();
        let cx = Context::new(&config, Some(&none), at(0));
        let mut out = Effects::default();
        undelivered.read_plans(&cx, &Addresses::default(), &mut out);
        assert_eq!(out.0, [Effect::Report(Report::Undelivered { addresses: BTreeSet::new() })]);
    }

    #[test]
    fn where_the_deadline_fences_nobody_waits_for_a_cloud() {
        let (config, view) = (LeaseConfig::new(name(4), "boot"), view());
        let cx = Context::new(&config, Some(&view), at(0));
        let mut undelivered = Undelivered::default();
        undelivered.hear(&cx, address(), &holding(&name(2), 5));
        assert_eq!(undelivered, Undelivered::default());
    }
}
