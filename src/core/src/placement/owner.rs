use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::holder_reach::HolderReach;
use crate::memory::LeaderMemory;
use crate::model::{
    AddressPlan, AddressStatus, Failback, Holding, MovedOff, NodeName, RebalanceMove, Snapshot,
    Timestamp,
};
use crate::rendezvous;

use super::changes::PlacementChanges;
use super::gateways::{EligibleGateways, Ineligible};
use super::loads::Loads;
use super::rebalance::Balance;
use super::rules::{FAILBACK_AFTER, MAX_STANDBYS, MoveReason, READY_WITHIN, is_fixed};

/// Chooses owners: first what stays, so that it counts as load, then what moves or is new.
pub(super) fn choose(
    snapshot: &Snapshot,
    memory: &LeaderMemory,
    now: Timestamp,
    gateways: &EligibleGateways<'_>,
    plans: &mut BTreeMap<IpAddr, AddressPlan>,
    loads: &mut Loads,
) -> PlacementChanges {
    let mut changes = PlacementChanges::default();
    let mut open = Vec::new();
    let reach = &HolderReach::new(snapshot, now);
    for (address, plan) in plans.iter_mut() {
        let fixed = is_fixed(gateways, plan);
        let status = snapshot.addresses.get(address).map(|stored| &stored.value.status);
        if !fixed && adopt(failback(snapshot, plan), status, plan) {
            changes.moved.insert(*address, MoveReason::Adopted);
        }
        let address = *address;
        let view = AddressContext { snapshot, memory, now, gateways, reach, address, status };
        match &plan.owner {
            Some(owner) if fixed || view.reason_to_move(plan).is_none() => {
                if let Some(owner) = gateways.position(owner) {
                    loads.add(gateways, plan, address, owner);
                }
            }
            _ if fixed => {}
            _ => open.push(address),
        }
    }
    for address in open {
        let Some(plan) = plans.get_mut(&address) else { continue };
        let status = snapshot.addresses.get(&address).map(|stored| &stored.value.status);
        let view = AddressContext { snapshot, memory, now, gateways, reach, address, status };
        view.reassign(plan, loads, &mut changes);
        if let Some(owner) = plan.owner.as_ref().and_then(|owner| gateways.position(owner)) {
            loads.add(gateways, plan, address, owner);
        }
    }
    changes
}

/// Makes the one move for evenness that is due. Whether it has.
pub(super) fn rebalance(
    view: (&Snapshot, &LeaderMemory, Timestamp),
    gateways: &EligibleGateways<'_>,
    plans: &mut BTreeMap<IpAddr, AddressPlan>,
    loads: &mut Loads,
    changes: &mut PlacementChanges,
) -> bool {
    let (snapshot, memory, now) = view;
    let due = changes.balances.values().find_map(|balance| match balance {
        Balance::Intended(found) if found.not_before <= now => Some(found.clone()),
        _ => None,
    });
    let Some(RebalanceMove { address, from, to, .. }) = due else { return false };
    let Some(plan) = plans.get_mut(&address) else { return false };
    let status = snapshot.addresses.get(&address).map(|stored| &stored.value.status);
    let reach = &HolderReach::new(snapshot, now);
    let context = AddressContext { snapshot, memory, now, gateways, reach, address, status };
    if !context.give(plan, to.clone(), MoveReason::Rebalanced, changes) {
        return false;
    }
    plan.rebalanced_at = Some(now);
    if let (Some(from), Some(to)) = (gateways.position(&from), gateways.position(&to)) {
        loads.take(plan, address, from);
        loads.add(gateways, plan, address, to);
    }
    true
}

fn failback(snapshot: &Snapshot, plan: &AddressPlan) -> Failback {
    let pool = snapshot.pools.get(&plan.pool);
    pool.map(|stored| stored.value.0.failover.failback).unwrap_or_default()
}

/// Takes a holder that the plan does not know yet as owner; true where that is another owner.
fn adopt(failback: Failback, status: Option<&AddressStatus>, plan: &mut AddressPlan) -> bool {
    let Some(holding) = status.and_then(|status| status.holding.as_ref()) else { return false };
    if plan.made_for.as_ref() == Some(holding) {
        return false;
    }
    let before: Option<Holding> = plan.made_for.replace(holding.clone());
    let before = before.map(|holding| holding.node).or_else(|| plan.owner.clone());
    // The same node with a new epoch, or the owner that the plan wanted: nobody took it over.
    if before.as_ref() == Some(&holding.node) || plan.owner.as_ref() == Some(&holding.node) {
        return false;
    }
    leave(failback, before, &holding.node, plan);
    plan.owner = Some(holding.node.clone());
    true
}

