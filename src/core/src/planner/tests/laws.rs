use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;

use crate::model::{
    AddressEnd, ClaimStatus, EgressAddress, Failback, NodeName, PortRange, Snapshot, Stored, Uid,
    Write,
};
use crate::planner::{PlannedWrite, apply};
use crate::testing::{Fixture, ip, mk_claim, mk_explicit, mk_pod, mk_pool, mk_ref, render};

/// Something that happens to a cluster between two plans.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    Claim { name: u8, count: u32, second_pool: bool },
    Explicit { name: u8, address: u8 },
    DeleteClaim(u8),
    Anew(u8),
    Absent(BTreeSet<u8>),
    Drain(u8),
    Undrain(u8),
    Cordon { node: u8, cordoned: bool },
    Take { address: u8, node: u8 },
    HoldAll,
    Acknowledge,
    Idle(u8),
    Need { node: u8, address: u8, blocks: u32 },
    Prefer { address: u8, node: u8 },
    Pause(bool),
    Failback(u8),
    Pass(u64),
    Plan,
}

pub(super) fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0u8..6, 1u32..3, any::<bool>()).prop_map(|(name, count, second_pool)| Happening::Claim {
            name,
            count,
            second_pool
        }),
        (0u8..6, 0u8..14).prop_map(|(name, address)| Happening::Explicit { name, address }),
        (0u8..6).prop_map(Happening::DeleteClaim),
        (0u8..6).prop_map(Happening::Anew),
        prop::collection::btree_set(0u8..5, 0..3).prop_map(Happening::Absent),
        (0u8..5).prop_map(Happening::Drain),
        (0u8..5).prop_map(Happening::Undrain),
        (0u8..5, any::<bool>()).prop_map(|(node, cordoned)| Happening::Cordon { node, cordoned }),
        (0u8..14, 0u8..3).prop_map(|(address, node)| Happening::Take { address, node }),
        Just(Happening::HoldAll),
        Just(Happening::Acknowledge),
        (0u8..5).prop_map(Happening::Idle),
        (0u8..5, 0u8..14, 0u32..4).prop_map(|(node, address, blocks)| Happening::Need {
            node,
            address,
            blocks
        }),
        (0u8..14, 0u8..3).prop_map(|(address, node)| Happening::Prefer { address, node }),
        any::<bool>().prop_map(Happening::Pause),
        (0u8..3).prop_map(Happening::Failback),
        (1u64..400).prop_map(Happening::Pass),
        Just(Happening::Plan),
        Just(Happening::Plan),
    ]
}

const NODES: [&str; 5] = ["g1", "g2", "g3", "d1", "d2"];

fn address(number: u8) -> IpAddr {
    ip(&format!("192.0.2.{}", 100 + u32::from(number)))
}

pub(super) fn happen(world: &mut Fixture, happening: &Happening) {
    let node = |number: &u8| NODES[usize::from(*number)];
    match happening {
        Happening::Claim { name, count, second_pool } => {
            let pool = if *second_pool { "second" } else { "partners" };
            let mut claim = mk_claim(&format!("ns/c{name}"), pool);
            claim.count = *count;
            world.claim(claim);
        }
        Happening::Explicit { name, address: number } => {
            let text = address(*number).to_string();
            world.claim(mk_explicit(&format!("ns/c{name}"), "partners", &[&text]));
        }
        Happening::DeleteClaim(name) => {
            world.snapshot.claims.remove(&mk_ref(&format!("ns/c{name}")));
        }
        Happening::Anew(name) => make_anew(world, *name),
        Happening::Absent(nodes) => {
            let dead: Vec<&str> = nodes.iter().map(node).collect();
            world.absent(&dead);
        }
        Happening::Drain(number) => world.spec(node(number)).drain = true,
        Happening::Undrain(number) => world.spec(node(number)).drain = false,
        Happening::Cordon { node: number, cordoned } => {
            world.snapshot.nodes.get_mut(&node(number).into()).unwrap().cordoned = *cordoned;
        }
        Happening::Take { address: number, node: by } => {
            let Some(stored) = world.snapshot.addresses.get(&address(*number)) else { return };
            let before = stored.value.status.holding.as_ref().map_or(0, |h| h.epoch.counter);
            world.hold(address(*number), node(by), before + 1);
        }
        Happening::HoldAll => world.hold_all(),
        Happening::Acknowledge => world.acknowledge(&[]),
        Happening::Idle(number) => answer_all(world, node(number)),
        Happening::Need { node: number, address: of, blocks } => {
            world.status(node(number)).block_needs.insert(address(*of), *blocks);
        }
        Happening::Prefer { address: number, node: by } => {
            if let Some(stored) = world.snapshot.addresses.get_mut(&address(*number)) {
                stored.value.plan.preferred_node = Some(node(by).into());
            }
        }
        Happening::Pause(paused) => world.edit_pool("partners", |pool| pool.paused = *paused),
        Happening::Failback(kind) => {
            let kinds = [Failback::Never, Failback::WhenDrained, Failback::Immediately];
            let kind = kinds[usize::from(*kind)];
            world.edit_pool("partners", |pool| pool.failover.failback = kind);
        }
        Happening::Pass(seconds) => world.pass(*seconds),
        Happening::Plan => {
            world.step();
        }
    }
}

