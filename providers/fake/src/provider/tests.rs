use egret_ports::contract::provider::{ProviderCase, Room, run};
use egret_ports::provider::attach_one;
use proptest::prelude::*;

use super::*;
use crate::{FakeCall, FakeFault};

fn address() -> IpAddr {
    "192.0.2.17".parse().unwrap()
}

pub(super) fn cloud() -> FakeCloud {
    let cloud = FakeCloud::default();
    for (name, zone, room) in [("a", "z1", 4), ("b", "z1", 4), ("far", "z2", 4), ("full", "z1", 0)]
    {
        cloud.add_node(name, zone, room);
    }
    cloud.add_address(address(), Some("z1"));
    cloud.add_address("2001:db8::18".parse().unwrap(), Some("z1"));
    cloud
}

pub(super) fn case(cloud: FakeCloud) -> ProviderCase<FakeProvider> {
    ProviderCase {
        provider: FakeProvider::new(cloud),
        nodes: ["a".into(), "b".into()],
        addresses: [address(), "2001:db8::18".parse().unwrap()],
        elsewhere: "far".into(),
        full: Some("full".into()),
        room: Room::OfTheNode,
        unknown: "nobody".into(),
        cancel_step: Duration::from_millis(10),
        lagging_reads: 2,
        lag: Duration::ZERO,
    }
}

#[tokio::test(start_paused = true)]
async fn keeps_the_contract() {
    run(&case(cloud())).await;
    let slow = cloud();
    slow.set_latency(Duration::from_millis(70));
    slow.set_lag(2);
    run(&case(slow)).await;
}

#[tokio::test(start_paused = true)]
async fn keeps_the_contract_behind_a_one_to_one_mapping() {
    let mapped = cloud();
    mapped.map(address(), "a", "10.0.0.7".parse().unwrap());
    let provider = FakeProvider::new(mapped.clone());
    let attached = attach_one(&provider, address(), &"a".into()).await.unwrap();
    assert_eq!(attached.wire, Some("10.0.0.7".parse().unwrap()));
    provider.detach(address(), &"a".into()).await.unwrap();
    run(&case(mapped)).await;
}

#[tokio::test(start_paused = true)]
async fn success_is_what_is_seen_not_what_was_called() {
    let cloud = cloud();
    cloud.set_lag(5);
    let provider = FakeProvider::new(cloud.clone());
    attach_one(&provider, address(), &"a".into()).await.unwrap();
    let calls = cloud.take_calls();
    assert_eq!(calls.iter().filter(|call| **call == FakeCall::Describe).count(), 1 + 5 + 1);
    assert_eq!(calls.iter().filter(|call| **call == FakeCall::Assign).count(), 1);
    cloud.set_lag(1_000);
    let error = attach_one(&provider, address(), &"b".into()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
}

#[tokio::test(start_paused = true)]
async fn a_lagging_read_after_a_cut_off_write_proves_nothing() {
    let cloud = cloud();
    cloud.set_lag(3);
    cloud.set_latency(Duration::from_millis(10));
    let provider = FakeProvider::new(cloud.clone());
    attach_one(&provider, address(), &"a".into()).await.unwrap();
    // Cut off right after the assignment to b has been done, before it is seen.
    let cut = Duration::from_millis(18);
    assert!(
        tokio::time::timeout(cut, attach_one(&provider, address(), &"b".into())).await.is_err()
    );
    assert_eq!(cloud.attached()[&address()], "b".into());
    attach_one(&provider, address(), &"a".into()).await.unwrap();
    assert_eq!(cloud.attached()[&address()], "a".into());
}

#[tokio::test(start_paused = true)]
async fn what_is_so_is_not_written() {
    let cloud = cloud();
    let provider = FakeProvider::new(cloud.clone());
    attach_one(&provider, address(), &"a".into()).await.unwrap();
    let _ = cloud.take_calls();
    attach_one(&provider, address(), &"a".into()).await.unwrap();
    provider.detach(address(), &"b".into()).await.unwrap();
    assert_eq!(cloud.take_calls(), [FakeCall::Describe, FakeCall::Describe]);
}

#[tokio::test(start_paused = true)]
async fn drift_is_seen_and_repaired() {
    let cloud = cloud();
    let provider = FakeProvider::new(cloud.clone());
    attach_one(&provider, address(), &"a".into()).await.unwrap();
    cloud.attach_by_hand(address(), Some("b"));
    let observed = provider.observe(&[address()].into(), &BTreeSet::new()).await.unwrap();
    assert_eq!(observed.attachments[&address()].node, "b".into());
    provider.detach(address(), &"a".into()).await.unwrap();
    assert_eq!(cloud.attached()[&address()], "b".into(), "it was not a's to take");
    attach_one(&provider, address(), &"a".into()).await.unwrap();
    assert_eq!(cloud.attached()[&address()], "a".into());
    cloud.remove_node(&"a".into());
    let observed = provider.observe(&[address()].into(), &["a".into()].into()).await.unwrap();
    assert_eq!(observed, Observation::default());
}

fn faults() -> impl Strategy<Value = Vec<FakeFault>> {
    let call =
        prop_oneof![Just(FakeCall::Describe), Just(FakeCall::Assign), Just(FakeCall::Unassign)];
    let class = prop_oneof![
        Just(ErrorClass::Transient),
        Just(ErrorClass::Throttled { after: None }),
        Just(ErrorClass::Conflict),
        Just(ErrorClass::Denied),
    ];
    let fault = (call, class, any::<bool>());
    let fault = fault.prop_map(|(call, class, done)| FakeFault { call, class, done });
    prop::collection::vec(fault, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever fails, however late it is seen: calls repeated until they succeed end where the
    /// last one wanted, and a failed call reports the class of its fault.
    #[test]
    fn repeating_ends_where_it_was_wanted(faults in faults(), lag in 0u32..4) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let cloud = cloud();
            cloud.set_lag(lag);
            cloud.script(faults.iter().copied());
            let provider = FakeProvider::new(cloud.clone());
            let mut errors = 0;
            for node in ["a", "b", "a"] {
                let node = NodeName::from(node);
                while let Err(error) = attach_one(&provider, address(), &node).await {
                    assert!(faults.iter().any(|fault| fault.class == error.class), "{error}");
                    errors += 1;
                }
                assert_eq!(cloud.attached()[&address()], node);
            }
            while provider.detach(address(), &"a".into()).await.is_err() {
                errors += 1;
            }
            assert!(cloud.attached().is_empty());
            assert!(errors <= faults.len(), "a fault was met twice");
        });
    }
}
