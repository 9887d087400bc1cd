use super::*;

#[test]
fn routers_and_what_means_a_whole_subnet_are_never_given_out_and_refused_by_name() {
    let mut world = Fixture::small();
    let both = [("192.0.2.0", "192.0.2.255"), ("2001:db8:1::", "2001:db8:1::ff")];
    world.pool(mk_pool("all", &both));
    world.status("g1").uplinks[0].next_hops = [ip("192.0.2.6"), ip("2001:db8:1::7")].into();
    let asked = [
        ("router", "192.0.2.6", "the next hop of node g1 on eth0"),
        ("sixth", "2001:db8:1::7", "the next hop of node g1 on eth0"),
        ("anycast", "2001:db8:1::", "the router anycast address of 2001:db8:1::/64, the subnet of"),
        ("network", "192.0.2.0", "the network address of 192.0.2.0/24, the subnet of"),
        ("broadcast", "192.0.2.255", "the broadcast address of 192.0.2.0/24, the subnet of"),
    ];
    world.edit_pool("partners", |pool| pool.ranges.clear());
    for (name, address, _) in asked {
        world.claim(mk_explicit(&format!("ns/{name}"), "all", &[address]));
    }
    let mut count = mk_claim("ns/count", "all");
    count.count = 20;
    count.families = Some([Family::IPv4, Family::IPv6].into());
    world.claim(count);
    let bindings = bind_world(&world);
    for (name, address, what) in asked {
        let (reason, message) = refused(&bindings, &format!("ns/{name}"));
        let hop = matches!(name, "router" | "sixth");
        assert_eq!(reason == Reason::AddressIsNextHop, hop, "{reason}");
        assert!(message.contains(&format!("spec.addresses: {address} is {what}")), "{message}");
        assert!(message.contains("free in pool all are"), "{message}");
        assert!(!bindings.claims[&mk_ref("ns/count")].new.contains(&ip(address)), "{address}");
    }
    assert_eq!(bindings.claims[&mk_ref("ns/count")].new.len(), 40);
}

#[test]
fn what_was_bound_before_its_router_was_known_stays_bound() {
    let mut world = Fixture::small();
    world.claim(mk_explicit("ns/c", "partners", &["192.0.2.100"]));
    world.settle();
    hold_all(&mut world);
    world.status("g1").uplinks[0].next_hops = [ip("192.0.2.100")].into();
    let bindings = bind_world(&world);
    assert!(bindings.claims[&mk_ref("ns/c")].refused.is_none() && bindings.ends.is_empty());
}

/// Something has left with every address.
fn hold_all(world: &mut Fixture) {
    for stored in world.snapshot.addresses.values_mut() {
        stored.value.status.was_held = true;
    }
}

#[test]
fn what_was_bound_before_its_router_was_known_and_never_held_is_given_back() {
    let mut world = Fixture::small();
    world.claim(mk_explicit("ns/c", "partners", &["192.0.2.100"]));
    world.claim(mk_claim("ns/count", "partners"));
    world.settle();
    let mut all = world.snapshot.addresses.keys().copied();
    let chosen = all.find(|address| *address != ip("192.0.2.100")).unwrap();
    world.status("g1").uplinks[0].next_hops = [ip("192.0.2.100"), chosen].into();
    let bindings = bind_world(&world);
    let ended: BTreeSet<IpAddr> = bindings.ends.keys().copied().collect();
    assert_eq!(ended, [chosen, ip("192.0.2.100")].into());
    assert_eq!(refused(&bindings, "ns/c").0, Reason::AddressIsNextHop);
    let other = &bindings.claims[&mk_ref("ns/count")];
    assert!(other.new.len() == 1 && !other.new.contains(&chosen) && other.bound.is_empty());
    // It does not come back while it ends.
    world.settle();
    let bindings = bind_world(&world);
    assert!(bindings.resumed.is_empty(), "{:?}", bindings.resumed);
    assert_eq!(refused(&bindings, "ns/c").0, Reason::AddressIsNextHop);
}

#[test]
fn it_is_given_back_though_there_is_no_other_and_not_while_the_pool_is_paused() {
    for paused in [false, true] {
        let mut world = Fixture::small();
        world.claim(mk_claim("ns/c", "partners"));
        world.settle();
        world.edit_pool("partners", |pool| {
            pool.ranges = mk_pool("", &[("192.0.2.100", "192.0.2.100")]).ranges;
            pool.paused = paused;
        });
        world.settle();
        world.status("g1").uplinks[0].next_hops = [ip("192.0.2.100")].into();
        let bindings = bind_world(&world);
        let own = &bindings.claims[&mk_ref("ns/c")];
        assert_eq!((bindings.ends.is_empty(), own.bound.is_empty()), (paused, !paused));
        let waits = own.waits.as_ref().map(|cause| cause.reason);
        assert_eq!(waits, (!paused).then_some(Reason::PoolExhausted));
    }
}
