use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::model::{AddressPlan, NodeName, PoolName};
use crate::rendezvous;

use super::gateways::{EligibleGateways, Gateway, Ineligible};
use super::loads::Loads;
use super::rules::{MAX_STANDBYS, is_fixed};

/// How much nodes back up already, by position.
struct Backing {
    /// As a standby of any rank.
    total: Vec<usize>,
    /// As the first standby of one owner: what it gets when that owner dies.
    first: HashMap<(usize, usize), usize>,
}

impl Backing {
    fn add(&mut self, owner: Option<usize>, node: usize, first: bool) {
        if let Some(total) = self.total.get_mut(node) {
            *total += 1;
        }
        if let (Some(owner), true) = (owner, first) {
            *self.first.entry((owner, node)).or_default() += 1;
        }
    }

    fn load(&self, owner: Option<usize>, node: usize, first: bool) -> (usize, usize) {
        let of_owner = owner.filter(|_| first).and_then(|owner| self.first.get(&(owner, node)));
        (of_owner.copied().unwrap_or(0), self.total.get(node).copied().unwrap_or(0))
    }
}

/// Chooses standbys: those that may stay, in their order, then others: another zone first, then
/// the one that backs up the fewest addresses (for the first rank: of this owner, so that what a
/// dead owner leaves is spread). Where a cloud moves an address sooner between neighbours, the owner's
/// come first, and one is there where that can be: for it the last of the others goes. Who is cordoned comes
/// after all of these, and outside clouds who is cut off from the address's network after those: its link may
/// be back before that is said. Until then nobody else may be left.
pub(super) fn choose(
    gateways: &EligibleGateways<'_>,
    plans: &mut BTreeMap<IpAddr, AddressPlan>,
    loads: &mut Loads,
) {
    let mut backing = Backing { total: vec![0; gateways.len()], first: HashMap::new() };
    for (address, plan) in plans.iter_mut().filter(|(_, plan)| !is_fixed(gateways, plan)) {
        keep(gateways, *address, plan, loads);
        make_room_for_neighbour(gateways, *address, plan, loads);
        let owner = plan.owner.as_ref().and_then(|owner| gateways.position(owner));
        for (rank, node) in plan.standbys.iter().enumerate() {
            if let Some(node) = gateways.position(node) {
                backing.add(owner, node, rank == 0);
                loads.reserve(gateways, &plan.pool, *address, node);
            }
        }
    }
    for (address, plan) in plans.iter_mut().filter(|(_, plan)| !is_fixed(gateways, plan)) {
        let last_resorts = last_resorts(gateways, &plan.pool, *address);
        let last = take_last(gateways, &last_resorts, plan);
        if plan.standbys.len() < MAX_STANDBYS {
            fill(gateways, *address, plan, loads, &mut backing);
            sort(gateways, plan);
        }
        append(gateways, *address, plan, loads, (last, &last_resorts));
    }
}

fn keep(gateways: &EligibleGateways<'_>, address: IpAddr, plan: &mut AddressPlan, loads: &Loads) {
    let AddressPlan { owner, pool, standbys, .. } = plan;
    let last_resorts = last_resorts(gateways, pool, address);
    standbys.retain(|node| {
        let position = gateways.position(node);
        owner.as_ref() != Some(node)
            && (gateways.ineligible(pool, address, node).is_none()
                || position.is_some_and(|at| last_resorts.contains(&at)))
            && position.is_some_and(|at| loads.has_room(gateways, pool, address, at))
    });
    standbys.truncate(MAX_STANDBYS);
}

/// Who stands by after all others: first who is cordoned, then who is cut off.
fn last_resorts(gateways: &EligibleGateways<'_>, pool: &PoolName, address: IpAddr) -> Vec<usize> {
    let mut all = gateways.cordoned(pool, address);
    all.extend(gateways.cut_off(pool, address));
    all
}

/// Takes the last resorts out, in their order.
fn take_last(
    gateways: &EligibleGateways<'_>,
    last_resorts: &[usize],
    plan: &mut AddressPlan,
) -> Vec<NodeName> {
    let is_last =
        |node: &NodeName| gateways.position(node).is_some_and(|at| last_resorts.contains(&at));
    let (last, first) = std::mem::take(&mut plan.standbys).into_iter().partition(is_last);
    plan.standbys = first;
    last
}

