//! Which secondary address of an interface carries which Elastic IP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use egret_core::model::NodeName;

use crate::place::PlacementInputs;
use crate::snapshot::Interface;

/// What a node's interface has for `wanted`, and what it has beyond that: spare addresses, which
/// no address is known to use.
pub(super) fn at(
    scene: &PlacementInputs<'_>,
    wanted: &BTreeSet<Ipv4Addr>,
    node: &NodeName,
    target: &Interface,
) -> (BTreeMap<Ipv4Addr, Ipv4Addr>, BTreeSet<Ipv4Addr>) {
    let usable = |wire: &Ipv4Addr| {
        let address = IpAddr::from(*wire);
        !scene.doubts.contains_key(&address)
            && !scene.asked.contains(&address)
            && !scene.inventory.addresses.contains_key(&address)
    };
    let mut idle: BTreeSet<_> = target.idle().filter(usable).collect();
    let mut found = BTreeMap::new();
    for public in wanted {
        let own = of(scene, (*public).into(), node);
        if let Some(wire) = own.into_iter().find(|wire| idle.contains(wire)) {
            idle.remove(&wire);
            found.insert(*public, wire);
        }
    }
    let claimed = claimed_by_others(scene, wanted, node);
    let own = scene.is_own(target);
    idle.retain(|wire| own && !claimed.contains(wire));
    (found, idle)
}

/// The wire addresses of one egress address at a node: of this process, then of its status.
pub(super) fn of(scene: &PlacementInputs<'_>, address: IpAddr, node: &NodeName) -> Vec<Ipv4Addr> {
    let known = scene.wires.get(&(address, node.clone())).into_iter().flatten().copied();
    let recorded = scene.inventory.addresses.get(&address).and_then(|at| at.get(node));
    let recorded = recorded.and_then(|attachment| attachment.wire).and_then(|wire| match wire {
        IpAddr::V4(wire) => Some(wire),
        IpAddr::V6(_) => None,
    });
    // This process is ahead of the status: what it gave to another address is that one's.
    let given = |wire: &Ipv4Addr| {
        scene.wires.iter().any(|((other, _), wires)| *other != address && wires.contains(wire))
    };
    known.chain(recorded.filter(|wire| !given(wire))).collect()
}

fn claimed_by_others(
    scene: &PlacementInputs<'_>,
    wanted: &BTreeSet<Ipv4Addr>,
    node: &NodeName,
) -> BTreeSet<Ipv4Addr> {
    let others = scene.wires.keys().map(|(address, at)| (*address, at));
    let recorded = scene.inventory.addresses.iter();
    let recorded = recorded.flat_map(|(address, at)| at.keys().map(move |node| (*address, node)));
    let others: BTreeSet<_> = others.chain(recorded).collect();
    let others = others.into_iter().filter(|(address, at)| {
        *at == node && !matches!(address, IpAddr::V4(public) if wanted.contains(public))
    });
    others.flat_map(|(address, at)| of(scene, address, at)).collect()
}

/// Wire addresses at a node of Elastic IPs other than those that need one there.
pub(super) fn unwanted(
    scene: &PlacementInputs<'_>,
    node: &NodeName,
    needed: &BTreeSet<Ipv4Addr>,
    target: &Interface,
) -> BTreeSet<Ipv4Addr> {
    let known = scene.wires.keys().filter(|(_, at)| at == node).map(|(address, _)| *address);
    let recorded = scene.inventory.addresses.iter().filter(|(_, at)| at.contains_key(node));
    let addresses: BTreeSet<_> = known.chain(recorded.map(|(address, _)| *address)).collect();
    let others = addresses.into_iter().filter(|address| match address {
        IpAddr::V4(public) => !needed.contains(public),
        IpAddr::V6(_) => false,
    });
    let idle: BTreeSet<_> = target.idle().collect();
    let wires = others.flat_map(|address| of(scene, address, node));
    wires.filter(|wire| idle.contains(wire)).collect()
}
