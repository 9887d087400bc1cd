//! What happens to addresses around the calls: crashes, drift, nodes that go, and what it costs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use egret_core::model::{Attachment, NodeName};
use egret_ports::error::ErrorClass;
use egret_ports::provider::{Inventory, Provider, attach_one};
use serde_json::{Value, json};

use super::double::Ec2Double;
use crate::{Aws, CallMetrics};

/// How long changes of this process mask what reads show, where a test changes things by hand.
const SOON: Duration = Duration::from_millis(300);

/// Scans until one shows it.
async fn seen_at(provider: &Aws, address: IpAddr, node: Option<&NodeName>) {
    for _ in 0..100 {
        if holder(provider, address).await.as_ref() == node {
            return;
        }
        tokio::time::sleep(SOON / 10).await;
    }
    panic!("{address} is never seen at {node:?}");
}

async fn holder(provider: &Aws, address: IpAddr) -> Option<NodeName> {
    let observed = provider.observe(&[address].into(), &BTreeSet::new()).await.unwrap();
    observed.attachments.get(&address).map(|attachment| attachment.node.clone())
}

/// Where boto3 sees an Elastic IP, and at which private address.
fn mapped(double: &Ec2Double, address: IpAddr) -> (String, String) {
    let read = double.read();
    let at = &read["elastic"][address.to_string()];
    let name = double.world.interfaces.iter().find(|(_, id)| at["interface"] == id.as_str());
    let name = name.map(|(name, _)| name.clone()).unwrap_or_default();
    (name, at["private"].as_str().unwrap_or_default().to_owned())
}

fn secondaries(read: &Value) -> usize {
    let interfaces = read["interfaces"].as_object().unwrap().values();
    interfaces.map(|interface| interface["secondary"].as_array().unwrap().len()).sum()
}

/// What the node needs where nothing on it has configured the interface.
#[tokio::test]
async fn an_attachment_names_its_interface_s_own_address_and_router() {
    let double = Ec2Double::start();
    let provider = double.provider(|_| {}).await;
    let node = double.node("a1");
    let attached = attach_one(&provider, double.world.elastic[0], &node).await.unwrap();
    let primary = attached.primary_address.unwrap();
    assert!(primary.contains(&attached.wire.unwrap()), "{attached:?}");
    assert!(primary.addr() != attached.wire.unwrap() && primary.prefix_len() > 8, "{attached:?}");
    assert_eq!(attached.next_hop, primary.hosts().next(), "{attached:?}");
    let attached = attach_one(&provider, double.world.v6[0], &node).await.unwrap();
    assert_eq!(attached.next_hop, None, "routers of IPv6 announce themselves");
    assert_eq!(attached.primary_address, Some(primary), "it is the interface's");
}

/// A new process goes on wherever the old one was when it died.
#[tokio::test]
async fn a_crash_between_any_two_calls_is_gone_on_from_and_leaves_nothing() {
    let double = Ec2Double::start();
    let address = double.world.elastic[0];
    let before = secondaries(&double.read());
    let (from, to) = (double.node("a1"), double.node("b1"));
    for action in ["Assign*", "Associate*", "Disassociate*", "Unassign*"] {
        // Dies after the call has taken effect, before it knows.
        let fail = json!({"action": action, "after": true, "cut": true});
        let dying = double.provider(|options| options.attempts = 1).await;
        double.set("fail", fail.clone());
        let died = attach_one(&dying, address, &from).await.is_err();
        assert_eq!(died, action.starts_with('A'), "{action}");
        drop(dying);
        let next = double.provider(|_| {}).await;
        assert_eq!(attach_one(&next, address, &from).await.unwrap().node, from, "{action}");
        assert_eq!(mapped(&double, address).0, "a1", "{action}");
        assert_eq!(secondaries(&double.read()), before + 1, "{action}: one wire address");
        let moving = double.provider(|options| options.attempts = 1).await;
        double.set("fail", fail.clone());
        drop(attach_one(&moving, address, &to).await);
        let next = double.provider(|_| {}).await;
        assert_eq!(attach_one(&next, address, &to).await.unwrap().node, to, "{action}");
        assert_eq!(mapped(&double, address).0, "b1", "{action}");
        let ending = double.provider(|options| options.attempts = 1).await;
        double.set("fail", fail);
        drop(ending.detach(address, &to).await);
        double.set("clear", json!({}));
        let next = double.provider(|_| {}).await;
        next.detach(address, &to).await.unwrap();
        for node in [&from, &to] {
            next.prepare(node, &BTreeSet::new()).await.unwrap();
        }
        assert_eq!(mapped(&double, address).0, "", "{action}");
        assert_eq!(secondaries(&double.read()), before, "{action}: something is left");
    }
}

