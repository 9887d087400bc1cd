use std::collections::BTreeSet;

use super::*;
use crate::model::{Condition, ConditionType, LabelSelector, Namespace, Timestamp};
use crate::testing::*;

mod former;
mod own_network;
mod unreadable;

fn bind_world(world: &Fixture) -> Bindings {
    let memory = crate::memory::LeaderMemory::default();
    let now = crate::model::Timestamp(0);
    bind(&world.snapshot, &ranges::desired(&world.snapshot, &memory, &world.settings, now))
}

fn new(bindings: &Bindings, claim: &str) -> Vec<String> {
    bindings.claims[&mk_ref(claim)].new.iter().map(ToString::to_string).collect()
}

fn refused(bindings: &Bindings, claim: &str) -> (Reason, String) {
    let verdict = bindings.claims[&mk_ref(claim)].refused.clone().unwrap();
    (verdict.reason, verdict.message)
}

#[test]
fn a_count_takes_free_addresses_in_order_and_leaves_out_what_it_must() {
    let mut world = Fixture::small();
    // .1 and .2 are nodes, .0 is the network address, .3 is asked for by name.
    let mut pool = mk_pool("low", &[("192.0.2.0", "192.0.2.2"), ("192.0.2.6", "192.0.2.9")]);
    pool.reserved.insert(ip("192.0.2.0"));
    world.pool(pool);
    let mut younger = mk_explicit("ns/byname", "low", &["192.0.2.7"]);
    younger.created = Timestamp(9000);
    world.claim(younger);
    let mut claim = mk_claim("ns/count", "low");
    claim.count = 3;
    world.claim(claim);
    let bindings = bind_world(&world);
    assert_eq!(new(&bindings, "ns/count"), ["192.0.2.6", "192.0.2.8", "192.0.2.9"]);
    assert_eq!(new(&bindings, "ns/byname"), ["192.0.2.7"]);
    let mut more = mk_claim("ns/more", "low");
    more.created = Timestamp(9999);
    world.claim(more);
    let waits = bind_world(&world).claims[&mk_ref("ns/more")].waits.clone().unwrap();
    assert_eq!(waits.reason, Reason::PoolExhausted);
}

#[test]
fn a_huge_pool_costs_no_more_than_what_is_taken() {
    let mut world = Fixture::small();
    let last = "2001:db8:1::ffff:ffff:ffff:ffff";
    world.pool(mk_pool("six", &[("2001:db8:1::", last)]));
    world.settings.pods.insert(net("fd00::/48"));
    let mut claim = mk_claim("ns/c", "six");
    claim.count = 2;
    world.claim(claim);
    // The first is the router anycast address of the gateways' subnet.
    assert_eq!(new(&bind_world(&world), "ns/c"), ["2001:db8:1::1", "2001:db8:1::2"]);
}

#[test]
fn the_older_claim_wins_then_the_name() {
    let mut world = Fixture::small();
    world.claim(mk_explicit("ns/b", "partners", &["192.0.2.100"]));
    world.claim(mk_explicit("ns/a", "partners", &["192.0.2.100"]));
    let bindings = bind_world(&world);
    assert_eq!(new(&bindings, "ns/a"), ["192.0.2.100"]);
    assert_eq!(
        refused(&bindings, "ns/b"),
        (
            Reason::AddressInUse,
            "spec.addresses: 192.0.2.100 is in use by claim ns/a; free in pool partners are \
             192.0.2.101, 192.0.2.102, 192.0.2.103"
                .into()
        )
    );
    world.edit_claim("ns/b", |claim| claim.created = Timestamp(1));
    let bindings = bind_world(&world);
    assert_eq!(new(&bindings, "ns/b"), ["192.0.2.100"]);
    assert_eq!(refused(&bindings, "ns/a").0, Reason::AddressInUse);
}

#[test]
fn what_is_bound_stays_though_an_older_claim_asks_for_it() {
    let mut world = Fixture::small();
    world.claim(mk_explicit("ns/young", "partners", &["192.0.2.100"]));
    world.settle();
    let mut old = mk_explicit("ns/old", "partners", &["192.0.2.100"]);
    old.created = Timestamp(1);
    world.claim(old);
    let bindings = bind_world(&world);
    assert_eq!(bindings.claims[&mk_ref("ns/young")].bound, BTreeSet::from([ip("192.0.2.100")]));
    assert_eq!(refused(&bindings, "ns/old").0, Reason::AddressInUse);
    assert!(bindings.ends.is_empty());
}

