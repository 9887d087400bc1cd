use egret_core::model::{ClaimRef, NamespaceName, RangeReading, Snapshot, UnreadableRanges};

use super::super::decode::DecodedItem;
use super::super::kind::{ObjectId, ResourceKind};
use crate::convert::nirmata;

/// What follows from an object that cannot be read; whether its last good value is known.
pub(super) fn note_unreadable(snapshot: &mut Snapshot, id: &ObjectId, known: bool) {
    let claim = |namespace: Option<&String>| ClaimRef {
        namespace: namespace.map(NamespaceName::new),
        name: id.name.clone(),
    };
    match id.kind {
        ResourceKind::Claim if !known => {
            snapshot.unreadable_claims.insert(claim(id.namespace.as_ref()));
        }
        ResourceKind::ClusterClaim if !known => {
            snapshot.unreadable_claims.insert(claim(None));
        }
        _ => {}
    }
    if let Some(pods) = id.kind.ranges() {
        let reading = if known { RangeReading::Kept } else { RangeReading::Unread };
        let unreadable = UnreadableRanges { pods, object: id.to_string(), reading };
        snapshot.discovered.unreadable.insert(unreadable);
    }
}

/// The claims of the original project's objects that cannot be read, of which nothing is known: each has
/// the address that it has been given.
pub(super) fn note_unreadable_rules<'a>(
    snapshot: &mut Snapshot,
    unread: impl Iterator<Item = &'a ObjectId>,
) {
    for id in unread.filter(|id| id.kind == ResourceKind::Nirmata) {
        let of_object = |claim: &ClaimRef| {
            let rule = nirmata::rule_of(&claim.name).map(|(object, _)| object);
            let object = rule.or_else(|| nirmata::numbered_rule_of(&claim.name));
            object == Some(id.name.as_str())
                && claim.namespace.as_ref().map(NamespaceName::as_str) == id.namespace.as_deref()
        };
        let bound = snapshot.addresses.values().map(|stored| &stored.value.plan.claim);
        let claims: Vec<ClaimRef> = bound.filter(|claim| of_object(claim)).cloned().collect();
        snapshot.unreadable_claims.extend(claims);
    }
}

/// Where a Node's ranges cannot be read, those that were read before stay.
pub(super) fn keep_pod_cidrs(item: &mut Option<DecodedItem>, before: &Option<DecodedItem>) {
    if let (Some(DecodedItem::Node(node)), Some(DecodedItem::Node(before))) = (item, before) {
        node.keep_pod_cidrs(before);
    }
}
