//! A claim with two addresses, one of which waits for the cloud.

use super::*;

/// Where the pod `bank` of d1 leaves, while `undelivered` wait for the cloud.
fn address_used(world: &Fixture, undelivered: &[IpAddr], open: &[IpAddr]) -> IpAddr {
    let block = PortRange::new(1024, 2047).unwrap();
    let availability = AddressAvailability {
        open_blocks: open.iter().map(|address| (*address, BTreeSet::from([block]))).collect(),
        undelivered: undelivered.iter().copied().collect(),
        ..AddressAvailability::default()
    };
    let config = steering_config(&world.snapshot, &"d1".into(), &availability);
    let used: BTreeSet<FlowAction> = config.flows.iter().map(|flow| flow.action).collect();
    match used.into_iter().collect::<Vec<_>>()[..] {
        [FlowAction::Steer { address }] => address,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn new_connections_use_a_delivered_address_while_the_first_waits_for_the_cloud() {
    let both = ["192.0.2.101", "192.0.2.102"];
    let world = world(vec![mk_explicit("payments/bank", "partners", &both)]);
    let ranked = crate::port_blocks::ranked(&both.map(ip), &"d1".into(), Family::IPv4);
    let (first, second) = (ranked[0], ranked[1]);
    assert_eq!(address_used(&world, &[], &[first, second]), first);
    assert_eq!(address_used(&world, &[first], &[first, second]), second);
    assert_eq!(address_used(&world, &[second], &[first, second]), first);
    assert_eq!(address_used(&world, &[first, second], &[first, second]), first);
    assert_eq!(address_used(&world, &[first], &[first]), first, "the second has no open block");
}

#[test]
fn an_address_without_a_holder_is_left_for_another_before_the_node_s_address_is_used() {
    let both = ["192.0.2.101", "192.0.2.102"];
    let mut claim = mk_explicit("payments/bank", "partners", &both);
    claim.when_unavailable = WhenUnavailable::Node;
    let world = world(vec![claim]);
    let ranked = crate::port_blocks::ranked(&both.map(ip), &"d1".into(), Family::IPv4);
    let block = BTreeSet::from([PortRange::new(1024, 2047).unwrap()]);
    let used = |unavailable: &[IpAddr]| {
        let availability = AddressAvailability {
            open_blocks: ranked.iter().map(|address| (*address, block.clone())).collect(),
            unavailable: unavailable.iter().copied().collect(),
            ..AddressAvailability::default()
        };
        let config = steering_config(&world.snapshot, &"d1".into(), &availability);
        config.flows.first().map(|flow| flow.action)
    };
    let steered = |address| Some(FlowAction::Steer { address });
    assert_eq!(used(&ranked[..1]), steered(ranked[1]));
    assert_eq!(used(&ranked[1..]), steered(ranked[0]));
    assert_eq!(used(&ranked), None, "the node's address");
}

#[test]
fn a_fabric_that_does_not_deliver_shows_in_explain() {
    let both = ["192.0.2.101", "192.0.2.102"];
    let mut world = world(vec![mk_explicit("payments/bank", "partners", &both)]);
    for address in both {
        world.edit_plan(address, |plan| plan.provider = ProviderKind::Aws);
    }
    let d1 = NodeName::from("d1");
    world.step();
    let ranked = crate::port_blocks::ranked(&both.map(ip), &d1, Family::IPv4);
    let at = |world: &Fixture| {
        let pod = (&NamespaceName::new("payments"), "p");
        explain(&world.snapshot, pod, ip("198.51.100.1")).unwrap().address
    };
    assert_eq!(at(&world), Some(ranked[0]), "none is delivered");
    let stored = world.snapshot.addresses.get_mut(&ranked[1]).unwrap();
    let holder = stored.value.status.holding.as_ref().unwrap().node.clone();
    stored.value.status.attachment = Some(Attachment::at(holder));
    assert_eq!(at(&world), Some(ranked[1]));
}
