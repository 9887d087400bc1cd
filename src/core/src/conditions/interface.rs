//! What a node's agent says of the interfaces by which a cloud delivers.

use std::net::IpAddr;

use crate::model::{NodeName, Snapshot};

/// Why a cloud's interface of `node` cannot carry the address, as its agent says.
pub(super) fn unusable<'a>(
    snapshot: &'a Snapshot,
    address: IpAddr,
    node: &NodeName,
) -> Option<&'a str> {
    let stored = snapshot.addresses.get(&address).map(|stored| &stored.value);
    let places = stored?.plan.facts().cloud_places();
    let at = stored?.status.attachment_at(node);
    let status = &snapshot.egress_nodes.get(node)?.value.status;
    status.unusable_for(at).filter(|_| places)
}
