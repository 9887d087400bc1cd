//! Why no gateway can carry an address.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::cloud::{some_of, unknown_node};
use super::evaluation::ConditionInputs;
use crate::cloud::CloudState;
use crate::membership::departure;
use crate::model::{AddressPlan, Node, NodeName, Pool};
use crate::placement::{Ineligible, UNSUPPORTED, is_unsupported, unfit};

/// For people. Of a paused pool: that. In a cloud: what keeps the address from each of the pool's gateways, the most common
/// reason first.
pub(super) fn message(
    view: &ConditionInputs<'_>,
    address: IpAddr,
    plan: &AddressPlan,
    absent: &BTreeSet<NodeName>,
) -> String {
    if plan.paused {
        return "its pool is paused: no node is chosen for it before spec.paused is unset"
            .to_owned();
    }
    if !plan.facts().cloud_places() {
        let nodes = view.snapshot.egress_nodes.iter();
        let mut cut_off = nodes
            .filter_map(|(name, stored)| Some((name, stored.value.status.cut_off_from(address)?)));
        if let Some((node, why)) = cut_off.next() {
            return format!("no node may carry it: {node}: {why}");
        }
        return "no node may carry it: label a gateway with an uplink in its subnet, or end a drain \
                (egret uncordon NODE)"
            .to_owned();
    }
    let Some(cloud) = view.memory.cloud_of(plan) else {
        return "no node may carry it: this controller was built without the provider of its pool"
            .to_owned();
    };
    if !cloud.asked.contains(&address) {
        let why = cloud.read_error.as_deref().unwrap_or("the cloud is being asked");
        return format!("it is not known yet which node may carry it: {why}");
    }
    let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, node) in &view.snapshot.nodes {
        if let Some(pool) = selecting(view, plan, node) {
            let why = match unfit(view.snapshot, absent, name) {
                Some(Ineligible::Drained) => drained_message(view, name),
                Some(why) => unfit_message(why).to_owned(),
                None if is_unsupported(view.snapshot, pool, node) => UNSUPPORTED.to_owned(),
                None => match super::interface::unusable(view.snapshot, address, name) {
                    Some(why) => why.to_owned(),
                    None => cloud_message(cloud, address, node),
                },
            };
            reasons.entry(why).or_default().push(name.as_str());
        }
    }
    if reasons.is_empty() {
        return "no node may carry it: label a gateway in its subnet or zone that has room for it"
            .to_owned();
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, nodes)| Reverse(nodes.len()));
    let told: Vec<String> =
        reasons.iter().map(|(why, nodes)| format!("{}: {why}", some_of(nodes, ", "))).collect();
    // Then all this is as it was when the cloud was last read.
    let unread = cloud.read_error.as_deref().map(|why| format!(" (as last read: {why})"));
    format!("no node may carry it: {}{}", some_of(&told, "; "), unread.unwrap_or_default())
}

/// The address's pool, where it selects the node.
fn selecting<'a>(view: &ConditionInputs<'a>, plan: &AddressPlan, node: &Node) -> Option<&'a Pool> {
    let pool = &view.snapshot.pools.get(&plan.pool)?.value.0;
    pool.gateways.matches(&node.labels).then_some(pool)
}

fn drained_message(view: &ConditionInputs<'_>, node: &NodeName) -> String {
    let why = departure::drain_reason(view.snapshot, node);
    why.map_or_else(|| unfit_message(Ineligible::Drained).to_owned(), |why| format!("it {why}"))
}

fn unfit_message(why: Ineligible) -> &'static str {
    match why {
        Ineligible::NotSelected => "the pool does not select it",
        Ineligible::NoAgent => "its agent has not said where it listens",
        Ineligible::Absent => "it is absent",
        Ineligible::Drained => "it is drained",
        Ineligible::Cordoned => "it is cordoned",
        Ineligible::WrongSubnet => "it has no uplink in the subnet",
        Ineligible::UnsupportedDataplane => UNSUPPORTED,
        Ineligible::InterfaceUnusable => "its network interface cannot carry it",
    }
}

fn cloud_message(cloud: &CloudState, address: IpAddr, node: &Node) -> String {
    if let Some(why) = cloud.why_not(&node.name, address) {
        return why.to_owned();
    }
    if !cloud.capacities.contains_key(&node.name) {
        return unknown_node(&node.name, &node.provider_id);
    }
    "it has as many addresses as the cloud, or spec.gateways.maxAddressesPerNode, allows".to_owned()
}
