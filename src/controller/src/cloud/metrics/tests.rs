use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use prometheus_client::encoding::text::encode;

use super::*;

/// Every name, type and label, and every value of a label: tasks and classes of errors are lists.
#[test]
fn names_and_labels_are_as_they_were() {
    let (address, node) = (IpAddr::V4(Ipv4Addr::LOCALHOST), || "node-1".into());
    let tasks = [
        CloudTask::Scan { addresses: BTreeSet::new(), nodes: BTreeSet::new() },
        CloudTask::Discover { pool: "cloud".into(), tags: Default::default() },
        CloudTask::Attach { address, node: node() },
        CloudTask::Observe { address, node: node() },
        CloudTask::Detach { address, node: node() },
        CloudTask::Prepare { node: node(), addresses: BTreeSet::new() },
    ];
    let errors = [
        ErrorClass::Transient,
        ErrorClass::Throttled { after: None },
        ErrorClass::NotFound,
        ErrorClass::Conflict,
        ErrorClass::Denied,
        ErrorClass::Quota,
        ErrorClass::Invalid,
    ];
    let measures = CloudMetrics::default();
    measures.drifted();
    for task in &tasks {
        measures.count(task, None);
        errors.iter().for_each(|error| measures.count(task, Some(*error)));
    }
    let mut registry = Registry::with_prefix("egret");
    measures.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let (mut fresh, samples): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with('#'));
    // A family has no order, and values are not names.
    let samples = samples.iter().map(|line| line.rsplit_once(' ').unwrap().0);
    let samples: BTreeSet<&str> = samples.collect();
    fresh.extend(samples);
    let fresh = fresh.join("\n") + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cloud/metrics/golden.txt");
    if std::env::var_os("EGRET_UPDATE").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(fresh, golden, "EGRET_UPDATE=1 cargo test -p egret-controller metrics");
}