#[tokio::test]
async fn drift_is_seen_and_repaired_and_what_others_took_is_left_to_them() {
    let double = Ec2Double::start();
    let provider = double.provider(|options| options.horizon = SOON).await;
    let address = double.world.elastic[0];
    let a1 = double.node("a1");
    attach_one(&provider, address, &a1).await.unwrap();
    let interface = |name: &str| double.world.interfaces[name].clone();
    double.by_hand(&["steal", &address.to_string(), &interface("b2")]);
    seen_at(&provider, address, Some(&double.node("b2"))).await;
    attach_one(&provider, address, &a1).await.unwrap();
    assert_eq!(mapped(&double, address).0, "a1");
    double.by_hand(&["steal", &address.to_string(), &interface("stranger")]);
    seen_at(&provider, address, None).await;
    let error = attach_one(&provider, address, &a1).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Conflict, "{error}");
    assert!(error.to_string().contains(&interface("stranger")), "{error}");
    assert_eq!(mapped(&double, address).0, "stranger");
}

#[tokio::test]
async fn a_node_that_is_gone_is_released_by_the_ids_in_the_status() {
    let double = Ec2Double::start();
    let provider = double.provider(|_| {}).await;
    let (public, private) = (double.world.elastic[0], double.world.v4[0]);
    let b1 = double.node("b1");
    let a2 = double.node("a2");
    let kept: BTreeMap<IpAddr, BTreeMap<NodeName, Attachment>> = [
        (public, [(b1.clone(), attach_one(&provider, public, &b1).await.unwrap())].into()),
        (private, [(a2.clone(), attach_one(&provider, private, &a2).await.unwrap())].into()),
    ]
    .into();
    // The Node objects go; the instances live on, unknown. A new process knows the status alone.
    let mut nodes = double.world.nodes.clone();
    nodes.remove(&b1);
    nodes.remove(&a2);
    double.inventory.send_replace(Arc::new(Inventory { nodes, addresses: kept }));
    let next = double.provider(|_| {}).await;
    assert_eq!(holder(&next, public).await, Some(b1.clone()));
    assert_eq!(attach_one(&next, private, &double.node("a1")).await.unwrap().node, "a1".into());
    next.detach(public, &b1).await.unwrap();
    assert_eq!(mapped(&double, public).0, "");
    let read = double.read();
    assert!(read["interfaces"][&double.world.interfaces["b1"]]["secondary"] == json!([]));
    next.detach(private, &"a1".into()).await.unwrap();
    assert_eq!(secondaries(&double.read()), 1, "of the full one alone");
}

#[tokio::test]
async fn a_terminated_instance_is_no_node_and_what_it_had_is_free() {
    let double = Ec2Double::start();
    let provider = double.provider(|options| options.horizon = SOON).await;
    let public = double.world.elastic[0];
    let (b1, b2) = (double.node("b1"), double.node("b2"));
    let attached = attach_one(&provider, public, &b1).await.unwrap();
    // As an address's status says it: an interface that no node has any more was ours.
    let addresses = [(public, [(b1.clone(), attached)].into())].into();
    let inventory = Inventory { nodes: double.world.nodes.clone(), addresses };
    double.inventory.send_replace(Arc::new(inventory));
    let instance = double.world.nodes[&b1].rsplit('/').next().unwrap().to_owned();
    double.by_hand(&["terminate", &instance]);
    seen_at(&provider, public, None).await;
    let observed = provider.observe(&[public].into(), &[b1.clone(), b2.clone()].into()).await;
    let observed = observed.unwrap();
    assert!(observed.attachments.is_empty() && !observed.nodes.contains_key(&b1), "{observed:?}");
    provider.detach(public, &b1).await.unwrap();
    assert_eq!(attach_one(&provider, public, &b2).await.unwrap().node, b2);
    let error = attach_one(&provider, public, &b1).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::NotFound, "{error}");
}