/// Puts the last resorts behind all others: of those that are cordoned, and of those that are cut off,
/// first who stood by before.
fn append(
    gateways: &EligibleGateways<'_>,
    address: IpAddr,
    plan: &mut AddressPlan,
    loads: &Loads,
    (mut last, last_resorts): (Vec<NodeName>, &[usize]),
) {
    let AddressPlan { owner, pool, standbys, .. } = plan;
    let room = |at: &&usize| loads.has_room(gateways, pool, address, **at);
    let names = last_resorts.iter().filter(room).filter_map(|at| gateways.get(*at));
    for Gateway { name, .. } in names {
        if owner.as_ref() != Some(*name) && !last.contains(name) {
            last.push((*name).clone());
        }
    }
    last.sort_by_key(|name| gateways.ineligible(pool, address, name) != Some(Ineligible::Cordoned));
    standbys.extend(last);
    standbys.truncate(MAX_STANDBYS);
}

/// The owner's neighbours first, each group in its order. Whether there is one.
fn sort(gateways: &EligibleGateways<'_>, plan: &mut AddressPlan) -> bool {
    let AddressPlan { owner, pool, standbys, .. } = plan;
    let owner = owner.as_ref().and_then(|owner| gateways.position(owner));
    let is_near = |node: &NodeName| {
        let both = owner.zip(gateways.position(node));
        both.is_some_and(|(owner, at)| gateways.are_neighbours(pool, owner, at))
    };
    standbys.sort_by_key(|node| !is_near(node));
    standbys.first().is_some_and(is_near)
}

fn make_room_for_neighbour(
    gateways: &EligibleGateways<'_>,
    address: IpAddr,
    plan: &mut AddressPlan,
    loads: &Loads,
) {
    if sort(gateways, plan) || plan.standbys.len() < MAX_STANDBYS {
        return;
    }
    let Some(owner) = plan.owner.as_ref().and_then(|owner| gateways.position(owner)) else {
        return;
    };
    let fits = |at: &usize| {
        *at != owner
            && gateways.are_neighbours(&plan.pool, owner, *at)
            && loads.has_room(gateways, &plan.pool, address, *at)
    };
    if gateways.serving(&plan.pool, address).iter().any(fits) {
        plan.standbys.pop();
    }
}

fn fill(
    gateways: &EligibleGateways<'_>,
    address: IpAddr,
    plan: &mut AddressPlan,
    loads: &mut Loads,
    backing: &mut Backing,
) {
    let seed = rendezvous::seed(address);
    let owner = plan.owner.as_ref().and_then(|owner| gateways.position(owner));
    let mut ranks: Vec<usize> = owner.into_iter().collect();
    ranks.extend(plan.standbys.iter().filter_map(|node| gateways.position(node)));
    let near = |at: usize| owner.is_some_and(|own| gateways.are_neighbours(&plan.pool, own, at));
    // They are first already.
    let mut has_neighbour = ranks.get(1).is_some_and(|first| near(*first));
    let zone = |position: usize| gateways.get(position).map(|gateway| gateway.zone);
    let mut zones: BTreeSet<usize> = ranks.iter().filter_map(|position| zone(*position)).collect();
    let mut left = gateways.serving(&plan.pool, address);
    left.retain(|at| !ranks.contains(at) && loads.has_room(gateways, &plan.pool, address, *at));
    while plan.standbys.len() < MAX_STANDBYS {
        let is_near = |at: usize| !has_neighbour && near(at);
        let first = plan.standbys.is_empty();
        // Positions are in order of name: the last tie-break.
        let best = left.iter().enumerate().min_by_key(|(_, position)| {
            let gateway = gateways.get(**position);
            (
                !is_near(**position),
                gateway.is_some_and(|gateway| zones.contains(&gateway.zone)),
                backing.load(owner, **position, first || is_near(**position)),
                Reverse(gateway.map(|gateway| rendezvous::weight(seed, gateway.seed))),
                **position,
            )
        });
        let Some((at, position)) = best.map(|(at, position)| (at, *position)) else { return };
        let Some(gateway) = gateways.get(position) else { return };
        plan.standbys.push(gateway.name.clone());
        backing.add(owner, position, first || is_near(position));
        has_neighbour |= near(position);
        loads.reserve(gateways, &plan.pool, address, position);
        zones.insert(gateway.zone);
        left.remove(at);
    }
}
