//! A store that cannot be reached says so and deletes nothing.

use std::fs::File;
use std::path::Path;

use egret_ports::cluster_state::ClusterState;
use egret_ports::error::ErrorClass;
use egret_state::directory::MARKER;
use egret_state::{DirectoryState, read_once};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::fixture::{CLAIM, Fixture, POOL, plan, read, until, until_reachable};

async fn refuses_everything(state: &DirectoryState) {
    let error = state.read_consistent().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    let error = state.write(plan("203.0.113.18", 1)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    let error = state.draw_fences(1).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert!(state.lead("one", 10).await.is_err(), "who cannot reach the store does not lead");
}

#[tokio::test]
async fn a_hidden_marker_is_an_outage_and_nothing_is_deleted() {
    let store = Fixture::new();
    store.put("all.yaml", &format!("{POOL}---\n{CLAIM}"));
    let state = store.open();
    let before = until(&state, "the claim", |snapshot| !snapshot.claims.is_empty()).await;
    std::fs::rename(store.file(MARKER), store.file("hidden")).unwrap();
    store.remove("all.yaml");
    until_reachable(&state, false).await;
    refuses_everything(&state).await;
    assert!(read_once(store.path()).is_err());
    assert_eq!(state.watch().borrow().as_deref(), Some(&*before), "the last snapshot stays");
    std::fs::rename(store.file("hidden"), store.file(MARKER)).unwrap();
    until_reachable(&state, true).await;
    until(&state, "what happened meanwhile", |snapshot| snapshot.claims.is_empty()).await;
}

#[tokio::test]
async fn a_lock_that_is_not_had_in_a_second_is_an_outage() {
    let store = Fixture::new();
    let state = store.open();
    until(&state, "a first snapshot", |_| true).await;
    let marker = File::open(store.file(MARKER)).unwrap();
    marker.lock().unwrap();
    until_reachable(&state, false).await;
    refuses_everything(&state).await;
    marker.unlock().unwrap();
    until_reachable(&state, true).await;
    read(&state).await;
}

/// Who makes one write waits longer, and is told whom for.
#[tokio::test]
async fn a_lock_that_is_had_in_ten_seconds_is_none_for_a_command() {
    let store = Fixture::new();
    let marker = File::open(store.file(MARKER)).unwrap();
    marker.lock().unwrap();
    let state = DirectoryState::open_unwatched(store.path());
    let daemon = store.open();
    until_reachable(&daemon, false).await;
    let error = daemon.draw_fences(1).await.unwrap_err().to_string();
    let ours = format!("process {} (", std::process::id());
    assert!(error.contains(&ours) && error.ends_with("has kept its lock for 1 s"), "{error}");
    let drawn = tokio::spawn(async move { state.draw_fences(1).await });
    // It has given up twice by now.
    for _ in 0..2 {
        daemon.draw_fences(1).await.unwrap_err();
    }
    assert!(!drawn.is_finished());
    marker.unlock().unwrap();
    assert_eq!(drawn.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_store_may_be_made_after_it_was_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let state = DirectoryState::open(&path).unwrap();
    until_reachable(&state, false).await;
    assert!(state.watch().borrow().is_none(), "nothing is known");
    DirectoryState::create(&path).unwrap();
    until(&state, "a first snapshot", |_| true).await;
    until_reachable(&state, true).await;
}

#[tokio::test]
async fn a_directory_that_was_replaced_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aside) = (folder.path().join("store"), folder.path().join("aside"));
    DirectoryState::create(&path).unwrap();
    std::fs::write(path.join("pool.yaml"), POOL).unwrap();
    let state = DirectoryState::open(&path).unwrap();
    until(&state, "the pool", |snapshot| !snapshot.pools.is_empty()).await;
    std::fs::rename(&path, &aside).unwrap();
    until_reachable(&state, false).await;
    std::fs::rename(&aside, &path).unwrap();
    until_reachable(&state, true).await;
    std::fs::write(path.join("claim.yaml"), CLAIM).unwrap();
    until(&state, "the claim", |snapshot| !snapshot.claims.is_empty()).await;
}

/// The laboratory cuts a node off from the store by a mount over the directory, in the node's own
/// mount namespace.
#[test]
fn a_mount_over_the_directory_is_an_outage() {
    let store = Fixture::new();
    store.put("pool.yaml", POOL);
    // The namespace is this thread's, and of the threads that it starts from now on.
    unshare(CloneFlags::CLONE_NEWNS).unwrap_or_else(|error| {
        panic!("a mount namespace needs root ({error}): run the tests as root or in unshare -rm")
    });
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&Path>, "/", None::<&Path>, private, None::<&Path>).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let state = store.open();
        let before = until(&state, "the pool", |snapshot| !snapshot.pools.is_empty()).await;
        let empty = MsFlags::empty();
        mount(Some("none"), store.path(), Some("tmpfs"), empty, None::<&Path>).unwrap();
        until_reachable(&state, false).await;
        refuses_everything(&state).await;
        assert_eq!(state.watch().borrow().as_deref(), Some(&*before), "the last snapshot stays");
        assert!(std::fs::read_dir(store.path()).unwrap().next().is_none(), "nothing was written");
        umount2(store.path(), MntFlags::MNT_DETACH).unwrap();
        until_reachable(&state, true).await;
        store.put("claim.yaml", CLAIM);
        until(&state, "the claim", |snapshot| !snapshot.claims.is_empty()).await;
    });
}
