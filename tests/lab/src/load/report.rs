use std::time::Duration;

use super::series::{LoadRecord, LoadSeries, TrafficKind};
use crate::clock::WallTime;

/// A connection that did not survive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostConnection {
    /// Which, such as `settle-1 IPv4 ServerDrives #3`.
    pub name: String,
    /// When it ended, or its last sign of life.
    pub at: WallTime,
    /// How.
    pub why: String,
}

/// Counts and the longest wait of one kind of traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficTally {
    /// Connections or streams.
    pub series: usize,
    /// Operations that ended in the window.
    pub operations: u64,
    /// The longest operation that ended in the window or is under way.
    pub longest: Duration,
    /// Begun but never answered, over the whole run (UDP and probes).
    pub unanswered: u64,
}

/// What became of a load since a moment.
#[derive(Clone, Debug, Default)]
pub struct LoadReport {
    /// TCP connections.
    pub connections: usize,
    /// Those that ended, or have been silent for longer than [`SILENT`].
    pub lost: Vec<LostConnection>,
    /// The longest stall of a TCP connection that was not lost.
    pub stall: Duration,
    /// The pod speaks.
    pub speaks: TrafficTally,
    /// The server drives.
    pub drives: TrafficTally,
    /// UDP.
    pub udp: TrafficTally,
    /// The longest time without a datagram outside, over the UDP streams.
    pub udp_gap: Duration,
    /// New connections.
    pub probes: TrafficTally,
}

/// A connection without an operation for so long is lost: longer than any outage measured here.
pub const SILENT: Duration = Duration::from_secs(8);

/// Longer than the pause between two operations of any load here.
const PAUSE: Duration = Duration::from_millis(300);

pub(super) fn report(record: &LoadRecord, since: WallTime, until: WallTime) -> LoadReport {
    let mut report = LoadReport::default();
    for series in record.snapshot() {
        let longest = longest(&series, since, until);
        let tally = match series.kind {
            TrafficKind::PodSpeaks => &mut report.speaks,
            TrafficKind::ServerDrives => &mut report.drives,
            TrafficKind::Udp => &mut report.udp,
            TrafficKind::Probe => &mut report.probes,
        };
        tally.series += 1;
        let ended = series.samples.iter().filter(|s| s.at >= since && s.at <= until);
        tally.operations += u64::try_from(ended.count()).unwrap_or(u64::MAX);
        tally.longest = tally.longest.max(longest);
        let answered = u64::try_from(series.samples.len()).unwrap_or(u64::MAX);
        tally.unanswered += series.sent.saturating_sub(answered);
        match series.kind {
            TrafficKind::PodSpeaks | TrafficKind::ServerDrives => {
                report.connections += 1;
                if let Some(lost) = lost(&series, until) {
                    report.lost.push(lost);
                } else {
                    report.stall = report.stall.max(longest);
                }
            }
            TrafficKind::Udp => report.udp_gap = report.udp_gap.max(gap(&series, since, until)),
            TrafficKind::Probe => {}
        }
    }
    report
}

fn lost(series: &LoadSeries, until: WallTime) -> Option<LostConnection> {
    let name =
        format!("{} {} {:?} #{}", series.pod, series.family.name(), series.kind, series.number);
    if let Some((at, why)) = &series.ended {
        return Some(LostConnection { name, at: *at, why: why.clone() });
    }
    let last = series.samples.last().map_or(WallTime(0), |sample| sample.at);
    (until.since(last) > SILENT).then(|| LostConnection {
        name,
        at: last,
        why: "silent".to_owned(),
    })
}

/// The longest operation that overlaps the window; for a driven connection, which has no operation
/// under way that the pod knows of, also the time since its last one.
fn longest(series: &LoadSeries, since: WallTime, until: WallTime) -> Duration {
    let in_window = series.samples.iter().filter(|s| s.at >= since && s.at <= until);
    let ended = in_window.map(|s| u64::from(s.micros)).max().unwrap_or(0);
    let waiting = series.waiting.map_or(Duration::ZERO, |begun| until.since(begun));
    let quiet = match (series.kind, series.samples.last()) {
        (TrafficKind::ServerDrives, Some(last)) if until.since(last.at) > PAUSE => {
            until.since(last.at)
        }
        _ => Duration::ZERO,
    };
    Duration::from_micros(ended).max(waiting).max(quiet)
}

fn gap(series: &LoadSeries, since: WallTime, until: WallTime) -> Duration {
    let before = series.arrivals.iter().rev().find(|at| **at < since).copied();
    let mut last = before.unwrap_or(since);
    let mut longest = Duration::ZERO;
    for at in series.arrivals.iter().filter(|at| **at >= since && **at <= until) {
        longest = longest.max(at.since(last));
        last = *at;
    }
    longest.max(until.since(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressFamily;

    fn at(millis: u64) -> WallTime {
        WallTime(millis * 1_000_000)
    }

    #[test]
    fn an_ended_connection_is_lost_and_a_stalled_one_is_not() {
        let record = LoadRecord::default();
        let mut stalled = LoadSeries::new("a", AddressFamily::V4, TrafficKind::PodSpeaks, 0);
        stalled.finish(at(1000), at(1600));
        let mut dead = LoadSeries::new("b", AddressFamily::V4, TrafficKind::ServerDrives, 0);
        dead.finish(at(1000), at(1001));
        dead.ended = Some((at(1100), "reset".to_owned()));
        record.add(stalled);
        record.add(dead);
        let report = super::report(&record, at(900), at(2000));
        assert_eq!((report.connections, report.lost.len()), (2, 1));
        assert_eq!(report.stall, Duration::from_millis(600));
    }

    #[test]
    fn silence_is_loss() {
        let record = LoadRecord::default();
        let mut silent = LoadSeries::new("a", AddressFamily::V6, TrafficKind::ServerDrives, 1);
        silent.finish(at(1000), at(1001));
        record.add(silent);
        assert!(super::report(&record, at(0), at(1002)).lost.is_empty());
        let report = super::report(&record, at(0), at(10_000));
        assert_eq!(report.lost[0].why, "silent");
        assert_eq!(report.lost[0].name, "a IPv6 ServerDrives #1");
    }
}
