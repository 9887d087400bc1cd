//! Addresses of local subnets: which nodes' uplinks are in the subnet of which address.
//!
//! State: none of its own; it reads the agents' uplinks from the newest snapshot. Always: nothing
//! is attached anywhere. Who has an address is decided by the leases and made known by the agents'
//! ARP and NDP answers (docs/design.md decision 12); this crate only says who could.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use egret_core::model::{Attachment, EgressNodeStatus, NodeName, Snapshot, Uplink};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{Capabilities, NodeOffer, Observed, Provider};
use ipnet::IpNet;
use tokio::sync::watch;

/// The provider of pools with `provider: L2`.
#[derive(Clone, Debug)]
pub struct L2 {
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
}

impl L2 {
    /// Reads the uplinks from what `ClusterState::watch` returned.
    #[must_use]
    pub fn new(snapshots: watch::Receiver<Option<Arc<Snapshot>>>) -> Self {
        Self { snapshots }
    }

    fn snapshot(&self, operation: &str) -> Result<Arc<Snapshot>, PortError> {
        self.snapshots.borrow().clone().ok_or_else(|| {
            PortError::new(ErrorClass::Transient, operation, "the store has not been read yet")
        })
    }
}

/// Whether a node with these uplinks can announce `address`: it lies in the subnet of one of them
/// and is neither that subnet's network nor its broadcast address (nobody resolves those by ARP).
#[must_use]
pub fn serves(uplinks: &[Uplink], address: IpAddr) -> bool {
    uplinks.iter().flat_map(|uplink| &uplink.subnets).any(|subnet| match subnet {
        // Both addresses of a /31 are hosts (RFC 3021).
        IpNet::V4(v4) if v4.prefix_len() < 31 => {
            subnet.contains(&address) && address != v4.network() && address != v4.broadcast()
        }
        _ => subnet.contains(&address),
    })
}

impl Provider for L2 {
    fn capabilities(&self) -> Capabilities {
        Capabilities { fabric_is_fence: false, announces: true }
    }

    async fn observe(
        &self,
        addresses: &BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
    ) -> Result<Observed, PortError> {
        let snapshot = self.snapshot("observe uplinks")?;
        let offer = |status: &EgressNodeStatus| NodeOffer {
            free: u32::MAX,
            can_serve: addresses
                .iter()
                .copied()
                .filter(|address| serves(&status.uplinks, *address))
                .collect(),
            refused: None,
        };
        let known = nodes.iter().filter_map(|node| {
            let found = snapshot.egress_nodes.get(node)?;
            Some((node.clone(), offer(&found.value.status)))
        });
        Ok(Observed { attachments: BTreeMap::new(), nodes: known.collect() })
    }

    async fn attach(&self, address: IpAddr, node: &NodeName) -> Result<Attachment, PortError> {
        let operation = format!("attach {address} to {node}");
        let snapshot = self.snapshot(&operation)?;
        let Some(found) = snapshot.egress_nodes.get(node) else {
            let missing = "there is no EgressNode of that name; does an agent run there?";
            return Err(PortError::new(ErrorClass::NotFound, operation, missing));
        };
        if !serves(&found.value.status.uplinks, address) {
            let wrong = "the address is in no subnet of that node's uplinks; choose a gateway \
                         selector or a range that fit each other";
            return Err(PortError::new(ErrorClass::Invalid, operation, wrong));
        }
        Ok(Attachment::at(node.clone()))
    }

    async fn detach(&self, _address: IpAddr, _node: &NodeName) -> Result<(), PortError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use egret_core::model::{EgressNode, EgressNodeSpec, Stored, Version};
    use egret_ports::contract::provider::{Case, run};

    use super::*;

    fn uplinks(subnets: &[&str]) -> Vec<Uplink> {
        let subnets = subnets.iter().map(|subnet| subnet.parse().unwrap()).collect();
        vec![Uplink { name: "eth0".into(), subnets }]
    }

    fn snapshot(nodes: &[(&str, &[&str])]) -> Snapshot {
        let nodes = nodes.iter().map(|(name, subnets)| {
            let status =
                EgressNodeStatus { uplinks: uplinks(subnets), ..EgressNodeStatus::default() };
            let spec = EgressNodeSpec::default();
            let node = EgressNode { name: (*name).into(), spec, status, deleting: false };
            (NodeName::from(*name), Stored { version: Version::default(), value: node })
        });
        Snapshot { egress_nodes: nodes.collect(), ..Snapshot::default() }
    }

    fn case(addresses: [&str; 2]) -> Case<L2> {
        let both = &["192.0.2.9/24", "2001:db8::9/64"][..];
        let nodes = snapshot(&[("a", both), ("b", both), ("far", &["203.0.113.1/24"])]);
        let (_, snapshots) = watch::channel(Some(Arc::new(nodes)));
        Case {
            provider: L2::new(snapshots),
            nodes: ["a".into(), "b".into()],
            addresses: addresses.map(|address| address.parse().unwrap()),
            elsewhere: "far".into(),
            full: None,
            unknown: "nobody".into(),
            cancel_step: Duration::from_millis(1),
            lagging_reads: 0,
        }
    }

    #[tokio::test]
    async fn keeps_the_contract_in_both_families() {
        run(&case(["192.0.2.17", "192.0.2.18"])).await;
        run(&case(["2001:db8::17", "192.0.2.18"])).await;
    }

    #[test]
    fn an_address_is_served_inside_the_subnet_and_not_at_its_ends() {
        let links = uplinks(&["192.0.2.9/24", "198.51.100.0/31", "2001:db8::/64"]);
        for (address, served) in [
            ("192.0.2.1", true),
            ("192.0.2.0", false),
            ("192.0.2.255", false),
            ("192.0.3.1", false),
            ("198.51.100.0", true),
            ("198.51.100.1", true),
            ("2001:db8::", true),
            ("2001:db8::ffff", true),
            ("2001:db8:0:1::1", false),
        ] {
            assert_eq!(serves(&links, address.parse().unwrap()), served, "{address}");
        }
        assert!(!serves(&[], "192.0.2.1".parse().unwrap()));
    }

    #[tokio::test]
    async fn before_the_first_snapshot_everything_is_transient() {
        let (_, snapshots) = watch::channel(None);
        let provider = L2::new(snapshots);
        let attached = provider.attach("192.0.2.1".parse().unwrap(), &"a".into()).await;
        assert_eq!(attached.unwrap_err().class, ErrorClass::Transient);
        let observed = provider.observe(&BTreeSet::new(), &BTreeSet::new()).await;
        assert_eq!(observed.unwrap_err().class, ErrorClass::Transient);
    }
}