#[tokio::test]
async fn elastic_ips_are_found_by_tag_and_a_managed_interface_says_why_not() {
    let double = Ec2Double::start();
    let provider = double.provider(|_| {}).await;
    let tags = |value: &str| [("egret.dev/pool".to_owned(), value.to_owned())].into();
    let even = provider.elastic_ips(&tags("even")).await.unwrap();
    let expected = [double.world.elastic[0], double.world.elastic[2]];
    assert_eq!(even, expected.into());
    for none in ["none", "*", "eve?", "even\\"] {
        assert!(provider.elastic_ips(&tags(none)).await.unwrap().is_empty(), "{none}");
    }
    let all = provider.elastic_ips(&BTreeMap::new()).await.unwrap_err();
    assert_eq!(all.class, ErrorClass::Invalid);
    let nodes = [double.node("cni"), double.node("plain")].into();
    let observed = provider.observe(&[double.world.elastic[0]].into(), &nodes).await.unwrap();
    let refused = observed.nodes[&double.node("cni")].refused.clone().unwrap();
    assert!(refused.contains("no_manage"), "{refused}");
    assert_eq!(observed.nodes[&double.node("plain")].refused, None);
    let nowhere = IpAddr::from([203, 0, 113, 250]);
    let observed =
        provider.observe(&[nowhere].into(), &[double.node("plain")].into()).await.unwrap();
    let why = &observed.nodes[&double.node("plain")].unserved[&nowhere];
    assert!(why.contains("neither an Elastic IP of this account"), "{why}");
    let forced = double.provider(|options| options.managed_interfaces = true).await;
    let attached = attach_one(&forced, double.world.elastic[0], &double.node("cni")).await.unwrap();
    assert_eq!(attached.interface, Some(double.world.interfaces["cni"].clone()));
}

#[tokio::test]
async fn missing_rights_name_the_right_and_change_nothing() {
    let double = Ec2Double::start();
    let provider = double.provider(|_| {}).await;
    double.set("policy", json!({"allow": ["ec2:Describe*"]}));
    let error = attach_one(&provider, double.world.v4[0], &double.node("a1")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Denied);
    let text = error.to_string();
    assert!(text.contains("AssignPrivateIpAddresses") && text.contains("terraform/aws"), "{text}");
    double.set("clear", json!({}));
    attach_one(&provider, double.world.v4[0], &double.node("a1")).await.unwrap();
}

#[tokio::test]
async fn calls_are_counted_by_action_and_result() {
    let double = Ec2Double::start();
    let calls = CallMetrics::default();
    let provider = double.provider_counting(calls.clone(), |options| options.attempts = 1).await;
    let address = double.world.v4[0];
    let (a1, full) = (double.node("a1"), double.node("full"));
    attach_one(&provider, address, &a1).await.unwrap();
    assert_eq!(attach_one(&provider, address, &full).await.unwrap_err().class, ErrorClass::Quota);
    double.set("throttle", json!({"next": 1}));
    let error = provider.detach(address, &a1).await.unwrap_err();
    assert!(matches!(error.class, ErrorClass::Throttled { after: Some(_) }), "{error}");
    let counted: BTreeMap<_, _> =
        calls.read().into_iter().map(|(action, result, count)| ((action, result), count)).collect();
    assert_eq!(counted[&("AssignPrivateIpAddresses", "ok")], 1);
    assert_eq!(counted[&("DescribeNetworkInterfaces", "throttled")], 1);
    assert_eq!(counted[&("DescribeNetworkInterfaces", "ok")], 3);
    let mut registry = prometheus_client::registry::Registry::with_prefix("egret");
    calls.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let line = "egret_aws_calls_total{operation=\"AssignPrivateIpAddresses\",result=\"ok\"} 1";
    assert!(text.lines().any(|shown| shown == line), "{text}");
}

