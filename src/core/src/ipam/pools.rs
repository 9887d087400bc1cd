use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cidr::Span;
use crate::model::{
    Claim, ClusterRanges, LabelSelector, Operator, Pool, PoolName, Requirement, Snapshot,
};
use crate::reason::{Cause, Reason};

/// Pools that cannot be used, with the reason: ranges that another pool has too (the older pool
/// wins, then the name), or that lie in the cluster's own.
pub(super) fn unusable(snapshot: &Snapshot, ranges: &ClusterRanges) -> BTreeMap<PoolName, Cause> {
    let mut pools: Vec<&Pool> = snapshot.pools.values().map(|stored| &stored.value.0).collect();
    pools.sort_by_key(|pool| (pool.created, &pool.name));
    let mut verdicts = BTreeMap::new();
    let mut older: Vec<(Span, &Pool)> = Vec::new();
    for pool in pools {
        let spans: Vec<Span> = pool.ranges.iter().map(|range| Span::of_range(*range)).collect();
        if let Some(verdict) = in_cluster(pool, &spans, ranges).or_else(|| overlap(&spans, &older))
        {
            verdicts.insert(pool.name.clone(), verdict);
        } else {
            older.extend(spans.into_iter().map(|span| (span, pool)));
        }
    }
    verdicts
}

fn in_cluster(pool: &Pool, spans: &[Span], ranges: &ClusterRanges) -> Option<Cause> {
    let kinds = [("pod", &ranges.pods), ("Service", &ranges.services)];
    for (kind, nets) in kinds {
        for net in nets {
            let span = spans.iter().find(|span| span.overlaps(&Span::of_net(*net)));
            if let Some(span) = span {
                let message = format!(
                    "spec.addresses: {}-{} of pool {} overlaps the cluster's {kind} range {net}; \
                     take it out of the pool",
                    span.first(),
                    span.last(),
                    pool.name
                );
                return Some(Cause::new(Reason::OverlapsClusterRange, message));
            }
        }
    }
    None
}

fn overlap(spans: &[Span], older: &[(Span, &Pool)]) -> Option<Cause> {
    let (span, other) = spans
        .iter()
        .find_map(|span| Some((span, older.iter().find(|(other, _)| other.overlaps(span))?.1)))?;
    let message = format!(
        "spec.addresses: {}-{} overlaps a range of the older pool {}; take it out of one of the two",
        span.first(),
        span.last(),
        other.name
    );
    Some(Cause::new(Reason::OverlapsPool, message))
}

/// Whether the pool lets the claim's namespace in. A cluster-wide claim is an admin's: always.
pub(super) fn admits(snapshot: &Snapshot, pool: &Pool, claim: &Claim) -> Result<(), Cause> {
    let Some(namespace) = &claim.reference.namespace else { return Ok(()) };
    let labels = snapshot.namespaces.get(namespace).map(|namespace| &namespace.labels);
    let selector = pool.allowed_namespaces.as_ref();
    let admitted = match (selector, labels) {
        (Some(selector), Some(labels)) => selector.matches(labels),
        // A namespace without an object has no labels.
        (Some(selector), None) => selector.matches(&BTreeMap::new()),
        (None, _) => false,
    };
    if admitted {
        return Ok(());
    }
    let message = match selector {
        Some(selector) => format!(
            "pool {} admits namespaces with {}; ask its owner or label the namespace {namespace}",
            pool.name,
            selector_text(selector)
        ),
        None => format!(
            "pool {} admits no namespace; ask its owner to set spec.allowedNamespaces",
            pool.name
        ),
    };
    Err(Cause::new(Reason::NamespaceNotAllowed, message))
}

/// The pools that there are, for a message.
pub(super) fn names(snapshot: &Snapshot) -> String {
    let names: Vec<&str> = snapshot.pools.keys().map(PoolName::as_str).collect();
    if names.is_empty() { "there are none".into() } else { names.join(", ") }
}

fn selector_text(selector: &LabelSelector) -> String {
    let mut text = String::new();
    let labels = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    for part in labels.chain(selector.match_expressions.iter().map(requirement_text)) {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{part}");
    }
    text
}

fn requirement_text(requirement: &Requirement) -> String {
    let (key, values) = (&requirement.key, requirement.values.join(","));
    match requirement.operator {
        Operator::In => format!("{key} in ({values})"),
        Operator::NotIn => format!("{key} notin ({values})"),
        Operator::Exists => key.clone(),
        Operator::DoesNotExist => format!("!{key}"),
    }
}
