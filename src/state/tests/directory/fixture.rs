use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use egret_core::model::{ClaimRef, NamespaceName, PoolName, Snapshot};
use egret_ports::cluster_state::{ClusterState, Write};
use egret_ports::contract::objects::bare_plan;
use egret_state::DirectoryState;
use tempfile::TempDir;

/// Longer than any change needs to be seen; only a broken store waits for its end.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const POOL: &str = "apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {name: partners}
spec:
  provider: L2
  addresses: [203.0.113.16/29]
  gateways: {nodeSelector: {}}
";

pub const CLAIM: &str = "apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {name: bank, namespace: payments}
spec:
  poolRef: {name: partners}
  podSelector: {}
";

/// A store in a folder of its own.
pub struct Fixture {
    folder: TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        DirectoryState::create(folder.path()).unwrap();
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a manifest as an editor that saves carefully does.
    pub fn put(&self, name: &str, text: &str) {
        let temporary = self.file(".saving");
        std::fs::write(&temporary, text).unwrap();
        std::fs::rename(&temporary, self.file(name)).unwrap();
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.file(name)).unwrap();
    }

    pub fn open(&self) -> DirectoryState {
        DirectoryState::open(self.path()).unwrap()
    }
}

pub fn pod(name: &str, address: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: payments, labels: {{app: settle}}}}
spec: {{nodeName: node-1}}
status: {{podIPs: [{{ip: {address}}}]}}
"
    )
}

pub async fn until(
    state: &DirectoryState,
    what: &str,
    wanted: impl Fn(&Snapshot) -> bool,
) -> Arc<Snapshot> {
    let mut watched = state.watch();
    let seen = watched.wait_for(|snapshot| snapshot.as_deref().is_some_and(&wanted));
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    seen.unwrap_or_else(|_| panic!("never seen: {what}")).unwrap().clone().unwrap()
}

pub async fn until_reachable(state: &DirectoryState, wanted: bool) {
    let mut watched = state.reachable();
    let seen = watched.wait_for(|reachable| *reachable == wanted);
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    seen.unwrap_or_else(|_| panic!("never seen: reachable {wanted}")).unwrap();
}

pub async fn read(state: &DirectoryState) -> Arc<Snapshot> {
    state.read_consistent().await.unwrap()
}

pub fn bank() -> ClaimRef {
    ClaimRef { namespace: Some(NamespaceName::new("payments")), name: "bank".to_owned() }
}

pub fn partners() -> PoolName {
    PoolName::new("partners")
}

pub fn plan(address: &str, fence: u64) -> Write {
    Write::AddressPlan {
        address: address.parse().unwrap(),
        expect: None,
        plan: bare_plan(bank(), fence),
    }
}
