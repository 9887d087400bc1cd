use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Runs, Watcher};
use crate::address::is_egress;
use crate::clock::WallTime;
use crate::tap::{Frame, FrameTap};
use crate::test_bed::TestBed;
use crate::wire::{Body, Mac, arp_request, decode, solicitation};

/// How often it asks for every address.
const EVERY: Duration = Duration::from_millis(10);
/// Questions differ in their asker's address, so that an answer tells which one it answers; after
/// this many the addresses are used again.
const ASKERS: u8 = 16;
/// The asker's hardware address.
const MAC: Mac = [0x02, 0xe6, 0, 0, 1, 0];

/// One question that two machines answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoubleAnswer {
    /// The address that was asked for.
    pub address: IpAddr,
    /// When the second answer came.
    pub at: WallTime,
    /// Who answered, in order.
    pub macs: [Mac; 2],
}

/// An announcement that nobody had asked for (gratuitous ARP, unsolicited advertisement).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// When.
    pub at: WallTime,
    /// Of which address.
    pub address: IpAddr,
    /// By whom.
    pub mac: Mac,
}

#[derive(Debug, Default)]
struct SeenAnswer {
    answers: Runs,
    doubles: Vec<DoubleAnswer>,
    announcements: Vec<Announcement>,
    asked: u64,
    /// The question out now under each asker, and its first answer.
    open: BTreeMap<(IpAddr, u8), Option<Mac>>,
}

/// A third host on the LAN that asks by ARP and neighbour solicitation who has the egress
/// addresses, every 10 ms each.
#[derive(Debug)]
pub struct Answers {
    seen: Arc<Mutex<SeenAnswer>>,
    _watcher: Watcher,
}

impl Answers {
    /// Starts to ask for `addresses`.
    ///
    /// # Errors
    /// Where the tap cannot be opened.
    pub fn start(lab: &impl TestBed, addresses: &[IpAddr]) -> Result<Self> {
        lab.network()
            .watch
            .run(&format!("ip link set eth0 address {}", crate::address::mac_text(MAC)));
        let seen = Arc::new(Mutex::new(SeenAnswer::default()));
        let (kept, addresses) = (seen.clone(), addresses.to_vec());
        let watcher = Watcher::run(lab.network().watch.path(), Some("eth0"), move |tap, stop| {
            ask_on(tap, stop, &kept, &addresses);
        })?;
        Ok(Self { seen, _watcher: watcher })
    }

    /// Who answered, and when.
    #[must_use]
    pub fn runs(&self) -> Runs {
        self.lock().answers.clone()
    }

    /// Who answers for `address` now (within the last ten questions).
    #[must_use]
    pub fn holder(&self, address: IpAddr) -> Option<Mac> {
        self.lock().answers.speaker(address, EVERY * 10)
    }

    /// Every question that two machines answered, since `since`.
    #[must_use]
    pub fn doubles(&self, since: WallTime) -> Vec<DoubleAnswer> {
        self.lock().doubles.iter().filter(|double| double.at >= since).copied().collect()
    }

    /// Every announcement since `since`.
    #[must_use]
    pub fn announcements(&self, since: WallTime) -> Vec<Announcement> {
        self.lock().announcements.iter().filter(|a| a.at >= since).copied().collect()
    }

    /// How many questions were asked: zero means that the oracle was blind.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.lock().asked
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SeenAnswer> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask_on(tap: &mut FrameTap, stop: &AtomicBool, seen: &Mutex<SeenAnswer>, addresses: &[IpAddr]) {
    let begun = Instant::now();
    let mut turn: u32 = 0;
    while !stop.load(Ordering::Relaxed) {
        let asker = u8::try_from(turn % u32::from(ASKERS)).unwrap_or_default();
        for address in addresses {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.open.insert((*address, asker), None);
            seen.asked += 1;
            drop(seen);
            let _ = tap.send(&question(*address, asker));
        }
        turn += 1;
        let next = EVERY * turn;
        while let Some(left) = next.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
            match tap.next(left) {
                Ok(Some(frame)) => {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).take(&frame);
                }
                Ok(None) => {}
                Err(_) => return,
            }
        }
    }
}

fn question(address: IpAddr, asker: u8) -> Vec<u8> {
    match address {
        IpAddr::V4(target) => arp_request(MAC, asker4(asker), target),
        IpAddr::V6(target) => solicitation(MAC, asker6(asker), target),
    }
}

fn asker4(asker: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, 208 + asker)
}

fn asker6(asker: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xe6, u16::from(asker))
}

impl SeenAnswer {
    fn take(&mut self, frame: &Frame<'_>) {
        if frame.outgoing {
            return;
        }
        let Some(packet) = decode(frame.bytes) else { return };
        match packet.body {
            Body::Arp { operation, sender_mac, sender, target } => {
                let (asked, asker) = (IpAddr::V4(sender), target.octets()[3].wrapping_sub(208));
                if sender == target && is_egress(asked) {
                    let (at, address, mac) = (frame.at, asked, sender_mac);
                    self.announcements.push(Announcement { at, address, mac });
                } else if operation == 2 && packet.target_mac == MAC && asker < ASKERS {
                    self.answer(asked, asker, sender_mac, frame.at);
                }
            }
            Body::Neighbour { advertisement: true, destination, target, solicited, .. } => {
                let asked = IpAddr::V6(target);
                let asker = u8::try_from(destination.segments()[7]).unwrap_or(u8::MAX);
                if destination.is_multicast() && !solicited && is_egress(asked) {
                    let (at, address, mac) = (frame.at, asked, packet.source_mac);
                    self.announcements.push(Announcement { at, address, mac });
                } else if packet.target_mac == MAC && asker < ASKERS {
                    self.answer(asked, asker, packet.source_mac, frame.at);
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, address: IpAddr, asker: u8, mac: Mac, at: WallTime) {
        self.answers.add(address, mac, at);
        match self.open.get_mut(&(address, asker)) {
            Some(Some(first)) if *first != mac => {
                self.doubles.push(DoubleAnswer { address, at, macs: [*first, mac] });
            }
            Some(open) => *open = Some(mac),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_answers_to_one_question_are_a_double_and_to_two_are_not() {
        let address = IpAddr::from([203, 0, 113, 17]);
        let mut seen = SeenAnswer::default();
        seen.open.insert((address, 0), None);
        seen.answer(address, 0, [1; 6], WallTime(1));
        seen.open.insert((address, 1), None);
        seen.answer(address, 1, [2; 6], WallTime(2));
        assert_eq!(seen.doubles, vec![]);
        seen.answer(address, 1, [1; 6], WallTime(3));
        assert_eq!(seen.doubles.len(), 1);
    }
}