/// Many addresses fail over at once: they share their reads and the call.
#[tokio::test]
async fn addresses_that_move_together_share_their_calls() {
    let double = Ec2Double::start();
    let provider = double.provider(|_| {}).await;
    let (b1, b2) = (double.node("b1"), double.node("b2"));
    let addresses = &double.world.elastic;
    for address in addresses {
        attach_one(&provider, *address, &b1).await.unwrap();
    }
    double.take_calls();
    let mut moves = Vec::new();
    for address in addresses {
        moves.push(attach_one(&provider, *address, &b2));
    }
    let [a, b, c, d] = <[_; 4]>::try_from(moves).ok().unwrap();
    let moved = tokio::join!(a, b, c, d);
    for moved in [moved.0, moved.1, moved.2, moved.3] {
        assert_eq!(moved.unwrap().node, b2);
    }
    let calls = double.take_calls();
    assert!(calls["AssignPrivateIpAddresses"] <= 2, "each for himself: {calls:?}");
    assert!(calls["DescribeAddresses"] < 8, "each for himself: {calls:?}");
}

/// The figures of the README: calls to EC2 once instance types and subnets are known.
#[tokio::test]
async fn calls_of_each_operation() {
    let double = Ec2Double::start();
    let provider = double.provider(|_| {}).await;
    let (a1, a2, b1) = (double.node("a1"), double.node("a2"), double.node("b1"));
    let (public, private, v6) = (double.world.elastic[0], double.world.v4[0], double.world.v6[0]);
    let addresses: BTreeSet<_> = [public, private, v6].into();
    let nodes: BTreeSet<_> = [a1.clone(), a2.clone(), b1.clone()].into();
    provider.observe(&addresses, &nodes).await.unwrap();
    double.take_calls();
    let mut table = Vec::new();
    let mut row = |what: &'static str, changes: u64| {
        let calls = double.take_calls();
        let changed = calls.iter().filter(|(action, _)| !action.starts_with("Describe"));
        let changed: u64 = changed.map(|(_, count)| count).sum();
        let all: u64 = calls.values().sum();
        table.push(format!("{what}: {changed} changes, {} reads: {calls:?}", all - changed));
        assert_eq!(changed, changes, "{what}: {calls:?}");
        all - changed
    };
    provider.observe(&addresses, &nodes).await.unwrap();
    assert_eq!(row("scan", 0), 2);
    attach_one(&provider, private, &a1).await.unwrap();
    assert!(row("attach, private IPv4", 1) <= 4);
    attach_one(&provider, private, &a2).await.unwrap();
    row("move, private IPv4", 1);
    let has = |name: &str, what: &str, address: IpAddr| {
        let read = double.read();
        let of = read["interfaces"][&double.world.interfaces[name]][what].clone();
        let there = of.as_array().unwrap().contains(&json!(address.to_string()));
        double.set("calls/reset", json!({}));
        there
    };
    assert!(has("a2", "secondary", private) && !has("a1", "secondary", private));
    attach_one(&provider, v6, &a1).await.unwrap();
    row("attach, private IPv6", 1);
    attach_one(&provider, v6, &a2).await.unwrap();
    row("move, private IPv6", 2);
    assert!(has("a2", "ipv6", v6) && !has("a1", "ipv6", v6));
    attach_one(&provider, public, &a1).await.unwrap();
    row("attach, Elastic IP", 2);
    attach_one(&provider, public, &a2).await.unwrap();
    row("move within the subnet, Elastic IP", 1);
    provider.prepare(&b1, &[public].into()).await.unwrap();
    row("make a standby in another zone ready", 1);
    provider.prepare(&b1, &[public].into()).await.unwrap();
    row("keep it ready", 0);
    attach_one(&provider, public, &b1).await.unwrap();
    row("move across zones, Elastic IP", 1);
    attach_one(&provider, public, &b1).await.unwrap();
    row("already so", 0);
    provider.detach(public, &b1).await.unwrap();
    row("detach, Elastic IP", 2);
    provider.detach(private, &a2).await.unwrap();
    row("detach, private IPv4", 1);
    println!("{}", table.join("\n"));
}
