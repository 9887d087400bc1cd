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

/// What the two have said so far.
#[derive(Debug, Default)]
pub(crate) struct BypassWatch {
    /// What was dropped in the window before this one, what had been counted when this one began, and when.
    window: Option<(u64, u64, Instant)>,
    counted: u64,
    /// The last verdict of a probe that saw traffic.
    bypassed: Option<String>,
    passed: bool,
    probe_at: Option<Instant>,
}

impl BypassWatch {
    /// `total`: how many packets the uplinks' programs have dropped so far.
    pub(crate) fn note_dropped(&mut self, total: u64, now: Instant) {
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

    /// What is to be said, with the remedy.
    pub(crate) fn problem(&self) -> Option<String> {
        const UNSERVED: &str =
            "claims with pods here are not served; turn off eBPF host routing in the CNI";
        let (before, began_with, _) = self.window?;
        if before + self.counted.saturating_sub(began_with) >= ENOUGH {
            return Some(format!(
                "new connections of selected pods reach an uplink past this host's netfilter and are dropped there \
                 (counter bypassed): {UNSERVED}, or exclude from the claims what a proxy on this host sends for pods"
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

    #[test]
    fn what_is_dropped_at_the_uplinks_is_said_and_ends_when_it_does() {
        let (mut watch, start) = (BypassWatch::default(), Instant::now());
        watch.note_dropped(100, start);
        assert_eq!(watch.problem(), None, "of an earlier process");
        watch.note_dropped(102, start + SECOND);
        assert_eq!(watch.problem(), None, "packets that were on their way");
        watch.note_dropped(103, start + 2 * SECOND);
        assert!(watch.problem().is_some_and(|said| said.contains("counter bypassed")));
        let mut ended = None;
        for second in 3..100 {
            watch.note_dropped(103, start + second * SECOND);
            if watch.problem().is_none() && ended.is_none() {
                ended = Some(second);
            }
        }
        assert_eq!(ended, Some(60));
        watch.note_dropped(106, start + 100 * SECOND);
        assert!(watch.problem().is_some(), "it begins again");
    }

    #[test]
    fn a_probe_is_made_again_whatever_the_last_one_said() {
        let (mut watch, start) = (BypassWatch::default(), Instant::now());
        watch.note_dropped(0, start);
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
        assert!(watch.problem().is_some_and(|said| said.contains("three connections")));
        watch.note_probe(ProbeResult::Passed);
        assert_eq!(watch.problem(), None);
    }
}