/// Notes that the address has left `before` for `to`.
fn leave(failback: Failback, before: Option<NodeName>, to: &NodeName, plan: &mut AddressPlan) {
    if plan.preferred_node.is_some() && plan.preferred_node == before {
        // What was asked for has been done and is over: it must not pull the address back.
        plan.preferred_node = None;
    }
    if failback != Failback::Never && plan.home.is_none() {
        plan.home = before;
    }
    if plan.home.as_ref() == Some(to) {
        plan.home = None;
    }
}

/// How long a move waits for a gateway to be made ready.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// For [`READY_WITHIN`].
    Limited,
    Unlimited,
}

/// One address, with all that its owner depends on.
struct AddressContext<'a> {
    snapshot: &'a Snapshot,
    memory: &'a LeaderMemory,
    now: Timestamp,
    gateways: &'a EligibleGateways<'a>,
    reach: &'a HolderReach<'a>,
    address: IpAddr,
    status: Option<&'a AddressStatus>,
}

impl AddressContext<'_> {
    fn ineligible(&self, plan: &AddressPlan, node: &NodeName) -> Option<Ineligible> {
        self.gateways.ineligible(&plan.pool, self.address, node)
    }

    fn fits(&self, plan: &AddressPlan, node: &NodeName, loads: &Loads) -> bool {
        let room = |position| loads.has_room(self.gateways, &plan.pool, self.address, position);
        self.ineligible(plan, node).is_none() && self.gateways.position(node).is_some_and(room)
    }

    /// Why the address should not stay with its owner.
    fn reason_to_move(&self, plan: &AddressPlan) -> Option<MoveReason> {
        let Some(owner) = &plan.owner else { return Some(MoveReason::First) };
        match self.ineligible(plan, owner) {
            Some(Ineligible::Drained | Ineligible::Cordoned) => return Some(MoveReason::Drained),
            Some(Ineligible::Absent) => return Some(MoveReason::Absent),
            Some(_) => return Some(MoveReason::Ineligible),
            None => {}
        }
        if !self.reach.instead(self.address, plan).is_empty() {
            return Some(MoveReason::Unreached);
        }
        if plan.end.is_some() {
            // Its last connections are not disturbed for a preference.
            return None;
        }
        let wish = plan.preferred_node.as_ref().filter(|wish| *wish != owner);
        if wish.is_some_and(|wish| self.ineligible(plan, wish).is_none()) {
            return Some(MoveReason::Preferred);
        }
        let home = plan.home.as_ref().filter(|home| *home != owner)?;
        let back = failback(self.snapshot, plan) == Failback::Immediately
            && self.memory.fit_for(home, FAILBACK_AFTER, self.now)
            && self.ineligible(plan, home).is_none();
        back.then_some(MoveReason::Failback)
    }

    /// Gives the address another owner where there is one, once that one is ready.
    fn reassign(&self, plan: &mut AddressPlan, loads: &Loads, changes: &mut PlacementChanges) {
        let Some(why) = self.reason_to_move(plan) else { return };
        let to = match why {
            MoveReason::Preferred => self.wished(plan, plan.preferred_node.as_ref(), loads),
            MoveReason::Failback => self.wished(plan, plan.home.as_ref(), loads),
            MoveReason::Unreached => {
                let mut instead = self.reach.instead(self.address, plan).into_iter();
                let may =
                    |node: &&NodeName| self.is_ready(plan, node) && self.fits(plan, node, loads);
                instead.find(may).cloned()
            }
            _ => self.best(plan, loads),
        };
        // With nobody else the owner stays: it holds while it lives, and comes back to it.
        let Some(to) = to.filter(|to| plan.owner.as_ref() != Some(to)) else { return };
        self.give(plan, to, why, changes);
    }

    /// Makes `to` the owner, once it is ready. Whether it is.
    fn give(
        &self,
        plan: &mut AddressPlan,
        to: NodeName,
        why: MoveReason,
        changes: &mut PlacementChanges,
    ) -> bool {
        let wait = self.wait(plan, why, &to);
        if wait == Some(Wait::Limited) {
            changes.timed.insert(self.address);
        }
        if wait.is_some_and(|wait| self.goes_on(wait)) {
            // The cloud makes ready who is in the plan.
            if !plan.standbys.contains(&to) {
                plan.standbys.truncate(MAX_STANDBYS - 1);
                plan.standbys.push(to.clone());
            }
            changes.awaited.insert(self.address, to);
            return false;
        }
        let before = plan.owner.replace(to.clone());
        match why {
            MoveReason::Preferred | MoveReason::Failback | MoveReason::Rebalanced => {
                plan.home = None;
            }
            MoveReason::Unreached => {
                // Nor does it go back: its agent is well all the while.
                leave(Failback::Never, before.clone(), &to, plan);
                plan.moved_off = before.map(|node| MovedOff { node, at: self.now });
            }
            _ => leave(failback(self.snapshot, plan), before, &to, plan),
        }
        changes.moved.insert(self.address, why);
        true
    }

    /// How a move waits for a cloud that has yet to make `to` ready: whoever can wait does. A wish and
    /// a failback wait for as long as that takes, since nothing is wrong where the address is.
    fn wait(&self, plan: &AddressPlan, why: MoveReason, to: &NodeName) -> Option<Wait> {
        let holder = self.status.and_then(|status| status.holding.as_ref()).map(|h| &h.node)?;
        if self.is_ready(plan, to) {
            return None;
        }
        match why {
            MoveReason::First | MoveReason::Adopted => None,
            // Where its holder is another than this owner it may well be served.
            MoveReason::Absent if self.ineligible(plan, holder) == Some(Ineligible::Absent) => None,
            MoveReason::Preferred | MoveReason::Failback | MoveReason::Rebalanced => {
                Some(Wait::Unlimited)
            }
            MoveReason::Absent
            | MoveReason::Drained
            | MoveReason::Ineligible
            | MoveReason::Unreached => Some(Wait::Limited),
        }
    }

    fn goes_on(&self, wait: Wait) -> bool {
        match wait {
            Wait::Unlimited => true,
            Wait::Limited => !self.memory.awaited_for(self.address, READY_WITHIN, self.now),
        }
    }

    fn is_ready(&self, plan: &AddressPlan, node: &NodeName) -> bool {
        self.status.is_none_or(|status| status.is_ready_at(node, plan.facts()))
    }

    fn wished(
        &self,
        plan: &AddressPlan,
        node: Option<&NodeName>,
        loads: &Loads,
    ) -> Option<NodeName> {
        node.filter(|node| self.fits(plan, node, loads)).cloned()
    }

    /// Of those that are not cordoned; else, where the owner may not go on either, of those that are.
    fn best(&self, plan: &AddressPlan, loads: &Loads) -> Option<NodeName> {
        let (pool, address) = (&plan.pool, self.address);
        let uncordoned = self.best_of(plan, loads, &self.gateways.serving(pool, address));
        let owner = plan.owner.as_ref().and_then(|owner| self.ineligible(plan, owner));
        if uncordoned.is_some() || owner == Some(Ineligible::Cordoned) {
            return uncordoned;
        }
        self.best_of(plan, loads, &self.gateways.cordoned(pool, address))
    }

    /// The present holder where it may go on; else home, by the failback policy; else the standbys
    /// in order (they take over by themselves in that order); of these the first that is ready. Else
    /// the gateway with the fewest addresses of the same claim, so that one death does not take all of
    /// them, and of these the one with the least load.
    fn best_of(&self, plan: &AddressPlan, loads: &Loads, candidates: &[usize]) -> Option<NodeName> {
        let fits = |at: &usize| {
            candidates.contains(at) && loads.has_room(self.gateways, &plan.pool, self.address, *at)
        };
        let holder = self.status.and_then(|status| status.holding.as_ref()).map(|h| &h.node);
        let home = plan.home.as_ref().filter(|_| failback(self.snapshot, plan) != Failback::Never);
        let preferred = plan.preferred_node.as_ref();
        let known = preferred.into_iter().chain(holder).chain(home).chain(&plan.standbys);
        let mut known =
            known.filter(|node| self.gateways.position(node).is_some_and(|at| fits(&at)));
        let ready = known.clone().find(|node| self.is_ready(plan, node));
        if let Some(node) = ready.or_else(|| known.next()) {
            return Some(node.clone());
        }
        let seed = rendezvous::seed(self.address);
        let of_claim = loads.of_claim(plan, self.address);
        let positions = candidates.iter().copied();
        positions
            .filter(fits)
            .filter_map(|position| Some((position, self.gateways.get(position)?)))
            .min_by_key(|(position, gateway)| {
                let weight = rendezvous::weight(seed, gateway.seed);
                (of_claim(*position), loads.total(*position), Reverse(weight), *position)
            })
            .map(|(_, gateway)| gateway.name.clone())
    }
}
