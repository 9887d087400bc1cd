//! What was seen of the network interfaces that a cloud delivers to, and done to them: by that an agent
//! tells its own from somebody else's that is just without an address.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use egret_datapath::interface::FoundInterface;
use ipnet::IpNet;

use crate::local_addresses::PlacedAddresses;

/// So many repairs within [`CONTEST`] are a fight, and no more are made.
const MOST_REPAIRS: usize = 5;
/// Before a fight is gone on with.
const CONTEST: Duration = Duration::from_secs(300);
/// So long one is remembered that is gone and that the cloud names no more: twice as long each time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// About an hour.
const MOST_DOUBLINGS: u32 = 6;

/// What a decision about an interface needs of its past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// It has been there for a while, or was configured by Egret before.
    pub(crate) settled: bool,
    /// Somebody else has given it an address, or a default route of the host's.
    pub(crate) others: bool,
    /// Egret has repaired it again and again.
    pub(crate) contested: bool,
}

/// Interfaces by hardware address.
#[derive(Debug, Default)]
pub(crate) struct InterfaceHistory(BTreeMap<[u8; 6], SeenInterface>);

#[derive(Debug, Default)]
struct SeenInterface {
    /// It had an address of Egret's, and has been there since.
    ours: bool,
    others: bool,
    repairs: Vec<Instant>,
    absent_since: Option<Instant>,
    forgotten: u32,
}

impl InterfaceHistory {
    /// Takes note of one that is there; `primary` where a default route of the main table leaves by it.
    ///
    /// One that a manager has is not remembered for that: a manager has a link until it has decided that
    /// it does not want it.
    pub(crate) fn note_found(
        &mut self,
        found: &FoundInterface,
        primary: bool,
        placed: &PlacedAddresses,
    ) {
        let seen = self.0.entry(found.mac).or_default();
        (seen.absent_since, seen.forgotten) = (None, 0);
        let ours = found.addresses.iter().any(|address| address.ours);
        seen.ours |= ours;
        let given = primary || !foreign_addresses(found, placed).is_empty();
        seen.others |= given && !ours && found.manager.is_none();
    }

    /// Takes note of one that is not there: what comes back is a new one.
    pub(crate) fn note_absent(&mut self, mac: [u8; 6], now: Instant) {
        let seen = self.0.entry(mac).or_default();
        let since = seen.absent_since.unwrap_or(now);
        let forgotten = seen.forgotten;
        *seen = SeenInterface { absent_since: Some(since), forgotten, ..SeenInterface::default() };
    }

    /// Those that are not looked at may be given to others meanwhile.
    pub(crate) fn note_unwatched(&mut self, watched: impl Fn(&[u8; 6]) -> bool) {
        for (_, seen) in self.0.iter_mut().filter(|(mac, _)| !watched(mac)) {
            seen.ours = false;
        }
    }

    pub(crate) fn note_repair(&mut self, mac: [u8; 6], now: Instant) {
        let repairs = &mut self.0.entry(mac).or_default().repairs;
        repairs.retain(|repair| now.duration_since(*repair) < CONTEST);
        repairs.push(now);
    }

    pub(crate) fn is_ours(&self, mac: &[u8; 6]) -> bool {
        self.0.get(mac).is_some_and(|seen| seen.ours)
    }

    /// `aged` where it has been there for a while.
    pub(crate) fn past(&self, mac: &[u8; 6], aged: bool, now: Instant) -> Past {
        let Some(seen) = self.0.get(mac) else { return Past { settled: aged, ..Past::default() } };
        let recent = seen.repairs.iter().filter(|repair| now.duration_since(**repair) < CONTEST);
        let contested = recent.count() >= MOST_REPAIRS;
        Past { settled: aged || seen.ours, others: seen.others, contested }
    }

    /// Those of `unnamed` that have been gone for so long that they are not waited for any more.
    pub(crate) fn forget(
        &mut self,
        unnamed: impl Iterator<Item = [u8; 6]>,
        now: Instant,
    ) -> BTreeSet<[u8; 6]> {
        let gone = |mac: &[u8; 6]| {
            let Some(seen) = self.0.get_mut(mac) else { return false };
            let Some(since) = seen.absent_since else { return false };
            let patience = FORGOTTEN_AFTER * 2_u32.pow(seen.forgotten.min(MOST_DOUBLINGS));
            let forgotten = now.duration_since(since) >= patience;
            if forgotten {
                (seen.absent_since, seen.forgotten) = (None, seen.forgotten.saturating_add(1));
            }
            forgotten
        };
        unnamed.filter(gone).collect()
    }
}

