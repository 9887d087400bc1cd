use std::collections::BTreeSet;

use crate::cloud::{CloudState, NodeCapacity};
use crate::model::{
    Condition, ConditionType, LeavingReason, PodSelection, Pool, ProviderKind, Service, Timestamp,
};
use crate::testing::*;

fn quiet() -> Fixture {
    let mut world = Fixture::small();
    world.claim(mk_claim("payments/bank", "partners"));
    world.pod(mk_pod("payments/p", "bank", "d1", &["10.244.4.7/32"]));
    world.settle();
    world
}

fn condition(world: &Fixture, kind: &str) -> Condition {
    let status = &world.snapshot.claims[&mk_ref("payments/bank")].value.1;
    status.conditions.iter().find(|condition| condition.kind.as_str() == kind).unwrap().clone()
}

fn node_says(world: &mut Fixture, node: &str, kind: &str, status: bool, message: &str) {
    world.status(node).conditions = vec![Condition {
        kind: kind.into(),
        status,
        reason: "Probe".into(),
        message: message.into(),
        observed_generation: 0,
        last_transition: Timestamp(0),
    }];
}

#[test]
fn ready_is_all_of_it_and_dated_by_its_own_change() {
    let mut world = quiet();
    let bound = condition(&world, "Bound");
    assert!(condition(&world, "Ready").status);
    world.pass(50);
    world.edit_claim("payments/bank", |claim| claim.generation = 2);
    world.step();
    let ready = condition(&world, "Ready");
    assert_eq!(ready.observed_generation, 2);
    assert_eq!(ready.last_transition, bound.last_transition, "its status has not changed");
    let status = &world.snapshot.claims[&mk_ref("payments/bank")].value.1;
    assert_eq!(status.observed_generation, 2);
    let holder = world.address("192.0.2.100").plan.owner.clone().unwrap();
    assert_eq!(status.gateways, [holder]);
}

#[test]
fn a_node_that_cannot_steer_its_pods_makes_the_claim_not_programmed() {
    let mut world = quiet();
    node_says(&mut world, "d2", "DatapathBypassed", true, "eBPF host routing");
    world.status("d1").unprogrammed.insert(mk_ref("payments/bank"));
    world.step();
    assert!(condition(&world, "Ready").status, "no pod there");
    node_says(&mut world, "d1", "DatapathBypassed", true, "eBPF host routing");
    world.pass(9);
    world.step();
    let programmed = condition(&world, "Programmed");
    assert_eq!(
        (programmed.status, programmed.reason.as_str(), programmed.message.as_str()),
        (false, "DatapathBypassed", "d1: eBPF host routing")
    );
    assert_eq!(programmed.last_transition, world.now);
    assert_eq!(condition(&world, "Ready").reason, "NotProgrammed");
    node_says(&mut world, "d1", "Ready", false, "nft is missing: install nftables");
    world.step();
    assert_eq!(condition(&world, "Programmed").reason, "NodeNotReady");
    world.status("d1").conditions.clear();
    world.step();
    assert!(condition(&world, "Ready").status);
}

#[test]
fn a_service_that_is_missing_is_told() {
    let mut world = quiet();
    world.edit_claim("payments/bank", |claim| {
        claim.pods = PodSelection::Service("settle".into());
    });
    world.step();
    let programmed = condition(&world, "Programmed");
    assert_eq!(programmed.reason, "ServiceNotFound");
    assert!(programmed.message.starts_with("spec.serviceName: there is no Service settle"));
    let service = Service {
        namespace: "payments".into(),
        name: "settle".into(),
        selector: Some(mk_selector("app", "bank")),
    };
    world.snapshot.services.insert(("payments".into(), "settle".into()), service);
    world.step();
    assert!(condition(&world, "Ready").status);
}

#[test]
fn an_absent_holder_and_a_conflict_are_not_ready() {
    let mut world = quiet();
    let holder = world.address("192.0.2.100").plan.owner.clone().unwrap();
    world.absent(&[holder.as_str()]);
    world.step();
    let ready = condition(&world, "Ready");
    assert_eq!(ready.reason, "HolderAbsent");
    world.absent(&[]);
    world.settle();
    assert!(condition(&world, "Ready").status);
    let stored = world.snapshot.addresses.get_mut(&ip("192.0.2.100")).unwrap();
    stored.value.status.was_held = true;
    stored.value.status.conditions.push(Condition {
        kind: "Conflict".into(),
        status: true,
        reason: "ForeignHost".into(),
        message: "02:00:00:00:00:09 answers for it; take it off that host".into(),
        observed_generation: 0,
        last_transition: Timestamp(0),
    });
    world.step();
    let ready = condition(&world, "Ready");
    assert_eq!(ready.reason, "Conflict");
    assert!(ready.message.contains("02:00:00:00:00:09"));
    let kept = &world.address("192.0.2.100").status.conditions;
    assert!(kept.iter().any(|c| c.kind.as_str() == "Conflict"), "the holder's conditions stay");
}