#[test]
fn addresses_that_cannot_be_had_say_which_and_what_is_free() {
    let mut world = Fixture::small();
    let mut pool = mk_pool("low", &[("192.0.2.0", "192.0.2.15")]);
    pool.reserved.insert(ip("192.0.2.0"));
    world.pool(pool);
    for (name, address) in
        [("outside", "198.51.100.9"), ("network", "192.0.2.0"), ("node", "192.0.2.4")]
    {
        world.claim(mk_explicit(&format!("ns/{name}"), "low", &[address]));
    }
    let bindings = bind_world(&world);
    let free = "; free in pool low are 192.0.2.6, 192.0.2.7, 192.0.2.8";
    for (name, reason, message) in [
        (
            "ns/outside",
            Reason::AddressOutsidePool,
            "spec.addresses: 198.51.100.9 is in no range of pool low",
        ),
        (
            "ns/network",
            Reason::AddressReserved,
            "spec.addresses: 192.0.2.0 is a network or broadcast address of pool low",
        ),
        (
            "ns/node",
            Reason::AddressIsNodeAddress,
            "spec.addresses: 192.0.2.4 is the address of a node; take it out of the pool",
        ),
    ] {
        assert_eq!(refused(&bindings, name), (reason, format!("{message}{free}")));
    }
}

/// Another host has what `claim` is bound to.
fn contest(world: &mut Fixture) -> Vec<IpAddr> {
    let message = "a host with MAC address 02:00:00:00:00:09 claims the address too";
    let mut found = Vec::new();
    for (address, stored) in &mut world.snapshot.addresses {
        if stored.value.plan.end.is_none() {
            let conflict =
                Condition::new("Conflict".into(), true, "ForeignHost", message, Timestamp(0));
            conflict.put_into(&mut stored.value.status.conditions);
            found.push(*address);
        }
    }
    found
}

#[test]
fn three_addresses_that_others_have_are_tried_and_then_proxy_arp_is_named() {
    let mut world = Fixture::small();
    world.claim(mk_claim("ns/c", "partners"));
    let mut tried = Vec::new();
    for _ in 0..3 {
        world.settle();
        tried.push(contest(&mut world));
    }
    let named = ["192.0.2.100", "192.0.2.101", "192.0.2.102"].map(|text| vec![ip(text)]);
    assert_eq!(tried, named);
    world.settle();
    let status = world.snapshot.claims[&mk_ref("ns/c")].value.1.clone();
    assert_eq!(status.addresses, [ip("192.0.2.102")], "no fourth one");
    let ready = status.conditions.iter().find(|c| c.kind == ConditionType::Ready).unwrap();
    assert_eq!((ready.status, ready.reason.as_str()), (false, "Conflict"));
    for part in ["02:00:00:00:00:09", "3 addresses that pool partners chose", "proxy ARP"] {
        assert!(ready.message.contains(part), "{}", ready.message);
    }
    // They are chosen for nobody else meanwhile; whoever names one gets it.
    world.claim(mk_claim("ns/other", "partners"));
    world.claim(mk_explicit("ns/named", "partners", &["192.0.2.101"]));
    let bindings = bind_world(&world);
    assert_eq!(new(&bindings, "ns/other"), ["192.0.2.103"]);
    let named = &bindings.claims[&mk_ref("ns/named")];
    let waits = named.waits.as_ref().map(|cause| cause.reason);
    assert_eq!((&named.refused, waits), (&None, Some(Reason::AddressReleasing)));
    // The host has gone.
    let stored = world.snapshot.addresses.get_mut(&ip("192.0.2.102")).unwrap();
    (stored.value.status.probed, stored.value.status.was_held) = (true, true);
    stored.value.status.conditions.clear();
    world.settle();
    let taken = &world.snapshot.pools[&"partners".into()].value.1.taken_elsewhere;
    assert_eq!(taken[&mk_ref("ns/c")], [ip("192.0.2.100"), ip("192.0.2.101")].into());
    world.delete_claim("ns/c");
    world.settle();
    assert!(world.snapshot.pools[&"partners".into()].value.1.taken_elsewhere.is_empty());
}

