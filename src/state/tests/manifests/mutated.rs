//! Objects that an older or newer schema, or none, has let through: conversion never panics, and
//! says a sentence about what it cannot read.

use std::fmt::Debug;

use egret_api as api;
use egret_core::model::{
    AddressSpec, AddressStatus, Cluster, EgressNodeSpec, EgressNodeStatus, PoolStatus,
};
use egret_state::convert::{self, Checked, FieldError};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn conditions() -> Value {
    json!([{"type": "Ready", "status": "True", "reason": "Ready", "message": "",
        "observedGeneration": 1, "lastTransitionTime": "2026-05-04T12:00:00Z"}])
}

fn objects() -> Vec<(&'static str, Value)> {
    [peoples_objects(), own_objects()].concat()
}

fn peoples_objects() -> Vec<(&'static str, Value)> {
    let conditions = conditions();
    let selector = json!({"matchLabels": {"a": "b"},
        "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}]});
    vec![
        (
            "pool",
            json!({
            "spec": {"provider": "AWS", "aws": {"elasticIPTags": {"a": "b"}}, "addresses": ["203.0.113.16/29", "203.0.113.40-203.0.113.47",
                "2001:db8:5::10/124"], "gateways": {"nodeSelector": selector,
                "maxAddressesPerNode": 3}, "allowedNamespaces": selector, "ports": {"perNode": 1024},
                "failover": {"lease": "450ms", "failback": "Never", "releaseAfter": "1h"}},
            "status": {"observedGeneration": 1, "addresses": ["203.0.113.99"],
                "conditions": conditions}}),
        ),
        (
            "claim",
            json!({
            "spec": {"poolRef": {"name": "p"}, "addresses": ["203.0.113.17", "2001:db8:5::11"],
                "count": 1, "families": ["IPv4", "IPv6"], "podSelector": selector,
                "serviceName": "s", "namespaceSelector": selector, "whenUnavailable": "Drop",
                "destinations": [{"cidr": "198.51.100.0/24", "except": ["198.51.100.7/32"]}]},
            "status": {"addresses": ["203.0.113.17"], "gateways": ["n"], "conditions": conditions,
                "selected": [{"namespaces": ["n"], "podSelector": selector}]}}),
        ),
    ]
}

/// The kinds that Egret writes, and the original project's.
fn own_objects() -> Vec<(&'static str, Value)> {
    let conditions = conditions();
    let key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    vec![
        (
            "address",
            json!({
            "spec": {"address": "203.0.113.17", "claimRef": {"namespace": "n", "name": "c",
                "uid": "u"}, "poolRef": {"name": "p"}, "provider": "AWS", "owner": "n",
                "standbys": ["m"], "fence": 7,
                "madeFor": {"node": "n", "epoch": {"counter": 1, "node": "n"}}, "lease": "450ms",
                "released": {"since": "2026-05-04T12:00:00Z", "until": "2026-05-04T13:00:00Z"}},
            "status": {"holding": {"node": "n", "epoch": {"counter": 1, "node": "n"}},
                "since": "2026-05-04T12:00:00Z", "probed": true,
                "attachment": {"node": "n", "wireAddress": "10.0.0.9", "interface": "eni-1",
                    "macAddress": "02:00:5e:10:00:01", "allocation": "eipalloc-1"},
                "prepared": [{"node": "m", "wireAddress": "10.0.1.9", "interface": "eni-2"}],
                "conditions": conditions}}),
        ),
        (
            "node",
            json!({
            "spec": {"blocks": [{"address": "203.0.113.17", "ports": {"first": 1024, "last": 2047},
                "epoch": 1, "ended": 2, "quarantinedSince": "2026-05-04T12:00:00Z"}],
                "drain": true, "roles": ["Gateway", "Voter"], "podCIDRs": ["10.244.1.0/24"]},
            "status": {"endpoints": ["192.0.2.1"], "peerPort": 5481, "publicKey": key,
                "uplinks": [{"name": "eth0", "subnets": ["192.0.2.1/24"]}], "mayVote": "b",
                "acknowledgedSet": 1, "acknowledgedFences": {"203.0.113.17": 7}, "absent": ["m"],
                "blockNeeds": {"203.0.113.17": 1}, "acknowledgedBlocks": 1,
                "idleAddresses": ["203.0.113.18"], "conditions": conditions,
                "idleReleases": {"203.0.113.18": "2026-05-04T12:00:00Z"}}}),
        ),
        (
            "cluster",
            json!({
            "spec": {"id": "c", "tMax": "10s", "set": {"number": 1, "members": [{"node": "n",
                "endpoints": ["192.0.2.1"], "peerPort": 5481, "publicKey": key}]},
                "ranges": {"pods": ["10.244.0.0/16"], "podsFrom": "Nodes",
                    "services": ["10.96.0.0/12"], "nodes": ["192.0.2.1"]}}}),
        ),
        (
            "rules",
            json!({
            "spec": {"rules": [{"egressip": "203.0.113.17", "service-name": "s",
                "cidr": "4.2.2.2/32"}]},
            "status": {"gateway-node": "n", "gateway-ip": "192.0.2.1", "claims": {"e.nirmata-203.0.113.17":
                {"addresses": ["203.0.113.17"], "conditions": conditions}}}}),
        ),
    ]
}

/// What an object holds where it should hold something else.
fn replacement() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!("")),
        Just(json!(-1)),
        Just(json!(u64::MAX)),
        Just(json!(1e300)),
        Just(json!(true)),
        prop::sample::select(vec![
            "0.0.0.0/0",
            "::/0",
            "::ffff:1.2.3.4",
            "1.2.3.4/33",
            "255.255.255.255-0.0.0.0",
            "-",
            "/",
            "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "fe80::1%eth0",
            "0ms",
            "99999999999999999999h",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:60Z",
            "-9999-01-01T00:00:00Z",
            "é",
            "\u{202e}x",
            "\0",
            "a.nirmata-0",
            "..",
            "18446744073709551615",
        ])
        .prop_map(|text| json!(text)),
        ".{0,24}".prop_map(|text| json!(text)),
        (0..70_000_u32).prop_map(|number| json!(number)),
        prop::collection::vec(".{0,6}", 0..4).prop_map(|texts| json!(texts)),
    ]
}

