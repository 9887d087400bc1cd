//! When a held address is announced again (docs/design.md decision 12).

use std::time::Duration;

use super::{BootTime, Timing};
use crate::model::AnnouncementForm;

/// When one held address is announced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AnnouncementSchedule {
    /// How often it was announced since it is held.
    sent: u8,
    next: BootTime,
    /// Since when the cloud is seen to deliver to this node by its own settings.
    settled_since: Option<BootTime>,
}

impl AnnouncementSchedule {
    /// The first one is due at once.
    pub(super) fn new(now: BootTime) -> Self {
        Self { sent: 0, next: now, settled_since: None }
    }

    /// When it is next to be looked at.
    pub(super) fn next(&self) -> BootTime {
        self.next
    }

    /// The next one is due at once.
    pub(super) fn restart(&mut self, now: BootTime) {
        self.next = now;
    }

    /// Those that were sent have reached nobody: all are sent anew, the first one at once.
    pub(super) fn begin_anew(&mut self, now: BootTime) {
        (self.sent, self.next) = (0, now);
    }

    /// Takes in whether the cloud is seen to deliver to this node by its own settings. Where it was
    /// and is no longer, only announcements bring packets here.
    pub(super) fn settle(&mut self, settled: bool, now: BootTime) {
        match (settled, self.settled_since) {
            (true, None) => self.settled_since = Some(now),
            (false, Some(_)) => {
                self.settled_since = None;
                self.next = now;
            }
            _ => {}
        }
    }

    /// Whether one is to be sent now.
    pub(super) fn is_due(
        &mut self,
        timing: &Timing,
        form: AnnouncementForm,
        now: BootTime,
    ) -> bool {
        if self.next > now {
            return false;
        }
        let quiet = form == AnnouncementForm::GarpRa && self.is_quiet(timing, now);
        if quiet {
            self.next = now + timing.garp_again;
            return false;
        }
        self.sent = self.sent.saturating_add(1);
        self.next = now + self.pause(timing, form);
        true
    }

    /// An announcement overrides the cloud's own settings for about 20 minutes, and one shortly before
    /// this node dies could undo a successor's. So there are none once the settings are known to have
    /// come into force.
    fn is_quiet(&self, timing: &Timing, now: BootTime) -> bool {
        self.settled_since.is_some_and(|since| now.since(since) >= timing.garp_settled)
    }

    fn pause(&self, timing: &Timing, form: AnnouncementForm) -> Duration {
        let first = usize::from(self.sent.max(1) - 1);
        match form {
            AnnouncementForm::ArpNdp if self.sent < 5 => timing.announce_step,
            AnnouncementForm::ArpNdp => timing.again,
            AnnouncementForm::GarpRa => {
                timing.garp_steps.get(first).copied().unwrap_or(timing.garp_again)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The seconds in which one is sent; `settled` says when the cloud's settings name this node.
    fn sent(form: AnnouncementForm, until: u64, settled: impl Fn(u64) -> bool) -> Vec<u64> {
        let (timing, start) = (Timing::default(), BootTime(7));
        let mut schedule = AnnouncementSchedule::new(start);
        let at = |second: u64| start + SECOND * u32::try_from(second).unwrap();
        let due = |second: &u64| {
            schedule.settle(settled(*second), at(*second));
            schedule.is_due(&timing, form, at(*second))
        };
        (0..until).filter(due).collect()
    }

    #[test]
    fn garp_comes_at_once_after_1_3_and_6_s_then_every_10_s() {
        let times = sent(AnnouncementForm::GarpRa, 60, |_| false);
        assert_eq!(times, [0, 1, 3, 6, 16, 26, 36, 46, 56]);
    }

    #[test]
    fn garp_ends_10_minutes_after_the_cloud_names_this_node() {
        let times = sent(AnnouncementForm::GarpRa, 1500, |second| second >= 40);
        assert_eq!(times.last(), Some(&636), "46 + 59 × 10; 646 is later than 40 + 600");
        let forever = sent(AnnouncementForm::GarpRa, 1500, |_| false);
        assert!(forever.last() > Some(&1489), "the cloud never names it: {:?}", forever.last());
    }

    #[test]
    fn what_reached_nobody_is_sent_anew_at_once_and_is_no_word_against_the_clouds_own() {
        let timing = Timing::default();
        let mut schedule = AnnouncementSchedule::new(BootTime(7));
        let mut times = |begin: u64, until: u64, settled: bool| {
            let at = |tenth: u64| BootTime(7) + SECOND * u32::try_from(tenth).unwrap() / 10;
            schedule.settle(settled, at(begin));
            schedule.begin_anew(at(begin));
            let due = |tenth: &u64| schedule.is_due(&timing, AnnouncementForm::GarpRa, at(*tenth));
            (begin..until).filter(due).collect::<Vec<_>>()
        };
        assert_eq!(times(0, 25, false), [0, 10]);
        assert_eq!(times(25, 200, false), [25, 35, 55, 85, 185], "not after 3 s of the first ones");
        times(200, 201, true);
        assert!(times(6300, 6350, true).is_empty(), "Google delivers here by its own settings");
        assert_eq!(schedule.next(), BootTime(7) + SECOND * 640, "and it is looked at every 10 s");
    }

    #[test]
    fn garp_begins_anew_at_once_where_the_cloud_names_another() {
        let times = sent(AnnouncementForm::GarpRa, 1000, |second| second < 803);
        assert_eq!(times[times.len() - 21..times.len() - 18], [596, 803, 813]);
    }

    #[test]
    fn arp_and_ndp_know_no_settings() {
        let times = sent(AnnouncementForm::ArpNdp, 700, |_| true);
        assert_eq!(times.len(), 5 + 23, "{times:?}");
    }
}
