//! Holding an address: renewals, the deadline, probe and announcements (docs/leases.md rules 1, 4,
//! 5, 10).

use std::net::IpAddr;
use std::time::Duration;

use super::announcements::AnnouncementSchedule;
use super::context::Context;
use super::effect::Effects;
use super::probe_state::{ProbeOutcome, ProbeState};
use super::{AddressState, AddressView, Ask, BootTime, Effect, ProbeFinding, Report};
use crate::model::{Epoch, Holding, NodeName};

/// A lease, and what its holder does with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Holder {
    /// The counter of its epoch.
    pub epoch: u64,
    /// The fence that it was asked with.
    pub fence: u64,
    /// T in milliseconds, as the plan says now.
    pub lease: u32,
    /// The start of the newest round that a majority has granted, plus its T.
    pub deadline: BootTime,
    pub next_renewal: BootTime,
    pub next_notice: BootTime,
    pub probe: ProbeState,
    announcements: AnnouncementSchedule,
}

/// What a majority has granted.
#[derive(Clone, Debug)]
pub(super) struct GrantedLease<'a> {
    pub ask: &'a Ask,
    /// When the round began.
    pub started: BootTime,
    pub deadline: BootTime,
    /// The greatest epoch that the voters know.
    pub voters_epoch: u64,
    /// The one before was heard just now, or has handed it over.
    pub follows_closely: bool,
}

impl Holder {
    /// Begins to hold, with this epoch.
    pub(super) fn new(cx: &Context<'_>, granted: &GrantedLease<'_>, epoch: u64) -> Self {
        let ask = granted.ask;
        let now = cx.now.boot;
        let plan = cx.plan(ask.address);
        let conflict = plan.is_some_and(|plan| plan.foreign_host);
        let probe = match plan {
            Some(plan) if plan.is_probed_for(granted.follows_closely) => {
                ProbeState::probed_first(conflict, plan.was_held)
            }
            _ => ProbeState::cleared(conflict, now, &cx.config.timing),
        };
        let mut holder = Self {
            epoch,
            fence: ask.fence,
            lease: ask.lease,
            deadline: granted.deadline,
            next_renewal: now,
            next_notice: now,
            probe,
            announcements: AnnouncementSchedule::new(now),
        };
        // An epoch that was not asked with is told to the voters at once.
        if epoch == ask.epoch {
            holder.next_renewal = granted.started + holder.pause(cx);
        }
        holder
    }

    /// T.
    pub(super) fn length(&self) -> Duration {
        Duration::from_millis(u64::from(self.lease))
    }

    /// Between renewals.
    fn pause(&self, cx: &Context<'_>) -> Duration {
        cx.config.timing.renewal(self.length())
    }

    /// Counts a newer round; whether it ends later than what was counted before.
    pub(super) fn extend(&mut self, deadline: BootTime) -> bool {
        let later = deadline > self.deadline;
        self.deadline = self.deadline.max(deadline);
        later
    }

    /// Tells the voters and everybody else of a new epoch, without letting go (rule 10).
    pub(super) fn raise_epoch(&mut self, cx: &Context<'_>, epoch: u64) {
        self.epoch = epoch;
        self.next_renewal = cx.now.boot;
        self.next_notice = cx.now.boot;
    }

    /// Renews at once: the set has changed.
    pub(super) fn renew_now(&mut self, cx: &Context<'_>) {
        self.next_renewal = self.next_renewal.min(cx.now.boot);
    }

    /// What to ask with, where the renewal is due or soon will be (rule 7).
    pub(super) fn renew(&mut self, cx: &Context<'_>, address: IpAddr) -> Option<Ask> {
        let pause = self.pause(cx);
        if self.next_renewal > cx.now.boot + pause / 4 {
            return None;
        }
        let ask = cx.ask(address, self.epoch)?;
        self.next_renewal = cx.now.boot + pause;
        Some(ask)
    }

    /// Whether everybody is to be told of it again.
    pub(super) fn notice_due(&mut self, cx: &Context<'_>) -> bool {
        let due = self.next_notice <= cx.now.boot;
        if due {
            self.next_notice = cx.now.boot + cx.config.timing.again;
        }
        due
    }

    /// Announces it where that is due, again and again: routers with hours of ARP ageing would
    /// otherwise keep the old holder for as long.
    pub(super) fn announce(
        &mut self,
        cx: &Context<'_>,
        address: IpAddr,
        plan: &AddressView,
        out: &mut Effects,
    ) {
        let (now, timing) = (cx.now.boot, &cx.config.timing);
        if self.probe.begins(plan.on_interface, now) {
            out.push(Effect::Probe { address });
        }
        // A view of before this holding may be long out of date.
        let of_now = plan.holding == Some(holding(&cx.config.me, self.epoch));
        self.announcements.settle(of_now && plan.is_attached_to(&cx.config.me), now);
        let form = plan.announcement;
        if self.probe.is_cleared() && self.announcements.is_due(timing, form, now) {
            out.push(Effect::Announce { address, form });
        }
    }

    /// Nobody has taken in what was announced until now.
    pub(super) fn announce_anew(&mut self, cx: &Context<'_>) {
        self.announcements.begin_anew(cx.now.boot);
    }

