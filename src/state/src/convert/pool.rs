use egret_api as api;
use egret_core::model::{
    AddressRange, Failover, Labels, Millis, Pool, PoolName, PoolStatus, ProviderKind, Rebalance,
    Timestamp, Uid,
};
use std::collections::BTreeSet;

use super::selector::check_selector;
use super::text::overlap;
use super::{Checked, FieldErrors, parse_duration, parse_range};

/// The shortest lease of a pool: a renewal every fifth of it must still be a matter of several
/// round trips.
pub const MIN_LEASE: Millis = Millis(100);
/// The longest lease of a pool: `T_max` of a cluster that does not say otherwise (docs/leases.md,
/// rule 13). Whether it fits a cluster with a shorter one is for the planner to say.
pub const MAX_LEASE: Millis = Millis::from_secs(10);
/// `spec.failover.releaseAfter` of a pool that does not say.
const DEFAULT_RELEASE_AFTER: Millis = Millis::from_secs(3600);
const PORTS_PER_NODE: std::ops::RangeInclusive<u32> = 128..=8192;

/// A pool from its object. `uid`, `generation` and `created` are left empty: they are the store's.
pub fn pool_from_api(name: &str, spec: &api::EgressPoolSpec) -> Checked<Pool> {
    let mut faults = FieldErrors::default();
    let mut tags = elastic_ip_tags(&mut faults, spec);
    tags.extend(address_labels(&mut faults, spec));
    let labelled = spec.gcp.as_ref().is_some_and(|gcp| gcp.address_labels.is_some());
    let discovers = spec.aws.is_some() || labelled;
    let (ranges, reserved) = ranges(&mut faults, &spec.addresses, discovers);
    check_selector(&mut faults, "spec.gateways.nodeSelector", &spec.gateways.node_selector);
    if spec.gateways.max_addresses_per_node == Some(0) {
        faults.add(
            "spec.gateways.maxAddressesPerNode",
            "0 lets no node hold an address: write at least 1, or leave it out for no limit",
        );
    }
    if let Some(namespaces) = &spec.allowed_namespaces {
        check_selector(&mut faults, "spec.allowedNamespaces", namespaces);
    }
    let ports = spec.ports.as_ref().map_or(api::DEFAULT_PORTS_PER_NODE, |ports| ports.per_node);
    if !ports.is_power_of_two() || !PORTS_PER_NODE.contains(&ports) {
        faults.add(
            "spec.ports.perNode",
            format!("{ports} is not a power of two from 128 to 8192: write {}", nearest(ports)),
        );
    }
    let failover = failover(&mut faults, spec.failover.as_ref());
    let pool = Pool {
        name: PoolName::new(name),
        uid: Uid::new(""),
        generation: 0,
        created: Timestamp(0),
        provider: provider(spec),
        discovery_tags: tags,
        ranges,
        reserved,
        gateways: spec.gateways.node_selector.clone(),
        max_addresses_per_node: spec.gateways.max_addresses_per_node.unwrap_or(u32::MAX),
        rebalances: rebalances(spec),
        allowed_namespaces: spec.allowed_namespaces.clone(),
        ports_per_node: u16::try_from(ports).unwrap_or(u16::MAX),
        failover,
        paused: spec.paused,
        accepts_unsupported_dataplane: spec
            .gcp
            .as_ref()
            .is_some_and(|gcp| gcp.accept_unsupported_dataplane),
    };
    faults.finish(Some(pool))
}

fn rebalances(spec: &api::EgressPoolSpec) -> bool {
    match spec.gateways.rebalance {
        Some(rebalance) => rebalance == Rebalance::Gradually,
        // A planned move there takes milliseconds and no call, and keeps every connection.
        None => spec.provider == api::PoolProvider::L2,
    }
}

fn provider(spec: &api::EgressPoolSpec) -> ProviderKind {
    match spec.provider {
        api::PoolProvider::L2 => ProviderKind::L2,
        api::PoolProvider::Aws => ProviderKind::Aws,
        api::PoolProvider::Gcp => match spec.gcp.as_ref().map(|gcp| gcp.mode).unwrap_or_default() {
            api::GcpMode::HaPolicy => ProviderKind::Gcp,
            api::GcpMode::TargetInstance => ProviderKind::GcpTargetInstance,
            api::GcpMode::AliasRange => ProviderKind::GcpAliasRange,
        },
    }
}

fn elastic_ip_tags(faults: &mut FieldErrors, spec: &api::EgressPoolSpec) -> Labels {
    const FIELD: &str = "spec.aws.elasticIPTags";
    let Some(aws) = &spec.aws else { return Labels::new() };
    let tags = &aws.elastic_ip_tags;
    if spec.provider != api::PoolProvider::Aws {
        faults.add("spec.aws", "is for provider AWS: write provider AWS, or leave it out");
    }
    if tags.is_empty() {
        faults.add(
            FIELD,
            "without a tag that would be every Elastic IP of the account: name at least one",
        );
    }
    if tags.len() > api::MAX_TAGS {
        faults
            .add(FIELD, format!("no Elastic IP has more than {} tags: list fewer", api::MAX_TAGS));
    }
    for (key, value) in tags {
        let length = key.chars().count();
        if length == 0 {
            faults.add(FIELD, "name the tag's key");
        }
        if length > api::MAX_TAG_KEY {
            let most = api::MAX_TAG_KEY;
            faults.add(FIELD, format!("a tag's key has at most {most} characters: shorten it"));
        }
        if key.starts_with("aws:") {
            faults.add(FIELD, format!("{key} is a tag of AWS itself: name a tag that you give"));
        }
        if value.chars().count() > api::MAX_TAG_VALUE {
            let most = api::MAX_TAG_VALUE;
            let sentence = format!("a tag's value has at most {most} characters: shorten it");
            faults.add(format!("{FIELD}.{key}"), sentence);
        }
    }
    tags.clone()
}

