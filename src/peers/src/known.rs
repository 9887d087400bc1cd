//! The peers' addresses and keys, kept on disk so that agents find each other without the API.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use egret_core::model::{NodeName, PublicKey};
use serde::{Deserialize, Serialize};

use crate::file::{self, StateError};

const FILE: &str = "peers.json";
const LIMIT: u64 = 16 << 20;

/// How to reach an agent and how to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Where it listens, one per family at most; the first that this node has a socket for is
    /// preferred until another answers.
    pub endpoints: Vec<IpAddr>,
    /// The UDP port there.
    pub port: u16,
    /// Its X25519 public key.
    pub public_key: PublicKey,
}

/// The peers of one cluster, as last read from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownPeers {
    /// The cluster's id.
    pub cluster: String,
    /// The agents, without this node's own.
    pub peers: BTreeMap<NodeName, Peer>,
}

impl KnownPeers {
    /// What the state directory holds; `None` where nothing has been kept.
    ///
    /// # Errors
    /// A file that is unreadable, open to others or no JSON of this shape, with its name and the
    /// remedy. An agent may go on without it: it then waits for the API to name its peers.
    pub fn load(directory: &Path) -> Result<Option<Self>, StateError> {
        let path = directory.join(FILE);
        let Some(bytes) = file::read(&path, LIMIT)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| StateError::Corrupt {
            path,
            problem: error.to_string(),
            remedy: "remove it: the agent writes it again when the API has named its peers",
        })
    }

    /// Replaces what the state directory holds, atomically (mode 0600); writes nothing where it
    /// holds just this.
    ///
    /// # Errors
    /// The file that could not be written, and why.
    pub fn save(&self, directory: &Path) -> Result<(), StateError> {
        let path = directory.join(FILE);
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| StateError::io("encode", &path, error.into()))?;
        if matches!(file::read(&path, LIMIT), Ok(Some(held)) if held == bytes) {
            return Ok(());
        }
        file::replace(&path, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn known() -> KnownPeers {
        let peer = Peer {
            endpoints: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            port: 7947,
            public_key: PublicKey([7; 32]),
        };
        KnownPeers { cluster: "c1".into(), peers: [("node-1".into(), peer)].into() }
    }

    #[test]
    fn peers_survive_on_disk_for_the_owner_alone_and_are_written_only_when_changed() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(KnownPeers::load(directory.path()).unwrap(), None);
        known().save(directory.path()).unwrap();
        assert_eq!(KnownPeers::load(directory.path()).unwrap(), Some(known()));
        let path = directory.path().join(FILE);
        let before = std::fs::metadata(&path).unwrap();
        assert_eq!(before.permissions().mode() & 0o777, 0o600);
        known().save(directory.path()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), before.ino(), "written again");
        let other = KnownPeers { cluster: "c2".into(), ..known() };
        other.save(directory.path()).unwrap();
        assert_eq!(KnownPeers::load(directory.path()).unwrap(), Some(other));
    }

    #[test]
    fn a_broken_file_is_named_with_its_remedy() {
        let directory = tempfile::tempdir().unwrap();
        known().save(directory.path()).unwrap();
        std::fs::write(directory.path().join(FILE), "{").unwrap();
        let error = KnownPeers::load(directory.path()).unwrap_err().to_string();
        assert!(error.contains("peers.json") && error.contains("remove it"), "{error}");
    }
}
