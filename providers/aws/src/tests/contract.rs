//! The contract of `ports::Provider` in every way that an address can move, and in bad weather.

use std::collections::BTreeSet;
use std::time::Duration;

use egret_ports::contract::patient::Patient;
use egret_ports::contract::provider::{ProviderCase, Room, run};
use egret_ports::provider::Provider;
use serde_json::json;

use super::double::Ec2Double;
#[derive(Clone, Copy, Debug)]
enum Way {
    PrivateIpv4,
    PrivateIpv6,
    ElasticInSubnet,
    ElasticAcrossZones,
}

fn case<P>(double: &Ec2Double, way: Way, provider: P, lag: Duration) -> ProviderCase<P> {
    let world = &double.world;
    let (addresses, to, elsewhere) = match way {
        Way::PrivateIpv4 => (&world.v4, "a2", "b1"),
        Way::PrivateIpv6 => (&world.v6, "a2", "b1"),
        Way::ElasticInSubnet => (&world.elastic, "a2", "cni"),
        Way::ElasticAcrossZones => (&world.elastic, "b1", "cni"),
    };
    ProviderCase {
        provider,
        nodes: [double.node("a1"), double.node(to)],
        addresses: [addresses[0], addresses[1]],
        elsewhere: double.node(elsewhere),
        full: Some(double.node("full")),
        room: Room::OfTheNode,
        unknown: "nobody".into(),
        cancel_step: Duration::from_millis(20),
        lagging_reads: if lag.is_zero() { 0 } else { 3 },
        lag,
    }
}

/// What boto3 reads at the end: nothing of ours is left anywhere.
fn nothing_is_left(double: &Ec2Double) {
    let read = double.read();
    for (name, id) in &double.world.interfaces {
        let interface = &read["interfaces"][id];
        let secondary = interface["secondary"].as_array().unwrap().len();
        let ipv6 = interface["ipv6"].as_array().unwrap().len();
        let expected = if name == "full" { (1, 2) } else { (0, 0) };
        assert_eq!((secondary, ipv6), expected, "left at {name}: {interface}");
    }
    for (public, at) in read["elastic"].as_object().unwrap() {
        assert!(at["interface"].is_null(), "{public} is still associated: {at}");
    }
}

async fn plain(way: Way) {
    let double = Ec2Double::start();
    let provider = double.provider(|_| {}).await;
    let case = case(&double, way, provider, Duration::ZERO);
    run(&case).await;
    tidy(&case).await;
    nothing_is_left(&double);
}

/// What the controller does at every scan: whatever calls that were cut off have left goes.
async fn tidy<P: Provider>(case: &ProviderCase<P>) {
    for node in &case.nodes {
        case.provider.prepare(node, &BTreeSet::new()).await.unwrap();
    }
}

async fn lagging(way: Way) {
    let double = Ec2Double::start();
    let provider = double.provider(|_| {}).await;
    let lag = Duration::from_millis(400);
    let weather = json!({"seconds": lag.as_secs_f64(), "probability": 0.5, "torn": true});
    double.set("lag", weather);
    let case = case(&double, way, Patient(provider), lag);
    run(&case).await;
    tidy(&case).await;
    double.set("clear", json!({}));
    nothing_is_left(&double);
}

async fn throttled(way: Way) {
    let double = Ec2Double::start();
    let provider = double.provider(|options| options.attempts = 1).await;
    let case = case(&double, way, Patient(provider), Duration::ZERO);
    double.set("fail", json!({"code": "RequestLimitExceeded", "every": 60}));
    run(&case).await;
    tidy(&case).await;
    assert!(!double.failed_with("RequestLimitExceeded").is_empty(), "nothing was throttled");
    double.set("clear", json!({}));
    nothing_is_left(&double);
}

async fn failing_after_effect(way: Way) {
    let double = Ec2Double::start();
    let provider = double.provider(|options| {
        options.attempts = 1;
        // No read lags here, and every answer that is lost costs as much; but a call that was cut off
        // may reach the double this late on a busy machine.
        options.horizon = Duration::from_secs(1);
    });
    let provider = provider.await;
    let case = case(&double, way, Patient(provider), Duration::ZERO);
    let changes = ["Assign*", "Unassign*", "Associate*", "Disassociate*"].map(|action| (action, 3));
    for (action, every) in changes.into_iter().chain([("Describe*", 20)]) {
        let cut = action.len() % 2 == 0;
        let body = json!({"action": action, "after": true, "cut": cut, "every": every});
        double.set("fail", body);
    }
    run(&case).await;
    tidy(&case).await;
    let mut failed = double.failed_with("InternalError");
    failed.extend(double.failed_with("(connection cut)"));
    let expected: &[&str] = match way {
        Way::PrivateIpv4 => &["AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"],
        Way::PrivateIpv6 => &["AssignIpv6Addresses", "UnassignIpv6Addresses"],
        Way::ElasticInSubnet | Way::ElasticAcrossZones => {
            &["AssignPrivateIpAddresses", "AssociateAddress", "DisassociateAddress"]
        }
    };
    for action in expected.iter().chain(&["DescribeNetworkInterfaces"]) {
        assert!(failed.contains(*action), "{action} never failed: {failed:?}");
    }
    double.set("clear", json!({}));
    nothing_is_left(&double);
}

macro_rules! ways {
    ($weather:ident: $($name:ident $way:ident),*) => {
        mod $weather {
            use super::Way;
            $(
                #[tokio::test]
                async fn $name() {
                    super::$weather(Way::$way).await;
                }
            )*
        }
    };
}

macro_rules! all_ways {
    ($($weather:ident),*) => {
        $(ways!($weather: private_ipv4 PrivateIpv4, private_ipv6 PrivateIpv6,
            elastic_in_a_subnet ElasticInSubnet, elastic_across_zones ElasticAcrossZones);)*
    };
}

all_ways!(plain, lagging, throttled, failing_after_effect);
