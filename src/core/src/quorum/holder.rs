//! Holding an address: renewals, the deadline, probe and announcements, giving up (docs/leases.md
//! rules 1, 4, 5, 6, 10).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::address::{Holder, Probe, Role, holding};
use super::handover::Leaving;
use super::machine::{Machine, Out, mistaken};
use super::timing::ns;
use super::{Ask, Effect, Message, Now, Release, Released, Report, RequestKind, Successor, size};
use crate::model::{Millis, NodeName};

impl Machine {
    pub(super) fn begin_to_hold(
        &mut self,
        now: Now,
        started: u64,
        deadline: u64,
        ask: &Ask,
        voters: u64,
        out: &mut Out,
    ) {
        let address = ask.address;
        let probe = match self.plan(address) {
            Some(plan) if plan.announces && !plan.probed => Probe::Running,
            _ => Probe::Done,
        };
        // Others may have learnt of a greater epoch since the question.
        let known = voters.max(self.greatest_epoch(address));
        let epoch = if known > ask.epoch { known + 1 } else { ask.epoch };
        let lease = ns(Millis(u64::from(ask.lease)));
        let renewal = started + self.config.timing.renewal(lease);
        let me = self.config.me.clone();
        let Some(entry) = self.addresses.get_mut(&address) else { return };
        let previous = entry.known.replace(holding(&me, epoch)).map(|known| known.node);
        let silent_for = entry.heard.map(|heard| now.boot.0.saturating_sub(heard));
        let moved = entry.coming.take().is_some();
        entry.leaving = None;
        entry.adopted_until = None;
        entry.role = Role::Holder(Holder {
            epoch,
            fence: ask.fence,
            lease: ask.lease,
            deadline,
            next_renewal: if epoch == ask.epoch { renewal } else { now.boot.0 },
            next_notice: now.boot.0,
            probe,
            announced: 0,
            next_announcement: now.boot.0,
            handover: None,
        });
        self.kept.held.insert(address, epoch);
        self.dirty = true;
        self.know_epoch(address, epoch);
        self.refresh_kernel(address, out);
        if !moved {
            let previous = previous.filter(|node| *node != me);
            out.report(Report::TookOver { address, previous, silent_for });
        }
        self.say_held(address, out);
        if probe == Probe::Running {
            out.push(Effect::Probe { address });
        }
    }

    fn say_held(&self, address: IpAddr, out: &mut Out) {
        if let Some(holder) = self.addresses.get(&address).and_then(|entry| entry.holder()) {
            let holding = holding(&self.config.me, holder.epoch);
            let probed = holder.probe == Probe::Done;
            out.report(Report::Held { address, holding, probed });
        }
    }

    /// Somebody knows an epoch that is not below ours: take a new one in a new round, without
    /// letting go (rule 10).
    pub(super) fn raise_epoch(&mut self, now: Now, address: IpAddr, known: u64, out: &mut Out) {
        self.know_epoch(address, known);
        let epoch = self.greatest_epoch(address).max(known) + 1;
        self.know_epoch(address, epoch);
        let new = holding(&self.config.me, epoch);
        let Some(entry) = self.addresses.get_mut(&address) else { return };
        let Some(holder) = entry.holder_mut() else { return };
        holder.epoch = epoch;
        holder.next_renewal = now.boot.0;
        holder.next_notice = now.boot.0;
        entry.known = Some(new);
        self.kept.held.insert(address, epoch);
        self.dirty = true;
        self.say_held(address, out);
    }

    /// Renew at once: the set has changed.
    pub(super) fn renew_now(&mut self, now: Now) {
        for holder in self.addresses.values_mut().filter_map(|entry| entry.holder_mut()) {
            holder.next_renewal = holder.next_renewal.min(now.boot.0);
        }
    }

