use egret_core::model::{ClaimRef, NamespaceName, RangeReading, Snapshot, UnreadableRanges};

use super::super::decode::DecodedItem;
use super::super::kind::{ObjectId, ResourceKind};

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

/// Where a Node's ranges cannot be read, those that were read before stay.
pub(super) fn keep_pod_cidrs(item: &mut Option<DecodedItem>, before: &Option<DecodedItem>) {
    if let (Some(DecodedItem::Node(node)), Some(DecodedItem::Node(before))) = (item, before) {
        node.keep_pod_cidrs(before);
    }
}
