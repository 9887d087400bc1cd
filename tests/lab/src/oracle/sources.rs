use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use super::Watcher;
use crate::clock::WallTime;
use crate::test_bed::TestBed;
use crate::wire::{Body, decode};

/// How many wrong packets are kept whole; all are counted.
const KEPT: usize = 50;

/// What one load may look like outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// For the report, such as `settle-1 tcp`.
    pub name: String,
    /// Destination addresses that belong to it; empty: any.
    pub destinations: Vec<IpAddr>,
    /// Destination ports that belong to it, first and last; `None`: any, or none at all (ICMP).
    pub ports: Option<(u16, u16)>,
    /// The sources that it may have.
    pub allowed: Vec<IpAddr>,
}

/// A packet with a source that it must not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// When.
    pub at: WallTime,
    /// The source.
    pub source: IpAddr,
    /// Where to.
    pub destination: IpAddr,
    /// IANA protocol number.
    pub protocol: u8,
    /// Source port or ICMP id.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// TCP flags.
    pub flags: u8,
}

/// What was counted for one expectation.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Packets with an allowed source.
    pub right: u64,
    /// Packets with another one.
    pub wrong: u64,
    /// The first of them.
    pub examples: Vec<Wrong>,
    /// Packets by source.
    pub by_source: BTreeMap<IpAddr, u64>,
    /// When the last packet with an allowed source came.
    pub last: Option<WallTime>,
    /// The pauses of at least [`PAUSE`] between two packets with an allowed source: the last packet
    /// before and the first after.
    pub pauses: Vec<(WallTime, WallTime)>,
}

/// Shorter than any outage, longer than the time between two packets of any load of many
/// connections.
pub const PAUSE: Duration = Duration::from_millis(30);

/// At the outside host: the source of every packet of the loads that were announced to it.
#[derive(Debug)]
pub struct Sources {
    kept: Arc<Mutex<Vec<(Expect, Ledger)>>>,
    _watcher: Watcher,
}

impl Sources {
    /// Starts to watch.
    ///
    /// # Errors
    /// Where the tap cannot be opened.
    pub fn start(lab: &impl TestBed) -> Result<Self> {
        let kept = Arc::new(Mutex::new(Vec::<(Expect, Ledger)>::new()));
        let books = kept.clone();
        let watcher = Watcher::start(lab.network().out.path(), Some("eth0"), move |frame| {
            if frame.outgoing {
                return;
            }
            let Some(packet) = decode(frame.bytes) else { return };
            let mut books = books.lock().unwrap_or_else(PoisonError::into_inner);
            for (expect, ledger) in books.iter_mut() {
                ledger.enter(expect, packet.body, frame.at);
            }
        })?;
        Ok(Self { kept, _watcher: watcher })
    }

    /// Counts from now on what belongs to `expect`. Announce a load before its first packet: then
    /// every connection of it has begun since.
    pub fn expect(&self, expect: Expect) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((expect, Ledger::default()));
    }

    /// What was counted under that name; empty where nothing was announced under it.
    #[must_use]
    pub fn ledger(&self, name: &str) -> Ledger {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .find(|(expect, _)| expect.name == name)
            .map(|(_, l)| l.clone())
            .unwrap_or_default()
    }

    /// Counts nothing more under that name; what was counted, empty where nothing was announced.
    #[must_use]
    pub fn end(&self, name: &str) -> Ledger {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(expect, _)| expect.name == name);
        place.map(|place| kept.remove(place).1).unwrap_or_default()
    }

    /// Packets with a wrong source, over all expectations.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|(_, ledger)| ledger.wrong).sum()
    }

    /// The first packets with a wrong source.
    #[must_use]
    pub fn examples(&self) -> Vec<Wrong> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().flat_map(|(_, ledger)| ledger.examples.iter().take(3).cloned()).collect()
    }

    /// Packets with an allowed source, over all expectations: zero means that the oracle was blind.
    #[must_use]
    pub fn right(&self) -> u64 {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|(_, ledger)| ledger.right).sum()
    }
}

impl Ledger {
    /// The longest pause that ended after `since`.
    #[must_use]
    pub fn longest_pause(&self, since: WallTime) -> Option<(WallTime, WallTime)> {
        let pauses = self.pauses.iter().copied().filter(|(_, end)| *end >= since);
        pauses.max_by_key(|(begin, end)| end.since(*begin))
    }

    fn enter(&mut self, expect: &Expect, body: Body, at: WallTime) {
        let Body::Ip { source, destination, protocol, source_port, destination_port, flags } = body
        else {
            return;
        };
        let here = expect.destinations.is_empty() || expect.destinations.contains(&destination);
        let port = expect.ports.is_none_or(|(a, b)| (a..=b).contains(&destination_port));
        if !here || !port {
            return;
        }
        *self.by_source.entry(source).or_default() += 1;
        if expect.allowed.contains(&source) {
            self.right += 1;
            if let Some(last) = self.last.filter(|last| at.since(*last) >= PAUSE) {
                self.pauses.push((last, at));
            }
            self.last = Some(at);
            return;
        }
        self.wrong += 1;
        if self.examples.len() < KEPT {
            let wrong =
                Wrong { at, source, destination, protocol, source_port, destination_port, flags };
            self.examples.push(wrong);
        }
    }
}
