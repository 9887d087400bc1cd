//! What this process has done lately, and what it does not know the outcome of.
//!
//! EC2's API is eventually consistent: for some seconds after a change a read may show what was
//! before it, and the next read the change, and the next one not. So the answer to a call counts
//! for a while, whatever reads say; and a call without an answer makes reads of its address prove
//! nothing for as long. Written by the call driver alone, in memory alone: who has forgotten it (a
//! new leader) repeats a call at worst, and every call can be repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use egret_core::model::NodeName;
use tokio::time::Instant;

use crate::snapshot::{CallEffect, Ec2Snapshot};

/// No read is decided by that began longer ago: a task that moves one address gives up before.
const OLDEST_READ: Duration = Duration::from_secs(300);

/// What may have happened to an address unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// A private address has moved to an interface of ours, or not.
    Moved,
    /// A private address has been given back, and may be anybody's, or not.
    Gone,
    /// An Elastic IP has been associated or disassociated, or not.
    Mapped,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal {
    horizon: Duration,
    effects: BTreeMap<IpAddr, (Instant, CallEffect)>,
    doubts: BTreeMap<IpAddr, (Instant, Doubt)>,
    /// Wire addresses by egress address and node: assigned or adopted for them, not known gone.
    wires: BTreeMap<(IpAddr, NodeName), BTreeSet<Ipv4Addr>>,
    /// Interfaces that were asked for addresses of EC2's choice, without an answer.
    pending: BTreeMap<String, Vec<Instant>>,
    /// Those of them whose answers somebody waits for.
    in_flight: BTreeSet<String>,
    /// Interfaces that EC2 called full, with the slots in use then.
    full: BTreeMap<String, u32>,
    /// What calls are about to fill, so that not all choose the interface that has room for one.
    reserved: BTreeSet<Slot>,
    /// When something about an address became known last: what was decided before may not hold.
    touched: BTreeMap<IpAddr, Instant>,
}

/// Room for an address on an interface: with the address that it is for.
pub(crate) type Slot = (String, IpAddr);

impl Journal {
    pub fn new(horizon: Duration) -> Self {
        Self {
            horizon,
            effects: BTreeMap::new(),
            doubts: BTreeMap::new(),
            wires: BTreeMap::new(),
            pending: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            full: BTreeMap::new(),
            reserved: BTreeSet::new(),
            touched: BTreeMap::new(),
        }
    }

    /// Addresses of EC2's choice are about to be asked for.
    pub fn begin_any(&mut self, interface: &str) -> Instant {
        let now = Instant::now();
        self.pending.entry(interface.into()).or_default().push(now);
        self.in_flight.insert(interface.into());
        now
    }

    /// Nobody waits for that any more; where it was `answered`, nothing appears any more, and else
    /// as late as now. On one interface there is one at a time.
    pub fn end_any(&mut self, interface: &str, begun: Instant, answered: bool) {
        self.in_flight.remove(interface);
        if let Some(begins) = self.pending.get_mut(interface)
            && let Some(place) = begins.iter().position(|at| *at == begun)
        {
            begins.remove(place);
            if !answered {
                begins.push(Instant::now());
            }
        }
    }

    /// Interfaces at which addresses appear that somebody waits for.
    pub fn in_flight(&self) -> &BTreeSet<String> {
        &self.in_flight
    }

    /// Whether a read that began at `read` may not show what was done at `done`: only when the read
    /// began counts, however late it is looked at.
    fn hides(&self, read: Instant, done: Instant) -> bool {
        read < done + self.horizon
    }

    /// Interfaces at which addresses may have appeared unseen by a read that began at `read`.
    pub fn pending(&self, read: Instant) -> BTreeSet<String> {
        let hidden = |begins: &&Vec<Instant>| begins.iter().any(|at| self.hides(read, *at));
        let hidden = self.pending.iter().filter(|(_, begins)| hidden(begins));
        hidden.map(|(id, _)| id.clone()).collect()
    }