    /// A round of probes is over, or another host has shown itself. Whether that is to be told.
    pub(super) fn on_probed(
        &mut self,
        cx: &Context<'_>,
        address: IpAddr,
        found: ProbeFinding,
    ) -> bool {
        if found == ProbeFinding::Harmless {
            return self.probe.explain(cx.now.boot);
        }
        let taken = cx.plan(address).is_some_and(|plan| plan.on_interface);
        let again = cx.now.boot + cx.config.timing.probe_again;
        let answered_for = self.probe.is_cleared();
        let outcome = self.probe.on_probed(found == ProbeFinding::Host, taken, again);
        if outcome == ProbeOutcome::Silent && !answered_for {
            self.announcements.restart(cx.now.boot);
        }
        outcome != ProbeOutcome::Unchanged
    }

    /// What its kernel entry says, and until when: closed where who has it too would get the answers.
    pub(super) fn entry(&self) -> (AddressState, BootTime) {
        match self.probe.is_cleared() {
            true => (AddressState::Held, self.deadline),
            false if self.probe.is_kept_off() => (AddressState::Standby, BootTime(0)),
            false => (AddressState::Coming, self.deadline),
        }
    }

    /// Says for the address's status who holds it.
    pub(super) fn report(&self, cx: &Context<'_>, address: IpAddr, out: &mut Effects) {
        let holding = holding(&cx.config.me, self.epoch);
        let (probed, conflict) = (self.probe.is_cleared(), self.probe.is_conflict());
        out.report(Report::Held { address, holding, fence: self.fence, probed, conflict });
    }

    pub(super) fn deadline(&self, announces: bool) -> BootTime {
        let lease = self.deadline.min(self.next_renewal);
        let announcement = self.probe.is_cleared().then(|| self.announcements.next());
        let timed = announcement.into_iter().chain(self.probe.next()).filter(|_| announces);
        timed.fold(lease, BootTime::min)
    }
}

/// A holder and the epoch that it has.
pub(super) fn holding(node: &NodeName, counter: u64) -> Holding {
    let epoch = Epoch { counter, node: node.clone() };
    Holding { node: node.clone(), epoch }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::LeaseConfig;
    use crate::lease::tests::{address, at, name, view};
    use crate::model::AnnouncementForm;

    /// Held by n1 since a round that began at 0 and was granted at 1 ms.
    fn holder(probed: bool, epoch: u64) -> Holder {
        let (config, mut view) = (LeaseConfig::new(name(1), "boot"), view());
        view.addresses.get_mut(&address()).unwrap().probed = probed;
        let cx = Context::new(&config, Some(&view), at(1));
        let ask = cx.ask(address(), 2).unwrap();
        let (started, deadline) = (at(0).boot, at(450).boot);
        let (voters_epoch, follows_closely) = (0, true);
        let granted = GrantedLease { ask: &ask, started, deadline, voters_epoch, follows_closely };
        Holder::new(&cx, &granted, epoch)
    }

    #[test]
    fn it_renews_five_times_in_t_and_a_little_early_where_others_do() {
        let (config, view) = (LeaseConfig::new(name(1), "boot"), view());
        let mut holder = holder(true, 2);
        let mut renews = |ms| holder.renew(&Context::new(&config, Some(&view), at(ms)), address());
        assert_eq!([67, 68, 135].map(|ms| renews(ms).is_some()), [false, true, false]);
        assert_eq!(renews(136).map(|ask| (ask.fence, ask.lease, ask.epoch)), Some((7, 450, 2)));
        let mut raised = super::tests::holder(true, 3);
        assert_eq!(raised.next_renewal, at(1).boot, "another epoch than it asked with");
        raised.next_renewal = at(500).boot;
        raised.renew_now(&Context::new(&config, Some(&view), at(9)));
        assert_eq!(raised.next_renewal, at(9).boot);
    }

    #[test]
    fn only_a_later_deadline_counts() {
        let mut holder = holder(true, 2);
        assert!(!holder.extend(at(450).boot));
        assert!(holder.extend(at(540).boot) && !holder.extend(at(500).boot));
        assert_eq!(holder.deadline, at(540).boot);
    }

    #[test]
    fn it_is_announced_once_the_probe_has_found_nobody() {
        let (config, view) = (LeaseConfig::new(name(1), "boot"), view());
        let cx = |ms| Context::new(&config, Some(&view), at(ms));
        let plan = &view.addresses[&address()];
        let (mut holder, mut out) = (holder(false, 2), Effects::default());
        holder.announce(&cx(1), address(), plan, &mut out);
        assert_eq!(out.0, []);
        assert!(holder.on_probed(&cx(5), address(), ProbeFinding::Host));
        for begins in [60_005, 125_005] {
            holder.announce(&cx(begins - 1), address(), plan, &mut out);
            assert_eq!(out.0, []);
            holder.announce(&cx(begins), address(), plan, &mut out);
            assert_eq!(out.0.pop(), Some(Effect::Probe { address: address() }));
            let over = holder.on_probed(&cx(begins + 5000), address(), ProbeFinding::Nobody);
            assert_eq!(over, begins == 125_005, "two silent rounds");
        }
        holder.announce(&cx(130_005), address(), plan, &mut out);
        assert_eq!(
            out.0.pop(),
            Some(Effect::Announce { address: address(), form: AnnouncementForm::ArpNdp })
        );
    }
}
