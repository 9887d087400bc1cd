//! Telling directors and gateways who holds an address (docs/leases.md rule 10, docs/design.md
//! decision 11): at the beginning, at every new epoch and every 30 s, again until each has answered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::context::Context;
use super::effect::Effects;
use super::{AddressView, BootTime, Message, NoticedAddress, PlanView, encoding};
use crate::model::NodeName;

/// What each receiver has not acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Notices(BTreeMap<NodeName, UnacknowledgedNotices>);

/// What one receiver has not acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct UnacknowledgedNotices {
    pending: BTreeSet<IpAddr>,
    next: BootTime,
    pause: Duration,
}

impl Notices {
    /// To be told now, without waiting for an earlier pause to end.
    fn notify(
        &mut self,
        cx: &Context<'_>,
        address: IpAddr,
        receivers: impl IntoIterator<Item = NodeName>,
    ) {
        let me = &cx.config.me;
        for node in receivers.into_iter().filter(|node| node != me) {
            let notices = self.0.entry(node).or_default();
            notices.pending.insert(address);
            notices.next = cx.now.boot;
            notices.pause = cx.config.timing.notice_first;
        }
    }

    /// Those whom the plan names since `before` are to be told. `silent`: who had it before is silent.
    pub(super) fn read_plan(
        &mut self,
        cx: &Context<'_>,
        before: Option<&PlanView>,
        address: IpAddr,
        silent: bool,
    ) {
        let may_announce = |plan: &&AddressView| plan.may_announce(&cx.config.me, silent);
        if !cx.plan(address).as_ref().is_some_and(may_announce) {
            return;
        }
        // What was not to be announced has been told to nobody.
        let before = before.and_then(|view| view.addresses.get(&address)).filter(may_announce);
        let old: BTreeSet<&NodeName> = before.into_iter().flat_map(receivers).collect();
        let new = cx.plan(address).into_iter().flat_map(receivers);
        self.notify(cx, address, new.filter(|node| !old.contains(node)).cloned());
    }

    /// `from` has acknowledged the newest epoch of the address.
    pub(super) fn on_acknowledged(&mut self, from: &NodeName, address: IpAddr) {
        if let Some(notices) = self.0.get_mut(from) {
            notices.pending.remove(&address);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn deadline(&self, is_held: impl Fn(IpAddr) -> bool) -> Option<BootTime> {
        // What is no longer held is told to nobody: it is dropped at once.
        let due = |notices: &UnacknowledgedNotices| {
            let dropped = notices.pending.iter().any(|address| !is_held(*address));
            if dropped || notices.pending.is_empty() { BootTime(0) } else { notices.next }
        };
        self.0.values().map(due).min()
    }

    /// Tells the receivers whose time has come. `due`: of which all are to be told (again); `held`:
    /// the epochs of what this node holds.
    pub(super) fn advance(
        &mut self,
        cx: &Context<'_>,
        due: &[IpAddr],
        held: &BTreeMap<IpAddr, u64>,
        out: &mut Effects,
    ) {
        for address in due {
            let all = cx.plan(*address).into_iter().flat_map(receivers);
            self.notify(cx, *address, all.cloned());
        }
        let (now, longest) = (cx.now.boot, cx.config.timing.notice_max);
        for (node, notices) in &mut self.0 {
            notices.pending.retain(|address| held.contains_key(address));
            if notices.next > now {
                continue;
            }
            notices.next = now + notices.pause;
            notices.pause = notices.pause.saturating_mul(2).min(longest);
            let noticed = notices.pending.iter().filter_map(|address| {
                Some(NoticedAddress { address: *address, epoch: *held.get(address)? })
            });
            for piece in encoding::pieces(noticed) {
                out.send(node, Message::Notice(piece));
            }
        }
        self.0.retain(|_, notices| !notices.pending.is_empty());
    }
}

/// Whom the plan wants told of the holder.
fn receivers(plan: &AddressView) -> impl Iterator<Item = &NodeName> {
    plan.directors.union(&plan.gateways)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::LeaseConfig;
    use crate::lease::tests::{address, at, name, view};

    #[test]
    fn a_receiver_is_told_again_until_it_answers_and_in_growing_pauses() {
        let (config, view) = (LeaseConfig::new(name(1), "boot"), view());
        let held = BTreeMap::from([(address(), 3)]);
        let mut notices = Notices::default();
        let cx = |ms| Context::new(&config, Some(&view), at(ms));
        notices.notify(&cx(0), address(), [name(1), name(4)]);
        let sent = |notices: &mut Notices, ms| {
            let mut out = Effects::default();
            notices.advance(&cx(ms), &[], &held, &mut out);
            out.0.len()
        };
        let times: Vec<u64> = (0..400).filter(|ms| sent(&mut notices, *ms) > 0).collect();
        assert_eq!(times, [0, 20, 60, 140, 300]);
        notices.on_acknowledged(&name(4), address());
        assert_eq!(notices.deadline(|_| true), Some(BootTime(0)));
        assert_eq!(sent(&mut notices, 10_000), 0);
        assert_eq!(notices.deadline(|_| true), None);
    }

    #[test]
    fn what_is_no_longer_held_is_told_to_nobody() {
        let (config, view) = (LeaseConfig::new(name(1), "boot"), view());
        let cx = Context::new(&config, Some(&view), at(0));
        let (mut notices, mut out) = (Notices::default(), Effects::default());
        notices.notify(&cx, address(), [name(4)]);
        assert_eq!(notices.deadline(|_| false), Some(BootTime(0)));
        notices.advance(&cx, &[], &BTreeMap::new(), &mut out);
        assert_eq!((out.0.len(), notices), (0, Notices::default()));
    }

    #[test]
    fn only_whom_the_plan_names_anew_is_told_at_once() {
        let (config, old) = (LeaseConfig::new(name(1), "boot"), view());
        let mut new = view();
        new.addresses.get_mut(&address()).unwrap().directors.insert(name(5));
        let cx = Context::new(&config, Some(&new), at(0));
        let mut notices = Notices::default();
        notices.read_plan(&cx, Some(&old), address(), false);
        assert_eq!(notices.0.keys().collect::<Vec<_>>(), [&name(5)]);
        notices.read_plan(&cx, None, address(), false);
        assert_eq!(notices.0.len(), 4, "n2 to n5");
    }
}
