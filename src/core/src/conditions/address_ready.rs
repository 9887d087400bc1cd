//! Whether an address serves, and why not.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::cloud::some_of;
use super::evaluation::{ConditionInputs, Evaluation, names};
use super::{cloud, interface, no_gateway, on_interface};
use crate::ipam::contested;
use crate::membership::liveness::SilentMajority;
use crate::membership::{departure, liveness};
use crate::model::{AddressEnd, AddressPlan, AddressStatus, ConditionType, NodeName};
use crate::reason::{AgentReason, Reason};

/// What is true of all addresses: found once.
pub(super) struct AddressReadiness<'a> {
    view: &'a ConditionInputs<'a>,
    // Not whom a taint alone says to be off: it may be forgotten, and the node serve.
    absent: BTreeSet<NodeName>,
    no_majority: Option<SilentMajority>,
}

impl<'a> AddressReadiness<'a> {
    pub(super) fn new(view: &'a ConditionInputs<'a>) -> Self {
        let no_majority = liveness::silent_majority(view.snapshot);
        let mut absent = liveness::absent(view.snapshot);
        absent.extend(no_majority.iter().flat_map(|found| found.silent.iter().cloned()));
        Self { view, absent, no_majority }
    }

    pub(super) fn of(
        &self,
        address: IpAddr,
        plan: &AddressPlan,
        status: &AddressStatus,
    ) -> Evaluation {
        if let Some(ended) = ended(plan) {
            return ended;
        }
        if let Some(message) = self.conflict(address, status) {
            return not(Reason::Conflict, message);
        }
        let Some(owner) = &plan.owner else {
            let message = no_gateway::message(self.view, address, plan, &self.absent);
            return not(Reason::NoGateway, message);
        };
        let holder = status.holding.as_ref().map(|holding| &holding.node);
        if let Some(message) = self.no_majority(plan, holder) {
            return not(Reason::NoMajority, message);
        }
        match holder {
            None => not(Reason::NoHolder, format!("{owner} is to hold it and does not yet")),
            Some(holder) => self.held(address, plan, status, holder),
        }
    }

    fn held(
        &self,
        address: IpAddr,
        plan: &AddressPlan,
        status: &AddressStatus,
        holder: &NodeName,
    ) -> Evaluation {
        if self.absent.contains(holder) {
            let message = format!(
                "its holder {holder} is absent and nobody has said that it took over; look at the \
                 gateways {}",
                names(plan.owner.iter().chain(&plan.standbys))
            );
            return not(Reason::HolderAbsent, message);
        }
        if is_missed_by_cloud(plan, status, holder) {
            let attached =
                status.conditions.iter().find(|known| known.kind == ConditionType::Attached);
            let why = attached.filter(|known| !known.status).map(|known| known.message.clone());
            let message = why.unwrap_or_else(|| format!("{holder} holds it; it is being attached"));
            return not(Reason::NotAttached, message);
        }
        if let Some(why) = interface::unusable(self.view.snapshot, address, holder) {
            return not(Reason::InterfaceUnusable, format!("{holder} holds it; {why}"));
        }
        let (cut_off, users) = self.view.reach.cut_off(address, holder);
        // One alone may be the one that is cut off, from everybody.
        if cut_off.len() >= 2 && cut_off.len() * 2 > users {
            let message = format!(
                "{holder} holds it, and {} of the {users} nodes whose pods use it do not reach it \
                 through the tunnel ({}): see their condition Ready",
                cut_off.len(),
                some(&cut_off)
            );
            return not(Reason::HolderUnreached, message);
        }
        let standbys = match plan.standbys.as_slice() {
            [] => "nobody stands by".into(),
            standbys => format!("standing by: {}", names(standbys.iter())),
        };
        let move_to = cloud::awaited_move(self.view, address, plan).unwrap_or_default();
        let leaves = departure::drain_reason(self.view.snapshot, holder);
        let leaves = leaves.map(|why| format!(" and {why}")).unwrap_or_default();
        let cut_off = match cut_off.as_slice() {
            [] => String::new(),
            cut_off => format!("; not reached through the tunnel by {}", some(cut_off)),
        };
        let message = format!("{holder} holds it{leaves}; {standbys}{move_to}{cut_off}");
        Evaluation::new(ConditionType::Ready, true, Reason::Held, message)
    }

    /// Why nobody's lease is renewed. A cloud's fabric delivers to the holder all the same.
    fn no_majority(&self, plan: &AddressPlan, holder: Option<&NodeName>) -> Option<String> {
        if plan.facts().fabric_fences() {
            return None;
        }
        let why = match (&self.no_majority, holder) {
            (Some(found), _) => format!(
                "a majority of the voters is silent: {} (left: {})",
                names(found.silent.iter()),
                names(found.left.iter())
            ),
            (None, Some(holder)) if self.says_no_majority(holder) => {
                format!("{holder} held it last, and no majority of the voters answers it")
            }
            (None, _) => return None,
        };
        Some(format!(
            "{why}; its lease is not renewed and nobody gets a new one: bring voters back, or see \
             `egret voters reset` where they are gone for good"
        ))
    }

    fn says_no_majority(&self, holder: &NodeName) -> bool {
        let node = self.view.snapshot.egress_nodes.get(holder);
        let mut conditions = node.into_iter().flat_map(|node| &node.value.status.conditions);
        conditions.any(|known| {
            known.kind == ConditionType::Ready
                && !known.status
                && known.reason == AgentReason::NoMajority.to_string()
        })
    }

    /// Who else has the address, and what to do.
    fn conflict(&self, address: IpAddr, status: &AddressStatus) -> Option<String> {
        let mut known = status.conditions.iter();
        let told = known.find(|known| known.kind == ConditionType::Conflict && known.status);
        let told = told.map(|known| known.message.clone());
        let message = told.or_else(|| on_interface(self.view.snapshot, address))?;
        let advice = contested::advice(self.view.snapshot, address);
        Some(message + &advice.map(|advice| format!("; {advice}")).unwrap_or_default())
    }
}

fn not(reason: Reason, message: String) -> Evaluation {
    Evaluation::new(ConditionType::Ready, false, reason, message)
}

/// For people: a message has limits.
fn some(nodes: &[&NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(|node| node.as_str()).collect();
    some_of(&names, ", ")
}

fn ended(plan: &AddressPlan) -> Option<Evaluation> {
    Some(match plan.end? {
        AddressEnd::Released { .. } => {
            let message = "its claim has ended; it serves open connections until they end";
            not(Reason::Released, message.into())
        }
        AddressEnd::Revoked { .. } => {
            let places = plan.facts().cloud_places();
            let cloud = if places { ", the cloud has taken it off the gateways" } else { "" };
            let message = format!(
                "its claim has ended; it is free when a majority of the voters has let go of \
                 it{cloud} and its ports have rested"
            );
            not(Reason::Revoked, message)
        }
    })
}

/// The cloud places the address, and does not let its holder serve it.
fn is_missed_by_cloud(plan: &AddressPlan, status: &AddressStatus, holder: &NodeName) -> bool {
    let facts = plan.facts();
    facts.cloud_places() && !status.is_served_at(holder, facts)
}

#[cfg(test)]
mod tests;
