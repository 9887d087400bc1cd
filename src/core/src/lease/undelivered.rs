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

/// How long a holder waits before it says it again. Nobody answers: what is lost comes again.
const REPEAT: Duration = Duration::from_millis(500);

/// Both sides of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Undelivered {
    /// When this node says again what it waits for.
    next: BootTime,
    /// As a director: who waits.
    waiting: BTreeMap<IpAddr, Holding>,
    /// As a director: who has served the address last, by its own notice. A word of it that comes
    /// late does not count.
    serving: BTreeMap<IpAddr, Holding>,
    /// What was reported last.
    reported: BTreeSet<IpAddr>,
}

impl Undelivered {
    /// When this node next says what it waits for; `None` where that is nothing.
    pub(super) fn deadline(&self, cx: &Context<'_>, addresses: &Addresses) -> Option<BootTime> {
        addresses.undelivered(cx).next().map(|_| self.next)
    }

    /// Tells the directors what this node holds and waits for, with its epochs.
    pub(super) fn advance(&mut self, cx: &Context<'_>, addresses: &Addresses, out: &mut Effects) {
        self.tell(cx, addresses.undelivered(cx), out);
    }

    fn tell(
        &mut self,
        cx: &Context<'_>,
        waiting: impl Iterator<Item = (IpAddr, u64)>,
        out: &mut Effects,
    ) {
        self.next = cx.now.boot + REPEAT;
        let mut told: BTreeMap<&NodeName, Vec<NoticedAddress>> = BTreeMap::new();
        for (address, epoch) in waiting {
            let directors = cx.plan(address).into_iter().flat_map(|plan| &plan.directors);
            for node in directors.filter(|node| **node != cx.config.me) {
                told.entry(node).or_default().push(NoticedAddress { address, epoch });
            }
            // No datagram to itself.
            self.hear(cx, address, &holding(&cx.config.me, epoch));
        }
        for (node, noticed) in told {
            for piece in encoding::pieces(noticed) {
                out.send(node, Message::Undelivered(piece));
            }
        }
        self.report(out);
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

    /// As a director: `holding` serves the address.
    pub(super) fn serves(&mut self, cx: &Context<'_>, address: IpAddr, holding: &Holding) {
        let fenced = cx.plan(address).is_some_and(|plan| plan.no_deadline);
        let known = self.serving.get(&address);
        if fenced && known.is_none_or(|known| holding.epoch.counter >= known.epoch.counter) {
            self.serving.insert(address, holding.clone());
        }
        let waiting = self.waiting.get(&address);
        if waiting.is_some_and(|waiting| holding.epoch.counter >= waiting.epoch.counter) {
            self.waiting.remove(&address);
        }
    }

    /// Forgets the addresses that this node has no port block of.
    pub(super) fn read_plans(&mut self, cx: &Context<'_>, out: &mut Effects) {
        let me = &cx.config.me;
        let directed =
            |address: &IpAddr| cx.plan(*address).is_some_and(|plan| plan.directors.contains(me));
        self.waiting.retain(|address, _| directed(address));
        self.serving.retain(|address, _| directed(address));
        self.report(out);
    }

    /// Says which addresses wait, where those have changed.
    pub(super) fn report(&mut self, out: &mut Effects) {
        let addresses: BTreeSet<IpAddr> = self.waiting.keys().copied().collect();
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
    fn a_holder_says_it_to_the_directors_every_half_second() {
        let (config, view) = (LeaseConfig::new(name(2), "boot"), fenced_by_a_fabric());
        let mut undelivered = Undelivered::default();
        let said = |undelivered: &mut Undelivered, ms| {
            let cx = Context::new(&config, Some(&view), at(ms));
            let mut out = Effects::default();
            if undelivered.next <= cx.now.boot {
                undelivered.tell(&cx, [(address(), 7)].into_iter(), &mut out);
            }
            out.0
        };
        let noticed = vec![NoticedAddress { address: address(), epoch: 7 }];
        let message = Message::Undelivered(noticed);
        assert_eq!(said(&mut undelivered, 20), [Effect::Send { to: name(4), message }]);
        let times: Vec<u64> =
            (21..1200).filter(|ms| !said(&mut undelivered, *ms).is_empty()).collect();
        assert_eq!(times, [520, 1020]);
        let cx = Context::new(&config, Some(&view), at(0));
        assert_eq!(undelivered.deadline(&cx, &Addresses::default()), None);
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
        assert_eq!(
            reported(&|it| it.serves(&cx, address(), &holding(&name(1), 4))),
            None,
            "of old"
        );
        assert_eq!(reported(&|it| it.serves(&cx, address(), &holding(&two, 5))), Some(0));
        assert_eq!(reported(&|it| it.hear(&cx, address(), &holding(&two, 5))), None, "late");
        assert_eq!(reported(&|it| it.hear(&cx, address(), &holding(&three, 6))), Some(1));
        let mut none = view.clone();
        none.addresses.clear();
        let cx = Context::new(&config, Some(&none), at(0));
        let mut out = Effects::default();
        undelivered.read_plans(&cx, &mut out);
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
