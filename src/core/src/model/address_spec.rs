use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    AddressEnd, AddressPlan, ClaimRef, Holding, Millis, MovedOff, NodeName, PoolName, ProviderKind,
    Timestamp, Uid, text,
};

// What people read of these types in `kubectl explain` are their comments here.

/// The plan of one egress address: written by the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AddressSpec {
    /// The address that the outside sees.
    #[serde(with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    address: IpAddr,
    /// The claim that the address is bound to.
    claim_ref: BoundClaim,
    /// The pool that the address came from.
    pool_ref: PoolReference,
    /// Who attaches the address to nodes.
    #[serde(default)]
    provider: ProviderKind,
    /// The node that should hold the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    owner: Option<NodeName>,
    /// The nodes that may take the address over, first in rank first.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    standbys: Vec<NodeName>,
    /// Grows when the address is revoked; voters refuse requests that name a lower one.
    fence: u64,
    /// The holder and the epoch that this plan was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made_for: Option<Holding>,
    /// How long a holder keeps the address without renewal, such as 450ms.
    #[serde(with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    lease: Millis,
    /// Set once the address takes no new connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    released: Option<Released>,
    /// Set once the address is taken from its holder for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<Revoked>,
    /// The node that a person asked for (egret move).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    preferred_node: Option<NodeName>,
    /// The owner that it failed over from, where the pool's failback may return it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    home: Option<NodeName>,
    /// The pool is paused: the controller neither moves the address nor revokes it.
    #[serde(default)]
    paused: bool,
    /// Fields above as text, for the columns of kubectl get.
    #[serde(default)]
    summary: AddressSummary,
    // Controllers before this field leave it out.
    /// When the controller last moved it to make its pool more even (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<String>", extend("format" = "date-time"))
    )]
    rebalanced_at: Option<Timestamp>,
    /// The last move off a holder that the directors of the address did not reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moved_off: Option<MovedOff>,
}

/// Fields of an address as text: a printer column can neither join a list nor two fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
struct AddressSummary {
    /// The claim, such as payments/bank.
    claim: String,
    /// The standbys, joined by commas.
    standbys: String,
}

/// Names a StaticEgressIP (with a namespace) or a ClusterStaticEgressIP (without).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct BoundClaim {
    #[serde(flatten)]
    claim: ClaimRef,
    /// The claim's uid when this was written.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    uid: Uid,
}

/// Names another object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct PoolReference {
    /// The object's name.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    name: PoolName,
}

/// An address that takes no new connections and serves its open ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Released {
    /// When it was released (RFC 3339).
    #[serde(with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    since: Timestamp,
    /// When it is revoked at the latest (RFC 3339).
    #[serde(with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    until: Timestamp,
}

/// An address that was taken from its holder for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Revoked {
    /// When it was revoked (RFC 3339).
    #[serde(with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    since: Timestamp,
}

impl AddressSpec {
    /// As it is written.
    #[must_use]
    pub fn new(address: IpAddr, plan: AddressPlan) -> Self {
        let (released, revoked) = match plan.end {
            None => (None, None),
            Some(AddressEnd::Released { since, until }) => (Some(Released { since, until }), None),
            Some(AddressEnd::Revoked { since }) => (None, Some(Revoked { since })),
        };
        let standbys: Vec<&str> = plan.standbys.iter().map(NodeName::as_str).collect();
        Self {
            address,
            summary: AddressSummary { claim: plan.claim.to_string(), standbys: standbys.join(",") },
            claim_ref: BoundClaim { claim: plan.claim, uid: plan.claim_uid },
            pool_ref: PoolReference { name: plan.pool },
            provider: plan.provider,
            owner: plan.owner,
            standbys: plan.standbys,
            fence: plan.fence,
            made_for: plan.made_for,
            lease: plan.lease,
            released,
            revoked,
            preferred_node: plan.preferred_node,
            home: plan.home,
            paused: plan.paused,
            rebalanced_at: plan.rebalanced_at,
            moved_off: plan.moved_off,
        }
    }

    /// The address, and its plan.
    #[must_use]
    pub fn into_plan(self) -> (IpAddr, AddressPlan) {
        let end = match (self.revoked, self.released) {
            (Some(Revoked { since }), _) => Some(AddressEnd::Revoked { since }),
            (None, Some(Released { since, until })) => Some(AddressEnd::Released { since, until }),
            (None, None) => None,
        };
        let plan = AddressPlan {
            claim: self.claim_ref.claim,
            claim_uid: self.claim_ref.uid,
            pool: self.pool_ref.name,
            provider: self.provider,
            owner: self.owner,
            standbys: self.standbys,
            fence: self.fence,
            made_for: self.made_for,
            lease: self.lease,
            end,
            preferred_node: self.preferred_node,
            home: self.home,
            paused: self.paused,
            rebalanced_at: self.rebalanced_at,
            moved_off: self.moved_off,
        };
        (self.address, plan)
    }
}
