//! What is kept over restarts, and what a person sees in the files.

use std::collections::BTreeSet;

use egret_core::model::{
    ClaimRef, ClaimStatus, NamespaceName, PoolName, PoolStatus, Snapshot, Uid,
};
use egret_ports::cluster_state::{ClusterState, Event, Write};
use egret_state::{DirectoryState, events, read_once};

use super::fixture::{CLAIM, Fixture, POOL, bank, partners, plan, read, until};

#[tokio::test]
async fn a_restart_keeps_everything() {
    let store = Fixture::new();
    store.put("all.yaml", &format!("{POOL}---\n{CLAIM}"));
    let before = {
        let state = store.open();
        read(&state).await;
        state.write(plan("203.0.113.17", 1)).await.unwrap();
        state.write(plan("2001:db8:5::11", 2)).await.unwrap();
        let status = ClaimStatus { observed_generation: 1, ..ClaimStatus::default() };
        state.write(Write::ClaimStatus { claim: bank(), status }).await.unwrap();
        assert_eq!(state.draw_fences(10).await.unwrap(), 1);
        read(&state).await
    };
    let state = store.open();
    assert_eq!(*read(&state).await, *before);
    assert_eq!(state.draw_fences(1).await.unwrap(), 11);
    DirectoryState::create(store.path()).unwrap();
    assert_eq!(state.draw_fences(1).await.unwrap(), 12, "making it again begins nothing anew");
}

/// The ranges of the pool `partners`, as text.
fn ranges(snapshot: &Snapshot) -> Vec<String> {
    let pool = &snapshot.pools[&partners()].value.0;
    pool.ranges.iter().map(|range| format!("{}-{}", range.first(), range.last())).collect()
}

#[tokio::test]
async fn what_was_found_by_tag_is_the_pools_from_then_on() {
    let store = Fixture::new();
    let tags = "provider: AWS\n  aws: {elasticIPTags: {egret.dev/pool: public}}";
    let tagged = POOL.replace("provider: L2", tags);
    assert_ne!(tagged, POOL);
    store.put("pool.yaml", &tagged);
    let state = store.open();
    let listed = ranges(&*read(&state).await);
    assert!(!listed.is_empty());
    // Outside its ranges, inside, and the network address of one that was written as a CIDR.
    let found = ["198.51.100.7", "203.0.113.17", "203.0.113.16"].map(|text| text.parse().unwrap());
    let status = PoolStatus { addresses: found.into(), ..PoolStatus::default() };
    let write = |status| Write::PoolStatus { pool: partners(), status };
    state.write(write(status.clone())).await.unwrap();
    let all = [&listed[..], &["198.51.100.7-198.51.100.7".to_owned()]].concat();
    for state in [&state, &store.open()] {
        let snapshot = read(state).await;
        assert_eq!(ranges(&snapshot), all, "each address once");
        let (pool, seen) = &snapshot.pools[&partners()].value;
        assert_eq!((seen, pool.generation), (&status, 1));
        assert!(!pool.reserved.contains(&found[2]), "it is an address, whatever a CIDR says");
    }
    assert_eq!(ranges(&read_once(store.path()).unwrap()), all);
    state.write(write(PoolStatus::default())).await.unwrap();
    assert_eq!(ranges(&*read(&state).await), listed, "what is found no more goes");
    // Without tags nothing is found, whatever an old status says.
    state.write(write(status)).await.unwrap();
    store.put("pool.yaml", POOL);
    assert_eq!(ranges(&*read(&state).await), listed);
}

