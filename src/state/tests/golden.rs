//! What a directory of manifests reads and writes, byte by byte.
//!
//! `golden/full` is a store with a file of every kind and every field set, `golden/bare` one with
//! no more than an object must have. Names of types and fields in the code may change; these files
//! may not. Where they must: `EGRET_UPDATE=1 cargo test -p egret-state --test golden`, and read
//! the diff. What differs in every store (versions, uids, times of creation) is masked: see
//! `golden/files.rs`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "golden/files.rs"]
mod files;
#[path = "golden/said.rs"]
mod said;
#[path = "golden/written.rs"]
mod written;

use egret_core::model::{NodeName, ResourceVersion};
use egret_ports::cluster_state::{ClusterState, Write};
use egret_state::{DirectoryState, read_once};

use files::{compare, compare_trees, own, store, unlike};

/// Both stores.
const STORES: [&str; 2] = ["full", "bare"];

/// A field that is read from elsewhere, or not at all, is missing in what is written after it.
#[tokio::test]
async fn all_that_is_read_is_written_again_as_it_was() {
    for name in STORES {
        let golden = store(name);
        let snapshot = read_once(golden.path()).unwrap();
        assert_eq!(snapshot.invalid_objects, [], "{name}");
        let fresh = files::manifests_of(name);
        let state = DirectoryState::open(fresh.path()).unwrap();
        state.read_consistent().await.unwrap();
        written::everything(&state, &snapshot).await;
        written::events(&state, golden.path()).await;
        compare_trees(name, &own(fresh.path()));
        let again = read_once(fresh.path()).unwrap();
        assert_eq!(again.invalid_objects, [], "{name}");
    }
}

/// What people wrote (pods, nodes, ...) is never written by Egret, so it is said here.
#[test]
fn all_that_is_read_is_understood_as_it_was() {
    for name in STORES {
        let golden = store(name);
        let said = said::everything(&read_once(golden.path()).unwrap());
        compare(&format!("{name}.txt"), &said);
    }
}

#[test]
fn a_new_store_is_made_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    DirectoryState::create(folder.path()).unwrap();
    compare("created.txt", &files::listing(folder.path()));
}

/// The lease of the leader is read, renewed, given up and taken.
#[tokio::test]
async fn the_leader_is_written_as_it_was() {
    let golden = store("full");
    let state = DirectoryState::open_unwatched(golden.path());
    let lease = || files::masked_lease(golden.path());
    assert!(!lead(&state, "node-2/controller", 15).await, "it is of another");
    assert!(lead(&state, "node-1/controller", 20).await, "it is ours");
    let mut said = format!("renewed:\n{}", lease());
    assert!(!lead(&state, "node-1/controller", 0).await);
    said += &format!("given up:\n{}", lease());
    assert!(lead(&state, "node-2/controller", 15).await);
    said += &format!("taken:\n{}", lease());
    std::fs::remove_file(golden.path().join("egret.dev/leader.yaml")).unwrap();
    assert!(lead(&state, "node-3/controller", 15).await);
    said += &format!("made:\n{}", lease());
    compare("leader.txt", &said);
}

async fn lead(state: &DirectoryState, who: &str, seconds: u32) -> bool {
    state.lead(who, seconds).await.unwrap()
}

#[tokio::test]
async fn fences_are_drawn_as_they_were() {
    let golden = store("full");
    let state = DirectoryState::open(golden.path()).unwrap();
    assert_eq!(state.draw_fences(3).await.unwrap(), 41);
    let fences = std::fs::read_to_string(golden.path().join("egret.dev/fences")).unwrap();
    assert_eq!(fences, "44\n");
}

/// What is removed is gone, what is a person's is refused, and all else stays as it was.
#[tokio::test]
async fn removals_and_refusals_are_as_they_were() {
    let golden = store("full");
    let before = own(golden.path());
    let state = DirectoryState::open(golden.path()).unwrap();
    let expect = || Some(ResourceVersion("0000000000000001".to_owned()));
    let node = NodeName::from("node-1");
    let address = "203.0.113.17".parse().unwrap();
    let mut said = String::new();
    for write in [
        Write::AdmitPods { node: node.clone() },
        Write::DeleteAddress { address, expect: Some(ResourceVersion("another".to_owned())) },
    ] {
        said += &format!("{}\n", state.write(write).await.unwrap_err());
    }
    state.write(Write::DeleteAddress { address, expect: expect() }).await.unwrap();
    state.write(Write::DeleteNode { node, expect: expect() }).await.unwrap();
    let gone = unlike(&before, &own(golden.path()));
    said += &format!("gone: {}\n", gone.join(", "));
    compare("removed.txt", &said);
}
