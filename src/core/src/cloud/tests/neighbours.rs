//! Standbys in the owner's subnet, where a cloud moves an address sooner within one.

use super::*;

/// Gateways g1, g3, g5 … in subnet-a and g2, g4 … in subnet-b, each in a zone of its own.
fn ideal(gateways: usize) -> IdealCloud {
    let mut ideal = IdealCloud::empty();
    for number in 4..=gateways {
        ideal.world.node(&format!("g{number}"), number + 10, true, &format!("z{number}"));
    }
    for number in 1..=gateways {
        let subnet = if number % 2 == 1 { "subnet-a" } else { "subnet-b" };
        ideal.subnets.insert(format!("g{number}").as_str().into(), subnet);
    }
    ideal
}

fn bind(ideal: &mut IdealCloud) {
    ideal.world.claim(mk_explicit("ns/c", "cloud", &[ADDRESS]));
    ideal.settle();
}

/// Whether owner and standbys are in one subnet, in the order of rank.
fn near(ideal: &IdealCloud) -> Vec<bool> {
    let plan = &ideal.world.address(ADDRESS).plan;
    let subnet = |node: &NodeName| ideal.subnets.get(node);
    let owner = plan.owner.as_ref().map(subnet);
    plan.standbys.iter().map(|node| Some(subnet(node)) == owner).collect()
}

#[test]
fn neighbours_of_the_owner_come_first_and_stay_so() {
    let mut ideal = ideal(6);
    bind(&mut ideal);
    let order = near(&ideal);
    assert!(order[0] && order.is_sorted_by(|one, other| one >= other), "{order:?}");
    assert!(ideal.world.step().is_empty(), "one plan later they are the same");
}

#[test]
fn after_a_takeover_they_are_the_new_owners() {
    let mut ideal = ideal(6);
    bind(&mut ideal);
    let plan = ideal.world.address(ADDRESS).plan.clone();
    let far = plan.standbys.iter().zip(near(&ideal)).find(|(_, near)| !near);
    let far = match far {
        Some((node, _)) => node.clone(),
        None => ideal.subnets.keys().find(|node| !plan.standbys.contains(node)).unwrap().clone(),
    };
    ideal.world.hold(ip(ADDRESS), far.as_str(), 9);
    ideal.settle();
    assert_eq!(ideal.owner(), far);
    assert!(near(&ideal)[0], "{:?}", ideal.world.address(ADDRESS).plan);
    assert!(ideal.world.step().is_empty());
}

#[test]
fn for_a_neighbour_that_comes_the_last_of_the_others_goes() {
    let mut ideal = ideal(6);
    let alone = |ideal: &mut IdealCloud| {
        let owner = ideal.owner();
        for (node, subnet) in &mut ideal.subnets {
            *subnet = if *node == owner { "subnet-a" } else { "subnet-b" };
        }
    };
    bind(&mut ideal);
    alone(&mut ideal);
    ideal.world.now = ideal.world.now + SCAN;
    ideal.settle();
    let before = ideal.world.address(ADDRESS).plan.standbys.clone();
    assert_eq!(near(&ideal), [false; 3]);
    let newcomer =
        ideal.subnets.keys().find(|node| !before.contains(node) && **node != ideal.owner());
    let newcomer = newcomer.unwrap().clone();
    ideal.subnets.insert(newcomer.clone(), "subnet-a");
    ideal.world.now = ideal.world.now + SCAN;
    ideal.settle();
    let after = &ideal.world.address(ADDRESS).plan.standbys;
    assert_eq!(*after, [newcomer, before[0].clone(), before[1].clone()]);
}

#[test]
fn where_the_cloud_names_no_subnet_another_zone_comes_first() {
    let mut ideal = ideal(6);
    ideal.subnets.clear();
    bind(&mut ideal);
    let plan = &ideal.world.address(ADDRESS).plan;
    let zone = |node: &NodeName| ideal.world.snapshot.nodes[node].zone.clone();
    assert_ne!(zone(&plan.standbys[0]), zone(plan.owner.as_ref().unwrap()));
    assert_eq!(plan.standbys.len(), 3);
}
