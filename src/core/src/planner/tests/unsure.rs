//! What follows a write of which nobody knows whether it is still taken.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::laws::{happen, happening, run};
use crate::memory::UnsureWrite;
use crate::model::{EgressNodeSpec, NodeName, Snapshot, Write};
use crate::planner::{Draws, PlannedWrite, apply};
use crate::testing::{Fixture, ip, mk_claim};

/// The greatest number of each spec of a plan, in the order of the writes.
fn numbers(writes: &[PlannedWrite]) -> Vec<(String, u64)> {
    let writes = writes.iter().filter_map(|planned| match &planned.write {
        Write::NodeSpec { node, spec, .. } => {
            Some((node.to_string(), drawn(spec).last().copied()?))
        }
        _ => None,
    });
    writes.collect()
}

fn drawn(spec: &EgressNodeSpec) -> BTreeSet<u64> {
    spec.blocks.iter().flat_map(|block| [Some(block.epoch), block.ended]).flatten().collect()
}

fn greatest(snapshot: &Snapshot) -> u64 {
    let specs = snapshot.egress_nodes.values().map(|stored| &stored.value.spec);
    specs.filter_map(|spec| drawn(spec).last().copied()).max().unwrap_or(0)
}

/// The write of `node` has just failed.
fn unsure_of(world: &mut Fixture, node: &NodeName) {
    let expect = Some(world.snapshot.egress_nodes[node].version.clone());
    world.memory.unsure_of = Some(UnsureWrite { node: node.clone(), expect, since: world.now });
}

#[test]
fn its_node_is_written_first() {
    let mut world = Fixture::small();
    world.claim(mk_claim("payments/bank", "partners"));
    let by_name = numbers(&world.writes());
    assert!(by_name.len() > 1 && by_name.is_sorted_by_key(|(_, number)| *number), "{by_name:?}");
    let last = by_name.last().unwrap().0.clone();
    unsure_of(&mut world, &last.as_str().into());
    let unsure = numbers(&world.writes());
    assert_eq!((unsure.len(), &unsure[0].0), (by_name.len(), &last));
    assert!(unsure.is_sorted_by_key(|(_, number)| *number), "{unsure:?}");
}

/// A write of equal content leaves the version as it is, and the earlier one would still find it.
#[test]
fn where_its_node_needs_none_no_number_is_given_out_while_it_may_be_taken() {
    let mut world = super::quiet();
    let settled = |world: &mut Fixture| {
        let (snapshot, now) = (world.snapshot.clone(), world.now);
        world.memory.settle_unsure(&snapshot, now);
        world.memory.unsure_of.is_none()
    };
    unsure_of(&mut world, &"d2".into());
    world.status("d1").block_needs.insert(ip(super::BANK), 4);
    assert!(numbers(&world.writes()).is_empty(), "smaller ones may appear behind these");
    let plan = world.plan();
    assert_eq!((plan.numbers, plan.wake_at), (0, Some(world.now + crate::model::Millis(60_000))));
    world.spec("d1").drain = false;
    // What draws no number waits for nobody.
    world.snapshot.nodes.get_mut(&"d1".into()).unwrap().cordoned = true;
    world.status("d1").block_needs.clear();
    assert_eq!(numbers(&world.writes()).len(), 1);
    world.status("d1").block_needs.insert(ip(super::BANK), 4);
    // Its object has changed: it finds another version.
    let mut other = Fixture::small();
    std::mem::swap(&mut other.snapshot, &mut world.snapshot);
    world.snapshot = other.snapshot.clone();
    let status = world.status("d2").clone();
    apply(&mut world.snapshot, &Write::NodeStatus { node: "d2".into(), status });
    assert!(!numbers(&world.writes()).is_empty());
    assert!(settled(&mut world));
    // Or nobody works on it any more.
    unsure_of(&mut world, &"d2".into());
    world.pass(59);
    assert!(numbers(&world.writes()).is_empty() && !settled(&mut world));
    world.pass(1);
    assert!(!numbers(&world.writes()).is_empty() && settled(&mut world));
    unsure_of(&mut world, &"d2".into());
    world.snapshot.egress_nodes.remove(&NodeName::from("d2"));
    assert!(settled(&mut world), "nothing is there to be written");
}

proptest! {
    /// It is taken late, or never, whatever is planned and written meanwhile.
    #[test]
    fn numbers_appear_in_order_although_it_is_taken_late(
        before in prop::collection::vec(happening(), 0..20),
        which in any::<prop::sample::Index>(),
        meanwhile in prop::collection::vec(happening(), 0..10),
        lands in any::<prop::sample::Index>(),
    ) {
        let mut world = run(&before);
        let writes = world.writes();
        let drawing = writes.iter().enumerate().filter(|(_, planned)| {
            matches!(&planned.draws, Draws::Blocks(draws) if !draws.is_empty())
        });
        let drawing: Vec<usize> = drawing.map(|(at, _)| at).collect();
        if drawing.is_empty() {
            return Ok(());
        }
        let at = drawing[which.index(drawing.len())];
        for planned in &writes[..at] {
            apply(&mut world.snapshot, &planned.write);
        }
        let Write::NodeSpec { node, spec, .. } = &writes[at].write else { unreachable!() };
        unsure_of(&mut world, node);
        let unsure = world.memory.unsure_of.clone().unwrap();
        let mut seen = greatest(&world.snapshot);
        for happening in &meanwhile[..lands.index(meanwhile.len() + 1)] {
            happen(&mut world, happening);
            seen = seen.max(greatest(&world.snapshot));
            let (snapshot, now) = (world.snapshot.clone(), world.now);
            world.memory.settle_unsure(&snapshot, now);
        }
        let Some(stored) = world.snapshot.egress_nodes.get(node) else { return Ok(()) };
        if unsure.may_land(&stored.version, world.now) {
            let there = drawn(&stored.value.spec);
            let new = drawn(spec).difference(&there).next().copied();
            prop_assert!(new.is_none_or(|new| new > seen), "{new:?} appears after {seen}");
        }
    }
}