    /// All that a read that began at `read` does not prove.
    pub fn doubts(&self, read: Instant) -> BTreeMap<IpAddr, Doubt> {
        let hidden = self.doubts.iter().filter(|(_, (since, _))| self.hides(read, *since));
        hidden.map(|(address, (_, doubt))| (*address, *doubt)).collect()
    }

    /// A call is about to be made: until it has an answer, nobody knows.
    pub fn begin(&mut self, address: IpAddr, doubt: Doubt) {
        self.touch(address);
        self.doubts.insert(address, (Instant::now(), doubt));
    }

    fn touch(&mut self, address: IpAddr) {
        self.touched.insert(address, Instant::now());
    }

    /// Whether what was `decided` about these addresses then still holds: nothing has become known since.
    pub fn is_untouched(&self, addresses: &[IpAddr], decided: Instant) -> bool {
        let touched = |address| self.touched.get(address).is_some_and(|at| *at >= decided);
        !addresses.iter().any(touched)
    }

    /// The call was refused: nothing has changed by it.
    pub fn refused(&mut self, address: IpAddr, before: Option<(Instant, Doubt)>) {
        match before {
            Some(before) => drop(self.doubts.insert(address, before)),
            None => drop(self.doubts.remove(&address)),
        }
    }

    /// The doubt about an address, with since when.
    pub fn doubt(&self, address: IpAddr) -> Option<(Instant, Doubt)> {
        self.doubts.get(&address).copied()
    }

    /// It is so: the call was answered, or a read showed it.
    pub fn note(&mut self, effect: CallEffect) {
        let address = effect.address();
        self.touch(address);
        if let CallEffect::Associated { association, .. } = &effect {
            self.touch(association.private.into());
        }
        self.doubts.remove(&address);
        if effect.is_private() {
            // Its mapping has gone along or ended: what was known of that is moot.
            self.effects.retain(|_, (_, known)| match known {
                CallEffect::Associated { association, .. } => association.private != address,
                _ => true,
            });
        }
        if let CallEffect::Nowhere { address: IpAddr::V4(address) } = effect {
            for wires in self.wires.values_mut() {
                wires.remove(&address);
            }
            self.wires.retain(|_, wires| !wires.is_empty());
        }
        self.effects.insert(address, (Instant::now(), effect));
    }

    /// What a read that began at `began` has shown, with what it may not show yet.
    pub fn replay(&mut self, began: Instant, read: &Ec2Snapshot) -> Ec2Snapshot {
        self.forget();
        let mut view = read.clone();
        let hidden = self.effects.values().filter(|(at, _)| self.hides(began, *at));
        let effects = hidden.map(|(_, effect)| effect);
        let (private, public): (Vec<_>, Vec<_>) = effects.partition(|effect| effect.is_private());
        for effect in private.into_iter().chain(public) {
            view.apply(effect);
        }
        self.full.retain(|id, used| {
            view.interfaces.get(id).is_some_and(|interface| interface.used(true) >= *used)
        });
        view
    }

    /// What no read that anybody still decides by can hide.
    fn forget(&mut self) {
        let kept = self.horizon + OLDEST_READ;
        self.effects.retain(|_, (at, _)| at.elapsed() < kept);
        self.doubts.retain(|_, (since, _)| since.elapsed() < kept);
        self.touched.retain(|_, at| at.elapsed() < kept);
        for begins in self.pending.values_mut() {
            begins.retain(|at| at.elapsed() < kept);
        }
        self.pending.retain(|_, begins| !begins.is_empty());
    }

    /// `wire` is `address`'s at `node`, and nobody else's.
    pub fn claim(&mut self, address: Ipv4Addr, node: &NodeName, wire: Ipv4Addr) {
        let address = IpAddr::from(address);
        self.touch(address);
        self.touch(wire.into());
        for wires in self.wires.values_mut() {
            wires.remove(&wire);
        }
        self.wires.retain(|_, wires| !wires.is_empty());
        self.wires.entry((address, node.clone())).or_default().insert(wire);
    }

