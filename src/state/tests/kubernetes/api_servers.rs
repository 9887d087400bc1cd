//! The addresses of API servers, and what becomes of everything else where they cannot be read.

use egret_core::model::{
    ApiServerReading, ClusterStatus, Condition, ConditionType, PoolName, Snapshot, Timestamp,
};
use egret_ports::cluster_state::{ClusterState as _, Write};
use egret_state::KubernetesState;
use egret_state::kubernetes::{Connection, KubernetesOptions, WatchScope};
use serde_json::{Value, json};

use crate::fixture::{Store, until, within};
use crate::objects::put_cluster;

/// An API server writes its own address there; those of these tests are told not to.
fn slice(name: &str, addresses: &[&str]) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "default"},
        "addressType": "IPv4", "endpoints": [{"addresses": addresses}],
    })
}

fn is_read(snapshot: &Snapshot, addresses: &[&str]) -> bool {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    snapshot.discovered.api_servers == ApiServerReading::Read(addresses)
}

#[tokio::test]
async fn the_addresses_of_api_servers_are_those_of_one_endpoint_slice() {
    let store = Store::with_examples();
    let (state, agent) = (store.controller(), store.agent("node-1"));
    let missing = until(&state, |_| true).await;
    assert_eq!(missing.discovered.api_servers, ApiServerReading::Missing);
    store.apply(&slice("kubernetes", &["198.51.100.44", "198.51.100.45"]));
    store.apply(&slice("other", &["198.51.100.46"]));
    until(&state, |snapshot| is_read(snapshot, &["198.51.100.44", "198.51.100.45"])).await;
    store.apply(&slice("kubernetes", &["198.51.100.45"]));
    until(&state, |snapshot| is_read(snapshot, &["198.51.100.45"])).await;
    assert!(is_read(&state.read_consistent().await.unwrap(), &["198.51.100.45"]));
    store.kubectl(&["delete", "endpointslice", "kubernetes", "-n", "default"]);
    let gone = |snapshot: &Snapshot| snapshot.discovered.api_servers == ApiServerReading::Missing;
    until(&state, gone).await;
    let own = until(&agent, |_| true).await;
    assert_eq!(
        own.discovered.api_servers,
        ApiServerReading::NotAsked,
        "it is in the cluster object"
    );
}

/// A ServiceAccount `egret-system/ctl` that may read all that a controller must.
fn restricted(store: &Store) -> KubernetesState {
    let kinds = [
        "egresspools",
        "staticegressips",
        "clusterstaticegressips",
        "egressaddresses",
        "egressnodes",
        "egressclusters",
    ];
    let verbs = ["get", "list", "watch"];
    let subjects = json!([{"kind": "ServiceAccount", "name": "ctl", "namespace": "egret-system"}]);
    store.apply(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "ctl", "namespace": "egret-system"},
    }));
    store.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "ctl"},
        "rules": [
            {"apiGroups": ["egret.dev"], "resources": kinds, "verbs": verbs},
            {"apiGroups": [""], "resources": ["nodes", "namespaces", "services"], "verbs": verbs},
            {"apiGroups": ["networking.k8s.io"], "resources": ["servicecidrs"], "verbs": verbs},
        ],
    }));
    store.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "ctl"}, "subjects": subjects,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "ctl"},
    }));
    let token = store.server.service_account_token("egret-system", "ctl", None).unwrap();
    let kubeconfig = store.server.kubeconfig_of("ctl", &token).unwrap();
    let connection = Connection { kubeconfig: Some(kubeconfig), context: None };
    KubernetesState::open(KubernetesOptions::new(connection, WatchScope::Controller)).unwrap()
}

/// An upgrade by hand may leave the Role out, and a company may not let it in.
#[tokio::test]
async fn a_controller_that_may_not_read_them_reads_everything_else() {
    let store = Store::with_examples();
    store.apply(&slice("kubernetes", &["198.51.100.44"]));
    let state = restricted(&store);
    let refused = until(&state, |_| true).await;
    assert_eq!(refused.discovered.api_servers, ApiServerReading::NotAllowed);
    assert!(refused.pools.contains_key(&PoolName::new("partners")));
    let again = state.read_consistent().await.unwrap();
    assert_eq!(again.discovered.api_servers, ApiServerReading::NotAllowed);
    store.kubectl(&["delete", "egresspool", "partners"]);
    until(&state, |snapshot| snapshot.pools.is_empty()).await;
    // As the chart has it: one object, by its name. Rights that come are used within a minute.
    store.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "ctl", "namespace": "default"},
        "rules": [{
            "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"],
            "resourceNames": ["kubernetes"], "verbs": ["get", "list", "watch"],
        }],
    }));
    store.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "ctl", "namespace": "default"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ctl"},
        "subjects": [{"kind": "ServiceAccount", "name": "ctl", "namespace": "egret-system"}],
    }));
    let patience = std::time::Duration::from_secs(150);
    within(patience, &state, |snapshot| is_read(snapshot, &["198.51.100.44"])).await;
}

#[tokio::test]
async fn the_status_of_the_cluster_object_is_kept_apart_from_its_spec() {
    let store = Store::start();
    let state = store.controller();
    let condition = |message| {
        let (kind, now) = (ConditionType::ApiServersUnread, Timestamp(1_000));
        Condition::new(kind, true, "NotAllowed", message, now)
    };
    let status = |message| ClusterStatus { conditions: vec![condition(message)] };
    let write = |status| state.write(Write::ClusterStatus { status });
    assert!(write(status("one")).await.is_err(), "there is no such object");
    let made = state.write(put_cluster(None, 10)).await.unwrap();
    let version = write(status("one")).await.unwrap();
    assert_ne!(version, made);
    assert_eq!(write(status("one")).await.unwrap(), version, "nothing has changed");
    let read = until(&state, |snapshot| snapshot.cluster_status == status("one")).await;
    assert_eq!(read.cluster.as_ref().unwrap().version, version);
    state.write(put_cluster(Some(&version), 20)).await.unwrap();
    write(status("two")).await.unwrap();
    until(&state, |snapshot| snapshot.cluster_status == status("two")).await;
    write(ClusterStatus::default()).await.unwrap();
    until(&state, |snapshot| snapshot.cluster_status == ClusterStatus::default()).await;
}
