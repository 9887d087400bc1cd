//! Two clouds of two kinds at once. What a kind's pools are like elsewhere is of no matter here: the
//! kind says whose addresses a cloud is told of, and nothing else.

use egret_ports::provider::Cloud;
use egret_provider_fake::{FakeCall, FakeCloud, FakeConnection, FakeFault};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::*;

const LEFT: (ProviderKind, &str, &str) = (ProviderKind::L2, "L2", "203.0.113.7");
const RIGHT: (ProviderKind, &str, &str) = (ProviderKind::Aws, "AWS", "198.51.100.7");

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn connected(kind: ProviderKind, address: &str) -> (FakeCloud, Arc<dyn Cloud>) {
    let cloud = FakeCloud::default();
    cloud.add_node("node-1", "z", 4);
    cloud.add_node("node-2", "z", 4);
    cloud.add_address(ip(address), Some("z"));
    (cloud.clone(), Arc::new(FakeConnection { kind, cloud }))
}

fn counted(metrics: &CloudMetrics) -> String {
    let (mut registry, mut text) = (Registry::default(), String::new());
    metrics.register(&mut registry);
    encode(&mut text, &registry).unwrap();
    text
}

#[tokio::test]
async fn two_clouds_of_two_kinds_are_served_at_once() {
    let directory = tempfile::tempdir().unwrap();
    DirectoryState::create(directory.path()).unwrap();
    for (_, kind, address) in [LEFT, RIGHT] {
        let pool = POOL.replace("PROVIDER", kind).replace("198.51.100.7", address);
        let pool = pool.replace("name: cloud", &format!("name: {}", kind.to_lowercase()));
        std::fs::write(directory.path().join(format!("{kind}.yaml")), pool).unwrap();
    }
    let (context, _election) = leader(directory.path(), Millis(300)).await;
    let state = &context.state;
    hold(state, (LEFT.0, LEFT.1, ip(LEFT.2))).await;
    hold(state, (RIGHT.0, RIGHT.1, ip(RIGHT.2))).await;
    let (node, other) = (NodeName::from("node-1"), NodeName::from("node-2"));
    let (left, left_cloud) = connected(LEFT.0, LEFT.2);
    let (right, right_cloud) = connected(RIGHT.0, RIGHT.2);
    // One fails twice; the other one is not held up.
    let fault = FakeFault { call: FakeCall::Assign, class: ErrorClass::Transient, done: false };
    right.script([fault, fault]);
    let set = CloudSet::new([left_cloud, right_cloud]).unwrap();
    let mut terms = CloudTerms::begin(&set, &context);
    until("both are attached, and written down", || {
        [LEFT, RIGHT].iter().all(|one| attached_by_status(state, ip(one.2)).as_ref() == Some(&node))
    })
    .await;
    assert_eq!(left.attached(), [(ip(LEFT.2), node.clone())].into(), "each its own alone");
    assert_eq!(right.attached(), [(ip(RIGHT.2), node.clone())].into(), "each its own alone");
    assert_eq!(right.faults_left(), 0);
    let text = counted(&context.metrics);
    assert!(text.contains("{task=\"attach\",result=\"transient\"} 2"), "{text}");
    assert!(text.contains("{task=\"attach\",result=\"ok\"} 2"), "{text}");
    let kinds = terms.states().map(|states| states.into_keys().collect::<Vec<_>>());
    assert_eq!(kinds, Some(vec![LEFT.0, RIGHT.0]));
    // Somebody moves one behind the controller's back.
    until("a scan has seen it", || {
        let seen = |state: &Arc<CloudState>| state.observed && !state.attached.is_empty();
        terms.states().is_some_and(|states| states.values().all(seen))
    })
    .await;
    left.attach_by_hand(ip(LEFT.2), Some(other.as_str()));
    until("drift is repaired", || left.attached().get(&ip(LEFT.2)) == Some(&node)).await;
    until("and counted", || counted(&context.metrics).contains("cloud_drifts_total 1")).await;
    assert_eq!(right.attached(), [(ip(RIGHT.2), node)].into(), "the other one is left alone");
}

#[test]
fn two_clouds_of_one_kind_are_refused() {
    let [(_, first), (_, second)] = [0, 1].map(|_| connected(RIGHT.0, RIGHT.2));
    let error = CloudSet::new([first, second]).unwrap_err();
    assert_eq!(error.class, ErrorClass::Invalid);
    assert!(error.to_string().contains("one of each kind"), "{error}");
}