/// Addresses that Egret did not give to the interface, without those that this host must not have.
pub(crate) fn foreign_addresses(found: &FoundInterface, placed: &PlacedAddresses) -> Vec<IpNet> {
    let foreign = found.addresses.iter().filter(|it| !it.ours).map(|it| it.address);
    foreign.filter(|it| !placed.contains_key(&it.addr())).collect()
}

#[cfg(test)]
mod tests {
    use egret_datapath::interface::{InterfaceAddress, LinkManager};

    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];

    /// With one address, which is Egret's or not, or none.
    fn found(ours: Option<bool>, manager: Option<LinkManager>) -> FoundInterface {
        let address = "10.0.1.201/24".parse().unwrap();
        let addresses = ours.map(|ours| InterfaceAddress { address, ours }).into_iter().collect();
        FoundInterface { name: "eth1".into(), index: 3, mac: MAC, up: true, addresses, manager }
    }

    /// After these looks; the flag says whether the host's default route leaves there.
    fn past(looks: &[(FoundInterface, bool)]) -> Past {
        let mut history = InterfaceHistory::default();
        for (found, primary) in looks {
            history.note_found(found, *primary, &PlacedAddresses::new());
        }
        history.past(&MAC, false, Instant::now())
    }

    #[test]
    fn what_lost_somebody_elses_address_is_still_theirs() {
        let bare = || (found(None, None), false);
        let theirs = Past { others: true, ..Past::default() };
        assert_eq!(past(&[(found(Some(false), None), false), bare()]), theirs);
        assert_eq!(past(&[(found(None, None), true), bare()]), theirs);
        // A manager that lets it go has decided so.
        let managed = |ours| (found(ours, Some(LinkManager::Networkd)), false);
        assert_eq!(past(&[managed(None), managed(Some(false)), bare()]), Past::default());
        let ours = Past { settled: true, ..Past::default() };
        assert_eq!(past(&[(found(Some(true), None), false), bare()]), ours);
        let placed = PlacedAddresses::from([(
            "10.0.1.201".parse().unwrap(),
            "203.0.113.17".parse().unwrap(),
        )]);
        let mut history = InterfaceHistory::default();
        history.note_found(&found(Some(false), None), false, &placed);
        assert!(!history.past(&MAC, true, Instant::now()).others);
    }

    #[test]
    fn what_comes_back_is_a_new_one() {
        let (mut history, now) = (InterfaceHistory::default(), Instant::now());
        history.note_found(&found(Some(false), None), false, &PlacedAddresses::new());
        history.note_absent(MAC, now);
        assert_eq!(history.past(&MAC, false, now), Past::default());
    }

    #[test]
    fn many_repairs_are_a_fight_until_the_first_of_them_is_long_ago() {
        let (mut history, begun) = (InterfaceHistory::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        for second in 0..4 {
            history.note_repair(MAC, at(second));
        }
        assert!(!history.past(&MAC, true, at(4)).contested);
        history.note_repair(MAC, at(4));
        assert!(history.past(&MAC, true, at(5)).contested);
        assert!(history.past(&MAC, true, at(299)).contested);
        assert!(!history.past(&MAC, true, at(300)).contested);
    }

    #[test]
    fn what_is_gone_is_forgotten_after_a_while_and_later_each_time() {
        let (mut history, begun) = (InterfaceHistory::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut forgotten = |second| {
            history.note_absent(MAC, at(second));
            !history.forget([MAC].into_iter(), at(second)).is_empty()
        };
        let looks = [0, 59, 60, 61, 180, 181].map(&mut forgotten);
        assert_eq!(looks, [false, false, true, false, false, true]);
        history.note_found(&found(None, None), false, &PlacedAddresses::new());
        assert!(history.forget([MAC].into_iter(), at(900)).is_empty(), "it is there");
    }
}
