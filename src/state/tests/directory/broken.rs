//! Broken files are reported and cost nothing else.

use egret_core::model::NamespaceName;
use egret_state::manifest;

use super::fixture::{CLAIM, Fixture, POOL, bank, partners, pod, read, until};

#[tokio::test]
async fn a_broken_file_is_named_with_line_and_remedy_and_the_rest_goes_on() {
    let store = Fixture::new();
    store.put("pool.yaml", POOL);
    std::fs::create_dir(store.file("team")).unwrap();
    store.put("team/claim.yaml", &CLAIM.replace("podSelector", "podSelektor"));
    let snapshot = read(&store.open()).await;
    assert!(snapshot.pools.contains_key(&partners()));
    assert!(snapshot.claims.is_empty());
    let [broken] = &snapshot.invalid_objects[..] else { panic!("{:?}", snapshot.invalid_objects) };
    assert_eq!(broken.place, "team/claim.yaml:6");
    assert!(broken.message.starts_with("spec.podSelektor: there is no field podSelektor"));
    assert!(broken.message.contains("podSelector"), "{}", broken.message);
}

#[tokio::test]
async fn one_broken_document_costs_only_itself() {
    let store = Fixture::new();
    store.put("all.yaml", &format!("{POOL}---\nkind: [\n---\n{CLAIM}"));
    let snapshot = read(&store.open()).await;
    assert!(snapshot.pools.contains_key(&partners()));
    assert!(snapshot.claims.contains_key(&bank()));
    let [broken] = &snapshot.invalid_objects[..] else { panic!("{:?}", snapshot.invalid_objects) };
    assert!(["all.yaml:8", "all.yaml:9", "all.yaml:10"].contains(&&*broken.place), "{broken:?}");
}

#[tokio::test]
async fn what_a_file_held_stays_while_it_is_broken_also_for_a_process_that_starts() {
    let store = Fixture::new();
    store.put("pool.yaml", POOL);
    store.put("claim.yaml", CLAIM);
    store.put("pod.yaml", &pod("settle-1", "10.244.1.7"));
    let running = store.open();
    let before = until(&running, "the pod", |snapshot| !snapshot.pods.is_empty()).await;
    store.put("claim.yaml", "kind: {");
    store.put("pod.yaml", "kind: {");
    let during =
        until(&running, "two faults", |snapshot| snapshot.invalid_objects.len() == 2).await;
    assert_eq!((&during.claims, &during.pods), (&before.claims, &before.pods));
    let started = read(&store.open()).await;
    assert_eq!(started.claims, before.claims, "the record has the claim");
    assert_eq!(read(&running).await.claims, before.claims, "nobody removed the record");
    store.put("claim.yaml", CLAIM);
    let after = until(&running, "one fault", |snapshot| snapshot.invalid_objects.len() == 1).await;
    assert_eq!(after.claims, before.claims, "the same claim with the same uid");
}

#[tokio::test]
async fn an_emptied_file_deletes_nothing_and_a_removed_one_does() {
    let store = Fixture::new();
    store.put("pool.yaml", POOL);
    store.put("claim.yaml", CLAIM);
    let state = store.open();
    until(&state, "the claim", |snapshot| snapshot.claims.contains_key(&bank())).await;
    store.put("claim.yaml", "");
    let emptied = until(&state, "a fault", |snapshot| !snapshot.invalid_objects.is_empty()).await;
    assert!(emptied.claims.contains_key(&bank()));
    assert!(
        emptied.invalid_objects[0].message.contains("delete the file"),
        "{:?}",
        emptied.invalid_objects
    );
    store.remove("claim.yaml");
    let removed = until(&state, "no claim", |snapshot| snapshot.claims.is_empty()).await;
    assert!(removed.invalid_objects.is_empty());
}

#[tokio::test]
async fn a_document_that_is_gone_is_an_object_that_is_gone() {
    let store = Fixture::new();
    store.put("all.yaml", &format!("{POOL}---\n{CLAIM}"));
    let state = store.open();
    until(&state, "the claim", |snapshot| snapshot.claims.contains_key(&bank())).await;
    store.put("all.yaml", &format!("{POOL}---\n# no claim any more\n"));
    let after = until(&state, "no claim", |snapshot| snapshot.claims.is_empty()).await;
    assert!(after.pools.contains_key(&partners()) && after.invalid_objects.is_empty());
}

#[tokio::test]
async fn of_two_objects_of_one_name_the_first_file_counts() {
    let store = Fixture::new();
    store.put("b.yaml", &pod("settle-1", "10.244.1.8"));
    store.put("a.yaml", &format!("# first\n---\n{}", pod("settle-1", "10.244.1.7")));
    let snapshot = read(&store.open()).await;
    let pod = &snapshot.pods[&(NamespaceName::new("payments"), "settle-1".to_owned())];
    assert_eq!(pod.sources, ["10.244.1.7/32".parse().unwrap()].into());
    let [broken] = &snapshot.invalid_objects[..] else { panic!("{:?}", snapshot.invalid_objects) };
    assert_eq!(broken.place, "b.yaml:1");
    assert!(broken.message.contains("is in a.yaml:2 already"), "{}", broken.message);
}

#[tokio::test]
async fn an_unreadable_file_of_egret_is_reported_and_not_written_over() {
    use egret_ports::cluster_state::ClusterState as _;
    let store = Fixture::new();
    let state = store.open();
    state.write(super::fixture::plan("203.0.113.17", 1)).await.unwrap();
    let held = until(&state, "the address", |snapshot| !snapshot.addresses.is_empty()).await;
    let file = "egret.dev/egressaddresses/203.0.113.17.yaml";
    std::fs::write(store.file(file), "spec: {").unwrap();
    let damaged = until(&state, "a fault", |snapshot| !snapshot.invalid_objects.is_empty()).await;
    assert_eq!(damaged.addresses, held.addresses, "as it was last understood");
    assert_eq!(damaged.invalid_objects[0].place, file);
    let error = state.write(super::fixture::plan("203.0.113.17", 2)).await.unwrap_err();
    assert_eq!(error.class, egret_ports::error::ErrorClass::Invalid, "{error}");
    assert_eq!(std::fs::read_to_string(store.file(file)).unwrap(), "spec: {");
}

#[test]
fn check_walks_a_folder_and_names_every_fault() {
    let store = Fixture::new();
    store.put("good.yaml", POOL);
    store.put("bad.yaml", &POOL.replace("L2", "L3"));
    std::fs::create_dir(store.file("deep")).unwrap();
    store.put("deep/worse.json", "{");
    let broken = manifest::check(store.path());
    let places: Vec<String> = broken.into_iter().map(|broken| broken.place).collect();
    let name = |file: &str| store.file(file).display().to_string();
    assert_eq!(places.len(), 2, "{places:?}");
    assert_eq!(places[0], format!("{}:5", name("bad.yaml")));
    assert!(places[1].starts_with(&name("deep/worse.json")), "{places:?}");
    let missing = manifest::check(&store.file("none.yaml"));
    assert_eq!(missing[0].place, name("none.yaml"));
}
