use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::rebalance::Balance;
use super::rules::MoveReason;
use crate::model::{NodeName, PoolName};

/// What placement has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacementChanges {
    /// What moved and why.
    pub moved: BTreeMap<IpAddr, MoveReason>,
    /// What moves to which node once the cloud has made it ready there; until then it is a standby.
    pub awaited: BTreeMap<IpAddr, NodeName>,
    /// What must leave an owner for a gateway that is not ready: whether it still waits for that, as
    /// most do for [`READY_WITHIN`](super::READY_WITHIN), or moves since the wait is over.
    pub timed: BTreeSet<IpAddr>,
    /// How evenly the addresses of each pool lie that is rebalanced.
    pub balances: BTreeMap<PoolName, Balance>,
}

impl PlacementChanges {
    /// What is on its way to another owner, or waits for its cloud to go there. What was adopted is where
    /// it belongs.
    pub(super) fn busy(&self) -> BTreeSet<IpAddr> {
        let moved = self.moved.iter().filter(|(_, why)| **why != MoveReason::Adopted);
        let moved = moved.map(|(address, _)| address);
        moved.chain(self.awaited.keys()).copied().collect()
    }
}
