//! Whether a pool's addresses lie evenly on its gateways, and the one move that makes them more even.
//!
//! Always: a move takes an address from a gateway to one that owns at least two fewer of the pool, so the
//! sum of the squares of what gateways own falls with each, and it comes to rest. Nothing is decided by
//! what a leader remembers but how long a gateway has been fit, so a new leader only delays.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::holder_reach::HolderReach;
use crate::memory::LeaderMemory;
use crate::model::{
    AddressPlan, ConditionType, NodeName, PoolName, RebalanceMove, Snapshot, Timestamp,
};
use crate::rendezvous;

use super::gateways::{EligibleGateways, Ineligible};
use super::loads::Loads;
use super::rules::{
    FAILBACK_AFTER, REBALANCE_EVERY, REBALANCE_SAME_AFTER, UNREACHED_FOR, is_fixed,
};

/// How evenly the addresses of a pool that is rebalanced lie on its gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// No move makes it more even.
    Even,
    /// This move is made at its time, and in a cloud once it has made the gateway ready.
    Intended(RebalanceMove),
    /// A move would make it more even, and nothing is moved for that now.
    HeldBack(HeldBack),
}

/// Why nothing is moved for evenness.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeldBack {
    /// An address is on its way to its owner, or about to be.
    Moving(IpAddr, NodeName),
    /// A gateway of the pool is absent.
    Absent(NodeName),
    /// A gateway of the pool is drained or cordoned, or leaves.
    Drained(NodeName),
    /// A network interface of a gateway of the pool cannot carry addresses.
    InterfaceUnusable(NodeName),
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moving(address, owner) => write!(f, "{address} is on its way to {owner}"),
            Self::Absent(node) => write!(f, "{node} is absent"),
            Self::Drained(node) => write!(f, "{node} is drained, cordoned or leaves"),
            Self::InterfaceUnusable(node) => {
                write!(f, "a network interface of {node} cannot carry addresses")
            }
        }
    }
}

/// All that a rebalancing depends on.
pub(super) struct Rebalancer<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) memory: &'a LeaderMemory,
    pub(super) now: Timestamp,
    pub(super) gateways: &'a EligibleGateways<'a>,
    pub(super) loads: &'a Loads,
    /// What moves in this plan already, or waits for a cloud to.
    pub(super) busy: &'a BTreeSet<IpAddr>,
}

