//! The directory keeps the contract of every store.

use std::path::Path;

use egret_ports::cluster_state::ClusterState as _;
use egret_ports::contract::cluster_state;
use egret_state::DirectoryState;

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_directory_keeps_the_contract() {
    let mut folders = Vec::new();
    cluster_state::all(async || {
        let folder = tempfile::tempdir().unwrap();
        DirectoryState::create(folder.path()).unwrap();
        for name in ["1-namespace.yaml", "2-pool.yaml", "3-claim.yaml"] {
            std::fs::write(folder.path().join(name), example(name)).unwrap();
        }
        let clients = (
            DirectoryState::open(folder.path()).unwrap(),
            DirectoryState::open(folder.path()).unwrap(),
        );
        // The store holds a pool once a process has recorded it.
        clients.0.read_consistent().await.unwrap();
        folders.push(folder);
        clients
    })
    .await;
}
