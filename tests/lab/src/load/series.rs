use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::address::AddressFamily;
use crate::clock::WallTime;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrafficKind {
    /// TCP; the pod sends and waits for the echo. A sample is a round trip.
    PodSpeaks,
    /// TCP; the outside server sends, the pod only acknowledges. A sample is the way in.
    ServerDrives,
    /// UDP from the pod with an echo. A sample is a round trip.
    Udp,
    /// New connections, one after another. A sample is the time until the server had answered.
    Probe,
}

/// One operation that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it ended.
    pub at: WallTime,
    /// How long it took, in microseconds.
    pub micros: u32,
}

/// One connection or stream.
#[derive(Clone, Debug)]
pub struct LoadSeries {
    /// The pod.
    pub pod: String,
    /// Its family.
    pub family: AddressFamily,
    /// Who speaks.
    pub kind: TrafficKind,
    /// Its number within pod, family and kind: pods with the same number share a source port.
    pub number: u16,
    /// Every operation that came to its end.
    pub samples: Vec<Sample>,
    /// When the operation under way began, while the pod waits for an answer.
    pub waiting: Option<WallTime>,
    /// Operations begun.
    pub sent: u64,
    /// The sequence numbers of those without an answer (UDP only).
    pub unanswered: BTreeSet<u64>,
    /// How it ended before its time.
    pub ended: Option<(WallTime, String)>,
    /// What the outside saw of it: datagrams that arrived there (UDP only).
    pub arrived: u64,
    /// Between two datagrams that arrived outside, the longest gap that ended since (UDP only).
    pub arrivals: Vec<WallTime>,
}

impl LoadSeries {
    pub(super) fn new(pod: &str, family: AddressFamily, kind: TrafficKind, number: u16) -> Self {
        Self {
            pod: pod.to_owned(),
            family,
            kind,
            number,
            samples: Vec::new(),
            waiting: None,
            sent: 0,
            unanswered: BTreeSet::new(),
            ended: None,
            arrived: 0,
            arrivals: Vec::new(),
        }
    }

    pub(super) fn finish(&mut self, begun: WallTime, at: WallTime) {
        let micros = u32::try_from(at.since(begun).as_micros()).unwrap_or(u32::MAX);
        self.samples.push(Sample { at, micros });
        self.waiting = None;
    }
}

pub(super) type SharedRecord = Arc<Mutex<LoadSeries>>;

/// Every series of a load, in the order of its creation; a driven connection and a UDP stream name
/// themselves to the server by their index in it.
#[derive(Debug, Default)]
pub(super) struct LoadRecord {
    all: Mutex<Vec<SharedRecord>>,
    failures: Mutex<Vec<String>>,
    settled: Mutex<usize>,
}

impl LoadRecord {
    pub(super) fn add(&self, series: LoadSeries) -> (u64, SharedRecord) {
        let shared = Arc::new(Mutex::new(series));
        let mut all = lock(&self.all);
        all.push(shared.clone());
        (u64::try_from(all.len() - 1).unwrap_or(u64::MAX), shared)
    }

    pub(super) fn get(&self, index: u64) -> Option<SharedRecord> {
        lock(&self.all).get(usize::try_from(index).ok()?).cloned()
    }

    pub(super) fn settle(&self) {
        *lock(&self.settled) += 1;
    }

    pub(super) fn fail(&self, why: String) {
        lock(&self.failures).push(why);
    }

    /// Connections that came about, and that did not.
    pub(super) fn settled(&self) -> (usize, usize) {
        (*lock(&self.settled), lock(&self.failures).len())
    }

    pub(super) fn first_failure(&self) -> Option<String> {
        lock(&self.failures).first().cloned()
    }

    /// The datagrams without an answer: series and sequence number.
    pub(super) fn unanswered(&self) -> BTreeSet<(usize, u64)> {
        let mut all = BTreeSet::new();
        for (index, series) in lock(&self.all).iter().enumerate() {
            all.extend(lock(series).unanswered.iter().map(|sequence| (index, *sequence)));
        }
        all
    }

    pub(super) fn snapshot(&self) -> Vec<LoadSeries> {
        lock(&self.all).iter().map(|series| lock(series).clone()).collect()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What travels: the index of the series, a sequence number, the sender's stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoadStamp {
    pub(super) index: u64,
    pub(super) sequence: u64,
    pub(super) stamp: WallTime,
}

impl LoadStamp {
    pub(super) const LENGTH: usize = 24;

    pub(super) fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&self.index.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[16..].copy_from_slice(&self.stamp.0.to_be_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::LENGTH]) -> Self {
        let number = |at: usize| {
            bytes[at..at + 8].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        Self { index: number(0), sequence: number(8), stamp: WallTime(number(16)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        let word =
            LoadStamp { index: 7, sequence: 1 << 40, stamp: WallTime(1_795_507_200_250_000_000) };
        assert_eq!(LoadStamp::from_bytes(&word.to_bytes()), word);
    }
}
