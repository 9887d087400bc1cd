//! A file that is removed and written again holds the same objects.

use std::io::Write as _;

use super::fixture::{CLAIM, Fixture, POOL, bank, partners, pod, read, until};

/// As `git checkout` and rsync do it: unlink, create, write.
#[tokio::test]
async fn pools_and_claims_outlive_their_file_for_a_moment() {
    let store = Fixture::new();
    store.put("pool.yaml", POOL);
    store.put("claim.yaml", CLAIM);
    let state = store.open();
    let before = read(&state).await;
    assert_eq!((before.pools.len(), before.claims.len()), (1, 1));
    for (file, text) in [("pool.yaml", POOL), ("claim.yaml", CLAIM)] {
        store.remove(file);
        let during = read(&state).await;
        assert_eq!((&during.pools, &during.claims), (&before.pools, &before.claims), "{file}");
        let mut written = std::fs::File::create(store.file(file)).unwrap();
        let during = read(&state).await;
        assert_eq!(
            (&during.pools, &during.claims),
            (&before.pools, &before.claims),
            "{file}: empty"
        );
        written.write_all(text.as_bytes()).unwrap();
        drop(written);
        let after = until(&state, "the file", |snapshot| snapshot.invalid_objects.is_empty()).await;
        assert_eq!(
            (&after.pools, &after.claims),
            (&before.pools, &before.claims),
            "{file}: written"
        );
    }
    // Another process starts while the file is away: it cannot know since when.
    store.remove("claim.yaml");
    assert_eq!(read(&store.open()).await.claims, before.claims);
    store.put("elsewhere.yaml", CLAIM);
    let moved = read(&state).await;
    let uid = |snapshot: &egret_core::model::Snapshot| snapshot.claims[&bank()].value.0.uid.clone();
    assert_eq!((uid(&moved), moved.invalid_objects.len()), (uid(&before), 0));
}

#[tokio::test]
async fn what_is_removed_goes_pods_at_once_and_claims_after_a_moment() {
    let store = Fixture::new();
    store.put("pool.yaml", POOL);
    store.put("claim.yaml", CLAIM);
    store.put("pod.yaml", &pod("settle-1", "10.244.1.7"));
    let state = store.open();
    assert_eq!(read(&state).await.pods.len(), 1);
    for file in ["pool.yaml", "claim.yaml", "pod.yaml"] {
        store.remove(file);
    }
    let during = read(&state).await;
    assert_eq!((during.pods.len(), during.claims.len(), during.pools.len()), (0, 1, 1));
    let after = until(&state, "they go", |snapshot| {
        snapshot.claims.is_empty() && snapshot.pools.is_empty()
    });
    assert!(!after.await.pools.contains_key(&partners()));
    // Written again after that, it is another object.
    store.put("claim.yaml", CLAIM);
    let again = read(&state).await.claims[&bank()].value.0.uid.clone();
    let known = during.claims[&bank()].value.0.uid.clone();
    assert_ne!(again, known);
}
