//! Which writes are made first, and which at once.

use proptest::prelude::*;

use super::laws::{check, happening, run};
use super::quiet;
use crate::model::{NodeName, Write};
use crate::planner::{PlannedWrite, WriteStage, apply, stages};
use crate::testing::{Fixture, ip, mk_claim, mk_explicit, render};

/// The plan's writes, and the same in stages.
fn staged(world: &mut Fixture) -> (Vec<PlannedWrite>, Vec<WriteStage>) {
    let writes = world.writes();
    (writes.clone(), stages(writes, &world.snapshot))
}

/// Whether `one` has to be written before `other`, which is behind it in the plan.
fn comes_before(one: &Write, other: &Write) -> bool {
    use Write::{AddressPlan, AddressStatus, Cluster, DeleteAddress, DeleteNode, NodeSpec};
    match (one, other) {
        (Cluster { .. }, NodeSpec { .. } | DeleteNode { .. } | DeleteAddress { .. }) => true,
        (NodeSpec { .. } | DeleteNode { .. }, NodeSpec { .. } | DeleteNode { .. }) => true,
        (NodeSpec { .. }, DeleteAddress { .. }) => true,
        (AddressPlan { .. }, NodeSpec { .. } | Cluster { .. }) => true,
        (AddressPlan { address: one, .. }, AddressStatus { address: other, .. }) => one == other,
        _ => false,
    }
}

/// Stage and lane of each write of the plan, and its place in the lane.
fn places(writes: &[PlannedWrite], stages: &[WriteStage]) -> Vec<(usize, usize, usize)> {
    let place = |wanted: &PlannedWrite| {
        let mut all = stages.iter().enumerate().flat_map(|(stage, its)| {
            its.lanes.iter().enumerate().flat_map(move |(lane, writes)| {
                writes.iter().enumerate().map(move |(at, write)| ((stage, lane, at), write))
            })
        });
        all.find(|(_, planned)| *planned == wanted).expect("a write is missing").0
    };
    writes.iter().map(place).collect()
}

proptest! {
    #[test]
    fn every_write_is_made_once_and_behind_what_it_depends_on(
        happenings in prop::collection::vec(happening(), 0..30),
    ) {
        let mut world = run(&happenings);
        let (writes, stages) = staged(&mut world);
        let count: usize = stages.iter().flat_map(|stage| &stage.lanes).map(Vec::len).sum();
        prop_assert_eq!(count, writes.len());
        let places = places(&writes, &stages);
        for (behind, other) in writes.iter().enumerate() {
            for (before, one) in writes[..behind].iter().enumerate() {
                if comes_before(&one.write, &other.write) {
                    let (one, other) = (places[before], places[behind]);
                    let in_lane = one.0 == other.0 && one.1 == other.1 && one.2 < other.2;
                    prop_assert!(one.0 < other.0 || in_lane, "{}", render(&world.plan()));
                }
            }
        }
    }

    /// Lanes end in any order, and the controller may crash between any two writes.
    #[test]
    fn any_part_of_what_is_made_at_once_can_be_planned_again(
        happenings in prop::collection::vec(happening(), 0..30),
        lanes in prop::collection::vec(any::<prop::sample::Index>(), 60),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut world = run(&happenings);
        let (writes, stages) = staged(&mut world);
        let (mut left, mut next) = (cut.index(writes.len() + 1), lanes.iter().cycle());
        for mut stage in stages {
            while !stage.lanes.is_empty() && left > 0 {
                let lane = next.next().unwrap().index(stage.lanes.len());
                let planned = stage.lanes[lane].remove(0);
                stage.lanes.retain(|lane| !lane.is_empty());
                apply(&mut world.snapshot, &planned.write);
                check(&world.snapshot)?;
                left -= 1;
            }
        }
        for _ in 0..5 {
            if world.step().is_empty() {
                break;
            }
            check(&world.snapshot)?;
        }
        let plan = world.plan();
        prop_assert_eq!(plan.writes.len(), 0, "{}", render(&plan));
    }
}

#[test]
fn an_address_whose_holder_is_dead_goes_before_new_ones_and_before_other_ranks() {
    let mut world = quiet();
    for number in 1..=3u8 {
        world.claim(mk_explicit(
            &format!("ns/c{number}"),
            "partners",
            &[&format!("192.0.2.10{number}")],
        ));
    }
    world.settle();
    let of = |world: &Fixture, last: u8| {
        world.snapshot.addresses[&ip(&format!("192.0.2.10{last}"))]
            .value
            .plan
            .owner
            .clone()
            .unwrap()
    };
    // The last one's owner is dead, and nobody has taken over yet.
    let dead = of(&world, 3);
    world.absent(&[dead.as_str()]);
    world.claim(mk_claim("ns/new", "partners"));
    let (_, stages) = staged(&mut world);
    let plans: Vec<(std::net::IpAddr, Option<NodeName>)> = stages[0]
        .lanes
        .iter()
        .map(|lane| match &lane[0].write {
            Write::AddressPlan { address, plan, .. } => (*address, plan.owner.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    let is_urgent = |address: &std::net::IpAddr| {
        let stored = world.snapshot.addresses.get(address);
        stored.is_none_or(|stored| stored.value.plan.owner.as_ref() == Some(&dead))
    };
    let urgent = plans.iter().take_while(|(address, _)| is_urgent(address)).count();
    assert!(urgent >= 2, "{plans:?}");
    assert!(plans[..urgent].iter().all(|(_, owner)| owner.as_ref() != Some(&dead)), "{plans:?}");
    assert!(plans[urgent..].iter().all(|(address, _)| !is_urgent(address)), "{plans:?}");
    assert!(urgent < plans.len(), "some lose a standby alone: {plans:?}");
}