/// The claim is deleted and applied again.
fn make_anew(world: &mut Fixture, name: u8) {
    let uid = format!("{:?} anew", world.now);
    let reference = mk_ref(&format!("ns/c{name}"));
    if let Some(stored) = world.snapshot.claims.get_mut(&reference) {
        stored.value.0.uid = Uid::new(uid);
        stored.value.1 = ClaimStatus::default();
    }
}

/// A director has no connection of any released address.
fn answer_all(world: &mut Fixture, node: &str) {
    let released = |(address, stored): (&IpAddr, &Stored<EgressAddress>)| {
        let Some(AddressEnd::Released { since, .. }) = stored.value.plan.end else { return None };
        Some((*address, since))
    };
    let all = world.snapshot.addresses.iter().filter_map(released).collect();
    world.status(node).idle_releases = all;
}

fn start() -> Fixture {
    let mut world = Fixture::small();
    world.pool(mk_pool("second", &[("192.0.2.200", "192.0.2.203")]));
    for (index, node) in NODES.iter().enumerate() {
        let source = format!("10.244.{index}.7/32");
        world.pod(mk_pod(&format!("ns/p{index}"), "c0", node, &[&source]));
    }
    world
}

/// What must hold after any subset of a plan's writes.
pub(super) fn check(snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let mut ports: BTreeMap<IpAddr, Vec<(PortRange, &NodeName)>> = BTreeMap::new();
    for (name, node) in &snapshot.egress_nodes {
        for grant in &node.value.spec.blocks {
            let taken = ports.entry(grant.address).or_default();
            for (other, by) in taken.iter() {
                prop_assert!(
                    !other.overlaps(&grant.ports),
                    "{} of {} is {name}'s and {by}'s",
                    grant.ports,
                    grant.address
                );
            }
            prop_assert!(grant.ports.size().is_power_of_two());
            prop_assert_eq!(u32::from(grant.ports.first()) % grant.ports.size(), 0);
            taken.push((grant.ports, name));
        }
    }
    for (address, stored) in &snapshot.addresses {
        let plan = &stored.value.plan;
        prop_assert!(plan.fence > 0, "{address} has no fence");
        let ranks: Vec<&NodeName> = plan.owner.iter().chain(&plan.standbys).collect();
        let distinct: BTreeSet<&NodeName> = ranks.iter().copied().collect();
        prop_assert_eq!(ranks.len(), distinct.len(), "a node twice in a plan");
    }
    Ok(())
}

/// A binding is not given to another by a plan, and an end is only taken back for the claim that had
/// the address and asks for it again, from the same pool; one that was revoked, under a new fence.
fn check_step(before: &Snapshot, after: &Snapshot) -> Result<(), TestCaseError> {
    for (address, stored) in &after.addresses {
        let Some(old) = before.addresses.get(address).map(|stored| &stored.value.plan) else {
            continue;
        };
        let new = &stored.value.plan;
        prop_assert_eq!(&old.claim, &new.claim);
        prop_assert_eq!(&old.pool, &new.pool);
        let claim = before.claims.get(&old.claim).map(|stored| &stored.value.0);
        let same = claim.filter(|claim| claim.pool == old.pool);
        if old.claim_uid != new.claim_uid {
            prop_assert_eq!(same.map(|claim| &claim.uid), Some(&new.claim_uid));
        }
        prop_assert!(new.fence >= old.fence, "a fence went down");
        if old.end.is_some() && new.end.is_none() {
            prop_assert!(same.is_some(), "an end was taken back for nobody");
            let revoked = old.is_revoked();
            prop_assert_eq!(new.fence > old.fence, revoked, "the fence of what was taken back");
        }
        if old.is_revoked() && new.end.is_some() {
            prop_assert_eq!((old.fence, old.end), (new.fence, new.end), "revoked twice");
        }
    }
    Ok(())
}

