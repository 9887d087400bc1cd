//! What a person may do to the objects of a Kubernetes cluster: delete them, taint nodes, uninstall.

use std::collections::BTreeSet;

use crate::model::{
    AddressEnd, Claim, LabelSelector, Namespace, NodeRole, PodSelection, Service, Snapshot,
    SnapshotScope, Stored, Write,
};
use crate::planner::PlannedWrite;
use crate::selection::selects;
use crate::testing::*;

use super::{BANK, quiet};

fn writes(world: &mut Fixture) -> Vec<PlannedWrite> {
    world.plan().writes
}

#[test]
fn a_deleted_address_ends_and_its_claim_gets_another() {
    let mut world = quiet();
    world.snapshot.addresses.get_mut(&ip(BANK)).unwrap().value.deleting = true;
    world.settle();
    assert!(world.address(BANK).plan.end.is_some());
    let claim = &world.snapshot.claims[&mk_ref("payments/bank")].value.1;
    assert_eq!(claim.addresses, [ip("192.0.2.101")]);
}

#[test]
fn a_deleted_node_goes_when_its_blocks_have_rested() {
    let mut world = quiet();
    let deleting = |world: &mut Fixture| {
        world.snapshot.egress_nodes.get_mut(&"d1".into()).unwrap().value.deleting = true;
    };
    deleting(&mut world);
    world.settle();
    let blocks = &world.snapshot.egress_nodes[&"d1".into()].value.spec.blocks;
    assert!(!blocks.is_empty() && blocks.iter().all(|block| block.ended.is_some()), "{blocks:?}");
    let epoch = world.counter;
    for node in ["g1", "g2", "g3"] {
        world.status(node).acknowledged_blocks = epoch;
    }
    world.settle();
    world.pass(130);
    world.settle();
    assert!(!world.snapshot.egress_nodes.contains_key(&"d1".into()));
}

#[test]
fn a_node_loses_the_startup_taint_when_its_agent_is_ready() {
    let mut world = quiet();
    world.snapshot.nodes.get_mut(&"d1".into()).unwrap().awaits_agent = true;
    let admits = |world: &mut Fixture| {
        writes(world).iter().any(|planned| matches!(planned.write, Write::AdmitPods { .. }))
    };
    let now = world.now;
    world.status("d1").conditions.push(crate::model::Condition {
        kind: "Ready".into(),
        status: true,
        reason: "Programmed".to_owned(),
        message: String::new(),
        observed_generation: 0,
        last_transition: now,
    });
    assert!(!admits(&mut world), "nobody asked for it");
    world.settings.startup_taint = true;
    assert!(admits(&mut world));
    world.status("d1").conditions[0].status = false;
    assert!(!admits(&mut world));
    world.status("d1").conditions[0].reason = "ConnectionMarkOverwritten".to_owned();
    assert!(admits(&mut world), "what others do with marks does not end by waiting");
}

#[test]
fn everybody_knows_gateways_and_voters() {
    let world = quiet();
    let roles = |node: &str| world.snapshot.egress_nodes[&node.into()].value.spec.roles.clone();
    assert_eq!(roles("g1"), BTreeSet::from([NodeRole::Gateway, NodeRole::Voter]));
    assert_eq!(roles("d1"), BTreeSet::from([NodeRole::Voter]));
}

#[test]
fn nothing_is_planned_while_egret_is_uninstalled() {
    let mut world = quiet();
    world.snapshot.cluster.as_mut().unwrap().value.uninstalling = true;
    world.claim(mk_claim("payments/new", "partners"));
    assert_eq!(writes(&mut world), []);
}

/// What an agent sees of the cluster: claims with what the controller resolved.
fn of_node(snapshot: &Snapshot) -> Snapshot {
    Snapshot {
        scope: SnapshotScope::Node,
        namespaces: Default::default(),
        services: Default::default(),
        nodes: Default::default(),
        ..snapshot.clone()
    }
}

