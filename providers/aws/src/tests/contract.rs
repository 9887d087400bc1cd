//! The contract of `ports::Provider` in every way that an address can move, and in bad weather.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use egret_core::model::{Attachment, NodeName};
use egret_ports::contract::provider::{Case, run};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{Capabilities, Observed, Prepared, Provider};
use serde_json::json;

use super::double::Double;
use crate::Aws;

/// Asks again what failed for a while, as the controller does.
struct Patient(Aws);

macro_rules! insist {
    ($attempt:expr) => {{
        let mut tries = 0;
        loop {
            let result = $attempt.await;
            tries += 1;
            match &result {
                Err(error) if again(error) && tries < 200 => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                _ => break result,
            }
        }
    }};
}

fn again(error: &PortError) -> bool {
    let throttled = matches!(error.class, ErrorClass::Throttled { .. });
    throttled || matches!(error.class, ErrorClass::Transient | ErrorClass::Conflict)
}

impl Provider for Patient {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn observe(
        &self,
        addresses: &BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
    ) -> Result<Observed, PortError> {
        insist!(self.0.observe(addresses, nodes))
    }

    async fn prepare(
        &self,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<Prepared, PortError> {
        insist!(self.0.prepare(node, addresses))
    }

    async fn attach(&self, address: IpAddr, node: &NodeName) -> Result<Attachment, PortError> {
        insist!(self.0.attach(address, node))
    }

    async fn detach(&self, address: IpAddr, node: &NodeName) -> Result<(), PortError> {
        insist!(self.0.detach(address, node))
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    PrivateIpv4,
    PrivateIpv6,
    ElasticInSubnet,
    ElasticAcrossZones,
}

fn case<P>(double: &Double, way: Way, provider: P, lagging_reads: usize) -> Case<P> {
    let world = &double.world;
    let (addresses, to, elsewhere) = match way {
        Way::PrivateIpv4 => (&world.v4, "a2", "b1"),
        Way::PrivateIpv6 => (&world.v6, "a2", "b1"),
        Way::ElasticInSubnet => (&world.elastic, "a2", "cni"),
        Way::ElasticAcrossZones => (&world.elastic, "b1", "cni"),
    };
    Case {
        provider,
        nodes: [double.node("a1"), double.node(to)],
        addresses: [addresses[0], addresses[1]],
        elsewhere: double.node(elsewhere),
        full: Some(double.node("full")),
        unknown: "nobody".into(),
        cancel_step: Duration::from_millis(20),
        lagging_reads,
    }
}

/// What boto3 reads at the end: nothing of ours is left anywhere.
fn nothing_is_left(double: &Double) {
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
    let double = Double::start();
    let provider = double.provider(|_| {}).await;
    let case = case(&double, way, provider, 0);
    run(&case).await;
    tidy(&case).await;
    nothing_is_left(&double);
}

/// What the controller does at every scan: whatever calls that were cut off have left goes.
async fn tidy<P: Provider>(case: &Case<P>) {
    for node in &case.nodes {
        case.provider.prepare(node, &BTreeSet::new()).await.unwrap();
    }
}

async fn lagging(way: Way) {
    let double = Double::start();
    let provider = double.provider(|_| {}).await;
    let weather = json!({"seconds": 0.4, "probability": 0.5, "torn": true});
    double.set("lag", weather);
    let case = case(&double, way, Patient(provider), 3);
    run(&case).await;
    tidy(&case).await;
    double.set("clear", json!({}));
    nothing_is_left(&double);
}

async fn throttled(way: Way) {
    let double = Double::start();
    let provider = double.provider(|options| options.attempts = 1).await;
    let case = case(&double, way, Patient(provider), 0);
    let pest = double.pester(Duration::from_secs(3), "throttle", json!({"next": 1}));
    run(&case).await;
    tidy(&case).await;
    drop(pest);
    assert!(!double.failed_with("RequestLimitExceeded").is_empty(), "nothing was throttled");
    double.set("clear", json!({}));
    nothing_is_left(&double);
}

async fn failing_after_effect(way: Way) {
    let double = Double::start();
    let provider = double.provider(|options| {
        options.attempts = 1;
        // No read lags here, and every answer that is lost costs as much.
        options.horizon = Duration::from_millis(300);
    });
    let provider = provider.await;
    let case = case(&double, way, Patient(provider), 0);
    let mut pests = Vec::new();
    for action in ["Assign*", "Unassign*", "Associate*", "Disassociate*", "Describe*"] {
        let body = json!({"action": action, "after": true, "cut": action.len() % 2 == 0});
        pests.push(double.pester(Duration::from_secs(1), "fail", body));
    }
    run(&case).await;
    tidy(&case).await;
    drop(pests);
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
