//! A node's addresses while it moves to others: told to its peers first, and left when they know.
//!
//! Always: what is in use is what peers were told of for [`ANNOUNCED`], unless what was in use is gone; what was left is
//! listened to for [`HEARD`], since a peer that has not read of the move still sends there.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// So long peers know an address before it is used: they take no frames from one that they do not know.
const ANNOUNCED: Duration = Duration::from_secs(2);
/// So long one that was left is listened to.
const HEARD: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub(crate) struct MovingEndpoints {
    in_use: Vec<IpAddr>,
    coming: Option<(Vec<IpAddr>, Instant)>,
    former: Vec<(IpAddr, Instant)>,
}

impl MovingEndpoints {
    pub(crate) fn new(in_use: Vec<IpAddr>) -> Self {
        Self { in_use, coming: None, former: Vec::new() }
    }

    /// Where frames and messages of this node come from, the tunnel's family first.
    pub(crate) fn in_use(&self) -> &[IpAddr] {
        &self.in_use
    }

    /// What peers are to take for this node's: those in use first.
    pub(crate) fn published(&self) -> Vec<IpAddr> {
        let coming = self.coming.iter().flat_map(|(coming, _)| coming);
        let coming = coming.filter(|address| !self.in_use.contains(*address));
        self.in_use.iter().chain(coming).copied().collect()
    }

    /// Where this node hears its peers: those in use first.
    pub(crate) fn heard(&self) -> Vec<IpAddr> {
        let mut all = self.published();
        for (address, _) in &self.former {
            if !all.contains(address) {
                all.push(*address);
            }
        }
        all
    }

    /// All of it. What was left and is gone back to is heard before it is published again.
    fn said(&self) -> [Vec<IpAddr>; 3] {
        [self.in_use.clone(), self.published(), self.heard()]
    }

    /// One step on the way to `target`; true where anything is other than before. `present`: what the host has.
    pub(crate) fn step(
        &mut self,
        target: &[IpAddr],
        present: &BTreeSet<IpAddr>,
        now: Instant,
    ) -> bool {
        let before = self.said();
        self.former.retain(|(_, since)| now.saturating_duration_since(*since) < HEARD);
        if target == self.in_use {
            self.coming = None;
            return before != self.said();
        }
        let leaving = || self.in_use.iter().filter(|address| !target.contains(address));
        let replaces = target.iter().any(|address| !self.in_use.contains(address));
        // Both ends of the tunnel are the first one's.
        let joins = leaving().next().is_none() && target.first() == self.in_use.first();
        // What has gone cannot be used in the meantime, and what only joins or leaves takes no other's place.
        let gone = leaving().chain(self.in_use.first()).any(|used| !present.contains(used));
        let at_once = !replaces || joins || gone;
        let since = match &self.coming {
            Some((coming, since)) if coming == target => *since,
            _ => now,
        };
        if at_once || now.saturating_duration_since(since) >= ANNOUNCED {
            self.go_to(target, now);
        } else {
            self.coming = Some((target.to_vec(), since));
        }
        before != self.said()
    }

    /// Leaves what is in use at once, as where no peer knows it yet.
    pub(crate) fn go_to(&mut self, target: &[IpAddr], now: Instant) {
        let left = self.in_use.iter().filter(|address| !target.contains(address));
        self.former.extend(left.map(|address| (*address, now)));
        self.in_use = target.to_vec();
        self.coming = None;
    }