#[tokio::test]
async fn a_name_as_long_as_names_can_be_has_a_file() {
    let store = Fixture::new();
    let part = "a".repeat(60);
    let long = |end: &str| format!("{}.{end}", [part.as_str(); 4].join("."));
    let names = [long("bbbbbbbbb"), long("bbbbbbbbc"), long("b"), "a".repeat(60)];
    assert_eq!(names[0].len(), 253, "the longest that Kubernetes takes");
    let namespace = "n".repeat(63);
    let claim = |name: &String| {
        let metadata = format!("{{name: {name}, namespace: {namespace}}}");
        CLAIM.replace("{name: bank, namespace: payments}", &metadata)
    };
    let pool = POOL.replace("name: partners", &format!("name: {}", names[0]));
    let all: Vec<String> = names.iter().map(claim).chain([pool]).collect();
    store.put("all.yaml", &all.join("---\n"));
    let state = store.open();
    let before = read(&state).await;
    assert_eq!((before.claims.len(), before.pools.len()), (4, 1));
    for (generation, name) in (1..).zip(&names) {
        let claim =
            ClaimRef { namespace: Some(NamespaceName::new(&namespace)), name: name.clone() };
        let status = ClaimStatus { observed_generation: generation, ..ClaimStatus::default() };
        state.write(Write::ClaimStatus { claim, status }).await.unwrap();
    }
    let status = PoolStatus::default();
    state.write(Write::PoolStatus { pool: PoolName::new(&names[0]), status }).await.unwrap();
    let after = read(&store.open()).await;
    let seen = after.claims.values().map(|stored| stored.value.1.observed_generation);
    assert_eq!(seen.collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3, 4]), "each its own");
}

#[tokio::test]
async fn generation_and_uid_are_those_of_an_api_server() {
    let store = Fixture::new();
    store.put("all.yaml", &format!("{POOL}---\n{CLAIM}"));
    let (one, other) = (store.open(), store.open());
    let made = read(&one).await.claims[&bank()].clone();
    assert_eq!(made.value.0.generation, 1);
    assert_ne!(made.value.0.uid, Uid::new(""));
    assert_eq!(read(&other).await.claims[&bank()], made, "one uid for all processes");
    store.put("all.yaml", &format!("# a comment is no change\n{POOL}---\n{CLAIM}"));
    assert_eq!(read(&other).await.claims[&bank()], made);
    store.put("claim.yaml", &CLAIM.replace("podSelector: {}", "serviceName: settle"));
    store.put("all.yaml", POOL);
    let edited = read(&other).await.claims[&bank()].value.0.clone();
    assert_eq!((edited.generation, &edited.uid), (2, &made.value.0.uid), "the same claim");
    assert_eq!(edited.created, made.value.0.created);
    store.remove("claim.yaml");
    until(&one, "it goes", |snapshot| snapshot.claims.is_empty()).await;
    store.put("claim.yaml", CLAIM);
    let anew = read(&one).await.claims[&bank()].value.0.clone();
    assert_ne!(anew.uid, made.value.0.uid, "another claim of the same name");
    assert_eq!(anew.generation, 1);
}

/// People take no lock: a manifest may go while its record is being written.
#[tokio::test]
async fn what_goes_while_a_record_is_written_is_gone() {
    let store = Fixture::new();
    store.put("pool.yaml", POOL);
    let (one, other) = (store.open(), store.open());
    for round in 0..200 {
        let text = CLAIM.replace("podSelector: {}", &format!("serviceName: settle-{round}"));
        store.put("claim.yaml", &text);
        assert_eq!(read(&other).await.claims.len(), 1, "round {round}");
        store.remove("claim.yaml");
        read(&one).await;
    }
    for state in [&one, &other] {
        until(state, "it goes", |snapshot| snapshot.claims.is_empty()).await;
    }
    assert!(!store.file("egret.dev/staticegressips/payments/bank.yaml").exists());
}

/// A person's backup beside it: it is not fought over.
#[tokio::test]
async fn a_copy_of_a_record_makes_no_writes_without_end() {
    let store = Fixture::new();
    store.put("pool.yaml", POOL);
    let state = store.open();
    read(&state).await;
    let record = store.file("egret.dev/egresspools/partners.yaml");
    std::fs::copy(&record, store.file("egret.dev/egresspools/partners_old.yaml")).unwrap();
    read(&state).await;
    store.put("pool.yaml", &POOL.replace("provider: L2", "provider: L2\n  paused: true"));
    read(&state).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let written = std::fs::read_to_string(&record).unwrap();
    assert!(written.contains("paused: true"), "{written}");
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(std::fs::read_to_string(&record).unwrap(), written, "it is written for ever");
}

