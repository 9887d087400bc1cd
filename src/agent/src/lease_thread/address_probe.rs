//! When an address is probed before its first announcement (RFC 5227 section 2.1.1).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::lease::BootTime;

const MS: u64 = 1_000_000;
/// Three probes, 1.5 s apart (PROBE_NUM, between PROBE_MIN and PROBE_MAX), then 2 s (ANNOUNCE_WAIT)
/// in which an answer still counts: 5 s in all. For IPv6 the same: one more than RFC 4862 asks for.
const PROBES: u32 = 3;
const PROBE_INTERVAL: u64 = 1500 * MS;
const ANNOUNCE_WAIT: u64 = 2000 * MS;

/// Probes under way. Pure: who calls sends what [`AddressProbes::due`] says.
#[derive(Debug, Default)]
pub(crate) struct AddressProbes {
    running: BTreeMap<IpAddr, Probe>,
    /// The hardware addresses that were found to have an address since this node holds it.
    found: BTreeMap<IpAddr, BTreeSet<[u8; 6]>>,
}

#[derive(Debug)]
struct Probe {
    sent: u32,
    next: BootTime,
    conflict: bool,
    /// One could not be sent.
    unsent: bool,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DueProbes {
    /// Send one probe.
    Send(IpAddr),
    /// It is over.
    Done { address: IpAddr, conflict: bool },
}

impl AddressProbes {
    /// Begins, unless one of the address is under way.
    pub(crate) fn begin(&mut self, address: IpAddr, now: BootTime) {
        let probe = Probe { sent: 0, next: now, conflict: false, unsent: false };
        self.running.entry(address).or_insert(probe);
    }

    /// A foreign host has answered; true where the address is being probed.
    pub(crate) fn conflict(&mut self, address: IpAddr, mac: [u8; 6], now: BootTime) -> bool {
        let Some(probe) = self.running.get_mut(&address) else { return false };
        probe.conflict = true;
        probe.next = now;
        self.found.entry(address).or_default().insert(mac);
        true
    }

    /// The addresses that only hosts of `harmless` were found to have: once each.
    pub(crate) fn take_explained(
        &mut self,
        harmless: &BTreeMap<IpAddr, BTreeSet<[u8; 6]>>,
    ) -> Vec<IpAddr> {
        let known = |address: &IpAddr, found: &BTreeSet<[u8; 6]>| {
            harmless.get(address).is_some_and(|harmless| found.is_subset(harmless))
        };
        self.found.extract_if(.., |address, found| known(address, found)).map(|(a, _)| a).collect()
    }

    /// The probe that was due could not be sent: silence says nothing, and the round begins anew. True
    /// the first time in a round.
    pub(crate) fn begin_anew(&mut self, address: IpAddr, now: BootTime) -> bool {
        let Some(probe) = self.running.get_mut(&address) else { return false };
        probe.sent = 0;
        probe.next = BootTime(now.0 + PROBE_INTERVAL);
        !std::mem::replace(&mut probe.unsent, true)
    }

    pub(crate) fn forget(&mut self, address: IpAddr) {
        self.running.remove(&address);
        self.found.remove(&address);
    }

    pub(crate) fn next_wakeup(&self) -> Option<BootTime> {
        self.running.values().map(|probe| probe.next).min()
    }

    pub(crate) fn due(&mut self, now: BootTime) -> Vec<DueProbes> {
        let mut due = Vec::new();
        for (address, probe) in &mut self.running {
            if probe.next > now {
                continue;
            }
            if probe.conflict || probe.sent == PROBES {
                due.push(DueProbes::Done { address: *address, conflict: probe.conflict });
            } else {
                probe.sent += 1;
                let pause = if probe.sent == PROBES { ANNOUNCE_WAIT } else { PROBE_INTERVAL };
                probe.next = BootTime(now.0 + pause);
                due.push(DueProbes::Send(*address));
            }
        }
        self.running
            .retain(|_, probe| probe.next > now || !(probe.conflict || probe.sent == PROBES));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 17));
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];

    #[test]
    fn three_probes_then_a_wait_take_five_seconds() {
        let mut probes = AddressProbes::default();
        probes.begin(ADDRESS, BootTime(0));
        let mut seen = Vec::new();
        while let Some(at) = probes.next_wakeup() {
            for due in probes.due(at) {
                seen.push((at.0 / MS, due));
            }
        }
        let send = |at| (at, DueProbes::Send(ADDRESS));
        let done = DueProbes::Done { address: ADDRESS, conflict: false };
        assert_eq!(seen, [send(0), send(1500), send(3000), (5000, done)]);
    }

    #[test]
    fn silence_after_a_probe_that_was_not_sent_counts_for_nothing() {
        let mut probes = AddressProbes::default();
        probes.begin(ADDRESS, BootTime(0));
        let mut sent = Vec::new();
        while let Some(at) = probes.next_wakeup() {
            for due in probes.due(at) {
                match due {
                    // The link goes away after the first one, and comes back.
                    DueProbes::Send(_) if (1000..4000).contains(&(at.0 / MS)) => {
                        assert_eq!(probes.begin_anew(ADDRESS, at), at.0 / MS == 1500);
                    }
                    DueProbes::Send(_) => sent.push(at.0 / MS),
                    DueProbes::Done { .. } => assert_eq!(at.0 / MS, 9500),
                }
            }
        }
        assert_eq!(sent, [0, 4500, 6000, 7500]);
    }

    #[test]
    fn an_answer_ends_it_at_once() {
        let mut probes = AddressProbes::default();
        probes.begin(ADDRESS, BootTime(0));
        assert_eq!(probes.due(BootTime(0)), [DueProbes::Send(ADDRESS)]);
        assert!(probes.conflict(ADDRESS, MAC, BootTime(3)));
        assert_eq!(probes.due(BootTime(3)), [DueProbes::Done { address: ADDRESS, conflict: true }]);
        assert_eq!(probes.next_wakeup(), None);
        assert!(!probes.conflict(ADDRESS, MAC, BootTime(4)));
    }

    #[test]
    fn a_conflict_is_explained_once_all_that_were_found_are_known() {
        let known = |macs: &[[u8; 6]]| -> BTreeMap<IpAddr, BTreeSet<[u8; 6]>> {
            [(ADDRESS, macs.iter().copied().collect())].into()
        };
        let mut probes = AddressProbes::default();
        assert!(probes.take_explained(&known(&[MAC])).is_empty());
        for mac in [MAC, OTHER] {
            probes.begin(ADDRESS, BootTime(0));
            assert!(probes.conflict(ADDRESS, mac, BootTime(3)));
            probes.due(BootTime(3));
        }
        for part in [known(&[]), known(&[MAC]), known(&[OTHER]), BTreeMap::new()] {
            assert!(probes.take_explained(&part).is_empty(), "one of them is a foreign host");
        }
        assert_eq!(probes.take_explained(&known(&[MAC, OTHER])), [ADDRESS]);
        assert!(probes.take_explained(&known(&[MAC, OTHER])).is_empty(), "once");
        probes.begin(ADDRESS, BootTime(0));
        probes.conflict(ADDRESS, MAC, BootTime(3));
        probes.forget(ADDRESS);
        assert!(probes.take_explained(&known(&[MAC])).is_empty(), "another node holds it");
    }
}
