//! Taking in what the store says (docs/leases.md rules 11, 13, 15, 16, 21).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::address::{Address, Role};
use super::director::Directed;
use super::machine::{Machine, Out};
use super::timing::ns;
use super::{AddressView, Effect, Fence, Kept, Now, View};
use crate::model::NodeName;

impl Machine {
    pub(super) fn on_view(&mut self, now: Now, view: Box<View>, out: &mut Out) {
        if let Some(cluster) = &view.cluster {
            if self.kept.cluster.as_ref().is_some_and(|known| *known != cluster.id) {
                self.forget_cluster(now, out);
            }
            if self.kept.cluster.is_none() || self.kept.t_max != cluster.t_max.0 {
                self.kept.cluster = Some(cluster.id.clone());
                self.kept.t_max = cluster.t_max.0;
                self.dirty = true;
            }
        }
        self.read_fences(&view);
        let set = view.cluster.as_ref().and_then(|cluster| cluster.set.clone());
        let old = self.view.replace(Arc::from(view));
        self.drop_addresses(now, out);
        let addresses: Vec<IpAddr> =
            self.view.iter().flat_map(|view| view.addresses.keys().copied()).collect();
        for address in addresses {
            let before = old.as_ref().and_then(|old| old.addresses.get(&address));
            self.read_plan(now, address, before, out);
        }
        self.forget_held(out);
        if let Some(set) = set {
            let me = self.config.me.clone();
            self.adopt_set(now, &set, &me, out);
        }
    }

    /// What an earlier process held and no plan gives this node any more.
    fn forget_held(&mut self, out: &mut Out) {
        let known = |address: &IpAddr| self.addresses.contains_key(address);
        let held = self.kept.held.keys();
        let gone: Vec<IpAddr> = held.filter(|address| !known(address)).copied().collect();
        for address in gone {
            self.kept.held.remove(&address);
            self.dirty = true;
            out.push(Effect::Forget { address });
        }
    }

    /// State of another cluster is worth nothing here: the silence begins anew (rule 13).
    fn forget_cluster(&mut self, now: Now, out: &mut Out) {
        for address in std::mem::take(&mut self.addresses).into_keys() {
            out.push(Effect::Forget { address });
        }
        self.rounds.clear();
        self.outgoing.clear();
        self.directed.clear();
        self.again.clear();
        self.voting = super::voter::Voting { set_seen: now.raw, ..Default::default() };
        self.kept =
            Kept { boot_id: self.config.boot_id.clone(), silent_since: now.raw, ..Kept::default() };
        self.dirty = true;
    }

    fn read_fences(&mut self, view: &View) {
        let before = self.kept.fences.clone();
        for (address, known) in &mut self.kept.fences {
            known.gone |= !view.addresses.contains_key(address);
        }
        for (address, plan) in &view.addresses {
            let new = Fence { fence: plan.fence, gone: false };
            let known = self.kept.fences.entry(*address).or_insert(new);
            // A plan below the fence known is an old one: it does not bring the address back.
            if plan.fence >= known.fence {
                *known = new;
            }
        }
        self.dirty |= before != self.kept.fences;
    }

    /// Ends what is in no plan any more, or concerns this node no longer.
    fn drop_addresses(&mut self, now: Now, out: &mut Out) {
        let me = &self.config.me;
        let view = self.view.as_ref();
        let concerns = |address: &IpAddr| {
            view.and_then(|view| view.addresses.get(address)).is_some_and(|plan| {
                plan.ranks().any(|node| node == me)
                    || plan.directors.contains(me)
                    || plan.gateways.contains(me)
            })
        };
        let planned =
            |address: &IpAddr| view.is_some_and(|view| view.addresses.contains_key(address));
        // A holder that the plan has dropped goes on until a plan made for it says so.
        let dropped: Vec<IpAddr> = self
            .addresses
            .iter()
            .filter(|(address, entry)| match entry.holder() {
                Some(_) => !planned(address),
                None => !concerns(address),
            })
            .map(|(address, _)| *address)
            .collect();
        let active: Vec<IpAddr> =
            dropped.iter().copied().filter(|address| self.is_active(*address)).collect();
        self.leave(now, &active, out);
        for address in dropped {
            self.addresses.remove(&address);
            out.push(Effect::Forget { address });
        }
        let view = self.view.as_ref();
        self.directed.retain(|address, _| {
            let plan = view.and_then(|view| view.addresses.get(address));
            plan.is_some_and(|plan| plan.directors.contains(&self.config.me))
        });
    }

