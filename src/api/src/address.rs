#![cfg_attr(
    feature = "schema",
    expect(
        clippy::duplicated_attributes,
        reason = "clippy takes the fields of several printcolumns for those of one"
    )
)]

use serde::{Deserialize, Serialize};

use crate::common::{Condition, ObjectRef};
use crate::pool::Provider;

/// The plan of one egress address: written by the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(kube::CustomResource, schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    kube(
        group = "egret.dev",
        version = "v1alpha1",
        kind = "EgressAddress",
        plural = "egressaddresses",
        category = "egret",
        status = "EgressAddressStatus",
        selectable = ".spec.poolRef.name",
        selectable = ".spec.owner",
        derive = "PartialEq",
        doc = "One egress address in use: who should hold it (spec, written by the controller) and who does (status).",
        printcolumn(name = "Address", type_ = "string", json_path = ".spec.address"),
        printcolumn(name = "Pool", type_ = "string", json_path = ".spec.poolRef.name"),
        printcolumn(name = "Claim", type_ = "string", json_path = ".spec.summary.claim"),
        printcolumn(name = "Holder", type_ = "string", json_path = ".status.holding.node"),
        printcolumn(name = "Standbys", type_ = "string", json_path = ".spec.summary.standbys"),
        printcolumn(name = "Since", type_ = "date", json_path = ".status.since"),
        printcolumn(
            name = "Ready",
            type_ = "string",
            json_path = r#".status.conditions[?(@.type=="Ready")].status"#
        )
    )
)]
#[serde(rename_all = "camelCase")]
pub struct EgressAddressSpec {
    /// The address that the outside sees.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "ip")))]
    pub address: String,
    /// The claim that the address is bound to.
    pub claim_ref: ClaimRef,
    /// The pool that the address came from.
    pub pool_ref: ObjectRef,
    /// Who attaches the address to nodes.
    #[serde(default)]
    pub provider: Provider,
    /// The node that should hold the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The nodes that may take the address over, first in rank first.
    #[serde(default)]
    pub standbys: Vec<String>,
    /// Grows when the address is revoked; voters refuse requests that name a lower one.
    pub fence: u64,
    /// The holder and the epoch that this plan was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_for: Option<Holding>,
    /// How long a holder keeps the address without renewal, such as 450ms.
    pub lease: String,
    /// Set once the address takes no new connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Released>,
    /// Set once the address is taken from its holder for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revoked>,
    /// The node that a person asked for (egret move).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_node: Option<String>,
    /// The owner that it failed over from, where the pool's failback may return it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// The pool is paused: nobody moves, fences or takes over on purpose.
    #[serde(default)]
    pub paused: bool,
    /// Fields above as text, for the columns of kubectl get.
    #[serde(default)]
    pub summary: AddressSummary,
}

/// Fields of an address as text: a printer column can neither join a list nor two fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct AddressSummary {
    /// The claim, such as payments/bank.
    pub claim: String,
    /// The standbys, joined by commas.
    pub standbys: String,
}

/// Names a StaticEgressIP (with a namespace) or a ClusterStaticEgressIP (without).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ClaimRef {
    /// The claim's namespace; absent for a ClusterStaticEgressIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The claim's name.
    pub name: String,
    /// Tells this claim from a later one of the same name.
    pub uid: String,
}

/// A node that holds an address, and the epoch of its lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Holding {
    /// The holder.
    pub node: String,
    /// The epoch of its lease.
    pub epoch: Epoch,
}

/// Orders announcements of holders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Epoch {
    /// Grows at every change of the holder.
    pub counter: u64,
    /// The node that took it.
    pub node: String,
}

/// An address that takes no new connections and serves its open ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Released {
    /// When it was released (RFC 3339).
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub since: String,
    /// When it is revoked at the latest (RFC 3339).
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub until: String,
}

/// An address that was taken from its holder for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// When it was revoked (RFC 3339).
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub since: String,
}

/// What is so of an address: written by its holder and by the controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct EgressAddressStatus {
    /// The holder and its epoch, as the last holder wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holding: Option<Holding>,
    /// Since when this node holds it (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub since: Option<String>,
    /// The first holder has probed the address (RFC 5227) since it was bound.
    pub probed: bool,
    /// Where the cloud delivers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    /// What the cloud keeps ready at each gateway of the plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prepared: Vec<Attachment>,
    /// Ready, Conflict and others.
    pub conditions: Vec<Condition>,
}

/// Where a cloud delivers an address, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The node that the cloud delivers to.
    pub node: String,
    /// What the packet carries on that node's uplink, where it is not the address itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire_address: Option<String>,
    /// What the cloud calls the network interface, such as eni-0a1b2c.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The interface's hardware address, such as 02:00:5e:10:00:01.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// What the cloud calls the address, such as eipalloc-0a1b2c.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<String>,
}