    pub(super) fn advance_holders(&mut self, now: Now, out: &mut Out) {
        self.end_leases(now, out);
        self.renew(now, out);
        self.announce(now, out);
        let over: Vec<IpAddr> = self
            .addresses
            .iter()
            .filter(|(_, entry)| entry.adopted_until.is_some_and(|until| until <= now.boot.0))
            .map(|(address, _)| *address)
            .collect();
        for address in over {
            if let Some(entry) = self.addresses.get_mut(&address) {
                entry.adopted_until = None;
            }
            self.refresh_kernel(address, out);
        }
    }

    /// A holder past its deadline is a candidate like the others.
    fn end_leases(&mut self, now: Now, out: &mut Out) {
        let past = |holder: &Holder| holder.deadline <= now.boot.0;
        let ended: Vec<(IpAddr, u64)> = self
            .addresses
            .iter()
            .filter_map(|(address, entry)| {
                let holder = entry.holder().filter(|holder| past(holder))?;
                let lease = ns(Millis(u64::from(holder.lease)));
                Some((*address, holder.deadline.saturating_sub(lease)))
            })
            .collect();
        for (address, renewed) in ended {
            if let Some(entry) = self.addresses.get_mut(&address) {
                entry.role = Role::Idle;
                entry.heard = Some(renewed);
            }
            self.kept.held.remove(&address);
            self.dirty = true;
            self.refresh_kernel(address, out);
            out.report(Report::Lost { address });
        }
    }

    /// One round for all addresses that are due, or soon will be (rule 7).
    fn renew(&mut self, now: Now, out: &mut Out) {
        let is_due = |holder: &Holder, slack: u64| holder.next_renewal <= now.boot.0 + slack;
        let holders = || self.addresses.iter().filter_map(|(a, e)| Some((a, e.holder()?)));
        if !holders().any(|(_, holder)| is_due(holder, 0)) {
            return;
        }
        let timing = &self.config.timing;
        let renewal = |holder: &Holder| timing.renewal(ns(Millis(u64::from(holder.lease))));
        let due: Vec<(IpAddr, u64, u64)> = holders()
            .filter(|(_, holder)| is_due(holder, renewal(holder) / 4))
            .map(|(address, holder)| (*address, holder.epoch, now.boot.0 + renewal(holder)))
            .collect();
        let mut asks = BTreeMap::new();
        for (address, epoch, next) in due {
            let Some(ask) = self.ask(address, epoch) else { continue };
            asks.insert(address, ask);
            let entry = self.addresses.get_mut(&address);
            if let Some(holder) = entry.and_then(|entry| entry.holder_mut()) {
                holder.next_renewal = next;
            }
        }
        self.start_round(now, RequestKind::Renewal, asks, out);
    }

    /// At once, then four times 1.1 s apart, then every 30 s: routers with hours of ARP ageing
    /// would otherwise keep the old holder for as long.
    fn announce(&mut self, now: Now, out: &mut Out) {
        let (step, again) = (self.config.timing.announce_step, self.config.timing.again);
        let Some(view) = &self.view else { return };
        for (address, entry) in &mut self.addresses {
            let announces = view.addresses.get(address).is_some_and(|plan| plan.announces);
            let Some(holder) = entry.holder_mut().filter(|_| announces) else { continue };
            if let Probe::Conflict { again } = holder.probe
                && again <= now.boot.0
            {
                holder.probe = Probe::Running;
                out.push(Effect::Probe { address: *address });
            }
            if holder.probe == Probe::Done && holder.next_announcement <= now.boot.0 {
                holder.announced = holder.announced.saturating_add(1);
                let pause = if holder.announced < 5 { step } else { again };
                holder.next_announcement = now.boot.0 + pause;
                out.push(Effect::Announce { address: *address });
            }
        }
    }

    pub(super) fn on_probed(&mut self, now: Now, address: IpAddr, conflict: bool, out: &mut Out) {
        let again = now.boot.0 + self.config.timing.probe_again;
        let entry = self.addresses.get_mut(&address);
        let Some(holder) = entry.and_then(|entry| entry.holder_mut()) else { return };
        if holder.probe != Probe::Running {
            return;
        }
        if conflict {
            holder.probe = Probe::Conflict { again };
            return out.report(Report::Conflict { address });
        }
        holder.probe = Probe::Done;
        holder.next_announcement = now.boot.0;
        self.refresh_kernel(address, out);
        self.say_held(address, out);
    }

