use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::WallTime;
use crate::wire::Mac;

/// An unbroken sequence of packets or answers for one address from one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which machine.
    pub mac: Mac,
    /// Its first.
    pub first: WallTime,
    /// Its last.
    pub last: WallTime,
    /// How many.
    pub count: u64,
}

/// A machine that went on for an address after another had begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return {
    /// The address.
    pub address: IpAddr,
    /// Who had begun.
    pub other: Mac,
    /// Who went on.
    pub mac: Mac,
    /// When.
    pub at: WallTime,
    /// How long after its own last.
    pub after: Duration,
}

/// For every address, who spoke for it and when.
#[derive(Clone, Debug, Default)]
pub struct Runs(BTreeMap<IpAddr, Vec<Run>>);

impl Runs {
    pub(super) fn add(&mut self, address: IpAddr, mac: Mac, at: WallTime) {
        let runs = self.0.entry(address).or_default();
        match runs.last_mut() {
            Some(run) if run.mac == mac => {
                run.last = at;
                run.count += 1;
            }
            _ => runs.push(Run { mac, first: at, last: at, count: 1 }),
        }
    }

    /// The runs of an address, in order.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> &[Run] {
        self.0.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Every address that was seen.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.0.keys().copied()
    }

    /// The first of another machine than the one that was speaking at `since`, or of any machine
    /// where none was.
    #[must_use]
    pub fn successor(&self, address: IpAddr, since: WallTime) -> Option<Run> {
        self.of(address).iter().find(|run| run.first >= since).copied()
    }

    /// Who spoke last, where that is not longer ago than `within`.
    #[must_use]
    pub fn speaker(&self, address: IpAddr, within: Duration) -> Option<Mac> {
        let run = self.of(address).last()?;
        (WallTime::now().since(run.last) <= within).then_some(run.mac)
    }

    /// Every moment since `since` in which a machine went on within `window` of its own last,
    /// though another had begun between: two spoke for the address at once.
    #[must_use]
    pub fn returns(&self, since: WallTime, window: Duration) -> Vec<Return> {
        let mut found = Vec::new();
        for (address, runs) in &self.0 {
            for (at, run) in runs.iter().enumerate().filter(|(_, run)| run.first >= since) {
                let before = runs[..at].iter().rev().find(|earlier| earlier.mac == run.mac);
                let Some(before) = before.filter(|b| run.first.since(b.last) <= window) else {
                    continue;
                };
                found.push(Return {
                    address: *address,
                    other: runs[at - 1].mac,
                    mac: run.mac,
                    at: run.first,
                    after: run.first.since(before.last),
                });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = [1; 6];
    const B: Mac = [2; 6];

    fn runs(order: &[(Mac, u64)]) -> (Runs, IpAddr) {
        let address = IpAddr::from([203, 0, 113, 17]);
        let mut runs = Runs::default();
        for (mac, at) in order {
            runs.add(address, *mac, WallTime(at * 1_000_000));
        }
        (runs, address)
    }

    #[test]
    fn a_clean_change_returns_nothing() {
        let (runs, address) = runs(&[(A, 0), (A, 10), (B, 520), (B, 530)]);
        assert_eq!(runs.of(address).len(), 2);
        assert_eq!(runs.returns(WallTime(0), Duration::from_millis(450)), vec![]);
        assert_eq!(runs.successor(address, WallTime(11_000_000)).map(|run| run.mac), Some(B));
    }

    #[test]
    fn one_that_goes_on_after_the_other_began_is_reported() {
        let (runs, _) = runs(&[(A, 0), (B, 100), (A, 150), (B, 160)]);
        let returns = runs.returns(WallTime(0), Duration::from_millis(450));
        assert_eq!(returns.len(), 2);
        assert_eq!((returns[0].mac, returns[0].other), (A, B));
        assert_eq!(returns[0].after, Duration::from_millis(150));
    }

    #[test]
    fn going_back_much_later_is_another_move() {
        let (runs, _) = runs(&[(A, 0), (B, 100), (A, 5_000)]);
        assert_eq!(runs.returns(WallTime(0), Duration::from_millis(450)), vec![]);
    }
}
