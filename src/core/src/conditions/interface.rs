//! What a node's agent says of the interfaces that carry addresses.

use std::net::IpAddr;

use crate::model::{NodeName, Snapshot};

/// Why the interface of `node` cannot carry the address, as its agent says.
pub fn unusable<'a>(snapshot: &'a Snapshot, address: IpAddr, node: &NodeName) -> Option<&'a str> {
    let stored = snapshot.addresses.get(&address).map(|stored| &stored.value);
    let status = &snapshot.egress_nodes.get(node)?.value.status;
    match stored?.plan.facts().cloud_places() {
        true => status.unusable_for(stored?.status.attachment_at(node)),
        // What it has lost within the last seconds it still names.
        false if status.uplinks.iter().all(|uplink| uplink.prefix_for(address).is_none()) => {
            Some("it has no uplink in the subnet of the address any more")
        }
        false => status.cut_off_from(address),
    }
}
