//! Addresses of a cloud: the fabric is the fence, and is moved by the leading controller
//! (docs/design.md decision 9).
//!
//! Always: a node that the fabric delivers to forwards, whoever has the lease; a new holder is
//! named to directors only once the fabric delivers to it, since what it sends before is dropped
//! there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::machine::{Machine, Out};
use super::timing::MS;
use super::{AddressView, Message, Now, size};
use crate::model::NodeName;

/// How long standbys wait for a holder that restarts. Longer than an agent takes to come back, and
/// shorter than what a person would notice as an outage of a node that does not.
const RESTART: u64 = 6_000 * MS;

impl AddressView {
    /// The fabric delivers to `node`, and is the fence.
    pub(super) fn delivers_to(&self, node: &NodeName) -> bool {
        self.unarmed && self.attached.as_ref() == Some(node)
    }

    /// Whether directors may be told that `node` holds it.
    pub(super) fn may_announce(&self, node: &NodeName) -> bool {
        !self.unarmed || self.delivers_to(node)
    }
}

impl Machine {
    pub(super) fn is_unarmed(&self, address: IpAddr) -> bool {
        self.plan(address).is_some_and(|plan| plan.unarmed)
    }

    pub(super) fn may_announce(&self, address: IpAddr) -> bool {
        self.plan(address).is_none_or(|plan| plan.may_announce(&self.config.me))
    }

    /// A holder that stops hands nothing over in a cloud, since every move costs calls there: it
    /// asks its standbys to wait for it. Its kernel goes on forwarding meanwhile.
    pub(super) fn ask_to_wait(&self, out: &mut Out) {
        let mut told: BTreeMap<NodeName, Vec<IpAddr>> = BTreeMap::new();
        for (address, entry) in &self.addresses {
            let Some(plan) = self.plan(*address).filter(|plan| plan.unarmed) else { continue };
            if entry.holder().is_none() {
                continue;
            }
            for node in plan.ranks().filter(|node| **node != self.config.me) {
                told.entry(node.clone()).or_default().push(*address);
            }
        }
        for (node, addresses) in told {
            for piece in size::pieces(addresses) {
                out.send(&node, Message::Wait(piece));
            }
        }
    }

    /// A hint: no lease rests on it. Only the holder that this node knows is waited for.
    pub(super) fn on_wait(&mut self, now: Now, from: &NodeName, addresses: &[IpAddr]) {
        for address in addresses {
            if !self.is_unarmed(*address) {
                continue;
            }
            let Some(entry) = self.addresses.get_mut(address) else { continue };
            if entry.known.as_ref().is_some_and(|known| known.node == *from) {
                entry.heard = Some(now.boot.0 + RESTART);
            }
        }
    }
}
