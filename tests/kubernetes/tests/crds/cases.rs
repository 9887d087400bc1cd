//! Objects with one fault each, and what is said of it.

use super::Kind::{self, Claim, ClusterClaim, Pool};

#[path = "cases/claims.rs"]
mod claims;
#[path = "cases/clouds.rs"]
mod clouds;
#[path = "cases/pools.rs"]
mod pools;
#[path = "cases/ranges.rs"]
mod ranges;

pub use claims::CLAIMS;
pub use clouds::{CLOUDS, GOOD_CLOUDS};
pub use pools::POOLS;
pub use ranges::RANGES;

/// What the API server says, beside the sentence of the directory store.
#[derive(Clone, Copy, Debug)]
pub enum Says {
    /// The same, of the same field.
    Same,
    /// The same, of this field: a rule over a list or over several fields names no entry.
    Of(&'static str),
    /// Its own words, of the same field: the fault is one of the schema, before any rule.
    Schema(&'static str),
    /// That the field above may not be so: no rule sees null, and a schema has no words of its own.
    Null,
    /// Nothing: CEL cannot see it. The controller then says it in the object's status.
    Nothing,
}

/// An object's kind and spec, the field at fault, the directory store's sentence, and the API
/// server's.
pub type CrdCase = (Kind, &'static str, &'static str, &'static str, Says);

/// Objects without a fault, near the edges of the rules.
pub const GOOD: &[(Kind, &str)] = &[
    (Pool, ""),
    (Pool, "ports: {}"),
    (Pool, "ports: {perNode: 8192}"),
    (Pool, "failover: {lease: 100ms, releaseAfter: 0s, failback: Immediately}"),
    (Pool, "failover: {lease: 10s, releaseAfter: '0'}"),
    (Pool, "failover: {lease: 9s999ms, releaseAfter: 8760000h}"),
    (Pool, "failover: {releaseAfter: 1h30m10s5ms}"),
    (
        Pool,
        "addresses: [203.0.113.16/31, 203.0.113.5, '2001:db8::/126', 203.0.113.40-203.0.113.47]",
    ),
    (Pool, "addresses: ['203.0.113.9 - 203.0.113.10', '2001:db8::3-2001:db8::9', 198.51.100.0/24]"),
    (Pool, "addresses: [9.0.0.1-10.0.0.0, 100.0.0.99-100.0.1.1]"),
    (Pool, "addresses: ['2001:db8::a', '2001:db8::b', '2001:DB8::C - 2001:db8::d']"),
    (Pool, "allowedNamespaces: {}"),
    (
        Pool,
        "allowedNamespaces: {matchExpressions: [{key: a, operator: In, values: [b]}, {key: c, operator: Exists}]}",
    ),
    (Pool, "allowedNamespaces: {matchLabels: {tenant: payments}}"),
    (
        Pool,
        "gateways: {nodeSelector: {matchLabels: {egress: ''}, matchExpressions: [{key: a, operator: In, values: [b]}]}}",
    ),
    (Claim, ""),
    (
        Claim,
        "podSelector: {matchLabels: {app: settle}, matchExpressions: [{key: tier, operator: In, values: [a, b]}]}",
    ),
    (Claim, "podSelector:\n  serviceName: settle"),
    (Claim, "podSelector: null\n  serviceName: settle\n  count: 1"),
    (Claim, "families: [IPv4, IPv6]\n  addresses: [203.0.113.17, '2001:db8:5::11']"),
    (Claim, "podSelector: {matchLabels: {app: ''}, matchExpressions: []}"),
    (Claim, "podSelector: {matchLabels: {}, matchExpressions: []}"),
    (Claim, "count: 64\n  whenUnavailable: Node"),
    (
        Claim,
        "destinations: [{cidr: 198.51.100.9/24, except: [198.51.100.7/32, 198.51.100.128/25]}, {cidr: 0.0.0.0/0}, {cidr: '::/0'}]",
    ),
    (ClusterClaim, ""),
    (
        ClusterClaim,
        "namespaceSelector: {matchLabels: {tenant: a}, matchExpressions: [{key: b, operator: In, values: [c]}]}",
    ),
    (ClusterClaim, "podSelector:\n  serviceName: settle"),
];
