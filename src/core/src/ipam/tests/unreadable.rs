use super::*;

#[test]
fn a_claim_that_cannot_be_read_keeps_its_address_and_nobody_else_gets_it() {
    let mut world = Fixture::small();
    world.claim(mk_explicit("ns/bank", "partners", &["192.0.2.101"]));
    world.settle();
    world.snapshot.claims.remove(&mk_ref("ns/bank"));
    world.snapshot.unreadable_claims.insert(mk_ref("ns/bank"));
    world.claim(mk_explicit("ns/other", "partners", &["192.0.2.101"]));
    let bindings = bind_world(&world);
    assert_eq!(bindings.ends, [].into());
    assert_eq!(refused(&bindings, "ns/other").0, Reason::AddressInUse);
    let plan = world.snapshot.addresses[&ip("192.0.2.101")].value.plan.clone();
    world.settle();
    assert_eq!(world.snapshot.addresses[&ip("192.0.2.101")].value.plan, plan);
}
