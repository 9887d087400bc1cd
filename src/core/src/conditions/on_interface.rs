use std::net::IpAddr;

use crate::model::{NodeName, Snapshot};

/// What is said of an egress address that a node of the cluster has on an interface, by the word of that
/// node's agent; `None` where no known node has it.
pub fn on_interface(snapshot: &Snapshot, address: IpAddr) -> Option<String> {
    snapshot.egress_nodes.iter().find_map(|(node, stored)| {
        let interface = stored.value.status.local_addresses.get(&address)?;
        Some(on_interface_message(node, interface))
    })
}

/// The same of one node and its interface.
pub fn on_interface_message(node: &NodeName, interface: &str) -> String {
    format!(
        "node {node} has the address on its interface {interface}: take it off there (ip addr del), or \
         take it out of the pool"
    )
}