#[test]
fn a_holder_that_a_taint_alone_says_to_be_off_serves_and_the_taint_is_named() {
    let mut world = quiet();
    let taint = "node.kubernetes.io/out-of-service";
    for node in world.snapshot.nodes.values_mut() {
        node.leaving = Some(LeavingReason::Taint(taint.to_owned()));
    }
    world.step();
    assert!(condition(&world, "Ready").status);
    let conditions = &world.address("192.0.2.100").status.conditions;
    let ready = conditions.iter().find(|c| c.kind == ConditionType::Ready).unwrap();
    let named = format!("(taint {taint} says that it is off: take it off the Node if it runs)");
    assert!(ready.status && ready.message.contains(&named), "{}", ready.message);
}

#[test]
fn pools_say_what_is_wrong_with_them() {
    let mut world = quiet();
    let reason = |world: &Fixture, at: usize| {
        world.snapshot.pools[&"partners".into()].value.1.conditions[at].reason.clone()
    };
    world.edit_pool("partners", |pool| pool.paused = true);
    world.step();
    assert_eq!((reason(&world, 0), reason(&world, 1)), ("Ready".into(), "Paused".into()));
    world.edit_pool("partners", |pool| pool.gateways = mk_selector("no", "such"));
    world.step();
    assert_eq!(reason(&world, 0), "NoGatewayNode");
}

