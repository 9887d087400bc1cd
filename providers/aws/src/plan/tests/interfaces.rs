//! Gateways with several interfaces.

use super::*;

/// `a` has two tagged interfaces beside its tagged primary one, each with room for so many more.
fn account(first: u32, second: u32) -> Account {
    let mut account = Account::new();
    for (device, id, own, room) in
        [(1, "eni-a1", "10.0.1.20", first), (2, "eni-a2", "10.0.1.21", second)]
    {
        let mut interface = account.interface("eni-a").clone();
        interface.device = device;
        interface.v4 = [(ip(own), Private { primary: true, public: None })].into();
        interface.v4_prefixes = 9 - room;
        account.view.interfaces.insert(id.into(), interface);
    }
    account
}

fn assigned(step: Step<Attachment>) -> String {
    match step {
        Step::Call(
            Ec2Call::AssignPrivate { interface, .. } | Ec2Call::AssignAny { interface, .. },
        ) => interface,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tagged_second_interface_comes_before_a_tagged_primary_one() {
    let mut account = account(1, 1);
    assert_eq!(assigned(account.attach("10.0.1.50", "a")), "eni-a1");
    // What an earlier version had put on the primary interface moves.
    account.secondary("eni-a", "10.0.1.50");
    assert_eq!(assigned(account.attach("10.0.1.50", "a")), "eni-a1");
    account.interface("eni-a1").tags.clear();
    account.interface("eni-a2").tags.clear();
    let here = private_attachment("a".into(), "eni-a");
    assert_eq!(account.attach("10.0.1.50", "a"), Step::Done(here), "the only tagged one");
}

#[test]
fn a_tagged_primary_interface_serves_the_subnet_that_no_other_is_in() {
    let mut account = account(1, 1);
    for id in ["eni-a1", "eni-a2"] {
        account.interface(id).subnet = "subnet-2".into();
    }
    assert_eq!(assigned(account.attach("10.0.1.50", "a")), "eni-a");
    assert_eq!(assigned(account.attach(PUBLIC, "a")), "eni-a1", "it is the last");
    account.interface("eni-a").tags.clear();
    assert_eq!(account.refused("10.0.1.50", "a").class, ErrorClass::Invalid, "it is not Egret's");
}

#[test]
fn what_no_interface_has_room_for_is_not_ready() {
    let mut account = account(0, 0);
    let not_ready = |account: &Account, address: &str| {
        let Step::Done(ready) = account.prepare("a", &[address]) else { panic!("{address}") };
        let found = ready[&address.parse().unwrap()].clone();
        found.err().map(|refusal| refusal.class)
    };
    assert_eq!(not_ready(&account, "10.0.1.50"), Some(ErrorClass::Quota));
    account.secondary("eni-a1", "10.0.1.50");
    account.inventory.addresses.insert(ip("10.0.1.50").into(), BTreeMap::new());
    assert_eq!(not_ready(&account, "10.0.1.50"), None, "it is there");
    assert_eq!(not_ready(&account, "2001:db8:0:1::50"), None);
    for id in ["eni-a1", "eni-a2"] {
        account.interface(id).v6_prefixes = 10;
    }
    assert_eq!(not_ready(&account, "2001:db8:0:1::50"), Some(ErrorClass::Quota));
}

#[test]
fn the_next_interface_takes_what_the_first_has_no_room_for_and_nothing_moves_without_need() {
    let mut account = account(1, 1);
    account.reserved.insert("eni-a1".into(), 1);
    assert_eq!(assigned(account.attach("10.0.1.50", "a")), "eni-a2", "another call fills it");
    account.reserved.clear();
    account.secondary("eni-a2", "10.0.1.50");
    account.inventory.addresses.insert(ip("10.0.1.50").into(), BTreeMap::new());
    let here = private_attachment("a".into(), "eni-a2");
    assert_eq!(account.attach("10.0.1.50", "a"), Step::Done(here), "it stays where it is");
    assert_eq!(assigned(account.attach(PUBLIC, "a")), "eni-a1");
    account.secondary("eni-a1", "10.0.1.51");
    account.inventory.addresses.insert(ip("10.0.1.51").into(), BTreeMap::new());
    let full = account.refused(PUBLIC, "a");
    assert_eq!(full.class, ErrorClass::Quota);
    assert!(full.message.contains("eni-a1, eni-a2"), "{}", full.message);
}

#[test]
fn a_private_address_goes_to_an_interface_of_its_subnet_alone() {
    let mut account = account(1, 1);
    account.interface("eni-a1").subnet = "subnet-2".into();
    assert_eq!(assigned(account.attach("10.0.1.50", "a")), "eni-a2");
    assert_eq!(assigned(account.attach("10.0.2.50", "a")), "eni-a1");
    account.full.insert("eni-a2".into());
    assert_eq!(account.refused("10.0.1.50", "a").class, ErrorClass::Quota);
    let crowded = |account: &Account, address: &str| {
        account.look(|scene| {
            let address = address.parse().unwrap();
            let targets = scene.targets(&"a".into()).unwrap();
            let fitting = scene.fitting(address, &targets).unwrap();
            crowded(scene, address, &fitting, 1).is_some()
        })
    };
    assert!(crowded(&account, "10.0.1.50") && !crowded(&account, "10.0.2.50"));
    assert!(!crowded(&account, PUBLIC), "it can have a wire address of any subnet");
}

#[test]
fn wire_addresses_are_made_ready_on_all_interfaces_and_each_names_its_own() {
    let mut account = account(1, 2);
    let others = ["203.0.113.2", "203.0.113.3"];
    others.iter().for_each(|public| account.elastic(public, None));
    let all = [PUBLIC, others[0], others[1]];
    let (mut calls, mut next) = (Vec::new(), 60);
    let ready = loop {
        match account.prepare("a", &all) {
            Step::Done(ready) => break ready,
            Step::Call(Ec2Call::AssignAny { interface, wanted }) => {
                for public in &wanted {
                    next += 1;
                    let wire = ip(&format!("10.0.1.{next}"));
                    account.secondary(&interface, &wire.to_string());
                    account.wires.insert(((*public).into(), "a".into()), [wire].into());
                }
                calls.push((interface, wanted.len()));
                assert!(calls.len() < 5, "{calls:?}");
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(calls, [("eni-a1".to_owned(), 1), ("eni-a2".to_owned(), 2)]);
    for public in all {
        let promised = ready[&ip(public).into()].clone().unwrap();
        let Step::Call(Ec2Call::Associate { interface, private, .. }) = account.attach(public, "a")
        else {
            panic!("{public} is not ready");
        };
        assert_eq!(promised.interface, Some(interface));
        assert_eq!(promised.wire, Some(private.into()));
    }
    // What is not wanted any more goes from each.
    let Step::Call(Ec2Call::UnassignPrivate { interface, .. }) = account.prepare("a", &[]) else {
        panic!("it is kept");
    };
    assert_eq!(interface, "eni-a1");
}

#[test]
fn an_interface_that_a_cni_manages_is_left_out_where_another_is_there() {
    let mut account = account(1, 1);
    account.interface("eni-a1").description = "Cilium-CNI (i-1)".into();
    assert_eq!(assigned(account.attach("10.0.1.50", "a")), "eni-a2");
    account.interface("eni-a2").description = "Cilium-CNI (i-1)".into();
    let refused = account.refused("10.0.1.50", "a");
    assert!(refused.message.contains("Cilium"), "{}", refused.message);
}

#[test]
fn carrier_and_customer_owned_addresses_are_refused_and_those_of_a_local_zone_served() {
    let mut account = Account::new();
    for (kind, name) in
        [(ElasticKind::Carrier, "Wavelength"), (ElasticKind::CustomerOwned, "Outpost")]
    {
        let elastic = account.view.elastic.get_mut(&ip(PUBLIC)).unwrap();
        elastic.kind = kind;
        let refused = account.refused(PUBLIC, "a");
        assert_eq!(refused.class, ErrorClass::Invalid);
        assert!(refused.message.contains(name), "{}", refused.message);
    }
    let elastic = account.view.elastic.get_mut(&ip(PUBLIC)).unwrap();
    elastic.kind = ElasticKind::Public;
    elastic.border_group = "us-west-2-lax-1".into();
    assert_eq!(account.refused(PUBLIC, "a").class, ErrorClass::Invalid, "another border group");
    account.interface("eni-a").zone = "us-west-2-lax-1b".into();
    assert_eq!(assigned(account.attach(PUBLIC, "a")), "eni-a");
}