    /// When time alone takes the next step.
    pub(crate) fn due(&self, now: Instant) -> Option<Duration> {
        let left = |since: Instant, all: Duration| {
            all.saturating_sub(now.saturating_duration_since(since)).max(Duration::from_millis(1))
        };
        let coming = self.coming.iter().map(|(_, since)| left(*since, ANNOUNCED));
        coming.chain(self.former.iter().map(|(_, since)| left(*since, HEARD))).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: [Duration; 3] =
        [Duration::ZERO, Duration::from_millis(1100), Duration::from_millis(2500)];

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn set(addresses: &[IpAddr]) -> BTreeSet<IpAddr> {
        addresses.iter().copied().collect()
    }

    #[test]
    fn peers_know_the_new_one_before_it_is_used_and_the_old_one_is_heard_after() {
        let (old, new) = (ips(&["192.0.2.1", "2001:db8::1"]), ips(&["10.1.0.1"]));
        let (present, mut now) = (set(&[old.clone(), new.clone()].concat()), Instant::now());
        let mut moving = MovingEndpoints::new(old.clone());
        assert!(moving.step(&new, &present, now));
        assert_eq!(moving.in_use(), old);
        assert_eq!(moving.published(), ips(&["192.0.2.1", "2001:db8::1", "10.1.0.1"]));
        assert_eq!(moving.due(now), Some(ANNOUNCED));
        now += ANNOUNCED - Duration::from_millis(5);
        assert!(!moving.step(&new, &present, now));
        now += Duration::from_millis(5);
        assert!(moving.step(&new, &present, now));
        assert_eq!((moving.in_use(), moving.published()), (new.as_slice(), new.clone()));
        assert_eq!(moving.heard(), ips(&["10.1.0.1", "192.0.2.1", "2001:db8::1"]));
        now += HEARD;
        assert!(moving.step(&new, &present, now));
        assert_eq!((moving.heard(), moving.due(now)), (new, None));
    }

    #[test]
    fn what_is_gone_is_left_at_once_and_what_joins_is_used_at_once() {
        let now = Instant::now();
        let mut moving = MovingEndpoints::new(ips(&["192.0.2.1"]));
        assert!(moving.step(&ips(&["192.0.2.9"]), &set(&ips(&["192.0.2.9"])), now));
        assert_eq!(moving.in_use(), ips(&["192.0.2.9"]));
        let both = ips(&["192.0.2.9", "2001:db8::9"]);
        assert!(moving.step(&both, &set(&both), now));
        assert_eq!(moving.in_use(), both);
        assert!(moving.step(&both[1..], &set(&both), now), "a family that is no longer wanted");
        assert_eq!(moving.in_use(), &both[1..]);
    }

    /// Where nothing seemed to change peers were not told, and took no frames from it.
    #[test]
    fn who_goes_back_while_the_old_one_is_heard_says_so_first() {
        let (first, second) = (ips(&["192.0.2.1"]), ips(&["192.0.2.2"]));
        let (present, mut now) = (set(&[first.clone(), second.clone()].concat()), Instant::now());
        let mut moving = MovingEndpoints::new(first.clone());
        moving.step(&second, &present, now);
        now += ANNOUNCED;
        moving.step(&second, &present, now);
        assert_eq!(moving.published(), second);
        now += HEARD / 2;
        assert!(moving.step(&first, &present, now), "what peers are told is something else");
        assert_eq!(moving.published(), ips(&["192.0.2.2", "192.0.2.1"]));
    }

    #[test]
    fn a_family_that_comes_later_is_told_before_the_tunnel_is_of_it() {
        let (old, both) = (ips(&["2001:db8::1"]), ips(&["192.0.2.1", "2001:db8::1"]));
        let (present, now) = (set(&both), Instant::now());
        let mut moving = MovingEndpoints::new(old.clone());
        assert!(moving.step(&both, &present, now));
        assert_eq!(
            (moving.in_use(), moving.published()),
            (&old[..], ips(&["2001:db8::1", "192.0.2.1"]))
        );
        assert!(moving.step(&both, &present, now + ANNOUNCED));
        assert_eq!(moving.in_use(), both);
    }

    #[test]
    fn who_changes_his_mind_has_used_nothing_else() {
        let (old, new) = (ips(&["192.0.2.1"]), ips(&["10.1.0.1"]));
        let (present, now) = (set(&[old.clone(), new.clone()].concat()), Instant::now());
        let mut moving = MovingEndpoints::new(old.clone());
        moving.step(&new, &present, now);
        assert!(moving.step(&old, &present, now + ANNOUNCED));
        assert_eq!((moving.published(), moving.due(now)), (old, None));
    }

    /// Whatever is wanted when: a peer that reads within the time knows each address that is used while the
    /// one before is there.
    #[test]
    fn nothing_is_used_that_was_not_published_before() {
        let all = ips(&["192.0.2.1", "192.0.2.2", "10.1.0.1"]);
        let present = set(&all);
        let steps = all.len() * PAUSES.len();
        for sequence in 0..steps.pow(5) {
            let mut now = Instant::now();
            let mut moving = MovingEndpoints::new(vec![all[0]]);
            let mut known = vec![(all[0], now.checked_sub(ANNOUNCED).unwrap())];
            for place in 0..5 {
                let step = sequence / steps.pow(place) % steps;
                now += PAUSES[step / all.len()];
                moving.step(&[all[step % all.len()]], &present, now);
                let published = moving.published();
                known.retain(|(address, _)| published.contains(address));
                for address in published {
                    if known.iter().all(|(known, _)| *known != address) {
                        known.push((address, now));
                    }
                }
                let used = moving.in_use()[0];
                let since = known.iter().find(|(known, _)| *known == used).unwrap().1;
                assert!(now - since >= ANNOUNCED, "{used} in {sequence}");
            }
        }
    }
}
