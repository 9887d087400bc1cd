//! Many addresses of one gateway at once: how many calls they are, and what one bad one costs the others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use egret_core::model::{Attachment, NodeName};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{Provider, attach_one};
use serde_json::json;
use tokio::task::JoinSet;

use super::double::Ec2Double;
use crate::{Aws, AwsOptions};

type Attached = BTreeMap<IpAddr, Result<Attachment, PortError>>;

async fn provider(double: &Ec2Double, change: impl FnOnce(&mut AwsOptions)) -> Arc<Aws> {
    let change = |options: &mut AwsOptions| {
        options.collect = AwsOptions::default().collect;
        change(options);
    };
    Arc::new(double.provider(change).await)
}

/// All at once, each a task of its own, as the controller has them; until they are accepted.
async fn attach(provider: &Arc<Aws>, addresses: &[IpAddr], node: &NodeName) -> Attached {
    let mut tasks = JoinSet::new();
    for address in addresses.iter().copied() {
        let (provider, node) = (provider.clone(), node.clone());
        tasks.spawn(async move { provider.attach(&[address].into(), &node).await });
    }
    let mut attached = Attached::new();
    while let Some(done) = tasks.join_next().await {
        for (address, result) in done.expect("no task panics").expect("one result for each") {
            attached.insert(address, result.map(|accepted| accepted.attachment));
        }
    }
    attached
}

/// On which interfaces they are, with how many each has.
fn interfaces(attached: &Attached) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for (address, result) in attached {
        let at = result.as_ref().unwrap_or_else(|error| panic!("{address}: {error}"));
        *count.entry(at.interface.clone().expect("EC2 has interfaces")).or_default() += 1;
    }
    count
}

