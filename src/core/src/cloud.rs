//! What the leader knows of a cloud, and what it should do there next.
//!
//! A cloud is its own fence: it alone decides who has an address, and is told by the leader. So an
//! address is attached to its *holder* (who has the lease), gateways of its plan are made ready for
//! it, and when it is revoked it is taken off all of them before it is free.
//!
//! State: a [`Reconciler`], kept by the leader for its term. Always: one task of an address and one of a
//! gateway is under way at a time, so that providers need no locks for these; what failed is tried
//! again, for ever, when the reconciler says; nothing is done for an address that is paused.

mod desired;
mod outcome;
mod reconciler;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Attachment, NodeName, PoolName};

pub use desired::DesiredState;
pub use reconciler::Reconciler;
pub use task::{CloudTask, TaskFailure, TaskOutcome};

/// What a node can serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeCapacity {
    /// How many more addresses it can take; `u32::MAX` where nothing limits it.
    pub free: u32,
    /// The addresses asked for that its subnets or zone can serve.
    pub can_serve: BTreeSet<IpAddr>,
    /// For each of the others that were asked for why it cannot serve it, and what to do: for people.
    /// Empty where `refused` is the reason for all. Shared: thousands may have the same one, and a cloud's
    /// state is cloned as it changes.
    pub unserved: BTreeMap<IpAddr, Arc<str>>,
    /// Why it can serve none, and what to do; `None` where nothing is wrong with it.
    pub refused: Option<String>,
    /// The cloud's names of the subnets that its addresses are in. Empty where an address moves within a
    /// subnet no sooner than to another one.
    pub subnets: BTreeSet<String>,
}

impl NodeCapacity {
    /// Of a node with nothing wrong with it: `why` says what keeps an address from it, `None` where it
    /// can serve it.
    pub fn of(free: u32, asked: &BTreeSet<IpAddr>, why: impl Fn(IpAddr) -> Option<String>) -> Self {
        let mut capacity = Self { free, ..Self::default() };
        let mut reasons: BTreeSet<Arc<str>> = BTreeSet::new();
        for address in asked {
            match why(*address) {
                Some(why) => {
                    let known = reasons.get(why.as_str()).cloned();
                    let why = known.unwrap_or_else(|| Arc::from(why));
                    reasons.insert(why.clone());
                    capacity.unserved.insert(*address, why);
                }
                None => drop(capacity.can_serve.insert(*address)),
            }
        }
        capacity
    }
}

/// What the leader knows of a cloud. Lost with its term: the next one reads it anew, and until then
/// the statuses of the addresses count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudState {
    /// It has been read as a whole.
    pub observed: bool,
    /// The addresses that the gateways' offers speak of.
    pub asked: BTreeSet<IpAddr>,
    /// Where it delivers each address.
    pub attached: BTreeMap<IpAddr, Attachment>,
    /// Where it has accepted to deliver an address in this term, and is not seen to do so yet.
    pub accepted: BTreeMap<IpAddr, Attachment>,
    /// What is ready at each gateway.
    pub prepared: BTreeMap<NodeName, BTreeMap<IpAddr, Attachment>>,
    /// What each gateway can serve; one that the cloud does not know is absent.
    pub capacities: BTreeMap<NodeName, NodeCapacity>,
    /// What was found by the tags of a pool.
    pub found: BTreeMap<PoolName, BTreeSet<IpAddr>>,
    /// Of a pool for which nothing was found: the provider's word on that, for people.
    pub nothing_found: BTreeMap<PoolName, String>,
    /// Why a pool's addresses could not be found.
    pub not_found: BTreeMap<PoolName, String>,
    /// Why an address is not where it should be.
    pub faults: BTreeMap<IpAddr, String>,
    /// Why a gateway cannot be made ready for an address.
    pub refused: BTreeMap<(NodeName, IpAddr), String>,
    /// Why a gateway could not be made ready for anything.
    pub unready: BTreeMap<NodeName, String>,
    /// Revoked addresses that have been taken off every gateway.
    pub gone: BTreeSet<IpAddr>,
    /// Why the cloud could not be read the last time.
    pub read_error: Option<String>,
}

impl CloudState {
    /// Where each gateway is ready for `address`, in order of name.
    pub fn prepared_for(&self, address: IpAddr) -> Vec<Attachment> {
        self.prepared.values().filter_map(|ready| ready.get(&address)).cloned().collect()
    }

    /// Whether `node` can serve `address`; `None` where that is not known (yet).
    pub fn can_serve(&self, node: &NodeName, address: IpAddr) -> Option<bool> {
        if !self.asked.contains(&address) {
            return None;
        }
        let refused = self.refused.contains_key(&(node.clone(), address));
        let offer = self.capacities.get(node);
        Some(!refused && offer.is_some_and(|offer| offer.can_serve.contains(&address)))
    }

    /// What keeps `address` from `node`, by the cloud's word; `None` where nothing does, or that is not
    /// known (yet).
    pub fn why_not(&self, node: &NodeName, address: IpAddr) -> Option<&str> {
        let refused = self.refused.get(&(node.clone(), address)).map(String::as_str);
        let offer = self.capacities.get(node);
        let unserved = || offer?.unserved.get(&address).map(AsRef::as_ref);
        refused.or_else(|| offer?.refused.as_deref()).or_else(unserved)
    }

    /// Whether `node` has the address, or is ready for it.
    pub fn is_at(&self, node: &NodeName, address: IpAddr) -> bool {
        let ready = self.prepared.get(node).is_some_and(|ready| ready.contains_key(&address));
        ready || self.attached.get(&address).is_some_and(|at| at.node == *node)
    }
}

/// Who has it, by the names of the cloud.
pub(crate) fn attached_message(at: &Attachment) -> String {
    let interface = at.interface.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let wire = at.wire.map(|wire| format!(", {wire} on the wire")).unwrap_or_default();
    format!("attached to {}{interface}{wire}", at.node)
}

#[cfg(test)]
mod tests;
