//! Whether pods' traffic passes this host's netfilter, by two witnesses.
//!
//! The programs at the uplinks' egress see what leaves with a pod's own address, drop it and count it, for ever.
//! A CNI that translates earlier shows them nothing, so the probe looks again and again at what pods send.

use std::time::{Duration, Instant};

use egret_datapath::probe::ProbeResult;

/// Fewer than this in two windows may be packets on their way when a claim came.
const ENOUGH: u64 = 3;
const WINDOW: Duration = Duration::from_secs(30);

/// Until traffic was seen to pass, and afterwards.
const PROBE_FIRST: Duration = Duration::from_secs(10);
const PROBE_AGAIN: Duration = Duration::from_secs(60);

/// How much a counter has grown lately.
#[derive(Debug, Default)]
struct Growth {
    /// In the window before this one, what had been counted when this one began, and when.
    window: Option<(u64, u64, Instant)>,
    counted: u64,
}

impl Growth {
    fn note(&mut self, total: u64, now: Instant) {
        let (before, began_with, since) = self.window.unwrap_or((0, total, now));
        self.counted = total;
        let age = now.saturating_duration_since(since);
        self.window = Some(if age >= 2 * WINDOW {
            (0, total, now)
        } else if age >= WINDOW {
            (total.saturating_sub(began_with), total, now)
        } else {
            (before, began_with, since)
        });
    }

    fn is_enough(&self) -> bool {
        let grown = |(before, began_with, _)| before + self.counted.saturating_sub(began_with);
        self.window.is_some_and(|window| grown(window) >= ENOUGH)
    }
}

/// What the uplinks' programs have dropped since they were loaded, in packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PastNetfilter {
    /// With a pod's own address.
    pub(crate) bypassed: u64,
    /// With an egress address of this director.
    pub(crate) outside_tunnel: u64,
}

/// What the two have said so far.
#[derive(Debug, Default)]
pub(crate) struct BypassWatch {
    untranslated: Growth,
    outside_tunnel: Growth,
    /// The last verdict of a probe that saw traffic.
    bypassed: Option<String>,
    passed: bool,
    probe_at: Option<Instant>,
}

impl BypassWatch {
    pub(crate) fn note_dropped(&mut self, total: PastNetfilter, now: Instant) {
        self.untranslated.note(total.bypassed, now);
        self.outside_tunnel.note(total.outside_tunnel, now);
    }

    pub(crate) fn note_probe(&mut self, result: ProbeResult) {
        match result {
            // The first evidence stays: a number that differs with each probe would be a write of the
            // status each time.
            ProbeResult::Bypassed { evidence } => {
                self.bypassed.get_or_insert(evidence);
                self.passed = false;
            }
            ProbeResult::Passed => {
                self.bypassed = None;
                self.passed = true;
            }
            ProbeResult::NoTraffic => {}
        }
    }

    /// Whether the next probe is due; if so, the one after it is reckoned from now.
    pub(crate) fn probe_is_due(&mut self, now: Instant) -> bool {
        let pause = if self.passed { PROBE_AGAIN } else { PROBE_FIRST };
        let is_due = self.probe_at.is_none_or(|last| now.saturating_duration_since(last) >= pause);
        if is_due {
            self.probe_at = Some(now);
        }
        is_due
    }

    /// What is to be said, with the remedy; `mark`: the bit of steered connections' marks.
    pub(crate) fn problem(&self, mark: u32) -> Option<String> {
        const UNSERVED: &str =
            "claims with pods here are not served; turn off eBPF host routing in the CNI";
        if self.untranslated.is_enough() {
            return Some(format!(
                "new connections and flows of selected pods reach an uplink past this host's netfilter and are dropped there \
                 (counter bypassed): {UNSERVED}, or exclude from the claims what a proxy on this host sends for pods"
            ));
        }
        if self.outside_tunnel.is_enough() {
            return Some(format!(
                "connections with an egress address leave the tunnel past this host's routing and are dropped at the \
                 uplink (counter outside_tunnel): a flowtable has taken them; put `ct mark & {mark:#x} == 0` before \
                 `flow add` in whoever's rules it is (nft list flowtables)"
            ));
        }
        let evidence = self.bypassed.as_ref()?;
        Some(format!("pods' traffic does not pass this host's netfilter ({evidence}): {UNSERVED}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn dropped(bypassed: u64) -> PastNetfilter {
        PastNetfilter { bypassed, outside_tunnel: 7 }
    }

    #[test]
    fn what_is_dropped_at_the_uplinks_is_said_and_ends_when_it_does() {
        let (mut watch, start) = (BypassWatch::default(), Instant::now());
        watch.note_dropped(dropped(100), start);
        assert_eq!(watch.problem(0x1000), None, "of an earlier process");
        watch.note_dropped(dropped(102), start + SECOND);
        assert_eq!(watch.problem(0x1000), None, "packets that were on their way");
        watch.note_dropped(dropped(103), start + 2 * SECOND);
        assert!(watch.problem(0x1000).is_some_and(|said| said.contains("counter bypassed")));
        let mut ended = None;
        for second in 3..100 {
            watch.note_dropped(dropped(103), start + second * SECOND);
            if watch.problem(0x1000).is_none() && ended.is_none() {
                ended = Some(second);
            }
        }
        assert_eq!(ended, Some(60));
        watch.note_dropped(dropped(106), start + 100 * SECOND);
        assert!(watch.problem(0x1000).is_some(), "it begins again");
    }

    #[test]
    fn what_has_left_the_tunnel_is_said_with_what_helps() {
        let (mut watch, start) = (BypassWatch::default(), Instant::now());
        watch.note_dropped(PastNetfilter { bypassed: 5, outside_tunnel: 20 }, start);
        assert_eq!(watch.problem(0x1000), None);
        watch.note_dropped(PastNetfilter { bypassed: 5, outside_tunnel: 31 }, start + SECOND);
        assert!(watch.problem(0x1000).is_some_and(|said| said.contains("before `flow add`")));
    }

    #[test]
    fn a_probe_is_made_again_whatever_the_last_one_said() {
        let (mut watch, start) = (BypassWatch::default(), Instant::now());
        watch.note_dropped(dropped(0), start);
        let mut made = Vec::new();
        for second in 0..200 {
            if watch.probe_is_due(start + second * SECOND) {
                made.push(second);
                watch.note_probe(match made.len() {
                    2 => ProbeResult::Passed,
                    4 => ProbeResult::Bypassed { evidence: "three connections".to_owned() },
                    _ => ProbeResult::NoTraffic,
                });
            }
        }
        assert_eq!(made, [0, 10, 70, 130, 140, 150, 160, 170, 180, 190]);
        assert!(watch.problem(0x1000).is_some_and(|said| said.contains("three connections")));
        watch.note_probe(ProbeResult::Passed);
        assert_eq!(watch.problem(0x1000), None);
    }
}
