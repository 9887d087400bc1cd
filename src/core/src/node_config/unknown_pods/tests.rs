use super::*;
use crate::model::{PodRangeSource, SnapshotScope};
use crate::testing::*;

type Edit<'a> = &'a dyn Fn(&mut Fixture);

/// What is held off on d1, of whose Node spec.podCIDRs is 10.244.4.0/24.
fn held_off(world: &Fixture) -> Vec<String> {
    let sources = unknown_pods(&world.snapshot, &"d1".into()).sources;
    sources.iter().map(|range| format!("{} {}", range.first(), range.last())).collect()
}

fn world(edit: impl FnOnce(&mut Fixture)) -> Fixture {
    let mut world = Fixture::small();
    world.claim(mk_claim("payments/bank", "partners"));
    edit(&mut world);
    world.settle();
    world
}

/// A network plug-in with an IPAM of its own leaves spec.podCIDRs of the Nodes unused, which
/// kube-controller-manager writes all the same.
#[test]
fn the_drop_goes_by_the_source_of_ranges_that_is_believed() {
    let calico = |world: &mut Fixture| {
        let pools = [(PodRangeSource::CalicoIPPools, [net("192.168.0.0/16")].into())];
        world.snapshot.discovered.pods.extend(pools);
    };
    let cilium = |world: &mut Fixture| {
        let found = &mut world.snapshot.discovered;
        for (node, range) in [("d1", "10.0.4.0/24"), ("d2", "10.0.5.0/24")] {
            found.pods.entry(PodRangeSource::CiliumNodes).or_default().insert(net(range));
            found.by_node.insert(node.into(), [net(range)].into());
        }
    };
    let flags = |world: &mut Fixture| {
        world.settings.pods.insert(net("10.244.0.0/16"));
    };
    let from_nodes: fn(&mut Fixture) = |_| {};
    let cases: [(&str, Edit<'_>, &[&str]); 6] = [
        ("Nodes", &from_nodes, &["10.244.4.0 10.244.4.255"]),
        ("IPPools", &calico, &["192.168.0.0 192.168.255.255"]),
        ("CiliumNodes", &cilium, &["10.0.4.0 10.0.4.255"]),
        ("flags", &flags, &["10.244.0.0 10.244.255.255"]),
        (
            "a CiliumNode without ranges yet",
            &|world| {
                cilium(world);
                world.snapshot.discovered.by_node.remove(&"d1".into());
            },
            &["10.0.4.0 10.0.5.255", "10.244.4.0 10.244.4.255"],
        ),
        (
            "a Node without ranges",
            &|world| world.snapshot.nodes.get_mut(&"d1".into()).unwrap().pod_cidrs.clear(),
            &["10.244.1.0 10.244.3.255", "10.244.5.0 10.244.5.255"],
        ),
    ];
    for (case, edit, expected) in cases {
        let mut world = world(edit);
        assert_eq!(held_off(&world), expected, "{case}, in a directory of manifests");
        // Over Kubernetes an agent reads no Node.
        world.snapshot.scope = SnapshotScope::Node;
        world.snapshot.nodes.clear();
        assert_eq!(held_off(&world), expected, "{case}, over Kubernetes");
    }
}

/// A controller before this one copies spec.podCIDRs of the Node, whatever pods go by.
#[test]
fn what_an_older_controller_copied_does_not_replace_what_the_cluster_object_says() {
    let (calico, copied) = ("192.168.0.0 192.168.255.255", "10.244.4.0 10.244.4.255");
    for (source, expected) in [
        (PodRangeSource::CalicoIPPools, vec![calico]),
        (PodRangeSource::CiliumNodes, vec![copied, calico]),
    ] {
        let found = [(source, [net("192.168.0.0/16")].into())];
        let mut world = world(|world| world.snapshot.discovered.pods.extend(found));
        world.spec("d1").pod_cidrs.insert(net("10.244.4.0/24"));
        assert_eq!(held_off(&world), expected, "{source:?}");
    }
}