#[test]
fn a_claim_that_loses_destinations_says_to_whom() {
    let mut world = quiet();
    let conditions = |world: &Fixture| {
        let status = &world.snapshot.claims[&mk_ref("payments/bank")].value.1;
        status.conditions.iter().map(|c| c.kind.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(conditions(&world), ["Accepted", "Bound", "Programmed", "Ready"]);
    let winners = [mk_ref("payments/longer")].into();
    world.status("d1").overridden.insert(mk_ref("payments/bank"), winners);
    world.step();
    let overridden = condition(&world, "Overridden");
    assert!(overridden.status && overridden.message.starts_with("payments/longer wins"));
    assert!(condition(&world, "Ready").status, "it serves what it wins");
    world.status("d1").overridden.clear();
    world.step();
    assert_eq!(conditions(&world).len(), 4);
}

#[test]
fn what_keeps_an_address_from_every_gateway_is_told_the_most_common_reason_first() {
    let mut world = quiet();
    let address = "198.51.100.7";
    for number in 4..=9 {
        world.node(&format!("g{number}"), 10 + number, true, "a");
    }
    world.pool(Pool { provider: ProviderKind::Aws, ..mk_pool("cloud", &[(address, address)]) });
    let asked = BTreeSet::from([ip(address)]);
    let because = |why: &str| NodeCapacity::of(9, &asked, |_| Some(why.to_owned()));
    let mut cloud = CloudState { observed: true, asked: asked.clone(), ..CloudState::default() };
    for (node, why) in [
        ("g1", "another zone"),
        ("g2", "no subnet"),
        ("g3", "no subnet"),
        ("g4", "no subnet"),
        ("g5", "no subnet"),
        ("g6", "another zone"),
    ] {
        cloud.capacities.insert(node.into(), because(why));
    }
    let managed = Some("its interface is managed".to_owned());
    let whole = NodeCapacity { refused: managed, ..NodeCapacity::default() };
    cloud.capacities.insert("g7".into(), whole);
    world.spec("g8").drain = true;
    world.memory.clouds.insert(ProviderKind::Aws, cloud);
    world.claim(mk_explicit("payments/cloudy", "cloud", &[address]));
    world.step();
    world.step();
    let ready = |world: &Fixture| {
        let mut conditions = world.address(address).status.conditions.iter();
        conditions.find(|one| one.kind.as_str() == "Ready").unwrap().message.clone()
    };
    assert_eq!(
        ready(&world),
        "no node may carry it: g2, g3, g4, and 1 more: no subnet; g1, g6: another zone; g9: g9 has no \
         spec.providerID: the cloud's controller manager sets it (kubelet \
         --cloud-provider=external); and 2 more"
    );
    let cloud = world.memory.clouds.get_mut(&ProviderKind::Aws).unwrap();
    cloud.read_error = Some("EC2 cannot be reached".to_owned());
    world.step();
    assert!(ready(&world).ends_with("; and 2 more (as last read: EC2 cannot be reached)"));
    world.memory.clouds.get_mut(&ProviderKind::Aws).unwrap().read_error = None;
    world.edit_pool("cloud", |pool| pool.paused = true);
    world.step();
    assert!(ready(&world).starts_with("its pool is paused"), "{}", ready(&world));
    world.edit_pool("cloud", |pool| pool.paused = false);
    for node in ["g1", "g2", "g3", "g4", "g5", "g6", "g9"] {
        world.snapshot.nodes.get_mut(&node.into()).unwrap().labels.clear();
    }
    world.step();
    assert_eq!(
        ready(&world),
        "no node may carry it: g8: it is drained; g7: its interface is managed"
    );
    world.edit_pool("cloud", |pool| pool.gateways = mk_selector("no", "such"));
    world.step();
    assert!(ready(&world).contains("label a gateway"), "{}", ready(&world));
}

#[test]
fn an_interface_that_cannot_carry_an_address_makes_it_not_ready() {
    let mut world = quiet();
    let address = "192.0.2.100";
    let holder = world.address(address).plan.owner.clone().unwrap();
    let why = "eni-0a1b2c is down: bring it up";
    let mac = "02:00:00:00:00:0a".to_owned();
    world.status(holder.as_str()).unusable_interfaces.insert(mac.clone(), why.to_owned());
    let told = |world: &Fixture| {
        super::interface::unusable(&world.snapshot, ip(address), &holder).map(str::to_owned)
    };
    assert_eq!(told(&world), None, "no cloud delivers it");
    world.status(holder.as_str()).uplinks[0].mac = Some(mac);
    assert_eq!(told(&world).as_deref(), Some(why), "it is in its subnet");
    world.step();
    let ready = &world.address(address).status.conditions[0];
    assert_eq!((ready.status, ready.reason.as_str()), (false, "InterfaceUnusable"));
    world.status(holder.as_str()).uplinks.clear();
    assert!(told(&world).is_some_and(|why| why.contains("no uplink in the subnet")));
    world.edit_plan(address, |plan| plan.provider = ProviderKind::Aws);
    assert_eq!(told(&world).as_deref(), Some(why));
}

/// A pool of Google's, whose gateways the cloud can all deliver to, and a claim of its one address.
fn google(address: &str) -> Fixture {
    let mut world = quiet();
    world.pool(Pool { provider: ProviderKind::Gcp, ..mk_pool("cloud", &[(address, address)]) });
    let offer =
        NodeCapacity { free: 10, can_serve: [ip(address)].into(), ..NodeCapacity::default() };
    let cloud = CloudState {
        observed: true,
        asked: [ip(address)].into(),
        capacities: ["g1", "g2", "g3"].map(|node| (node.into(), offer.clone())).into(),
        ..CloudState::default()
    };
    world.memory.clouds.insert(ProviderKind::Gcp, cloud);
    world.claim(mk_explicit("payments/cloudy", "cloud", &[address]));
    world
}

fn label(world: &mut Fixture, node: &str, key: &str, value: &str) {
    let labels = &mut world.snapshot.nodes.get_mut(&node.into()).unwrap().labels;
    labels.insert(key.to_owned(), value.to_owned());
}

const READY: &str = "cloud.google.com/gke-dpv2-ready";
const TOLD: [&str; 2] = ["it runs GKE Dataplane V2", "spec.gcp.acceptUnsupportedDataplane: true"];

/// Status, reason and message of the pool's condition.
fn gateways_usable(world: &Fixture) -> (bool, String, String) {
    let (_, status) = &world.snapshot.pools[&"cloud".into()].value;
    let found = status.conditions.iter().find(|known| known.kind.as_str() == "GatewaysUsable");
    let found = found.unwrap();
    (found.status, found.reason.clone(), found.message.clone())
}

fn carried<'a>(world: &'a Fixture, address: &str) -> Vec<&'a str> {
    let plan = &world.address(address).plan;
    plan.owner.iter().chain(&plan.standbys).map(|node| node.as_str()).collect()
}