/// Two interfaces carry what none could alone; a call for each, not for each address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_addresses_of_a_dead_gateway_move_in_a_few_calls() {
    let mut double = Ec2Double::start();
    let addresses = double.enlarge(50);
    let (l1, l2, l3) = (double.node("l1"), double.node("l2"), double.node("l3"));
    let first = provider(&double, |_| {}).await;
    let all: BTreeSet<_> = addresses.iter().copied().collect();
    let observed = first.observe(&all, &[l1.clone()].into()).await.unwrap();
    assert_eq!(observed.nodes[&l1].free, 58, "of both interfaces, without the primary one");
    double.take_calls();
    let there = interfaces(&attach(&first, &addresses, &l1).await);
    assert_eq!(there.len(), 2, "{there:?}");
    assert!(there.values().all(|count| *count <= 29), "{there:?}");
    let calls = double.take_calls();
    assert_eq!(calls["AssociateAddress"], 50, "{calls:?}");
    assert!(calls["AssignPrivateIpAddresses"] <= 6, "{calls:?}");
    // Within the subnet.
    let moved = interfaces(&attach(&first, &addresses, &l2).await);
    assert_eq!(moved.values().sum::<usize>(), 50);
    let calls = double.take_calls();
    assert!(!calls.contains_key("AssociateAddress"), "{calls:?}");
    assert!(calls["AssignPrivateIpAddresses"] <= 6, "{calls:?}");
    assert!(calls["DescribeNetworkInterfaces"] <= 3, "{calls:?}");
    assert!(!calls.contains_key("DescribeInstances"), "known already: {calls:?}");
    // To another zone, where standbys have wire addresses: as many as EC2's bucket has tokens go at once,
    // the others as it fills, and EC2 refuses none.
    let ready = first.prepare(&l3, &all).await.unwrap();
    assert!(ready.values().all(Result::is_ok), "{ready:?}");
    let calls = double.take_calls();
    assert!(calls["AssignPrivateIpAddresses"] <= 2, "{calls:?}");
    double.set("buckets", json!({"scale": 0.8}));
    let second = provider(&double, |options| {
        options.limits = 0.8;
        options.attempts = 1;
    });
    let second = second.await;
    double.set("delay", json!({"action": "AssociateAddress", "milliseconds": 600}));
    let begun = Instant::now();
    interfaces(&attach(&second, &addresses, &l3).await);
    assert!(begun.elapsed() > Duration::from_millis(2_000), "{:?}", begun.elapsed());
    // One after another on each of the two interfaces would be two.
    let at_once = double.most_within("AssociateAddress", 0.5);
    assert!(at_once > 2, "{at_once} within half a second");
    let throttled = double.failed_with("RequestLimitExceeded");
    assert!(throttled.is_empty(), "{throttled:?}");
    let calls = double.take_calls();
    assert_eq!(calls["AssociateAddress"], 50, "{calls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_cannot_be_had_stops_no_other() {
    let double = Ec2Double::start();
    let provider = provider(&double, |_| {}).await;
    let a1 = double.node("a1");
    let addresses: Vec<IpAddr> = (50..58).map(|last| [10, 0, 1, last].into()).collect();
    let bad = addresses[5];
    double.by_hand(&["assign", &double.world.interfaces["stranger"], &bad.to_string()]);
    provider.observe(&addresses.iter().copied().collect(), &[a1.clone()].into()).await.unwrap();
    double.take_calls();
    let mut attached = attach(&provider, &addresses, &a1).await;
    let refused = attached.remove(&bad).expect("it was asked for").unwrap_err();
    assert_eq!(refused.class, ErrorClass::Conflict, "{refused}");
    assert_eq!(interfaces(&attached).values().sum::<usize>(), 7);
    let calls = double.take_calls();
    let changes = calls["AssignPrivateIpAddresses"];
    assert!((2..=9).contains(&changes), "{calls:?}");
    for address in attached.keys() {
        provider.await_attached(&[*address].into(), &a1).await.unwrap();
    }
    // Given back together.
    double.take_calls();
    let mut tasks = JoinSet::new();
    for address in attached.into_keys() {
        let (provider, a1) = (provider.clone(), a1.clone());
        tasks.spawn(async move { provider.detach(address, &a1).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let calls = double.take_calls();
    assert!(calls["UnassignPrivateIpAddresses"] <= 3, "{calls:?}");
}

/// What concerns the interface concerns every address of the list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_interface_is_everyone_s_at_once() {
    let double = Ec2Double::start();
    let provider = provider(&double, |_| {}).await;
    let a1 = double.node("a1");
    let addresses: Vec<IpAddr> = (50..58).map(|last| [10, 0, 1, last].into()).collect();
    provider.observe(&addresses.iter().copied().collect(), &[a1.clone()].into()).await.unwrap();
    double.take_calls();
    let fail = json!({"action": "Assign*", "code": "UnsupportedOperation", "times": 100});
    double.set("fail", fail);
    let attached = attach(&provider, &addresses, &a1).await;
    assert!(attached.values().all(Result::is_err), "{attached:?}");
    let calls = double.take_calls();
    assert!(calls["AssignPrivateIpAddresses"] <= 4, "{calls:?}");
}

#[tokio::test]
async fn an_interface_that_ec2_calls_full_leaves_the_address_to_the_next() {
    let mut double = Ec2Double::start();
    let address = double.enlarge(1)[0];
    let provider = provider(&double, |_| {}).await;
    double.set("fail", json!({"action": "Assign*", "code": "PrivateIpAddressLimitExceeded"}));
    let attached = attach_one(provider.as_ref(), address, &double.node("l1")).await.unwrap();
    assert_eq!(attached.interface, Some(double.world.interfaces["l1-2"].clone()));
}

/// Who waits for EC2's bucket to fill has no interface locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_does_not_wait_behind_what_can_wait() {
    let double = Ec2Double::start();
    let provider = provider(&double, |options| options.attempts = 1).await;
    let (a1, [first, second]) = (double.node("a1"), [double.world.v4[0], double.world.v4[1]]);
    attach_one(provider.as_ref(), first, &a1).await.unwrap();
    // After that nothing ordinary goes before half of the bucket has come back: ten seconds.
    double.set("throttle", json!({"next": 1, "actions": ["Unassign*"]}));
    provider.detach(first, &a1).await.unwrap_err();
    let waiting = tokio::spawn({
        let (provider, a1) = (provider.clone(), a1.clone());
        async move { provider.detach(first, &a1).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    provider.attach(&[second].into(), &a1).await.unwrap()[&second].as_ref().unwrap();
    assert!(!waiting.is_finished(), "the failover came behind it");
    waiting.abort();
}
