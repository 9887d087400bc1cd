//! One claim in two parts: the pods of two Services, each with destinations of its own.

use super::*;
use crate::model::{ClaimPart, PodSelection, Service, Snapshot, SnapshotScope};

fn to(cidr: &str) -> Option<Vec<Destination>> {
    Some(vec![Destination { cidr: net(cidr), except: Vec::new() }])
}

fn service(world: &mut Fixture, name: &str) {
    let service = Service {
        namespace: "payments".into(),
        name: name.into(),
        selector: Some(mk_selector("app", name)),
    };
    world.snapshot.services.insert(("payments".into(), name.into()), service);
}

fn two_parts() -> Fixture {
    let back = ClaimPart {
        pods: PodSelection::Service("back".into()),
        destinations: to("198.51.100.0/24"),
    };
    let claim = Claim {
        pods: PodSelection::Service("front".into()),
        destinations: to("203.0.113.0/24"),
        further: vec![back],
        ..mk_explicit("payments/eip", "partners", &["192.0.2.101"])
    };
    let mut world = Fixture::small();
    world.claim(claim);
    world.pod(mk_pod("payments/f", "front", "d1", &["10.244.4.7/32"]));
    world.pod(mk_pod("payments/b", "back", "d1", &["10.244.4.8/32"]));
    service(&mut world, "front");
    service(&mut world, "back");
    world.settle();
    world
}

fn flows(snapshot: &Snapshot) -> Vec<(String, String)> {
    let config = steering_config(snapshot, &"d1".into(), &AddressAvailability::default());
    let steer = FlowAction::Steer { address: ip("192.0.2.101") };
    assert!(config.flows.iter().all(|flow| flow.action == steer), "{:?}", config.flows);
    let text = |flow: &Flow| (flow.source.to_string(), flow.destination.to_string());
    config.flows.iter().map(text).collect()
}

#[test]
fn the_pods_of_each_part_are_steered_to_its_own_destinations() {
    let mut world = two_parts();
    let front = ("10.244.4.7/32".to_owned(), "203.0.113.0/24".to_owned());
    let back = ("10.244.4.8/32".to_owned(), "198.51.100.0/24".to_owned());
    assert_eq!(flows(&world.snapshot), [front.clone(), back.clone()]);
    // An agent reads what the controller resolved.
    let mut seen = world.snapshot.clone();
    (seen.scope, seen.services) = (SnapshotScope::Node, Default::default());
    assert_eq!(flows(&seen), [front.clone(), back.clone()]);
    assert_eq!(overridden(&world.snapshot, &"d1".into()), [].into());
    // A Service is removed: its pods would leave with their node's address, so they stay steered.
    world.snapshot.services.remove(&("payments".into(), "front".to_owned()));
    world.settle();
    for scope in [SnapshotScope::Cluster, SnapshotScope::Node] {
        let seen = Snapshot { scope, ..world.snapshot.clone() };
        assert_eq!(flows(&seen), [front.clone(), back.clone()], "{scope:?}");
    }
    let status = &world.snapshot.claims[&mk_ref("payments/eip")].value.1;
    let message = "spec.serviceName: there is no Service front with a selector in namespace \
                   payments; create it or use spec.podSelector; the pods that it selected last stay \
                   steered";
    assert!(status.conditions.iter().any(|c| !c.status && c.message == message), "{status:?}");
    // It comes back and selects others.
    service(&mut world, "front");
    let selector = Some(mk_selector("app", "another"));
    world.snapshot.services.get_mut(&("payments".into(), "front".to_owned())).unwrap().selector =
        selector;
    world.settle();
    assert_eq!(flows(&world.snapshot), [back]);
}

#[test]
fn explain_tells_the_part_that_selects_the_pod() {
    let world = two_parts();
    let ask = |pod: &str, to: &str| {
        crate::explain::explain(&world.snapshot, (&"payments".into(), pod), ip(to)).unwrap()
    };
    assert_eq!(ask("f", "203.0.113.9").matched, Some(net("203.0.113.0/24")));
    assert_eq!(ask("b", "198.51.100.9").claim, Some(mk_ref("payments/eip")));
    assert_eq!(ask("f", "198.51.100.9").claim, None);
}
