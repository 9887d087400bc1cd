//! Since when each uplink reaches its network, or not: a link that comes and goes moves addresses once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::lease::UplinkReach;
use egret_datapath::host::HostUplink;
use ipnet::IpNet;

/// So long an uplink that was cut off has to reach its network before this node takes addresses as any
/// other would: at most one move a minute, however a link comes and goes.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// Uplinks by the index of their link.
#[derive(Debug, Default)]
pub(crate) struct UplinkReaches(BTreeMap<u32, SeenUplink>);

/// An uplink, as it was when it was last up.
#[derive(Debug)]
pub(crate) struct SeenUplink {
    pub(crate) mac: [u8; 6],
    name: String,
    subnets: BTreeSet<IpNet>,
    up: bool,
    reach: UplinkReach,
    /// Since when.
    since: Instant,
}

impl UplinkReaches {
    /// Those that were seen before and are not among these.
    pub(crate) fn missing(&self, uplinks: &[HostUplink]) -> BTreeSet<u32> {
        let there = |index: &u32| uplinks.iter().any(|uplink| uplink.index == *index);
        self.0.keys().copied().filter(|index| !there(index)).collect()
    }

    /// Takes note of one look at all of them, and of those that were seen before and are `down` now: what is
    /// neither is no uplink any more. True where one is another than before, by what was seen or by time alone.
    pub(crate) fn note(
        &mut self,
        uplinks: &[HostUplink],
        down: &BTreeSet<u32>,
        now: Instant,
    ) -> bool {
        let count = self.0.len();
        let there = |index: &u32| uplinks.iter().any(|uplink| uplink.index == *index);
        self.0.retain(|index, _| there(index) || down.contains(index));
        let mut changed = self.0.len() != count;
        for uplink in uplinks {
            let before = self.0.remove(&uplink.index).map(|seen| (seen.reach, seen.since));
            let (reach, since) = before.unwrap_or((UplinkReach::Steady, now));
            let (mac, name, subnets) = (uplink.mac, uplink.name.clone(), uplink.subnets());
            let mut seen = SeenUplink { mac, name, subnets, up: true, reach, since };
            changed |= seen.look(uplink.carrier, now);
            self.0.insert(uplink.index, seen);
        }
        for (_, seen) in self.0.iter_mut().filter(|(index, _)| !there(index)) {
            seen.up = false;
            changed |= seen.look(false, now);
        }
        changed
    }

    /// Whether `uplink`, which carries `address`, reaches its network by now; steady where that was not seen.
    /// Without one it does not where the link that had its subnet is down.
    pub(crate) fn of(&self, uplink: Option<u32>, address: IpAddr) -> UplinkReach {
        let inside = |seen: &&SeenUplink| seen.subnets.iter().any(|net| net.contains(&address));
        let seen = match uplink {
            Some(index) => self.0.get(&index),
            None => self.0.values().find(inside),
        };
        seen.map_or(UplinkReach::Steady, |seen| seen.reach)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &SeenUplink> {
        self.0.values()
    }
}

impl fmt::Display for SeenUplink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {:?}", self.name, self.reach)
    }
}

impl SeenUplink {
    /// Why it does not reach its network, with the remedy.
    pub(crate) fn trouble(&self) -> Option<String> {
        let name = &self.name;
        let why = match self.up {
            true => format!(
                "{name} has no carrier: look at its cable, the switch's port, its VLAN's parent"
            ),
            false => format!("{name} is down: ip link set {name} up"),
        };
        (self.reach == UplinkReach::Lost).then_some(why)
    }

    /// Whether one of these is in a subnet of it.
    pub(crate) fn would_carry(&self, addresses: &[IpAddr]) -> bool {
        addresses.iter().any(|address| self.subnets.iter().any(|net| net.contains(address)))
    }

    fn look(&mut self, carrier: bool, now: Instant) -> bool {
        let lasts = now.duration_since(self.since);
        let reach = match (carrier, self.reach) {
            (false, _) => UplinkReach::Lost,
            (true, UplinkReach::Lost) => UplinkReach::Unsteady,
            (true, UplinkReach::Unsteady) if lasts >= STEADY_AFTER => UplinkReach::Steady,
            (true, as_before) => as_before,
        };
        let changed = reach != self.reach;
        if changed {
            (self.reach, self.since) = (reach, now);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::uplink;

    const HELD: &str = "203.0.113.17";

    /// What a link is taken for after each look: so many seconds after the first, with or without carrier;
    /// `None` where it is down.
    fn reaches(looks: &[(u64, Option<bool>)]) -> Vec<UplinkReach> {
        let (begun, mut reaches) = (Instant::now(), UplinkReaches::default());
        let look = |(at, carrier): &(u64, Option<bool>)| {
            let seen =
                carrier.map(|carrier| HostUplink { carrier, ..uplink(3, &["203.0.113.11/24"]) });
            let down = if seen.is_some() { BTreeSet::new() } else { [3].into() };
            reaches.note(seen.as_slice(), &down, begun + Duration::from_secs(*at));
            reaches.of(seen.map(|uplink| uplink.index), HELD.parse().unwrap())
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn a_loss_counts_at_once_and_its_end_after_a_minute() {
        use UplinkReach::{Lost, Steady, Unsteady};
        let (there, lost, down) = (Some(true), Some(false), None);
        let looks = [(0, there), (1, lost), (2, there), (61, there), (62, there)];
        assert_eq!(reaches(&looks), [Steady, Lost, Unsteady, Unsteady, Steady]);
        let flaps = [(0, there), (5, down), (6, there), (50, lost), (51, there), (110, there)];
        assert_eq!(reaches(&flaps), [Steady, Lost, Unsteady, Lost, Unsteady, Unsteady]);
        assert_eq!(reaches(&[(0, lost), (1, there)]), [Lost, Unsteady], "also from the start");
    }

    #[test]
    fn a_link_that_is_no_uplink_any_more_is_forgotten() {
        let (now, mut reaches) = (Instant::now(), UplinkReaches::default());
        let lost = [HostUplink { carrier: false, ..uplink(3, &["203.0.113.11/24"]) }];
        assert!(reaches.note(&lost, &BTreeSet::new(), now));
        assert!(!reaches.note(&lost, &BTreeSet::new(), now), "nothing new");
        assert_eq!(reaches.missing(&[]), [3].into());
        assert!(reaches.note(&[], &BTreeSet::new(), now));
        assert_eq!(reaches.of(None, HELD.parse().unwrap()), UplinkReach::Steady);
    }
}
