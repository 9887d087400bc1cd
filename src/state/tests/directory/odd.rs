//! One odd part of an object costs only that part, and an upgrade that has become stricter costs
//! nothing that is in use.

use egret_core::model::{NamespaceName, NodeName, RangeReading};

use super::fixture::{CLAIM, Fixture, POOL, bank, partners, read, until};

fn node(addresses: &[&str], range: &str) -> String {
    let entry = |address| format!("{{type: ExternalIP, address: {address}}}");
    let addresses: Vec<String> = addresses.iter().map(entry).collect();
    let listed = addresses.join(", ");
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: node-1}}\n\
         spec: {{podCIDRs: [10.244.1.0/24, '{range}']}}\nstatus: {{addresses: [{listed}]}}\n"
    )
}

#[tokio::test]
async fn odd_addresses_of_a_node_are_passed_over_and_named() {
    let store = Fixture::new();
    let odd = ["''", "node-1.example", "fe80::1%eth0", "10.0.0.011", "192.0.2.1"];
    store.put("node.yaml", &node(&odd, "fd00:1::/64"));
    let snapshot = read(&store.open()).await;
    let node = &snapshot.nodes[&NodeName::new("node-1")];
    assert_eq!(node.addresses, ["10.0.0.11", "192.0.2.1"].map(|it| it.parse().unwrap()).into());
    assert!(node.pod_cidrs_reading == RangeReading::Read && node.pod_cidrs.len() == 2);
    let told: Vec<&str> = snapshot.invalid_objects.iter().map(|it| &*it.message).collect();
    let fields = [0, 1, 2].map(|index| format!("status.addresses[{index}].address: "));
    assert_eq!(told.len(), fields.len(), "{told:?}");
    assert!(told.iter().zip(&fields).all(|(told, field)| told.starts_with(field)), "{told:?}");
}

#[tokio::test]
async fn an_odd_address_of_a_pod_is_passed_over() {
    let store = Fixture::new();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: settle-1, namespace: payments}\n\
               spec: {nodeName: node-1}\n\
               status: {podIP: '<nil>', podIPs: [{ip: 10.244.1.7}, {ip: '<nil>'}, {ip: null}]}\n";
    store.put("pod.yaml", pod);
    let snapshot = read(&store.open()).await;
    let pod = &snapshot.pods[&(NamespaceName::new("payments"), "settle-1".to_owned())];
    assert_eq!(pod.sources, ["10.244.1.7/32".parse().unwrap()].into());
    assert_eq!(snapshot.invalid_objects.len(), 2, "{:?}", snapshot.invalid_objects);
}

#[tokio::test]
async fn ranges_that_became_unreadable_stay_as_they_were() {
    let store = Fixture::new();
    store.put("node.yaml", &node(&["192.0.2.1"], "x"));
    let state = store.open();
    let name = NodeName::new("node-1");
    let never = read(&state).await;
    assert_eq!(never.nodes[&name].pod_cidrs_reading, RangeReading::Unread);
    store.put("node.yaml", &node(&["192.0.2.1"], "fd00:1::/64"));
    let good = until(&state, "no fault", |snapshot| snapshot.invalid_objects.is_empty()).await;
    store.put("node.yaml", &node(&["192.0.2.2"], "fd00:2::/644"));
    let kept = until(&state, "the fault", |snapshot| !snapshot.invalid_objects.is_empty()).await;
    let node = &kept.nodes[&name];
    assert_eq!(node.pod_cidrs, good.nodes[&name].pod_cidrs);
    assert_eq!(node.pod_cidrs_reading, RangeReading::Kept);
    assert_eq!(node.addresses, ["192.0.2.2".parse().unwrap()].into());
}

/// What older versions took is written by no new manifest, and no record of it is lost.
#[tokio::test]
async fn what_was_recorded_by_an_older_version_stays_in_force_and_is_reported() {
    let store = Fixture::new();
    store.put("pool.yaml", POOL);
    store.put("claim.yaml", &format!("{CLAIM}  destinations: [{{cidr: 198.51.100.0/24}}]\n"));
    let before = read(&store.open()).await;
    let (range, destination) = ("203.0.113.16/29", "198.51.100.0/24");
    // In another folder, of which no process before knows what it held.
    let older = Fixture::new();
    let rewrite = |path: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(store.file(path)).unwrap();
        assert!(text.contains(from), "{text}");
        let path = older.file(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.replace(from, to)).unwrap();
    };
    let zeros = ("203.000.113.016/29", "198.051.100.000/24");
    // A manifest that cannot be understood changes no record of it.
    rewrite("pool.yaml", range, zeros.0);
    rewrite("claim.yaml", destination, zeros.1);
    rewrite("egret.dev/egresspools/partners.yaml", range, zeros.0);
    rewrite("egret.dev/staticegressips/payments/bank.yaml", destination, zeros.1);
    let after = read(&older.open()).await;
    let spec = |snapshot: &egret_core::model::Snapshot| {
        let pool = snapshot.pools[&partners()].value.0.clone();
        (pool, snapshot.claims[&bank()].value.0.clone())
    };
    assert_eq!(spec(&after), spec(&before));
    let told: Vec<&str> = after.invalid_objects.iter().map(|it| &*it.place).collect();
    assert_eq!(told.len(), 2, "{:?}", after.invalid_objects);
    assert!(told.iter().all(|place| !place.starts_with("egret.dev/")), "{told:?}");
}
