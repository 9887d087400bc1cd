use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::hash;
use crate::model::{AddressPlan, NodeName, Snapshot};

use super::gateways::Gateways;
use super::{Loads, MAX_STANDBYS, is_fixed};

/// How much nodes back up already.
#[derive(Default)]
struct Backing<'a> {
    /// As a standby of any rank.
    total: BTreeMap<&'a NodeName, usize>,
    /// As the first standby of one owner: what it gets when that owner dies.
    first: BTreeMap<(&'a NodeName, &'a NodeName), usize>,
}

impl<'a> Backing<'a> {
    fn add(&mut self, owner: Option<&'a NodeName>, node: &'a NodeName, first: bool) {
        *self.total.entry(node).or_default() += 1;
        if let (Some(owner), true) = (owner, first) {
            *self.first.entry((owner, node)).or_default() += 1;
        }
    }

    fn load(&self, owner: Option<&'a NodeName>, node: &'a NodeName, first: bool) -> (usize, usize) {
        let of_owner = owner.filter(|_| first).and_then(|owner| self.first.get(&(owner, node)));
        (of_owner.copied().unwrap_or(0), self.total.get(node).copied().unwrap_or(0))
    }
}

/// Chooses standbys: those that may stay, in their order, then others: another zone first, then
/// the one that backs up the fewest addresses (for the first rank: of this owner, so that what a
/// dead owner leaves is spread).
pub(super) fn choose(
    snapshot: &Snapshot,
    gateways: &Gateways<'_>,
    plans: &mut BTreeMap<IpAddr, AddressPlan>,
    loads: &Loads,
) {
    for (address, plan) in plans.iter_mut().filter(|(_, plan)| !is_fixed(plan)) {
        keep(snapshot, gateways, *address, plan, loads);
    }
    let mut backing = Backing::default();
    let names = |node: &NodeName| gateways.name(node);
    for plan in plans.values().filter(|plan| !is_fixed(plan)) {
        let owner = plan.owner.as_ref().and_then(names);
        for (rank, node) in plan.standbys.iter().filter_map(names).enumerate() {
            backing.add(owner, node, rank == 0);
        }
    }
    for (address, plan) in plans.iter_mut().filter(|(_, plan)| !is_fixed(plan)) {
        if plan.standbys.len() < MAX_STANDBYS {
            fill(snapshot, gateways, *address, plan, loads, &mut backing);
        }
    }
}

fn keep(
    snapshot: &Snapshot,
    gateways: &Gateways<'_>,
    address: IpAddr,
    plan: &mut AddressPlan,
    loads: &Loads,
) {
    let owner = plan.owner.clone();
    let pool = plan.pool.clone();
    plan.standbys.retain(|node| {
        owner.as_ref() != Some(node)
            && gateways.ineligible(&pool, address, node).is_none()
            && loads.has_room(snapshot, &pool, node)
    });
    plan.standbys.truncate(MAX_STANDBYS);
}

fn fill<'a>(
    snapshot: &'a Snapshot,
    gateways: &Gateways<'a>,
    address: IpAddr,
    plan: &mut AddressPlan,
    loads: &Loads,
    backing: &mut Backing<'a>,
) {
    let seed = hash::seed(address);
    let mut left: Vec<(&'a NodeName, &'a str, u64)> = gateways
        .serving(&plan.pool, address)
        .into_iter()
        .filter(|gateway| {
            plan.owner.as_ref() != Some(gateway.name)
                && !plan.standbys.contains(gateway.name)
                && loads.has_room(snapshot, &plan.pool, gateway.name)
        })
        .map(|gateway| (gateway.name, gateway.zone, hash::weight(seed, gateway.seed)))
        .collect();
    let owner = plan.owner.as_ref().and_then(|owner| gateways.name(owner));
    let zone_of = |node: &NodeName| snapshot.nodes.get(node).map(|node| node.zone.as_str());
    let mut zones: BTreeSet<&str> =
        plan.owner.iter().chain(&plan.standbys).filter_map(zone_of).collect();
    while plan.standbys.len() < MAX_STANDBYS {
        let first = plan.standbys.is_empty();
        let best = left.iter().enumerate().min_by_key(|(_, (name, zone, weight))| {
            (zones.contains(zone), backing.load(owner, name, first), Reverse(*weight), *name)
        });
        let Some((position, (name, zone, _))) = best else { return };
        plan.standbys.push((*name).clone());
        backing.add(owner, name, first);
        zones.insert(zone);
        left.remove(position);
    }
}
