//! What this process has done lately, and what it does not know the outcome of.
//!
//! EC2's API is eventually consistent: for some seconds after a change a read may show what was
//! before it, and the next read the change, and the next one not. So the answer to a call counts
//! for a while, whatever reads say; and a call without an answer makes reads of its address prove
//! nothing for as long. Written by [`crate::Aws`] alone, in memory alone: who has forgotten it (a
//! new leader) repeats a call at worst, and every call can be repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use egret_core::model::NodeName;
use tokio::time::Instant;

use crate::view::{Effect, View};

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
    effects: BTreeMap<IpAddr, (Instant, Effect)>,
    doubts: BTreeMap<IpAddr, (Instant, Doubt)>,
    /// Wire addresses by egress address and node: assigned or adopted for them, not known gone.
    wires: BTreeMap<(IpAddr, NodeName), BTreeSet<Ipv4Addr>>,
    /// Interfaces that were asked for addresses of EC2's choice, without an answer.
    pending: BTreeMap<String, Vec<Instant>>,
    /// Those of them whose answers somebody waits for.
    in_flight: BTreeSet<String>,
    /// Interfaces that EC2 called full, with the slots in use then.
    full: BTreeMap<String, u32>,
}

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
        }
    }

    /// Addresses of EC2's choice are about to be asked for.
    pub fn begin_any(&mut self, interface: &str) -> Instant {
        let now = Instant::now();
        self.pending.entry(interface.into()).or_default().push(now);
        self.in_flight.insert(interface.into());
        now
    }

    /// Nobody waits for that any more; where it was `answered`, nothing appears any more. On one
    /// interface there is one at a time.
    pub fn end_any(&mut self, interface: &str, begun: Instant, answered: bool) {
        self.in_flight.remove(interface);
        if !answered {
            return;
        }
        if let Some(begins) = self.pending.get_mut(interface)
            && let Some(place) = begins.iter().position(|at| *at == begun)
        {
            begins.remove(place);
        }
    }

    /// Interfaces at which addresses appear that somebody waits for.
    pub fn in_flight(&self) -> &BTreeSet<String> {
        &self.in_flight
    }

    /// Interfaces at which addresses may appear.
    pub fn pending(&self) -> BTreeSet<String> {
        let young = |begins: &&Vec<Instant>| begins.iter().any(|at| at.elapsed() < self.horizon);
        let young = self.pending.iter().filter(|(_, begins)| young(begins));
        young.map(|(id, _)| id.clone()).collect()
    }

    /// All doubts.
    pub fn doubts(&self) -> BTreeMap<IpAddr, Doubt> {
        let young = self.doubts.iter().filter(|(_, (since, _))| since.elapsed() < self.horizon);
        young.map(|(address, (_, doubt))| (*address, *doubt)).collect()
    }

    /// A call is about to be made: until it has an answer, nobody knows.
    pub fn begin(&mut self, address: IpAddr, doubt: Doubt) {
        self.doubts.insert(address, (Instant::now(), doubt));
    }

    /// The call was refused: nothing has changed by it.
    pub fn refused(&mut self, address: IpAddr, before: Option<(Instant, Doubt)>) {
        match before {
            Some(before) => drop(self.doubts.insert(address, before)),
            None => drop(self.doubts.remove(&address)),
        }
    }

    /// The doubt about an address with its age; `None` where reads can be believed.
    pub fn doubt(&self, address: IpAddr) -> Option<(Instant, Doubt)> {
        self.doubts.get(&address).copied().filter(|(since, _)| since.elapsed() < self.horizon)
    }

    /// It is so: the call was answered, or a read showed it.
    pub fn note(&mut self, effect: Effect) {
        let address = effect.address();
        self.doubts.remove(&address);
        if effect.is_private() {
            // Its mapping has gone along or ended: what was known of that is moot.
            self.effects.retain(|_, (_, known)| match known {
                Effect::Associated { association, .. } => association.private != address,
                _ => true,
            });
        }
        if let Effect::Nowhere { address: IpAddr::V4(address) } = effect {
            for wires in self.wires.values_mut() {
                wires.remove(&address);
            }
            self.wires.retain(|_, wires| !wires.is_empty());
        }
        self.effects.insert(address, (Instant::now(), effect));
    }

    /// `read` with what is known to be so since.
    pub fn replay(&mut self, read: &View) -> View {
        self.effects.retain(|_, (at, _)| at.elapsed() < self.horizon);
        self.doubts.retain(|_, (since, _)| since.elapsed() < self.horizon);
        for begins in self.pending.values_mut() {
            begins.retain(|at| at.elapsed() < self.horizon);
        }
        self.pending.retain(|_, begins| !begins.is_empty());
        let mut view = read.clone();
        let effects = self.effects.values().map(|(_, effect)| effect);
        let (private, public): (Vec<_>, Vec<_>) = effects.partition(|effect| effect.is_private());
        for effect in private.into_iter().chain(public) {
            view.apply(effect);
        }
        self.full.retain(|id, used| {
            view.interfaces.get(id).is_some_and(|interface| interface.used(true) >= *used)
        });
        view
    }

    /// `wire` is `address`'s at `node`, and nobody else's.
    pub fn claim(&mut self, address: Ipv4Addr, node: &NodeName, wire: Ipv4Addr) {
        let address = IpAddr::from(address);
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

    /// Whether EC2 has said so, and no read has shown room since.
    pub fn full(&self) -> BTreeSet<String> {
        self.full.keys().cloned().collect()
    }
}