impl Rebalancer<'_> {
    /// How evenly the addresses of each pool lie that is rebalanced and not paused. At most one move of all
    /// pools is due: its time has come.
    pub(super) fn judge(
        &self,
        plans: &BTreeMap<IpAddr, AddressPlan>,
    ) -> BTreeMap<PoolName, Balance> {
        let mut balances = BTreeMap::new();
        let mut by_pool: BTreeMap<&PoolName, Vec<(IpAddr, &AddressPlan)>> = BTreeMap::new();
        for (address, plan) in plans {
            by_pool.entry(&plan.pool).or_default().push((*address, plan));
        }
        let moving = self.moving(plans);
        let mut due: Option<HeldBack> = None;
        for (name, stored) in &self.snapshot.pools {
            let pool = &stored.value.0;
            if !pool.rebalances || pool.paused {
                continue;
            }
            let of_pool = by_pool.get(name).map(Vec::as_slice).unwrap_or_default();
            let balance = match self.best(name, of_pool, plans) {
                None => Balance::Even,
                // One at a time: what is due in another pool goes first.
                Some(found) => match self.obstacle(name).or(moving.clone()).or(due.clone()) {
                    Some(obstacle) => Balance::HeldBack(obstacle),
                    None => Balance::Intended(found),
                },
            };
            if let Balance::Intended(found) = &balance
                && found.not_before <= self.now
            {
                due = Some(HeldBack::Moving(found.address, found.to.clone()));
            }
            balances.insert(name.clone(), balance);
        }
        balances
    }

    /// An address that is on its way to its owner.
    fn moving(&self, plans: &BTreeMap<IpAddr, AddressPlan>) -> Option<HeldBack> {
        plans.iter().find_map(|(address, plan)| {
            let holding = self.snapshot.addresses.get(address)?.value.status.holding.as_ref()?;
            let owner = plan.owner.as_ref().filter(|owner| **owner != holding.node)?;
            let stays = is_fixed(self.gateways, plan);
            (!stays).then(|| HeldBack::Moving(*address, owner.clone()))
        })
    }

    /// What is going on among the gateways of the pool.
    fn obstacle(&self, pool: &PoolName) -> Option<HeldBack> {
        let pool = &self.snapshot.pools.get(pool)?.value.0;
        let selected = self.snapshot.nodes.iter();
        let mut selected = selected.filter(|(_, node)| pool.gateways.matches(&node.labels));
        selected.find_map(|(name, node)| match self.gateways.unfit(name) {
            Some(Ineligible::Absent) => Some(HeldBack::Absent(name.clone())),
            Some(Ineligible::Drained) => Some(HeldBack::Drained(name.clone())),
            _ if node.cordoned => Some(HeldBack::Drained(name.clone())),
            None if self.gateways.lacks_interface(name) => {
                Some(HeldBack::InterfaceUnusable(name.clone()))
            }
            _ => None,
        })
    }

    /// The move that makes the pool most even of those that may be made first.
    fn best(
        &self,
        pool: &PoolName,
        of_pool: &[(IpAddr, &AddressPlan)],
        plans: &BTreeMap<IpAddr, AddressPlan>,
    ) -> Option<RebalanceMove> {
        let least = self.gateways.fit(pool).map(|at| self.loads.of_pool(pool, at)).min()?;
        // A time to come is of a clock that was wrong.
        let past = |at: &Timestamp| *at <= self.now;
        let last = plans.values().filter_map(|plan| plan.rebalanced_at).filter(past).max();
        let unreached = self.unreached(plans);
        let any = last.map_or(Timestamp::default(), |last| last + REBALANCE_EVERY);
        let mut best: Option<(MoveOrder, RebalanceMove)> = None;
        for (address, plan) in of_pool {
            let Some(owner) = plan.owner.as_ref() else { continue };
            let Some(from) = self.gateways.position(owner) else { continue };
            if self.loads.of_pool(pool, from) < least + 2 || !self.may_move(*address, plan) {
                continue;
            }
            for to in self.gateways.serving(pool, *address) {
                if unreached.contains(&to) {
                    continue;
                }
                let Some((order, at)) = self.order(plan, *address, from, to, any) else { continue };
                let Some(gateway) = self.gateways.get(to) else { continue };
                if best.as_ref().is_none_or(|(known, _)| order < *known) {
                    let (from, to) = (owner.clone(), gateway.name.clone());
                    let found = RebalanceMove { address: *address, from, to, not_before: at };
                    best = Some((order, found));
                }
            }
        }
        best.map(|(_, found)| found)
    }

    /// The gateways that some director does not reach, or did not when addresses were moved off them: nobody
    /// asks for one that holds nothing.
    fn unreached(&self, plans: &BTreeMap<IpAddr, AddressPlan>) -> BTreeSet<usize> {
        let moved = plans.values().filter_map(|plan| plan.moved_off.as_ref());
        let lately = moved.filter(|moved| self.now.since(moved.at) < UNREACHED_FOR);
        let now = HolderReach::new(self.snapshot, self.now);
        let nodes = lately.map(|moved| &moved.node).chain(now.unreached());
        nodes.filter_map(|node| self.gateways.position(node)).collect()
    }

    /// Whether nothing speaks against moving this address, but for time.
    fn may_move(&self, address: IpAddr, plan: &AddressPlan) -> bool {
        let Some(stored) = self.snapshot.addresses.get(&address) else { return false };
        let status = &stored.value.status;
        let conflict = status
            .conditions
            .iter()
            .any(|known| known.kind == ConditionType::Conflict && known.status);
        let is_settled = status.holding.is_some()
            && status.holding == plan.made_for
            && status.holding.as_ref().map(|holding| &holding.node) == plan.owner.as_ref();
        is_settled
            && !conflict
            && plan.end.is_none()
            && plan.preferred_node.is_none()
            && !is_fixed(self.gateways, plan)
            && !self.busy.contains(&address)
    }

    /// Where the move stands among others, and when it may be made; `None` where it makes nothing more
    /// even. Before `any` none may.
    fn order(
        &self,
        plan: &AddressPlan,
        address: IpAddr,
        from: usize,
        to: usize,
        any: Timestamp,
    ) -> Option<(MoveOrder, Timestamp)> {
        let (pool, loads) = (&plan.pool, self.loads);
        let difference = loads.of_pool(pool, from).checked_sub(loads.of_pool(pool, to))?;
        let of_claim = loads.of_claim(plan, address);
        let apart = of_claim(to) < of_claim(from);
        if difference < 2 || !apart || !loads.has_room(self.gateways, pool, address, to) {
            return None;
        }
        let gateway = self.gateways.get(to)?;
        let fit = *self.memory.fit_since.get(gateway.name)? + FAILBACK_AFTER;
        let again = plan
            .rebalanced_at
            .filter(|at| *at <= self.now)
            .map_or(any, |at| at + REBALANCE_SAME_AFTER);
        let at = any.max(fit).max(again);
        let weight = rendezvous::weight(rendezvous::seed(address), gateway.seed);
        let order = MoveOrder {
            // Of those that are due now, time says nothing.
            at: if at <= self.now { Timestamp::default() } else { at },
            difference: Reverse(difference),
            of_claim: (of_claim(to), Reverse(of_claim(from))),
            is_stranger: !plan.standbys.contains(gateway.name),
            total: loads.total(to),
            weight: Reverse(weight),
            last: (address, to),
        };
        Some((order, at))
    }
}

/// Which of several moves is made: the least.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct MoveOrder {
    at: Timestamp,
    difference: Reverse<usize>,
    of_claim: (usize, Reverse<usize>),
    is_stranger: bool,
    total: usize,
    weight: Reverse<u64>,
    last: (IpAddr, usize),
}

#[cfg(test)]
mod tests;
