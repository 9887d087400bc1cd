use std::sync::atomic::{AtomicU32, Ordering};

use egret_runtime::clock::SystemClock;
use egret_state::DirectoryState;

use super::*;

/// A cloud that counts how often it was asked for a provider, and is never done making one.
#[derive(Debug, Default)]
struct Unreachable {
    asked: AtomicU32,
}

impl Cloud for Unreachable {
    type Provider = NoProvider;

    fn kind(&self) -> ProviderKind {
        ProviderKind::Aws
    }

    async fn connect(&self, _: watch::Receiver<Arc<Inventory>>) -> NoProvider {
        self.asked.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    }
}

const POOL: &str = "\
apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {name: cloud}
spec:
  provider: PROVIDER
  addresses: [198.51.100.7]
  gateways: {nodeSelector: {}}
";

/// What the leader of a store with one pool of `provider` asks the cloud for, once a plan could be
/// made.
async fn asked(provider: &str) -> u32 {
    let directory = tempfile::tempdir().unwrap();
    DirectoryState::create(directory.path()).unwrap();
    let pool = POOL.replace("PROVIDER", provider);
    std::fs::write(directory.path().join("pool.yaml"), pool).unwrap();
    let state = Arc::new(DirectoryState::open(directory.path()).unwrap());
    let (mut leadership, _election) = Leadership::begin(state.clone(), "first".to_owned());
    while !leadership.is_ours() {
        leadership.changed().await;
    }
    let mut snapshots = state.watch();
    let read = |snapshot: &Option<Arc<Snapshot>>| {
        snapshot.as_ref().is_some_and(|snapshot| !snapshot.pools.is_empty())
    };
    snapshots.wait_for(read).await.unwrap();
    let cloud = Arc::new(Unreachable::default());
    let settings = (Millis::from_secs(300), CloudMeasures::default());
    let clock = Arc::new(SystemClock);
    let mut term = Term::begin(cloud.clone(), state, clock, leadership, settings);
    while term.fabric().is_none() {
        term.changed().await;
    }
    // The task that has told goes on to the provider before it waits again.
    tokio::task::yield_now().await;
    cloud.asked.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_cloud_that_cannot_be_reached_delays_no_plan() {
    assert_eq!(asked("AWS").await, 1, "and is asked for a provider once");
}

#[tokio::test]
async fn no_provider_is_made_where_no_pool_is_of_the_cloud() {
    assert_eq!(asked("L2").await, 0);
}