#[test]
fn what_was_held_or_named_or_has_no_other_stays_in_a_conflict() {
    for case in ["held", "named", "alone", "paused"] {
        let mut world = Fixture::small();
        world.claim(match case {
            "named" => mk_explicit("ns/c", "partners", &["192.0.2.100"]),
            _ => mk_claim("ns/c", "partners"),
        });
        world.settle();
        world.edit_pool("partners", |pool| match case {
            "alone" => pool.ranges = mk_pool("", &[("192.0.2.100", "192.0.2.100")]).ranges,
            _ => pool.paused = case == "paused",
        });
        contest(&mut world);
        let stored = world.snapshot.addresses.get_mut(&ip("192.0.2.100")).unwrap();
        stored.value.status.was_held = case == "held";
        let bindings = bind_world(&world);
        assert!(bindings.ends.is_empty(), "{case}");
        assert_eq!(bindings.claims[&mk_ref("ns/c")].bound, [ip("192.0.2.100")].into(), "{case}");
    }
}

#[test]
fn a_namespace_must_be_let_in() {
    let mut world = Fixture::small();
    world.edit_pool("partners", |pool| {
        pool.allowed_namespaces = Some(mk_selector("egress", "partners"));
    });
    world.claim(mk_claim("payments/bank", "partners"));
    world.claim(Claim {
        namespaces: Some(LabelSelector::default()),
        ..mk_claim("wide", "partners")
    });
    let bindings = bind_world(&world);
    assert_eq!(
        refused(&bindings, "payments/bank"),
        (
            Reason::NamespaceNotAllowed,
            "pool partners admits namespaces with egress=partners; ask its owner or label the \
             namespace payments"
                .into()
        )
    );
    assert_eq!(new(&bindings, "wide").len(), 1, "a cluster-wide claim is an admin's");
    let labels = mk_labels(&[("egress", "partners")]);
    let namespace = Namespace { name: "payments".into(), labels };
    world.snapshot.namespaces.insert("payments".into(), namespace);
    assert_eq!(new(&bind_world(&world), "payments/bank").len(), 1);
    world.edit_pool("partners", |pool| pool.allowed_namespaces = None);
    assert_eq!(refused(&bind_world(&world), "payments/bank").0, Reason::NamespaceNotAllowed);
}

#[test]
fn pools_that_overlap_are_told_and_the_older_goes_on() {
    let mut world = Fixture::small();
    let mut young = mk_pool("young", &[("192.0.2.120", "192.0.2.140")]);
    young.created = Timestamp(5000);
    world.pool(young);
    world.pool(mk_pool("pods", &[("10.244.1.5", "10.244.1.9")]));
    world.claim(mk_claim("ns/young", "young"));
    world.claim(mk_claim("ns/old", "partners"));
    world.claim(mk_claim("ns/none", "nowhere"));
    let bindings = bind_world(&world);
    assert_eq!(bindings.pools[&"young".into()].reason, Reason::OverlapsPool);
    assert_eq!(bindings.pools[&"pods".into()].reason, Reason::OverlapsClusterRange);
    assert_eq!(new(&bindings, "ns/old"), ["192.0.2.100"]);
    let (reason, message) = refused(&bindings, "ns/young");
    assert_eq!(reason, Reason::PoolNotReady);
    assert!(message.contains("older pool partners"), "{message}");
    let (reason, message) = refused(&bindings, "ns/none");
    assert_eq!(reason, Reason::PoolNotFound);
    assert!(message.contains("partners, pods, young"), "{message}");
}

#[test]
fn families_default_to_what_pool_and_cluster_share() {
    let mut world = Fixture::small();
    let both = [("192.0.2.150", "192.0.2.159"), ("2001:db8:1::10", "2001:db8:1::1f")];
    world.pool(mk_pool("dual", &both));
    world.pool(mk_pool("six", &[("2001:db8:2::10", "2001:db8:2::1f")]));
    world.claim(mk_claim("ns/default", "dual"));
    world.claim(Claim {
        families: Some(BTreeSet::from([Family::IPv6])),
        ..mk_claim("ns/six", "dual")
    });
    world.claim(mk_claim("ns/none", "six"));
    let bindings = bind_world(&world);
    // The cluster's pod ranges are IPv4 alone.
    assert_eq!(new(&bindings, "ns/default"), ["192.0.2.150"]);
    assert_eq!(new(&bindings, "ns/six"), ["2001:db8:1::10"]);
    assert_eq!(refused(&bindings, "ns/none").0, Reason::FamilyNotInPool);
    world.settings.pods.extend([net("10.244.0.0/16"), net("fd00::/48")]);
    assert_eq!(new(&bind_world(&world), "ns/default").len(), 2);
}

