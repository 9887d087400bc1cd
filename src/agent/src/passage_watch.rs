//! Whether what this host's netfilter is given of steered connections comes out at its other end.
//!
//! Rules of others drop before Egret's hooks, between them and behind them, and none of Egret's counters moves then:
//! a lasting difference between two of them shows it.

use std::time::{Duration, Instant};

use egret_ports::steering::{FamilyPackets, SteeredPackets};

/// How long something must go in and nothing come out.
const WINDOW: Duration = Duration::from_secs(10);
/// Fewer answers than this in a window may be the end of a connection whose pod has gone.
const ENOUGH: u64 = 3;

/// What was counted on this host up to one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PassageReading {
    /// By the rules.
    pub(crate) steered: SteeredPackets,
    /// Given to the host by the program at the tunnel's device.
    pub(crate) to_pod: u64,
    /// Those of them of IPv6.
    pub(crate) to_pod_ipv6: u64,
}

/// Compares one reading with the next.
#[derive(Debug, Default)]
pub(crate) struct PassageWatch {
    last: Option<(PassageReading, Instant)>,
    asked: Option<Instant>,
    problem: Option<&'static str>,
}

impl PassageWatch {
    /// Whether the next reading is due; if so, the one after it is reckoned from now.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= WINDOW);
        if is_due {
            self.asked = Some(now);
        }
        is_due
    }

    pub(crate) fn note(&mut self, passage: PassageReading, now: Instant) {
        let Some((last, since)) = self.last else {
            self.last = Some((passage, now));
            return;
        };
        if now.saturating_duration_since(since) < WINDOW {
            return;
        }
        self.last = Some((passage, now));
        self.problem = lost(&last, &passage);
    }

    /// Where nothing is steered any more nothing is lost.
    pub(crate) fn forget(&mut self) {
        (self.last, self.problem) = (None, None);
    }

    /// What was lost in the last window, with the remedy.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        self.problem
    }
}

/// Where the rules were made anew in between their counters began anew too: nothing is known then.
fn lost(before: &PassageReading, after: &PassageReading) -> Option<&'static str> {
    let refused = after.steered.refused.checked_sub(before.steered.refused)?;
    let ipv4 = Passed::between(
        (&before.steered.ipv4, before.to_pod.saturating_sub(before.to_pod_ipv6)),
        (&after.steered.ipv4, after.to_pod.saturating_sub(after.to_pod_ipv6)),
    )?;
    let ipv6 = Passed::between(
        (&before.steered.ipv6, before.to_pod_ipv6),
        (&after.steered.ipv6, after.to_pod_ipv6),
    )?;
    let families = [ipv4, ipv6];
    if families.iter().any(|passed| passed.loses_answers(refused)) {
        return Some(
            "answers to selected pods, of one family at least, come out of the tunnel and are dropped on this host by \
             rules that are not Egret's: look for a reverse path filter in prerouting (`fib saddr . iif`, `-m rpfilter`, \
             firewalld's IPv6_rpfilter) and for drops in forward, in `nft list ruleset` and `iptables-save`; let them \
             accept what comes in by the tunnel's device",
        );
    }
    families.iter().any(|passed| passed.loses_first_packets(refused)).then_some(
        "new connections of selected pods are dropped on this host before the tunnel by rules that are not Egret's: \
         where a NetworkPolicy forbids them nothing is wrong; else look at the policy of the forward chains in \
         `nft list ruleset` and `iptables-save` (firewalld, ufw and Docker set it to drop), and let them accept what \
         pods send to the tunnel's device",
    )
}

/// What has passed in a window, of one family.
struct Passed {
    packets: FamilyPackets,
    to_pod: u64,
}

impl Passed {
    fn between(before: (&FamilyPackets, u64), after: (&FamilyPackets, u64)) -> Option<Self> {
        let grown = |count: fn(&FamilyPackets) -> u64| count(after.0).checked_sub(count(before.0));
        let packets = FamilyPackets {
            selected: grown(|packets| packets.selected)?,
            entered: grown(|packets| packets.entered)?,
            returned: grown(|packets| packets.returned)?,
        };
        Some(Self { packets, to_pod: after.1.checked_sub(before.1)? })
    }

    /// Without new connections the answers may be for a pod that has gone.
    fn loses_answers(&self, refused: u64) -> bool {
        let answers = self.to_pod.saturating_sub(refused);
        self.packets.selected > 0 && answers >= ENOUGH && self.packets.returned == 0
    }