    /// Gives addresses up: first the kernel entry is closed, whichever process opened it, and
    /// every open round abandoned; then the voters are told (rule 6).
    pub(super) fn release(
        &mut self,
        now: Now,
        given_up: &[(IpAddr, Option<Successor>)],
        out: &mut Out,
    ) {
        if given_up.is_empty() {
            return;
        }
        let mut told = Out::default();
        let mut newest = self.next_round_id();
        let mut released = Vec::new();
        for (address, successor) in given_up {
            newest = self.abandon(*address);
            if let Some(entry) = self.addresses.get_mut(address) {
                entry.role = Role::Idle;
                entry.coming = None;
                entry.adopted_until = None;
                let until = now.boot.0 + self.config.timing.leaving;
                let to = successor.as_ref().map(|successor| successor.node.clone());
                entry.leaving = to.map(|to| Leaving { to, until });
            }
            self.kept.held.remove(address);
            self.dirty = true;
            if !self.others_may_forward(now, *address, successor.as_ref()) {
                released.push(Released { address: *address, successor: successor.clone() });
            }
            if !mistaken!(self, ReleaseBeforeClosing) {
                self.refresh_kernel(*address, out);
            }
        }
        for released in size::pieces(released) {
            self.tell_released(now, Release { round: newest, released }, &mut told);
        }
        out.0.append(&mut told.0);
        for (address, _) in given_up {
            self.refresh_kernel(*address, out);
        }
    }

    /// A node that this one has told how long its lease still runs forwards until then: a release
    /// that does not name it would let the voters give the address, or free it, beside it. The
    /// grants run out by themselves instead.
    fn others_may_forward(&mut self, now: Now, address: IpAddr, to: Option<&Successor>) -> bool {
        let promised = self.kept.promised.remove(&address);
        let Some((node, until)) = promised.filter(|(_, until)| *until > now.boot.0) else {
            return false;
        };
        let named = to.is_some_and(|to| to.node == node);
        if !named {
            self.kept.promised.insert(address, (node, until));
        }
        !named && !mistaken!(self, ReleasesBesideSuccessor)
    }

    /// A lost release keeps the address from everybody for T: it is said three times.
    fn tell_released(&mut self, now: Now, release: Release, out: &mut Out) {
        let me = self.config.me.clone();
        for voter in self.voters().into_iter().collect::<BTreeSet<NodeName>>() {
            if voter == me {
                self.on_release(&me, &release);
                continue;
            }
            out.send(&voter, Message::Release(release.clone()));
            for after in self.config.timing.repeats {
                let message = Message::Release(release.clone());
                self.again.push((now.boot.0 + after, voter.clone(), message));
            }
        }
    }

    /// A holder that is told to by its plan, not by time.
    pub(super) fn leave(&mut self, now: Now, addresses: &[IpAddr], out: &mut Out) {
        let given_up: Vec<_> = addresses.iter().map(|address| (*address, None)).collect();
        self.release(now, &given_up, out);
        for address in addresses {
            if let Some(entry) = self.addresses.get_mut(address) {
                entry.heard = Some(now.boot.0);
            }
            out.report(Report::Left { address: *address, successor: None });
        }
    }

    pub(super) fn holders_due(&self) -> Option<u64> {
        let announces = |address| self.plan(address).is_some_and(|plan| plan.announces);
        let mut due: Option<u64> = None;
        let mut at = |time: u64| due = Some(due.map_or(time, |due| due.min(time)));
        for (address, entry) in &self.addresses {
            if let Some(until) = entry.adopted_until {
                at(until);
            }
            let Some(holder) = entry.holder() else { continue };
            at(holder.deadline.min(holder.next_renewal).min(holder.next_notice));
            match holder.probe {
                Probe::Done if announces(*address) => at(holder.next_announcement),
                Probe::Conflict { again } => at(again),
                _ => {}
            }
        }
        due
    }
}