#[test]
fn edits_end_what_is_no_longer_asked_for() {
    let mut world = Fixture::small();
    let mut claim = mk_claim("ns/c", "partners");
    claim.count = 3;
    world.claim(claim);
    world.claim(mk_explicit("ns/e", "partners", &["192.0.2.110", "192.0.2.111"]));
    world.settle();
    world.edit_claim("ns/c", |claim| claim.count = 2);
    world.edit_claim("ns/e", |claim| claim.addresses = vec![ip("192.0.2.111")]);
    let ends: Vec<_> = bind_world(&world).ends.into_iter().collect();
    assert_eq!(
        ends,
        [
            (ip("192.0.2.102"), "the claim asks for fewer addresses"),
            (ip("192.0.2.110"), "its claim no longer lists it")
        ]
    );
    world.edit_claim("ns/c", |claim| claim.pool = "other".into());
    assert_eq!(bind_world(&world).ends.len(), 4);
}

#[test]
fn a_pool_that_shrinks_or_goes_takes_nothing_away() {
    let mut world = Fixture::small();
    world.claim(mk_claim("ns/c", "partners"));
    world.settle();
    world.edit_pool("partners", |pool| {
        pool.ranges = mk_pool("", &[("192.0.2.120", "192.0.2.121")]).ranges;
    });
    assert!(bind_world(&world).ends.is_empty());
    world.snapshot.pools.clear();
    let bindings = bind_world(&world);
    assert!(bindings.ends.is_empty());
    assert_eq!(refused(&bindings, "ns/c").0, Reason::PoolNotFound);
}

#[test]
fn an_address_that_its_pool_has_no_longer_stays_with_its_claim_alone() {
    let mut world = Fixture::small();
    let both = [("192.0.2.150", "192.0.2.159"), ("2001:db8:1::10", "2001:db8:1::1f")];
    world.settings.pods.extend([net("10.244.0.0/16"), net("fd00::/48")]);
    world.pool(mk_pool("dual", &both));
    world.claim(mk_claim("ns/chosen", "dual"));
    world.claim(mk_explicit("ns/explicit", "dual", &["192.0.2.155"]));
    world.settle();
    let kept = bind_world(&world);
    assert_eq!(kept.claims[&mk_ref("ns/chosen")].bound.len(), 2);
    // It is made anew, without them and without any address of the other family; another pool has
    // them now.
    let mut anew = mk_pool("dual", &[("192.0.2.170", "192.0.2.171")]);
    anew.uid = "another".into();
    anew.reserved.insert(ip("192.0.2.170"));
    world.pool(anew);
    world.pool(mk_pool("other", &both));
    world.claim(mk_claim("ns/others", "other"));
    world.claim(mk_explicit("ns/wants", "other", &["192.0.2.155"]));
    let bindings = bind_world(&world);
    assert_eq!(bindings.ends, [].into());
    for claim in ["ns/chosen", "ns/explicit"] {
        assert_eq!(bindings.claims[&mk_ref(claim)], kept.claims[&mk_ref(claim)], "{claim}");
    }
    assert_eq!(new(&bindings, "ns/others"), ["192.0.2.151", "2001:db8:1::11"]);
    assert_eq!(refused(&bindings, "ns/wants").0, Reason::AddressInUse);
    // It asks for more than it has: that comes from what the pool has now.
    world.edit_claim("ns/chosen", |claim| claim.families = Some([Family::IPv4].into()));
    world.edit_claim("ns/chosen", |claim| claim.count = 2);
    let bindings = bind_world(&world);
    assert_eq!(new(&bindings, "ns/chosen"), ["192.0.2.171"]);
    assert_eq!(bindings.ends.keys().copied().collect::<Vec<_>>(), [ip("2001:db8:1::10")]);
}
