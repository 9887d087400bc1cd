use std::collections::BTreeSet;

use egret_core::model::{ApiServerReading, DiscoveredRanges, NodeName, PodRangeSource, Snapshot};

use super::super::decode::DecodedItem;

/// Puts what is kept of an object into the snapshot.
pub(super) fn insert(snapshot: &mut Snapshot, item: &DecodedItem) {
    match item {
        DecodedItem::Pool(stored) => {
            snapshot.pools.insert(stored.value.0.name.clone(), (**stored).clone());
        }
        DecodedItem::Claim(stored) => {
            snapshot.claims.insert(stored.value.0.reference.clone(), (**stored).clone());
        }
        DecodedItem::Address(stored) => {
            snapshot.addresses.insert(stored.value.address, (**stored).clone());
        }
        DecodedItem::EgressNode(stored) => {
            let name: NodeName = stored.value.name.clone();
            snapshot.egress_nodes.insert(name, (**stored).clone());
        }
        DecodedItem::Cluster(stored, status) => {
            snapshot.cluster = Some((**stored).clone());
            snapshot.cluster_status = status.clone();
        }
        DecodedItem::Node(node) => {
            snapshot.nodes.insert(node.name.clone(), (**node).clone());
        }
        DecodedItem::Namespace(namespace) => {
            snapshot.namespaces.insert(namespace.name.clone(), namespace.clone());
        }
        DecodedItem::Service(service) => {
            let key = (service.namespace.clone(), service.name.clone());
            snapshot.services.insert(key, (**service).clone());
        }
        DecodedItem::Pod(pod) => {
            snapshot.pods.insert((pod.namespace.clone(), pod.name.clone()), (**pod).clone());
        }
        DecodedItem::ServiceRanges(ranges) => {
            snapshot.discovered.services.extend(ranges.iter().copied())
        }
        DecodedItem::Rules(claims) => {
            for stored in claims {
                // Of a claim that a person gave this very name the person's counts.
                let reference = stored.value.0.reference.clone();
                snapshot.claims.entry(reference).or_insert_with(|| stored.clone());
            }
        }
        DecodedItem::ApiServers(addresses) => {
            snapshot.discovered.api_servers = ApiServerReading::Read(addresses.clone());
        }
        DecodedItem::PodRanges(from, ranges) => {
            add_pod_ranges(&mut snapshot.discovered, *from, ranges);
        }
        DecodedItem::CiliumNode(name, ranges) => {
            add_pod_ranges(&mut snapshot.discovered, PodRangeSource::CiliumNodes, ranges);
            snapshot.discovered.by_node.insert(name.clone(), ranges.clone());
        }
    }
}

fn add_pod_ranges(
    discovered: &mut DiscoveredRanges,
    from: PodRangeSource,
    ranges: &BTreeSet<ipnet::IpNet>,
) {
    if !ranges.is_empty() {
        discovered.pods.entry(from).or_default().extend(ranges.iter().copied());
    }
}