#[tokio::test]
async fn people_read_the_same_kinds_and_their_files_stay_theirs() {
    let store = Fixture::new();
    let text = format!("{POOL}---\n{CLAIM}");
    store.put("all.yaml", &text);
    let state = store.open();
    read(&state).await;
    state.write(plan("2001:db8:5::11", 7)).await.unwrap();
    let name = "egret.dev/egressaddresses/2001-0db8-0005-0000-0000-0000-0000-0011.yaml";
    let address = std::fs::read_to_string(store.file(name)).unwrap();
    for line in ["kind: EgressAddress", "address: 2001:db8:5::11", "fence: 7", "name: bank"] {
        assert!(address.contains(line), "{line} is not in:\n{address}");
    }
    let claim = "egret.dev/staticegressips/payments/bank.yaml";
    let claim = std::fs::read_to_string(store.file(claim)).unwrap();
    for line in ["kind: StaticEgressIP", "namespace: payments", "name: partners", "status:"] {
        assert!(claim.contains(line), "{line} is not in:\n{claim}");
    }
    assert_eq!(std::fs::read_to_string(store.file("all.yaml")).unwrap(), text);
}

#[tokio::test]
async fn reading_once_writes_nothing() {
    let store = Fixture::new();
    store.put("all.yaml", &format!("{POOL}---\n{CLAIM}"));
    let snapshot = read_once(store.path()).unwrap();
    assert!(snapshot.pools.contains_key(&partners()) && snapshot.claims.contains_key(&bank()));
    assert!(!store.file("egret.dev/staticegressips/payments").exists());
    read(&store.open()).await;
    assert_ne!(read_once(store.path()).unwrap().claims[&bank()].value.0.uid, Uid::new(""));
}

#[tokio::test]
async fn a_lost_counter_stops_writes_and_says_what_to_do() {
    let store = Fixture::new();
    let state = store.open();
    state.draw_fences(5).await.unwrap();
    std::fs::write(store.file("egret.dev/fences"), "").unwrap();
    let error = state.draw_fences(1).await.unwrap_err();
    assert_eq!(error.class, egret_ports::error::ErrorClass::Invalid);
    assert!(error.source.to_string().contains("write a number into it"), "{error}");
    std::fs::write(store.file("egret.dev/fences"), "100").unwrap();
    assert_eq!(state.draw_fences(1).await.unwrap(), 100);
}

#[tokio::test]
async fn equal_events_are_counted_together_and_the_file_is_bounded() {
    let store = Fixture::new();
    let state = store.open();
    let event = |about: &str, at| Event {
        about: about.into(),
        warning: true,
        reason: "HolderLost".to_owned(),
        message: "node-1 has been silent\nfor 0.51 s ".repeat(100),
        source: "node-3".to_owned(),
        at: egret_core::model::Timestamp(at),
    };
    for at in [1000, 3000, 2000] {
        state.event(event("EgressAddress 203.0.113.17", at)).await.unwrap();
    }
    let [recorded] = &events(store.path()).unwrap()[..] else { panic!("one event") };
    assert_eq!((recorded.count, recorded.first.0, recorded.event.at.0), (3, 1000, 3000));
    for at in 0..600 {
        state.event(event(&format!("EgressAddress {at}"), at)).await.unwrap();
    }
    let size = std::fs::metadata(store.file("egret.dev/events.jsonl")).unwrap().len();
    assert!(size < 600 << 10, "{size} bytes");
    let recorded = events(store.path()).unwrap();
    assert_eq!(
        recorded.last().unwrap().event.about.to_string(),
        "EgressAddress 599",
        "the newest stay"
    );
}

#[tokio::test]
async fn names_never_leave_the_store() {
    let store = Fixture::new();
    let state = store.open();
    for name in ["../../escaped", "/etc/escaped", "a/b", "", ".hidden", "A"] {
        let node = egret_core::model::NodeName::new(name);
        let error = state.write(Write::NodeStatus { node, status: Default::default() }).await;
        assert_eq!(error.unwrap_err().class, egret_ports::error::ErrorClass::Invalid, "{name}");
    }
}
