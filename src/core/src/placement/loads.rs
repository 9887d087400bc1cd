use std::collections::BTreeMap;
use std::net::IpAddr;

use super::gateways::EligibleGateways;
use crate::model::{AddressPlan, ClaimRef, Family, PoolName};

/// How many addresses nodes own, by position among the gateways.
pub(super) struct Loads {
    total: Vec<usize>,
    by_pool: BTreeMap<PoolName, Vec<usize>>,
    /// How many of a claim's addresses of one family each node owns.
    of_claim: BTreeMap<(ClaimRef, Family), BTreeMap<usize, usize>>,
    /// Addresses that a cloud has yet to bring to the node, as owner or standby.
    arriving: Vec<usize>,
}

impl Loads {
    /// So many nodes, none of which owns anything.
    pub(super) fn none(nodes: usize) -> Self {
        let (by_pool, of_claim) = (BTreeMap::new(), BTreeMap::new());
        Self { total: vec![0; nodes], by_pool, of_claim, arriving: vec![0; nodes] }
    }

    pub(super) fn add(
        &mut self,
        gateways: &EligibleGateways<'_>,
        plan: &AddressPlan,
        address: IpAddr,
        node: usize,
    ) {
        let pool = &plan.pool;
        self.reserve(gateways, pool, address, node);
        let claim = (plan.claim.clone(), Family::of(address));
        *self.of_claim.entry(claim).or_default().entry(node).or_default() += 1;
        let nodes = self.total.len();
        if let Some(total) = self.total.get_mut(node) {
            *total += 1;
        }
        if !self.by_pool.contains_key(pool) {
            self.by_pool.insert(pool.clone(), vec![0; nodes]);
        }
        if let Some(load) = self.by_pool.get_mut(pool).and_then(|pool| pool.get_mut(node)) {
            *load += 1;
        }
    }

    /// Takes back what [`Loads::add`] has counted of an owner that a cloud has the address at.
    pub(super) fn take(&mut self, plan: &AddressPlan, address: IpAddr, node: usize) {
        let claim = (plan.claim.clone(), Family::of(address));
        let of_claim = self.of_claim.get_mut(&claim).and_then(|owners| owners.get_mut(&node));
        let of_pool = self.by_pool.get_mut(&plan.pool).and_then(|pool| pool.get_mut(node));
        for count in of_claim.into_iter().chain(of_pool).chain(self.total.get_mut(node)) {
            *count = count.saturating_sub(1);
        }
    }

    /// How many addresses of the pool a node owns.
    pub(super) fn of_pool(&self, pool: &PoolName, node: usize) -> usize {
        self.by_pool.get(pool).and_then(|pool| pool.get(node)).copied().unwrap_or(0)
    }

    /// Counts what the node's cloud has to make room for.
    pub(super) fn reserve(
        &mut self,
        gateways: &EligibleGateways<'_>,
        pool: &PoolName,
        address: IpAddr,
        node: usize,
    ) {
        let there = gateways.room_in_cloud(pool, node, address).is_none_or(|(_, there)| there);
        if let (false, Some(arriving)) = (there, self.arriving.get_mut(node)) {
            *arriving += 1;
        }
    }

    pub(super) fn total(&self, node: usize) -> usize {
        self.total.get(node).copied().unwrap_or(0)
    }

    /// How many addresses of the same claim and family a node owns.
    pub(super) fn of_claim(&self, plan: &AddressPlan, address: IpAddr) -> impl Fn(usize) -> usize {
        let owners = self.of_claim.get(&(plan.claim.clone(), Family::of(address)));
        move |node| owners.and_then(|owners| owners.get(&node)).copied().unwrap_or(0)
    }

    /// Whether the node may own one more address of the pool, and its cloud has room for it.
    pub(super) fn has_room(
        &self,
        gateways: &EligibleGateways<'_>,
        pool: &PoolName,
        address: IpAddr,
        node: usize,
    ) -> bool {
        let arriving = self.arriving.get(node).copied().unwrap_or(0);
        let fits = gateways
            .room_in_cloud(pool, node, address)
            .is_none_or(|(free, there)| there || arriving < free);
        self.of_pool(pool, node) < gateways.most(pool) && fits
    }
}
