use egret_ports::cluster_state::ClusterState as _;
use egret_ports::contract::cluster_state;

use crate::fixture::Store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kubernetes_api_keeps_the_contract() {
    let store = Store::start();
    cluster_state::all(async || {
        store.wipe().await;
        store.examples();
        let clients = (store.controller(), store.controller());
        clients.0.read_consistent().await.unwrap();
        clients
    })
    .await;
}