/// The places inside a value, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let place = format!("{at}/{}", escape(key));
                found.push(place.clone());
                places(field, &place, found);
            }
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                let place = format!("{at}/{index}");
                found.push(place.clone());
                places(entry, &place, found);
            }
        }
        _ => {}
    }
}

fn read<T: DeserializeOwned>(object: &Value, part: &str) -> Option<T> {
    serde_json::from_value(object.get(part)?.clone()).ok()
}

/// What can be read is written and read back.
fn read_again<T>(object: &Value, part: &str) -> Option<T>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let value: T = read(object, part)?;
    assert_eq!(serde_json::from_value::<T>(json(&value)).ok().as_ref(), Some(&value));
    Some(value)
}

fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| panic!("{error}"))
}

fn said<T>(checked: Checked<T>) -> Option<T> {
    told(checked.fresh())
}

fn told<T>(result: Result<T, Vec<FieldError>>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(errors) => {
            assert!(!errors.is_empty(), "it is refused without a word");
            assert!(errors.iter().all(|error| !error.field.is_empty() && error.message.len() > 8));
            None
        }
    }
}

/// Converts whatever parts of an object can be parsed; what converts is written and read back.
fn convert_all(kind: &str, object: &Value) {
    match kind {
        "pool" => {
            let pool = read(object, "spec").map(|spec| convert::pool_from_api("p", &spec));
            let (pool, status) = (pool.and_then(said), read_again::<PoolStatus>(object, "status"));
            if let Some((mut pool, status)) = pool.zip(status) {
                convert::add_found(&mut pool, &status);
                let count =
                    |address| pool.ranges.iter().filter(|range| range.contains(address)).count();
                assert!(status.addresses.iter().all(|address| count(*address) <= 1));
            }
        }
        "claim" => {
            read(object, "spec").map(|spec| said(convert::claim_from_api("n", "c", &spec)));
            read(object, "spec").map(|spec| said(convert::cluster_claim_from_api("c", &spec)));
            let status =
                read(object, "status").map(|status| convert::claim_status_from_api(&status));
            if let Some(status) = status.and_then(told) {
                let text = convert::claim_status_to_api(&status);
                assert_eq!(convert::claim_status_from_api(&text), Ok(status));
            }
        }
        "address" => {
            let plan = read(object, "spec").map(AddressSpec::into_plan);
            if let Some((address, plan)) = plan {
                let written = json(&AddressSpec::new(address, plan.clone()));
                let read = serde_json::from_value(written).map(AddressSpec::into_plan);
                assert_eq!(read.ok(), Some((address, plan)));
            }
            read_again::<AddressStatus>(object, "status");
        }
        "node" => {
            read_again::<EgressNodeSpec>(object, "spec");
            read_again::<EgressNodeStatus>(object, "status");
        }
        "cluster" => {
            read_again::<Cluster>(object, "spec");
        }
        _ => {
            read(object, "spec")
                .map(|spec| said(convert::nirmata::claims_from_api("n", "e", &spec)));
            let status: Option<api::nirmata::StaticEgressIPStatus> = read(object, "status");
            status.map(|status| told(convert::nirmata::claim_status(&status, "e.nirmata-0")));
        }
    }
}

#[test]
fn the_objects_are_good() {
    for (kind, object) in objects() {
        let spec = match kind {
            "pool" => said(convert::pool_from_api("p", &read(&object, "spec").unwrap())).is_some(),
            "address" => {
                read::<AddressSpec>(&object, "spec").is_some()
                    && read::<AddressStatus>(&object, "status").is_some()
            }
            "node" => {
                read::<EgressNodeSpec>(&object, "spec").is_some()
                    && read::<EgressNodeStatus>(&object, "status").is_some()
            }
            "cluster" => read::<Cluster>(&object, "spec").is_some(),
            "rules" => {
                let spec = read(&object, "spec").unwrap();
                said(convert::nirmata::claims_from_api("n", "e", &spec)).is_some()
            }
            // Both selections and both ways to ask for addresses, so that every field is reached.
            _ => said(convert::claim_from_api("n", "c", &read(&object, "spec").unwrap())).is_none(),
        };
        assert!(spec, "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn mutated_objects(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), replacement()), 1..4),
    ) {
        let objects = objects();
        let (kind, mut object) = objects[which.index(objects.len())].clone();
        for (place, value) in edits {
            let mut found = Vec::new();
            places(&object, "", &mut found);
            if found.is_empty() {
                break;
            }
            if let Some(target) = object.pointer_mut(&found[place.index(found.len())]) {
                *target = value;
            }
        }
        convert_all(kind, &object);
    }
}