    /// Holds, asks, is coming, has an open round or an adopted kernel entry: all of which end with
    /// a release.
    fn is_active(&self, address: IpAddr) -> bool {
        let open = self.rounds.values().any(|round| round.asks.contains_key(&address));
        self.addresses.get(&address).is_some_and(|entry| {
            open || entry.coming.is_some()
                || entry.adopted_until.is_some()
                || matches!(entry.role, Role::Vote(_) | Role::Holder(_))
        })
    }

    fn read_plan(
        &mut self,
        now: Now,
        address: IpAddr,
        before: Option<&AddressView>,
        out: &mut Out,
    ) {
        let me = self.config.me.clone();
        let Some(plan) = self.plan(address).cloned() else { return };
        let ranked = plan.ranks().any(|node| *node == me);
        let concerns = ranked || plan.directors.contains(&me) || plan.gateways.contains(&me);
        if !concerns && !self.addresses.contains_key(&address) {
            return;
        }
        if !self.addresses.contains_key(&address) {
            self.addresses.insert(address, self.new_address(now, address, &plan));
        }
        if let Some(entry) = self.addresses.get_mut(&address) {
            if ranked && !entry.ranked && entry.adopted_until.is_none() {
                entry.heard = Some(now.boot.0);
            }
            entry.ranked = ranked;
        }
        match &plan.holding {
            Some(holding) if plan.may_announce(&holding.node) => {
                self.learn_holder(address, holding, out);
            }
            Some(holding) => self.know_epoch(address, holding.epoch.counter),
            None => {}
        }
        if plan.directors.contains(&me) {
            self.directed.entry(address).or_insert_with(|| Directed::new(now));
        }
        self.read_as_holder(now, address, &plan, before, out);
        let never = |entry: &Address| entry.kernel.is_none();
        if plan.unarmed || self.addresses.get(&address).is_some_and(never) {
            self.refresh_kernel(address, out);
        }
    }

    /// An address that this process sees for the first time. What an earlier process of this boot
    /// held is asked for at once, and its kernel entry left alone until the voters have spoken.
    fn new_address(&self, now: Now, address: IpAddr, plan: &AddressView) -> Address {
        let mut entry = Address::new();
        if self.kept.held.contains_key(&address) {
            entry.adopted_until = Some(now.boot.0 + ns(plan.lease));
        }
        entry
    }

    fn read_as_holder(
        &mut self,
        now: Now,
        address: IpAddr,
        plan: &AddressView,
        before: Option<&AddressView>,
        out: &mut Out,
    ) {
        let me = self.config.me.clone();
        let fence = self.addresses.get(&address).and_then(|entry| Some(entry.holder()?.fence));
        let fenced = fence.is_some_and(|fence| plan.fence > fence);
        if fenced || (plan.revoked && self.is_active(address)) {
            return self.leave(now, &[address], out);
        }
        let Some(entry) = self.addresses.get_mut(&address) else { return };
        if matches!(entry.role, Role::Vote(_) | Role::PreVote(_)) && !entry.ranked {
            return self.leave(now, &[address], out);
        }
        let Some(holder) = entry.holder_mut() else { return };
        holder.lease = u32::try_from(plan.lease.0).unwrap_or(u32::MAX);
        self.follow_plan(now, address);
        let told = |plan: &AddressView| -> BTreeSet<NodeName> {
            plan.directors.union(&plan.gateways).cloned().collect()
        };
        // What was not to be announced has been told to nobody.
        let before = before.filter(|before| before.may_announce(&me));
        let old = before.map(told).unwrap_or_default();
        let mut new: BTreeSet<NodeName> = told(plan).difference(&old).cloned().collect();
        new.remove(&me);
        if !new.is_empty() {
            self.notify(now, address, new);
        }
    }
}
