#![cfg_attr(
    feature = "schema",
    expect(
        clippy::duplicated_attributes,
        reason = "clippy takes the fields of several printcolumns for those of one"
    )
)]

use egret_core::model::{Condition, Family, LabelSelector, SelectedPods, WhenUnavailable};
use serde::{Deserialize, Serialize};

use crate::common::LocalObjectReference;

/// The most addresses per family of one claim. Without a bound a claim on a pool of IPv6 could ask
/// for more addresses than a controller has memory for.
pub const MAX_COUNT: u32 = 64;

// The two kinds share their fields. With serde's `flatten` errors would lose the field's path, so a
// macro writes them into both.
macro_rules! claim_kind {
    ($(#[$attribute:meta])* $name:ident { $($extra:tt)* }) => {
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(kube::CustomResource, schemars::JsonSchema))]
        $(#[$attribute])*
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($extra)*
            /// The EgressPool that the addresses come from.
            pub pool_ref: LocalObjectReference,
            /// The addresses asked for, such as [203.0.113.17]. Without it the pool chooses as
            /// many as `count` says.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub addresses: Option<Vec<String>>,
            /// How many addresses per family the pool chooses: 1 to 64, by default 1. Not together
            /// with `addresses`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub count: Option<u32>,
            /// IPv4, IPv6 or both. Default: what the pool has of the cluster's families.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub families: Option<Vec<Family>>,
            /// Labels of the pods whose traffic leaves with the addresses; {} selects all pods.
            /// Not together with `serviceName`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub pod_selector: Option<LabelSelector>,
            /// A Service of the namespace: the pods that it selects are meant. Not together with
            /// `podSelector`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub service_name: Option<String>,
            /// The destinations whose traffic is selected. Default: everywhere outside the cluster.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub destinations: Option<Vec<Destination>>,
            /// What happens to new connections while nobody holds the address: Drop, or Node, which
            /// lets them leave with the node's own address.
            #[serde(default)]
            pub when_unavailable: WhenUnavailable,
        }
    };
}

claim_kind! {
    /// Pods of one namespace leave the cluster with addresses of a pool.
    #[cfg_attr(
        feature = "schema",
        kube(
            group = "egret.dev",
            version = "v1alpha1",
            kind = "StaticEgressIP",
            plural = "staticegressips",
            category = "egret",
            shortname = "seip",
            namespaced,
            status = "ClaimStatus",
            selectable = ".spec.poolRef.name",
            derive = "PartialEq",
            doc = "A claim: pods of this namespace, going to these destinations, leave with addresses of a pool.",
            printcolumn(name = "Pool", type_ = "string", json_path = ".spec.poolRef.name"),
            printcolumn(name = "Addresses", type_ = "string", json_path = ".status.summary.addresses"),
            printcolumn(name = "Gateway", type_ = "string", json_path = ".status.summary.gateways"),
            printcolumn(
                name = "Ready",
                type_ = "string",
                json_path = r#".status.conditions[?(@.type=="Ready")].status"#
            ),
            printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
        )
    )]
    StaticEgressIPSpec {}
}

claim_kind! {
    /// Pods of several namespaces leave the cluster with addresses of a pool.
    #[cfg_attr(
        feature = "schema",
        kube(
            group = "egret.dev",
            version = "v1alpha1",
            kind = "ClusterStaticEgressIP",
            plural = "clusterstaticegressips",
            category = "egret",
            shortname = "cseip",
            status = "ClaimStatus",
            selectable = ".spec.poolRef.name",
            derive = "PartialEq",
            doc = "A claim for several namespaces: their selected pods leave with addresses of a pool.",
            printcolumn(name = "Pool", type_ = "string", json_path = ".spec.poolRef.name"),
            printcolumn(name = "Addresses", type_ = "string", json_path = ".status.summary.addresses"),
            printcolumn(name = "Gateway", type_ = "string", json_path = ".status.summary.gateways"),
            printcolumn(
                name = "Ready",
                type_ = "string",
                json_path = r#".status.conditions[?(@.type=="Ready")].status"#
            ),
            printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
        )
    )]
    ClusterStaticEgressIPSpec {
        /// Labels of the namespaces whose pods are meant; {} selects all namespaces.
        pub namespace_selector: LabelSelector,
    }
}

/// The fields that both kinds share.
impl From<ClusterStaticEgressIPSpec> for StaticEgressIPSpec {
    fn from(spec: ClusterStaticEgressIPSpec) -> Self {
        Self {
            pool_ref: spec.pool_ref,
            addresses: spec.addresses,
            count: spec.count,
            families: spec.families,
            pod_selector: spec.pod_selector,
            service_name: spec.service_name,
            destinations: spec.destinations,
            when_unavailable: spec.when_unavailable,
        }
    }
}

/// A range of destinations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// The range, such as 198.51.100.0/24.
    pub cidr: String,
    /// Ranges inside `cidr` that are not selected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

/// What the controller says of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimStatus {
    /// The generation that the conditions speak of.
    pub observed_generation: i64,
    /// The addresses bound to this claim.
    pub addresses: Vec<String>,
    /// The nodes that hold these addresses.
    pub gateways: Vec<String>,
    /// The pods of a claim that names a Service or selects namespaces, as the controller resolved
    /// them; empty where podSelector says it all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selected: Vec<SelectedPods>,
    /// The lists above as text, for the columns of kubectl get.
    pub summary: ClaimSummary,
    /// Accepted, Bound, Programmed and Ready.
    pub conditions: Vec<Condition>,
}

/// Lists of a claim's status as text: a printer column cannot join a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSummary {
    /// The addresses, joined by commas.
    pub addresses: String,
    /// The gateways, joined by commas.
    pub gateways: String,
}
