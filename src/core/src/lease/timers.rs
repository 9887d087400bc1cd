//! What time alone changes (the rules of docs/leases.md), as one list: each timer has one deadline, by which the machine both
//! decides whether it acts and says when it wants to be woken.
//!
//! Always: a timer acts only where its deadline is past, and has none that is past afterwards. So a
//! deadline that was forgotten shows at once, as something that never happens.

use super::{BootTime, Now};

/// What acts by time, in the order in which it acts: later ones rest on what earlier ones did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The end of the silence, consistent reads, acknowledgements (rules 13, 17 and 22).
    Voter,
    /// Repetitions and ends of rounds (rules 8 and 9).
    Rounds,
    /// Ends of leases, renewals, probes, announcements (rules 1 and 5).
    Holders,
    /// Steps of planned moves (rule 6).
    Handovers,
    /// Questions for addresses that nobody holds (rule 8).
    Candidates,
    /// Notices to directors and gateways (rule 10).
    Notices,
    /// What waits for the cloud after a takeover (docs/design.md decision 15).
    Undelivered,
    /// Questions of directors (rule 10).
    Directors,
    /// Heartbeats, absence, the voters' majority.
    Heartbeats,
    /// Messages that are said more than once (rule 6).
    Resends,
    /// The end of an orderly stop: as soon as nothing is held and nothing left to be sent.
    Stop,
}

impl Timer {
    /// All of them, in their order.
    pub(super) const ALL: [Self; 11] = [
        Self::Voter,
        Self::Rounds,
        Self::Holders,
        Self::Handovers,
        Self::Candidates,
        Self::Notices,
        Self::Undelivered,
        Self::Directors,
        Self::Heartbeats,
        Self::Resends,
        Self::Stop,
    ];
}

/// Runs every timer that is due, in their order. The deadline of each is asked for when its turn
/// comes, since an earlier one may have changed it.
pub(super) fn run_due<T>(
    target: &mut T,
    now: Now,
    deadline: impl Fn(&T, Timer) -> Option<BootTime>,
    mut act: impl FnMut(&mut T, Timer),
) {
    for timer in Timer::ALL {
        if deadline(target, timer).is_some_and(|at| at <= now.boot) {
            act(target, timer);
        }
    }
}

/// The first deadline of all.
pub(super) fn next(deadline: impl Fn(Timer) -> Option<BootTime>) -> Option<BootTime> {
    Timer::ALL.into_iter().filter_map(deadline).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::RawTime;

    const NOW: Now = Now { raw: RawTime(0), boot: BootTime(10) };

    #[test]
    fn every_timer_is_listed_once_in_its_order() {
        let places: Vec<usize> = Timer::ALL.iter().map(|timer| *timer as usize).collect();
        assert_eq!(places, (0..Timer::ALL.len()).collect::<Vec<_>>());
        // The last variant: one that is added behind it and not listed fails here.
        assert_eq!(Timer::Stop as usize + 1, Timer::ALL.len());
    }

    #[test]
    fn what_is_due_acts_in_order_and_what_is_not_does_not() {
        let deadline = |_: &Vec<Timer>, timer| match timer {
            Timer::Stop => Some(BootTime(0)),
            Timer::Rounds => Some(BootTime(10)),
            Timer::Holders => Some(BootTime(11)),
            _ => None,
        };
        let mut acted = Vec::new();
        run_due(&mut acted, NOW, deadline, |acted, timer| acted.push(timer));
        assert_eq!(acted, [Timer::Rounds, Timer::Stop]);
        assert_eq!(next(|timer| deadline(&acted, timer)), Some(BootTime(0)));
        assert_eq!(next(|_| None), None);
    }

    #[test]
    fn a_timer_acts_on_what_an_earlier_one_has_changed() {
        let deadline = |reached: &u32, timer| {
            let due = timer == Timer::Voter || (timer == Timer::Stop && *reached > 0);
            due.then_some(BootTime(1))
        };
        let mut reached = 0;
        run_due(&mut reached, NOW, deadline, |reached, _| *reached += 1);
        assert_eq!(reached, 2);
    }
}