fn address_labels(faults: &mut FieldErrors, spec: &api::EgressPoolSpec) -> Labels {
    const FIELD: &str = "spec.gcp.addressLabels";
    let Some(gcp) = &spec.gcp else { return Labels::new() };
    if spec.provider != api::PoolProvider::Gcp {
        faults.add("spec.gcp", "is for provider GCP: write provider GCP, or leave it out");
    }
    let Some(labels) = &gcp.address_labels else { return Labels::new() };
    if labels.is_empty() {
        faults.add(
            FIELD,
            "without a label that would be every static address of the project: name at least one",
        );
    }
    if labels.len() > api::MAX_LABELS {
        let sentence = format!("no address has more than {} labels: list fewer", api::MAX_LABELS);
        faults.add(FIELD, sentence);
    }
    let most = api::MAX_LABEL;
    let capitals = |text: &str| text.contains(|c: char| c.is_ascii_uppercase());
    for (key, value) in labels {
        if key.is_empty() {
            faults.add(FIELD, "name the label's key");
        }
        if key.chars().count() > most {
            faults.add(FIELD, format!("a label's key has at most {most} characters: shorten it"));
        }
        if capitals(key) {
            let sentence = format!("{key} has capital letters: labels of Google Cloud have none");
            faults.add(FIELD, sentence);
        }
        if capitals(value) {
            let sentence =
                format!("{key} has capital letters in its value: labels of Google Cloud have none");
            faults.add(FIELD, sentence);
        }
        if value.chars().count() > most {
            let sentence = format!("a label's value has at most {most} characters: shorten it");
            faults.add(format!("{FIELD}.{key}"), sentence);
        }
    }
    labels.clone()
}

/// Adds to a pool's ranges what stands in its status as found and in none of them; what was found
/// is an address, at the ends of a CIDR too.
pub fn add_found(pool: &mut Pool, status: &PoolStatus) {
    if pool.discovery_tags.is_empty() {
        return;
    }
    let listed = pool.ranges.len();
    for address in &status.addresses {
        pool.reserved.remove(address);
        if !pool.ranges[..listed].iter().any(|range| range.contains(*address)) {
            pool.ranges.push(AddressRange::of(*address));
        }
    }
}

fn nearest(ports: u32) -> u32 {
    ports.clamp(*PORTS_PER_NODE.start(), *PORTS_PER_NODE.end()).next_power_of_two()
}

fn ranges(
    faults: &mut FieldErrors,
    texts: &[String],
    discovers: bool,
) -> (Vec<AddressRange>, BTreeSet<std::net::IpAddr>) {
    const FIELD: &str = "spec.addresses";
    if texts.is_empty() && !discovers {
        faults.add(
            FIELD,
            "a pool needs at least one range, such as 203.0.113.16/29, spec.aws.elasticIPTags or \
             spec.gcp.addressLabels",
        );
    }
    let mut ranges: Vec<(AddressRange, &String)> = Vec::new();
    let mut reserved = BTreeSet::new();
    for (index, text) in texts.iter().enumerate() {
        let field = format!("{FIELD}[{index}]");
        let Some((range, ends)) = faults.parse(&field, text, parse_range) else { continue };
        if let Some((_, earlier)) = ranges.iter().find(|(earlier, _)| overlap(earlier, &range)) {
            faults.add(field, format!("{text} overlaps {earlier}: write each address once"));
        }
        ranges.push((range, text));
        reserved.extend(ends);
    }
    (ranges.into_iter().map(|(range, _)| range).collect(), reserved)
}

fn failover(faults: &mut FieldErrors, failover: Option<&api::Failover>) -> Failover {
    const LEASE: &str = "spec.failover.lease";
    let default = api::Failover::default();
    let failover = failover.unwrap_or(&default);
    let lease = failover.lease.as_ref().and_then(|text| {
        let lease = faults.take(LEASE, parse_duration(text))?;
        if !(MIN_LEASE..=MAX_LEASE).contains(&lease) {
            faults.add(LEASE, format!("{text} is not from {MIN_LEASE} to {MAX_LEASE}"));
        }
        Some(lease)
    });
    let release_after = failover
        .release_after
        .as_ref()
        .map_or(Some(DEFAULT_RELEASE_AFTER), |text| {
            faults.take("spec.failover.releaseAfter", parse_duration(text))
        })
        .unwrap_or(DEFAULT_RELEASE_AFTER);
    Failover { lease, failback: failover.failback, release_after }
}
