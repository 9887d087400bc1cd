//! A claim that is made anew while its address ends.

use super::*;

fn again(ideal: &mut IdealCloud) {
    let uid = "another".into();
    ideal.world.claim(Claim { uid, ..mk_explicit("ns/c", "cloud", &[ADDRESS]) });
}

/// In whichever state the cloud is: it has not begun, has taken the address off some gateways, or off
/// all.
#[test]
fn what_was_revoked_is_attached_again_as_fast_as_attaching() {
    for detached in 0..=3 {
        let mut ideal = IdealCloud::up();
        let owner = ideal.owner();
        ideal.world.edit_pool("cloud", |pool| pool.failover.release_after = Millis(0));
        ideal.world.delete_claim("ns/c");
        ideal.world.step();
        let fence = ideal.world.address(ADDRESS).plan.fence;
        ideal.world.acknowledge(&[]);
        for task in ideal.tasks().into_iter().take(detached) {
            ideal.finish(task);
        }
        ideal.world.step();
        again(&mut ideal);
        ideal.settle();
        let plan = ideal.world.address(ADDRESS).plan.clone();
        assert!(plan.end.is_none() && plan.fence > fence, "{plan:?}");
        assert_eq!((plan.owner.as_ref(), &ideal.attached[&ip(ADDRESS)]), (Some(&owner), &owner));
        assert!(ideal.condition("Ready").0, "{detached}: {:?}", ideal.condition("Ready"));
        ideal.world.pass(600);
        ideal.settle();
        assert!(ideal.condition("Ready").0, "it is not freed");
    }
}

/// What was released is attached all the time.
#[test]
fn what_was_released_costs_no_call() {
    let mut ideal = IdealCloud::up();
    ideal.world.delete_claim("ns/c");
    ideal.settle();
    ideal.done.clear();
    again(&mut ideal);
    ideal.settle();
    assert!(ideal.condition("Ready").0);
    assert!(ideal.done.is_empty(), "{:?}", ideal.done);
}