/// Whether a plan frees something that another object may wait for, or changes the voters.
fn frees(before: &Snapshot, writes: &[PlannedWrite]) -> bool {
    writes.iter().any(|planned| match &planned.write {
        Write::DeleteAddress { .. } => true,
        Write::Cluster { cluster, .. } => {
            cluster.set != before.cluster.as_ref().and_then(|stored| stored.value.set.clone())
        }
        Write::NodeSpec { node, spec, .. } => {
            spec.blocks.len() < before.egress_nodes[node].value.spec.blocks.len()
                || before.egress_nodes[node].value.spec.blocks.iter().any(|grant| {
                    spec.blocks
                        .iter()
                        .all(|other| (other.address, other.ports) != (grant.address, grant.ports))
                })
        }
        _ => false,
    })
}

pub(super) fn run(happenings: &[Happening]) -> Fixture {
    let mut world = start();
    for happening in happenings {
        happen(&mut world, happening);
    }
    world
}

proptest! {
    #[test]
    fn the_plan_after_the_plan_is_empty(happenings in prop::collection::vec(happening(), 0..30)) {
        let mut world = run(&happenings);
        for _ in 0..4 {
            let before = world.snapshot.clone();
            let writes = world.step();
            check(&world.snapshot)?;
            check_step(&before, &world.snapshot)?;
            if !frees(&before, &writes) {
                break;
            }
        }
        let plan = world.plan();
        prop_assert_eq!(plan.writes.len(), 0, "{}", render(&plan));
    }

    #[test]
    fn any_prefix_can_be_planned_again(
        happenings in prop::collection::vec(happening(), 0..30),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut world = run(&happenings);
        let writes = world.writes();
        let cut = if writes.is_empty() { 0 } else { cut.index(writes.len()) };
        for planned in &writes[..cut] {
            let before = world.snapshot.clone();
            apply(&mut world.snapshot, &planned.write);
            check(&world.snapshot)?;
            check_step(&before, &world.snapshot)?;
        }
        // Another leader, without memory of the first one's plan, goes on.
        for _ in 0..5 {
            if world.step().is_empty() {
                break;
            }
            check(&world.snapshot)?;
        }
        let plan = world.plan();
        prop_assert_eq!(plan.writes.len(), 0, "{}", render(&plan));
    }

    #[test]
    fn no_subset_of_the_writes_gives_a_port_or_an_address_twice(
        happenings in prop::collection::vec(happening(), 0..30),
        kept in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut world = run(&happenings);
        for (planned, kept) in world.writes().iter().zip(kept.iter().cycle()) {
            if *kept {
                apply(&mut world.snapshot, &planned.write);
                check(&world.snapshot)?;
            }
        }
        world.step();
        check(&world.snapshot)?;
    }

    #[test]
    fn losing_a_gateway_moves_only_its_addresses(
        happenings in prop::collection::vec(happening(), 0..30),
        lost in 0usize..3,
    ) {
        let mut world = run(&happenings);
        world.absent(&[]);
        world.hold_all();
        for _ in 0..5 {
            world.step();
            world.hold_all();
        }
        let before = world.snapshot.clone();
        world.absent(&[NODES[lost]]);
        world.step();
        for (address, stored) in &world.snapshot.addresses {
            let Some(old) = before.addresses.get(address) else { continue };
            let (old, new) = (&old.value.plan, &stored.value.plan);
            if old.owner.as_ref().map(NodeName::as_str) != Some(NODES[lost]) {
                prop_assert_eq!(&old.owner, &new.owner, "{} moved", address);
            }
        }
    }

    #[test]
    fn the_order_of_events_that_commute_does_not_matter(
        names in Just((0u8..6).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        // Maps are sorted, so the order in which objects come in cannot matter; what could is a
        // hidden dependence on versions or on the time of the first sight.
        let mut world = start();
        for name in names {
            happen(&mut world, &Happening::Claim { name, count: 2, second_pool: false });
        }
        let mut other = start();
        for name in 0..6 {
            happen(&mut other, &Happening::Claim { name, count: 2, second_pool: false });
        }
        prop_assert_eq!(world.plan(), other.plan());
    }
}