    fn loses_first_packets(&self, refused: u64) -> bool {
        self.packets.selected >= ENOUGH && self.packets.entered == 0 && refused == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4: FamilyPackets = FamilyPackets { selected: 100, entered: 90, returned: 400 };
    const START: PassageReading = PassageReading {
        steered: SteeredPackets { ipv4: IPV4, ipv6: IPV4, refused: 10 },
        to_pod: 800,
        to_pod_ipv6: 400,
    };

    fn added(selected: u64, entered: u64, returned: u64) -> FamilyPackets {
        FamilyPackets {
            selected: IPV4.selected + selected,
            entered: IPV4.entered + entered,
            returned: IPV4.returned + returned,
        }
    }

    /// The problem after a window in which this was added, of IPv4.
    fn said(
        selected: u64,
        entered: u64,
        returned: u64,
        refused: u64,
        to_pod: u64,
    ) -> Option<&'static str> {
        let steered = SteeredPackets {
            ipv4: added(selected, entered, returned),
            refused: START.steered.refused + refused,
            ..START.steered
        };
        problem(PassageReading { steered, to_pod: START.to_pod + to_pod, ..START })
    }

    fn problem(passage: PassageReading) -> Option<&'static str> {
        let (mut watch, start) = (PassageWatch::default(), Instant::now());
        watch.note(START, start);
        watch.note(passage, start + WINDOW);
        watch.problem()
    }

    #[test]
    fn one_family_is_lost_while_the_other_passes() {
        let passes = added(9, 9, 90);
        let steered = |ipv4, ipv6| SteeredPackets { ipv4, ipv6, ..START.steered };
        let of = |steered, ipv4, ipv6| {
            let to_pod = START.to_pod + ipv4 + ipv6;
            problem(PassageReading { steered, to_pod, to_pod_ipv6: START.to_pod_ipv6 + ipv6 })
        };
        let answers = "reverse path filter";
        assert!(of(steered(passes, added(3, 3, 0)), 90, 3).is_some_and(|it| it.contains(answers)));
        assert!(of(steered(added(3, 3, 0), passes), 3, 90).is_some_and(|it| it.contains(answers)));
        assert_eq!(of(steered(passes, added(0, 0, 0)), 90, 9), None, "for a pod that has gone");
        let first = of(steered(passes, added(3, 0, 0)), 90, 0);
        assert!(first.is_some_and(|it| it.contains("before the tunnel")));
    }

    #[test]
    fn what_goes_in_and_does_not_come_out_is_said() {
        assert!(said(3, 3, 0, 0, 3).is_some_and(|said| said.contains("reverse path filter")));
        assert!(said(3, 0, 0, 0, 0).is_some_and(|said| said.contains("forward chains")));
        assert!(said(3, 0, 50, 0, 50).is_some_and(|said| said.contains("before the tunnel")));
    }

    #[test]
    fn what_has_another_reason_is_not() {
        assert_eq!(said(0, 0, 0, 0, 0), None, "no traffic");
        assert_eq!(said(3, 3, 0, 0, 0), None, "a partner that does not answer");
        assert_eq!(said(3, 3, 1, 0, 9), None, "something comes through");
        assert_eq!(said(0, 0, 0, 0, 99), None, "a stream to a pod that has gone");
        assert_eq!(said(1, 1, 0, 9, 9), None, "Egret's own rules, which count it");
        assert_eq!(said(3, 0, 0, 3, 0), None, "no block");
        assert_eq!(said(2, 0, 0, 0, 0), None, "on their way");
    }

    #[test]
    fn it_ends_with_its_cause_and_a_new_rule_set_begins_anew() {
        let (mut watch, start) = (PassageWatch::default(), Instant::now());
        let steered = SteeredPackets { ipv4: added(10, 0, 0), ..START.steered };
        let lost = PassageReading { steered, ..START };
        watch.note(START, start);
        watch.note(lost, start + WINDOW / 2);
        assert_eq!(watch.problem(), None, "too soon");
        watch.note(lost, start + WINDOW);
        assert!(watch.problem().is_some());
        let mut idle = PassageWatch { problem: watch.problem, ..PassageWatch::default() };
        idle.forget();
        assert_eq!(idle.problem(), None);
        let anew = PassageReading { steered: SteeredPackets::default(), ..START };
        watch.note(anew, start + 2 * WINDOW);
        assert_eq!(watch.problem(), None);
        assert!(watch.is_due(start) && !watch.is_due(start + WINDOW / 2));
        assert!(watch.is_due(start + WINDOW));
    }
}
