use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use egret_core::model::{AddressPlan, AddressStatus, ClaimRef, Epoch, Holding, NodeName};
use egret_ports::contract::objects::bare_plan;
use egret_ports::provider::BoxFuture;
use egret_runtime::clock::SystemClock;
use egret_state::DirectoryState;

use super::*;
use crate::leadership::{HeldLease, Leadership};

mod lost;
mod several;

/// A cloud that counts how often it was asked for a provider, and is never done making one.
#[derive(Debug, Default)]
struct Unreachable {
    asked: AtomicU32,
}

impl Cloud for Unreachable {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Aws
    }

    fn connect(&self, _: watch::Receiver<Arc<Inventory>>) -> BoxFuture<'_, Arc<dyn DynProvider>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
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

/// The leader of a store in `directory`, once it has read a pool there.
async fn leader(
    directory: &std::path::Path,
    interval: Millis,
) -> (Arc<CloudContext<DirectoryState, SystemClock>>, tokio::task::JoinHandle<()>) {
    let state = opened(directory).await;
    let (mut leadership, election) = Leadership::begin(state.clone(), "first".to_owned());
    let term = loop {
        match leadership.term() {
            Some(term) => break term,
            None => leadership.changed().await,
        }
    };
    (context(state, term, interval), election)
}

/// The store in `directory`, once a pool there was read.
async fn opened(directory: &std::path::Path) -> Arc<DirectoryState> {
    let state = Arc::new(DirectoryState::open(directory).unwrap());
    let mut snapshots = state.watch();
    let read = |snapshot: &Option<Arc<Snapshot>>| {
        snapshot.as_ref().is_some_and(|snapshot| !snapshot.pools.is_empty())
    };
    snapshots.wait_for(read).await.unwrap();
    state
}

fn context(
    state: Arc<DirectoryState>,
    term: LeaderTerm,
    interval: Millis,
) -> Arc<CloudContext<DirectoryState, SystemClock>> {
    let (clock, metrics) = (Arc::new(SystemClock), CloudMetrics::default());
    Arc::new(CloudContext { state, clock, term, interval, metrics })
}

/// Waits for something, not for ever.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), wait).await;
    assert!(in_time.is_ok(), "never: {what}");
}

/// Writes an address of `kind` that `node-1` holds.
async fn hold(state: &DirectoryState, (kind, pool, address): (ProviderKind, &str, IpAddr)) {
    let node = NodeName::from("node-1");
    let claim = ClaimRef { namespace: None, name: pool.to_owned() };
    let plan = AddressPlan {
        pool: pool.to_lowercase().as_str().into(),
        provider: kind,
        owner: Some(node.clone()),
        lease: Millis::from_secs(2),
        ..bare_plan(claim, 1)
    };
    let version = state.write(Write::AddressPlan { address, expect: None, plan }).await.unwrap();
    let epoch = Epoch { counter: 1, node: node.clone() };
    let holding = Some(Holding { node, epoch });
    let status = AddressStatus { holding, ..AddressStatus::default() };
    let write = Write::AddressStatus { address, expect: Some(version), status };
    state.write(write).await.unwrap();
}

fn attached_by_status(state: &DirectoryState, address: IpAddr) -> Option<NodeName> {
    let snapshot = state.watch().borrow().clone()?;
    let stored = snapshot.addresses.get(&address)?;
    stored.value.status.attachment.as_ref().map(|at| at.node.clone())
}

/// What the leader of a store with one pool of `provider` asks the cloud for, once a plan could be
/// made.
async fn asked(provider: &str) -> u32 {
    let directory = tempfile::tempdir().unwrap();
    DirectoryState::create(directory.path()).unwrap();
    let pool = POOL.replace("PROVIDER", provider);
    std::fs::write(directory.path().join("pool.yaml"), pool).unwrap();
    let (context, _election) = leader(directory.path(), Millis::from_secs(300)).await;
    let cloud = Arc::new(Unreachable::default());
    let mut terms = CloudTerms::begin(&CloudSet::new([cloud.clone() as _]).unwrap(), &context);
    while terms.states().is_none() {
        terms.changed().await;
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

#[tokio::test]
async fn without_a_cloud_a_plan_waits_for_none() {
    let directory = tempfile::tempdir().unwrap();
    DirectoryState::create(directory.path()).unwrap();
    std::fs::write(directory.path().join("pool.yaml"), POOL.replace("PROVIDER", "L2")).unwrap();
    let (context, _election) = leader(directory.path(), Millis::from_secs(300)).await;
    let mut terms = CloudTerms::begin(&CloudSet::default(), &context);
    assert_eq!(terms.states(), Some(CloudStates::new()));
}
