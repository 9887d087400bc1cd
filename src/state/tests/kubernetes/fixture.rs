use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use egret_core::model::{NodeName, Snapshot};
use egret_kubernetes::ApiServer;
use egret_ports::cluster_state::{ClusterState as _, Write};
use egret_state::KubernetesState;
use egret_state::kubernetes::{Connection, KubernetesOptions, WatchScope};
use serde_json::{Value, json};

/// Longer than any change needs to be seen; only a broken store waits for its end.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An API server that knows Egret's kinds.
pub struct Store {
    pub server: ApiServer,
}

impl Store {
    pub fn start() -> Self {
        let server = ApiServer::start().unwrap();
        let store = Self { server };
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "egret-system"},
        });
        let crds = egret_api::crds().into_iter().map(|crd| serde_json::to_value(crd).unwrap());
        let items: Vec<Value> = crds.chain([namespace]).collect();
        // In one call: each is a kubectl that starts and asks what there is.
        store.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}));
        let wait = ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"];
        store.server.kubectl().ask(&wait).unwrap();
        store
    }

    /// One with the namespace, the pool and the claim of the examples.
    pub fn with_examples() -> Self {
        let store = Self::start();
        store.examples();
        store
    }

    pub fn examples(&self) {
        let names = ["1-namespace.yaml", "2-pool.yaml", "3-claim.yaml"];
        self.apply_text(&names.map(example).join("\n---\n"));
    }

    pub fn apply(&self, object: &Value) {
        self.apply_text(&object.to_string());
    }

    pub fn apply_text(&self, text: &str) {
        self.server.kubectl().apply(text).unwrap();
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.server.kubectl().ask(arguments).unwrap()
    }

    pub fn connection(&self) -> Connection {
        Connection { kubeconfig: Some(self.server.kubeconfig().to_owned()), context: None }
    }

    pub fn open(&self, view: WatchScope) -> KubernetesState {
        KubernetesState::open(KubernetesOptions::new(self.connection(), view)).unwrap()
    }

    pub fn controller(&self) -> KubernetesState {
        self.open(WatchScope::Controller)
    }

    pub fn agent(&self, node: &str) -> KubernetesState {
        self.open(WatchScope::Agent { node: NodeName::new(node) })
    }

    /// Removes everything that a test may have made but namespaces and CRDs.
    pub async fn wipe(&self) {
        let state = self.open(WatchScope::Reader);
        let snapshot = state.read_consistent().await.unwrap();
        for (address, stored) in &snapshot.addresses {
            let expect = Some(stored.version.clone());
            state.write(Write::DeleteAddress { address: *address, expect }).await.unwrap();
        }
        for (node, stored) in &snapshot.egress_nodes {
            let expect = Some(stored.version.clone());
            state.write(Write::DeleteNode { node: node.clone(), expect }).await.unwrap();
        }
        let kinds = "egresspools,staticegressips,clusterstaticegressips,egressaddresses,\
                     egressnodes,egressclusters,pods,leases,configmaps";
        self.kubectl(&["delete", kinds, "--all", "-A", "--force", "--ignore-not-found"]);
    }
}

pub fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first snapshot in which `wanted` holds.
pub async fn until(state: &KubernetesState, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    within(PATIENCE, state, wanted).await
}

/// The same, for what a store does not do at once.
pub async fn within(
    patience: Duration,
    state: &KubernetesState,
    wanted: impl Fn(&Snapshot) -> bool,
) -> Arc<Snapshot> {
    let mut watched = state.watch();
    let seen = watched.wait_for(|snapshot| snapshot.as_deref().is_some_and(&wanted));
    let seen = tokio::time::timeout(patience, seen).await;
    match seen {
        Ok(seen) => seen.unwrap().clone().unwrap(),
        Err(_) => panic!("never seen; the last snapshot: {:#?}", state.watch().borrow()),
    }
}