#[test]
fn an_agent_selects_the_same_pods_without_services_and_namespaces() {
    let mut world = Fixture::small();
    for (namespace, team) in [("payments", "a"), ("risk", "b"), ("lonely", "c")] {
        let namespace = Namespace { name: namespace.into(), labels: mk_labels(&[("team", team)]) };
        world.snapshot.namespaces.insert(namespace.name.clone(), namespace);
    }
    for (namespace, app) in [("payments", "settle"), ("risk", "feed")] {
        let service = Service {
            namespace: namespace.into(),
            name: "front".to_owned(),
            selector: Some(mk_selector("app", app)),
        };
        world.snapshot.services.insert((namespace.into(), "front".to_owned()), service);
    }
    let service = || PodSelection::Service("front".to_owned());
    let wide = |name: &str, pods: PodSelection| Claim {
        namespaces: Some(mk_selector("team", "b")),
        pods,
        ..mk_claim(name, "partners")
    };
    world.claim(mk_claim("payments/labels", "partners"));
    world.claim(Claim { pods: service(), ..mk_claim("payments/service", "partners") });
    world.claim(wide("everywhere", PodSelection::Labels(LabelSelector::default())));
    world.claim(wide("by-service", service()));
    for (number, (namespace, app)) in [
        ("payments", "settle"),
        ("payments", "labels"),
        ("risk", "feed"),
        ("risk", "other"),
        ("lonely", "settle"),
        ("gone", "feed"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{namespace}/p{number}");
        let address = format!("10.244.4.{}/32", number + 2);
        world.pod(mk_pod(&name, app, "d1", &[&address]));
    }
    world.settle();
    let seen = of_node(&world.snapshot);
    let mut selected = 0;
    for Stored { value: (claim, _), .. } in world.snapshot.claims.values() {
        for pod in world.snapshot.pods.values() {
            let expected = selects(&world.snapshot, claim, pod);
            assert_eq!(selects(&seen, claim, pod), expected, "{} {}", claim.reference, pod.name);
            selected += usize::from(expected);
        }
    }
    assert_eq!(selected, 5);
}

fn claim_says(world: &Fixture, claim: &str) -> Vec<String> {
    let status = &world.snapshot.claims[&mk_ref(claim)].value.1;
    status.conditions.iter().map(|one| format!("{} {}", one.kind, one.reason)).collect()
}

#[test]
fn a_relabelled_namespace_keeps_its_addresses_and_loses_only_what_is_new() {
    let mut world = Fixture::small();
    let relabel = |world: &mut Fixture, team: &str| {
        let labels = mk_labels(&[("team", team)]);
        let namespace = Namespace { name: "payments".into(), labels };
        world.snapshot.namespaces.insert("payments".into(), namespace);
    };
    relabel(&mut world, "a");
    world.edit_pool("partners", |pool| pool.allowed_namespaces = Some(mk_selector("team", "a")));
    world.claim(mk_claim("payments/bank", "partners"));
    let namespaces = Some(mk_selector("team", "a"));
    let wide =
        Claim { namespaces, pods: mk_claim("ns/bank", "").pods, ..mk_claim("wide", "partners") };
    world.claim(wide);
    world.pod(mk_pod("payments/p", "bank", "d1", &["10.244.4.7/32"]));
    world.settle();
    let plans = |world: &Fixture| -> Vec<_> {
        world.snapshot.addresses.values().map(|stored| stored.value.plan.clone()).collect()
    };
    let before = plans(&world);
    let reads = |world: &Fixture| {
        let seen = of_node(&world.snapshot);
        ["payments/bank", "wide"].map(|name| {
            let claim = &seen.claims[&mk_ref(name)].value.0;
            selects(&seen, claim, &seen.pods[&("payments".into(), "p".to_owned())])
        })
    };
    assert_eq!((before.len(), reads(&world)), (2, [true, true]));
    relabel(&mut world, "b");
    world.settle();
    assert_eq!(plans(&world), before, "nothing ends");
    assert_eq!(claim_says(&world, "payments/bank")[0], "Accepted NamespaceNotAllowed");
    assert_eq!(reads(&world), [true, false], "the wide one does not mean this namespace any more");
    world.claim(mk_claim("payments/new", "partners"));
    world.settle();
    assert_eq!(world.snapshot.addresses.len(), 2, "it gets none");
    relabel(&mut world, "a");
    world.settle();
    assert_eq!((world.snapshot.addresses.len(), reads(&world)), (3, [true, true]));
    assert_eq!(claim_says(&world, "payments/bank")[0], "Accepted Accepted");
}

/// The claim is deleted with its namespace, and the pods may be there for longer, or go first.
#[test]
fn namespace_and_pods_go_in_either_order() {
    for pods_first in [true, false] {
        let mut world = quiet();
        world.pod(mk_pod("payments/p", "bank", "d1", &["10.244.4.7/32"]));
        world.settle();
        let fence = world.address(BANK).plan.fence;
        let go = |world: &mut Fixture, pods: bool| {
            if pods {
                world.snapshot.pods.clear();
            } else {
                world.snapshot.namespaces.clear();
                world.delete_claim("payments/bank");
            }
            world.settle();
        };
        go(&mut world, pods_first);
        if pods_first {
            assert_eq!(world.address(BANK).plan.end, None, "the claim is there");
        } else {
            assert!(matches!(world.address(BANK).plan.end, Some(AddressEnd::Released { .. })));
        }
        go(&mut world, !pods_first);
        let Some(AddressEnd::Released { since, .. }) = world.address(BANK).plan.end else {
            panic!("{:?}", world.address(BANK).plan);
        };
        for node in ["g1", "g2", "g3", "d1", "d2"] {
            world.status(node).idle_releases.insert(ip(BANK), since);
        }
        world.settle();
        assert!(world.address(BANK).plan.fence > fence);
        world.pass(120);
        world.settle();
        assert!(world.snapshot.addresses.is_empty(), "pods first: {pods_first}");
    }
}