    /// All wire addresses, by egress address and node.
    pub fn wires(&self) -> &BTreeMap<(IpAddr, NodeName), BTreeSet<Ipv4Addr>> {
        &self.wires
    }

    /// EC2 says that the interface has no room, with so many slots in use.
    pub fn mark_full(&mut self, interface: &str, used: u32) {
        self.full.insert(interface.into(), used);
    }

    /// A call is about to fill these.
    pub fn reserve(&mut self, slots: BTreeSet<Slot>) {
        self.reserved.extend(slots);
    }

    /// It has filled them, or will not.
    pub fn release(&mut self, slots: &BTreeSet<Slot>) {
        self.reserved.retain(|slot| !slots.contains(slot));
    }

    /// How many slots of each interface are about to be filled by others than who has reserved `own`, beside
    /// what `view` shows there.
    pub fn reserved(&self, own: &BTreeSet<Slot>, view: &Ec2Snapshot) -> BTreeMap<String, u32> {
        let mut count = BTreeMap::new();
        for (id, address) in self.reserved.difference(own) {
            if !view.interfaces.get(id).is_some_and(|interface| interface.has(*address)) {
                *count.entry(id.clone()).or_default() += 1;
            }
        }
        count
    }

    /// Whether EC2 has said so, and no read has shown room since.
    pub fn full(&self) -> BTreeSet<String> {
        self.full.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HORIZON: Duration = Duration::from_millis(300);

    #[tokio::test(start_paused = true)]
    async fn what_a_read_may_not_show_is_counted_from_when_it_began() {
        let address: IpAddr = "10.0.1.70".parse().unwrap();
        let mut journal = Journal::new(HORIZON);
        let before = Instant::now();
        journal.begin(address, Doubt::Gone);
        journal.begin_any("eni-1");
        tokio::time::sleep(HORIZON * 3).await;
        assert_eq!(
            journal.doubts(before),
            [(address, Doubt::Gone)].into(),
            "the read is an old one"
        );
        assert_eq!(journal.pending(before), ["eni-1".to_owned()].into());
        assert!(journal.doubts(Instant::now()).is_empty(), "a new read proves it");
        assert!(journal.pending(Instant::now()).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_decided_before_a_wire_address_was_claimed_does_not_hold() {
        let mut journal = Journal::new(HORIZON);
        let [wire, other] = [[10, 0, 1, 70], [10, 0, 1, 71]].map(Ipv4Addr::from);
        let decided = Instant::now();
        assert!(journal.is_untouched(&[wire.into(), other.into()], decided));
        journal.claim([203, 0, 113, 17].into(), &"a".into(), wire);
        assert!(!journal.is_untouched(&[other.into(), wire.into()], decided));
        assert!(journal.is_untouched(&[other.into()], decided));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(journal.is_untouched(&[wire.into()], Instant::now()), "it was known");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_over_a_read_that_began_before_it_however_late_that_is_used() {
        let mut journal = Journal::new(HORIZON);
        let (read, began) = (Ec2Snapshot::default(), Instant::now());
        let public: Ipv4Addr = "203.0.113.17".parse().unwrap();
        let mut shown = read.clone();
        shown.elastic.insert(public, crate::snapshot::Elastic::default());
        let association = crate::snapshot::Association {
            id: "eipassoc-1".to_owned(),
            interface: "eni-1".to_owned(),
            private: "10.0.1.70".parse().unwrap(),
        };
        journal.note(CallEffect::Associated { public, association: association.clone() });
        tokio::time::sleep(HORIZON * 3).await;
        let of = |view: Ec2Snapshot| view.elastic[&public].association.clone();
        assert_eq!(of(journal.replay(began, &shown)), Some(association));
        assert_eq!(of(journal.replay(Instant::now(), &shown)), None);
    }
}
