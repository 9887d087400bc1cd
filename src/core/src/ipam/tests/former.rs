//! A removal keeps pools and claims, and takes every `EgressAddress` with it.

use proptest::prelude::*;

use super::*;
use crate::model::ObjectRef;

fn says(world: &mut Fixture, claim: &str, addresses: &[&str]) {
    let stored = world.snapshot.claims.get_mut(&mk_ref(claim)).unwrap();
    stored.value.1.addresses = addresses.iter().map(|address| ip(address)).collect();
}

fn count(name: &str, count: u32, created: i64) -> Claim {
    let mut claim = mk_claim(name, "partners");
    (claim.count, claim.created) = (count, Timestamp(created));
    claim
}

#[test]
fn a_claim_has_back_what_its_status_names_and_a_new_one_does_not_take_it() {
    let mut world = Fixture::small();
    world.claim(count("ns/had", 1, 50));
    world.claim(count("ns/new", 1, 1));
    says(&mut world, "ns/had", &["192.0.2.100"]);
    let bindings = bind_world(&world);
    assert_eq!(new(&bindings, "ns/had"), ["192.0.2.100"]);
    assert_eq!(new(&bindings, "ns/new"), ["192.0.2.101"]);
}

#[test]
fn what_two_statuses_name_goes_to_the_older_claim_and_what_a_spec_lists_to_none_of_them() {
    let mut world = Fixture::small();
    world.claim(count("ns/older", 1, 1));
    world.claim(count("ns/younger", 2, 2));
    world.claim(mk_explicit("ns/lists", "partners", &["192.0.2.104"]));
    says(&mut world, "ns/older", &["192.0.2.103"]);
    says(&mut world, "ns/younger", &["192.0.2.103", "192.0.2.104"]);
    let bindings = bind_world(&world);
    assert_eq!(new(&bindings, "ns/older"), ["192.0.2.103"]);
    assert_eq!(new(&bindings, "ns/lists"), ["192.0.2.104"]);
    assert_eq!(new(&bindings, "ns/younger"), ["192.0.2.100", "192.0.2.101"]);
}

/// Whoever wrote it: more than it asks for, of another pool, of a node, in a family that it does not want.
#[test]
fn a_status_gives_nothing_that_the_pool_would_not() {
    let mut world = Fixture::small();
    world.claim(count("ns/c", 1, 1));
    world.edit_claim("ns/c", |claim| claim.families = Some(BTreeSet::from([Family::IPv4])));
    let odd = ["198.51.100.9", "0.0.0.0", "192.0.2.1", "2001:db8::9"];
    says(&mut world, "ns/c", &[&odd[..], &["192.0.2.105", "192.0.2.106"]].concat());
    assert_eq!(new(&bind_world(&world), "ns/c"), ["192.0.2.105"]);
    world.edit_pool("partners", |pool| {
        pool.reserved.insert(ip("192.0.2.105"));
        pool.reserved.insert(ip("192.0.2.106"));
    });
    assert_eq!(new(&bind_world(&world), "ns/c"), ["192.0.2.100"]);
    world.edit_pool("partners", |pool| pool.paused = true);
    let bindings = bind_world(&world);
    assert_eq!(new(&bindings, "ns/c"), [""; 0]);
    assert!(bindings.claims[&mk_ref("ns/c")].waits.is_some());
}

proptest! {
    /// Two planners run after each other: the second one has the statuses of the first, and claims that are
    /// older than all.
    #[test]
    fn a_second_installation_binds_what_the_first_one_did(
        claims in prop::collection::vec((1u32..3, 0i64..4, any::<bool>()), 1..5),
        others in 0u32..3,
    ) {
        let mut world = Fixture::small();
        for (index, (wanted, created, lists)) in claims.iter().enumerate() {
            let mut claim = count(&format!("ns/c{index}"), *wanted, 100 + created);
            if *lists {
                claim.addresses.push(ip(&format!("192.0.2.{}", 101 + index)));
            }
            world.claim(claim);
        }
        let first = bind_world(&world).claims;
        for (claim, binding) in &first {
            let stored = world.snapshot.claims.get_mut(claim).unwrap();
            stored.value.1.addresses = binding.new.iter().copied().collect();
        }
        for other in 0..others {
            world.claim(count(&format!("ns/a{other}"), 1, 1));
        }
        let second = bind_world(&world).claims;
        for (claim, binding) in &first {
            prop_assert_eq!(&second[claim].new, &binding.new, "{}", claim);
        }
    }
}

/// The events of the claim, as warnings or not.
fn notes(world: &mut Fixture, claim: &str) -> Vec<(bool, String)> {
    let writes = world.step();
    let notes = writes.into_iter().flat_map(|write| write.notes);
    let of_claim = notes.filter(|note| note.about == ObjectRef::claim(&mk_ref(claim)));
    of_claim.map(|note| (note.warning, note.message)).collect()
}

#[test]
fn a_claim_that_cannot_have_its_former_address_is_told() {
    let mut world = Fixture::small();
    world.claim(count("ns/had", 1, 2));
    world.claim(mk_explicit("ns/lists", "partners", &["192.0.2.100"]));
    says(&mut world, "ns/had", &["192.0.2.100"]);
    let told = notes(&mut world, "ns/had");
    assert!(told[0].0 && told[0].1.contains("192.0.2.100, which it had before, belongs to"));
    let mut world = Fixture::small();
    world.claim(count("ns/had", 1, 2));
    says(&mut world, "ns/had", &["198.51.100.9"]);
    let told = notes(&mut world, "ns/had");
    assert!(told[0].0 && told[0].1.contains("pool partners does not give it out"), "{told:?}");
    let mut world = Fixture::small();
    world.claim(count("ns/had", 1, 2));
    says(&mut world, "ns/had", &["192.0.2.103"]);
    assert!(!notes(&mut world, "ns/had")[0].0);
}
