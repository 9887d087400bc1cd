//! A snapshot as text that no name of a type or field of Rust is in, except where serde names them
//! for a file or an answer.

use egret_core::model::{
    AddressSpec, Claim, LabelSelector, Namespace, Node, Pod, PodSelection, Pool, Service, Snapshot,
};
use serde::Serialize;

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

fn all<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    values.join(" ")
}

/// All that was read, a line each.
pub fn everything(snapshot: &Snapshot) -> String {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(snapshot.nodes.values().map(node));
    lines.extend(snapshot.namespaces.values().map(namespace));
    lines.extend(snapshot.pods.values().map(pod));
    lines.extend(snapshot.services.values().map(service));
    for stored in snapshot.pools.values() {
        let (value, status) = &stored.value;
        lines.push(format!("{} version {}", pool(value), stored.version));
        lines.push(format!("  status {}", json(status)));
    }
    for stored in snapshot.claims.values() {
        let (value, status) = &stored.value;
        lines.push(format!("{} version {}", claim(value), stored.version));
        lines.push(format!("  status {}", json(status)));
    }
    for (address, stored) in &snapshot.addresses {
        lines.push(format!("address {address} version {}", stored.version));
        let plan = AddressSpec::new(*address, stored.value.plan.clone());
        lines.push(format!("  plan {}", json(&plan)));
        lines.push(format!("  status {}", json(&stored.value.status)));
    }
    for (name, stored) in &snapshot.egress_nodes {
        lines.push(format!("egress node {name} version {}", stored.version));
        lines.push(format!("  spec {}", json(&stored.value.spec)));
        lines.push(format!("  status {}", json(&stored.value.status)));
    }
    if let Some(stored) = &snapshot.cluster {
        lines.push(format!("cluster version {}: {}", stored.version, json(&stored.value)));
    }
    lines.extend(snapshot.invalid_objects.iter().map(json));
    lines.join("\n") + "\n"
}

fn node(node: &Node) -> String {
    format!(
        "node {} labels {} cordoned {} addresses [{}] pods [{}] zone {:?} provider {:?} awaits {} leaving {:?}",
        node.name,
        json(&node.labels),
        node.cordoned,
        all(&node.addresses),
        all(&node.pod_cidrs),
        node.zone,
        node.provider_id,
        node.awaits_agent,
        node.leaving,
    )
}

fn namespace(namespace: &Namespace) -> String {
    format!("namespace {} labels {}", namespace.name, json(&namespace.labels))
}

fn pod(pod: &Pod) -> String {
    format!(
        "pod {}/{} labels {} on {} host network {} sources [{}]",
        pod.namespace,
        pod.name,
        json(&pod.labels),
        pod.node,
        pod.host_network,
        all(&pod.sources),
    )
}

fn service(service: &Service) -> String {
    let selector: &Option<LabelSelector> = &service.selector;
    format!("service {}/{} selects {}", service.namespace, service.name, json(selector))
}

fn pool(pool: &Pool) -> String {
    let ranges = pool.ranges.iter().map(|range| format!("{}-{}", range.first(), range.last()));
    format!(
        "pool {} uid {} generation {} created {} provider {} ranges [{}] tags {} reserved [{}] gateways {} \
         most {} namespaces {} ports {} lease {} failback {} release after {} paused {}{}",
        pool.name,
        pool.uid,
        pool.generation,
        pool.created.0,
        json(&pool.provider),
        all(ranges),
        json(&pool.discovery_tags),
        all(&pool.reserved),
        json(&pool.gateways),
        pool.max_addresses_per_node,
        json(&pool.allowed_namespaces),
        pool.ports_per_node,
        json(&pool.failover.lease),
        json(&pool.failover.failback),
        pool.failover.release_after,
        pool.paused,
        if pool.accepts_unsupported_dataplane { " dataplane unsupported" } else { "" },
    )
}

fn claim(claim: &Claim) -> String {
    let pods_of = |pods: &PodSelection| match pods {
        PodSelection::Labels(labels) => format!("labels {}", json(labels)),
        PodSelection::Service(service) => format!("service {service}"),
    };
    let pods = pods_of(&claim.pods);
    let further = claim.further.iter().map(|part| {
        format!(" and pods of {} destinations {}", pods_of(&part.pods), json(&part.destinations))
    });
    let further: String = further.collect();
    format!(
        "claim {} uid {} generation {} created {} pool {:?} addresses [{}] count {} families {} pods of {pods} \
         namespaces {} destinations {} when unavailable {}{further}",
        claim.reference,
        claim.uid,
        claim.generation,
        claim.created.0,
        claim.pool.as_str(),
        all(&claim.addresses),
        claim.count,
        json(&claim.families),
        json(&claim.namespaces),
        json(&claim.destinations),
        json(&claim.when_unavailable),
    )
}