#[test]
fn a_node_with_dataplane_v2_is_no_gateway_of_google() {
    let address = "198.51.100.7";
    let mut world = google(address);
    label(&mut world, "g1", "cloud.google.com/gke-nodepool", "gateways");
    world.status("g1").cilium_chained = true;
    world.settle();
    let (status, reason, message) = gateways_usable(&world);
    assert_eq!((status, reason.as_str()), (false, "UnsupportedDataplane"));
    assert!(TOLD.iter().all(|part| message.contains(part)), "{message}");
    assert!(message.starts_with("g1: "), "{message}");
    let nodes = carried(&world, address);
    assert!(nodes.len() == 2 && !nodes.contains(&"g1"), "{nodes:?}");
    // What serves is not cut off for it.
    let owner = nodes[0].to_owned();
    for node in ["g2", "g3"] {
        label(&mut world, node, READY, "true");
    }
    world.settle();
    assert_eq!(carried(&world, address), [owner]);
}

#[test]
fn a_pool_may_accept_nodes_with_dataplane_v2() {
    let address = "198.51.100.7";
    let mut world = google(address);
    for node in ["g1", "g2", "g3"] {
        label(&mut world, node, READY, "true");
    }
    world.settle();
    assert_eq!(carried(&world, address), [""; 0]);
    let ready = |world: &Fixture| {
        let (_, status) = &world.snapshot.claims[&mk_ref("payments/cloudy")].value;
        let found = status.conditions.iter().find(|known| known.kind.as_str() == "Ready").unwrap();
        (found.reason.clone(), found.message.clone())
    };
    let (reason, message) = ready(&world);
    assert_eq!(reason, "NoGateway");
    assert!(message.contains("no node may carry it: g1, g2, g3: "), "{message}");
    assert!(TOLD.iter().all(|part| message.contains(part)), "{message}");
    assert!(condition(&world, "Ready").status, "another provider's pool takes them");
    world.edit_pool("cloud", |pool| pool.accepts_unsupported_dataplane = true);
    world.settle();
    assert_eq!(gateways_usable(&world).1, "GatewaysUsable");
    assert_eq!(carried(&world, address).len(), 3);
    assert!(!ready(&world).1.contains("Dataplane"), "{:?}", ready(&world));
}

/// Programs of people look for these.
#[test]
fn conditions_are_spelled_as_they_were() {
    let mut world = quiet();
    let address = "198.51.100.7";
    world.pool(Pool { provider: ProviderKind::Aws, ..mk_pool("cloud", &[(address, address)]) });
    let cloud = CloudState { observed: true, ..CloudState::default() };
    world.memory.clouds.insert(ProviderKind::Aws, cloud);
    world.claim(mk_explicit("payments/cloudy", "cloud", &[address]));
    world.status("d1").overridden.insert(mk_ref("payments/bank"), [mk_ref("payments/b")].into());
    world.step();
    world.step();
    let spelled = |conditions: &[Condition]| {
        let kinds: Vec<&str> = conditions.iter().map(|one| one.kind.as_str()).collect();
        kinds.join(" ")
    };
    let snapshot = &world.snapshot;
    let (_, pool) = &snapshot.pools[&"cloud".into()].value;
    assert_eq!(spelled(&pool.conditions), "Ready Paused GatewaysUsable Balanced");
    let (_, claim) = &snapshot.claims[&mk_ref("payments/bank")].value;
    assert_eq!(spelled(&claim.conditions), "Accepted Bound Programmed Ready Overridden");
    let address = world.address(address);
    assert_eq!(spelled(&address.status.conditions), "Attached Ready");
    let json = serde_json::to_value(&address.status.conditions[0]).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    let known = ["lastTransitionTime", "message", "observedGeneration", "reason", "status", "type"];
    assert_eq!(keys, known);
}

#[test]
fn what_a_node_has_on_an_interface_is_a_conflict_that_names_both() {
    let mut world = quiet();
    world.status("g2").local_addresses.insert(ip("192.0.2.100"), "kube-vip0".to_owned());
    world.step();
    let ready = condition(&world, "Ready");
    assert_eq!((ready.status, ready.reason.as_str()), (false, "Conflict"));
    assert!(ready.message.contains("node g2 has the address on its interface kube-vip0"));
    world.status("g2").local_addresses.clear();
    world.step();
    assert!(condition(&world, "Ready").status);
}
