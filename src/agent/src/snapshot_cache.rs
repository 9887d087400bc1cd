//! What an agent remembers of the store across a restart of its process (docs/leases.md rule 12):
//! one that restarts while the store is unreachable goes on with it.

mod attachments;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use egret_core::lease::PlanView;
use egret_core::model::{Attachment, NodeName};
use egret_core::node_config::SteeringConfig;
use egret_core::tunnel_network::ToldEndpoint;
use egret_peers::Peer;
use serde::{Deserialize, Serialize};

use crate::local_addresses::placed_before;
use crate::pod_owners::PodOwners;
use crate::router_watch::KeptRouters;

/// The last snapshot, as far as this node needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CachedSnapshot {
    pub(crate) view: PlanView,
    pub(crate) peers: BTreeMap<NodeName, Peer>,
    pub(crate) endpoints: BTreeMap<NodeName, Vec<IpAddr>>,
    #[serde(rename = "programme")]
    pub(crate) steering: SteeringConfig,
    /// Of egress addresses whose packets carry another one on this node's uplink: which.
    #[serde(default, with = "attachments")]
    pub(crate) attachments: BTreeMap<IpAddr, Attachment>,
    /// Whose each pod's address is.
    #[serde(default, skip_serializing_if = "PodOwners::is_empty")]
    pub(crate) owners: PodOwners,
    /// Where the tunnel is to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) told: Option<ToldEndpoint>,
    /// The routers behind the uplinks. They change without the store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) routers: Vec<KeptRouters>,
    /// Links of which it is known whether Egret's programs run there, or that nobody can tell; `None` from a version
    /// that did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) judged: Option<BTreeSet<u32>>,
}

impl CachedSnapshot {
    /// Egress addresses, and what carried them here: no node's own.
    pub(crate) fn egress(&self) -> BTreeSet<IpAddr> {
        let carried = placed_before(&self.attachments);
        self.view.addresses.keys().copied().chain(carried.into_keys()).collect()
    }

    /// Where the tunnel is to end, by what that process knew. One of a version before was told nothing: the node
    /// stays where it was until the store has answered.
    pub(crate) fn told(&self) -> ToldEndpoint {
        self.told.clone().unwrap_or_default()
    }
}

/// How an earlier process steered, and which pods had the addresses.
#[derive(Debug)]
pub(crate) struct FormerSteering {
    pub(crate) config: SteeringConfig,
    pub(crate) owners: PodOwners,
}

/// Its file, on a file system that a reboot empties: after a boot the plans must be read anew
/// (rule 11).
#[derive(Debug)]
pub(crate) struct SnapshotCache {
    path: PathBuf,
    written: Option<CachedSnapshot>,
}

impl SnapshotCache {
    pub(crate) fn new(run_dir: &Path) -> Self {
        Self { path: run_dir.join("snapshot.json"), written: None }
    }

    /// What an earlier process of this boot has kept; unreadable counts as absent.
    pub(crate) fn read(&mut self) -> Option<CachedSnapshot> {
        let bytes = fs::read(&self.path).ok()?;
        match serde_json::from_slice::<CachedSnapshot>(&bytes) {
            Ok(remembered) => {
                self.written = Some(remembered.clone());
                Some(remembered)
            }
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error,
                    "the kept snapshot is unreadable: waiting for the store");
                None
            }
        }
    }

    /// Replaces it as a whole, where it has changed.
    pub(crate) fn write(&mut self, remembered: CachedSnapshot) -> io::Result<()> {
        if self.written.as_ref() == Some(&remembered) {
            return Ok(());
        }
        let next = self.path.with_extension("next");
        fs::write(&next, serde_json::to_vec(&remembered).map_err(io::Error::other)?)?;
        fs::rename(&next, &self.path)?;
        self.written = Some(remembered);
        Ok(())
    }

    /// Replaces what it says of links, where there is one and that has changed.
    pub(crate) fn write_links(
        &mut self,
        routers: Vec<KeptRouters>,
        judged: &BTreeSet<u32>,
    ) -> io::Result<()> {
        match &self.written {
            Some(written)
                if written.routers != routers || written.judged.as_ref() != Some(judged) =>
            {
                let judged = Some(judged.clone());
                self.write(CachedSnapshot { routers, judged, ..written.clone() })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint_flags::{EndpointFlags, EndpointSource};
    use crate::tunnel_endpoints::WantedEndpoints;

    #[test]
    fn what_was_remembered_comes_back_and_garbage_counts_as_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = SnapshotCache::new(directory.path());
        assert_eq!(file.read(), None);
        let mut remembered = CachedSnapshot::default();
        let endpoint: IpAddr = "2001:db8:5::101".parse().unwrap();
        remembered.endpoints.insert("gateway-1".into(), vec![endpoint]);
        remembered.view.nodes.insert("gateway-1".into());
        file.write(remembered.clone()).unwrap();
        assert_eq!(SnapshotCache::new(directory.path()).read(), Some(remembered));
        fs::write(directory.path().join("snapshot.json"), "{").unwrap();
        assert_eq!(file.read(), None);
    }

    #[test]
    fn egress_addresses_and_what_carries_them_are_told_before_the_store_answers() {
        let wire: IpAddr = "10.0.1.77".parse().unwrap();
        let at = Attachment { wire: Some(wire), ..Attachment::at("gateway-1".into()) };
        let address: IpAddr = "203.0.113.17".parse().unwrap();
        let attachments = [(address, at)].into();
        let remembered = CachedSnapshot { attachments, ..CachedSnapshot::default() };
        assert_eq!(remembered.egress(), [address, wire].into());
    }

    /// The upgrade from it while the store is away: its tunnel ended at the address of the default route.
    #[test]
    fn what_an_older_version_has_kept_moves_no_tunnel() {
        let flags = EndpointFlags {
            known_by: vec!["10.1.0.5".parse().unwrap()],
            from: Some(EndpointSource::Cluster),
            ..EndpointFlags::default()
        };
        let told = CachedSnapshot::default().told();
        assert_eq!(flags.wanted(Some(&told)), WantedEndpoints::OfNode(Vec::new()));
    }

    #[test]
    fn attachments_come_back_and_an_older_file_has_none() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = SnapshotCache::new(directory.path());
        let at = Attachment {
            wire: Some("10.0.1.77".parse().unwrap()),
            ..Attachment::at("gateway-1".into())
        };
        let attachments = [("203.0.113.17".parse().unwrap(), at)].into();
        let remembered = CachedSnapshot { attachments, ..CachedSnapshot::default() };
        file.write(remembered.clone()).unwrap();
        let path = directory.path().join("snapshot.json");
        assert_eq!(SnapshotCache::new(directory.path()).read(), Some(remembered));
        let mut older: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        older.as_object_mut().unwrap().remove("attachments").unwrap();
        fs::write(&path, older.to_string()).unwrap();
        assert_eq!(SnapshotCache::new(directory.path()).read(), Some(CachedSnapshot::default()));
    }
}
