use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::hash;
use crate::model::{AddressPlan, NodeName, Snapshot};

use super::gateways::{Gateway, Gateways};
use super::{Loads, MAX_STANDBYS, is_fixed};

/// Chooses standbys: those that may stay, in their order, then others: another zone first, then
/// the one that backs up the fewest addresses.
pub(super) fn choose(
    snapshot: &Snapshot,
    gateways: &Gateways<'_>,
    plans: &mut BTreeMap<IpAddr, AddressPlan>,
    loads: &Loads,
) {
    let mut backing: BTreeMap<NodeName, usize> = BTreeMap::new();
    for (address, plan) in plans.iter_mut().filter(|(_, plan)| !is_fixed(plan)) {
        keep(snapshot, gateways, *address, plan, loads);
        for node in &plan.standbys {
            *backing.entry(node.clone()).or_default() += 1;
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

fn fill(
    snapshot: &Snapshot,
    gateways: &Gateways<'_>,
    address: IpAddr,
    plan: &mut AddressPlan,
    loads: &Loads,
    backing: &mut BTreeMap<NodeName, usize>,
) {
    let seed = hash::seed(address);
    let mut left: Vec<&Gateway<'_>> = gateways
        .serving(&plan.pool, address)
        .into_iter()
        .filter(|gateway| {
            plan.owner.as_ref() != Some(gateway.name)
                && !plan.standbys.contains(gateway.name)
                && loads.has_room(snapshot, &plan.pool, gateway.name)
        })
        .collect();
    let zone_of = |node: &NodeName| snapshot.nodes.get(node).map(|node| node.zone.as_str());
    let mut zones: BTreeSet<&str> =
        plan.owner.iter().chain(&plan.standbys).filter_map(zone_of).collect();
    while plan.standbys.len() < MAX_STANDBYS {
        let best = left.iter().enumerate().min_by_key(|(_, gateway)| {
            (
                zones.contains(gateway.zone),
                backing.get(gateway.name).copied().unwrap_or(0),
                Reverse(hash::weight(seed, gateway.seed)),
                gateway.name,
            )
        });
        let Some((position, gateway)) = best else { return };
        plan.standbys.push(gateway.name.clone());
        *backing.entry(gateway.name.clone()).or_default() += 1;
        zones.insert(gateway.zone);
        left.remove(position);
    }
}
