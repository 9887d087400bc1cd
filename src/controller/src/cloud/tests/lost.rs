//! A term that ends in the middle of an attachment.

use std::collections::BTreeSet;

use egret_core::model::Attachment;
use egret_ports::provider::{Accepted, ByAddress, Observation, Provider};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::*;

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));
const LONG: Duration = Duration::from_secs(3600);

/// A cloud that answers an attachment when it is told to.
#[derive(Clone, Debug, Default)]
struct SlowCloud(Arc<SlowCalls>);

#[derive(Debug, Default)]
struct SlowCalls {
    begun: AtomicU32,
    /// Answered, or given up by the caller.
    ended: AtomicU32,
    answer: Notify,
}

struct OpenCall<'a>(&'a SlowCalls);

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl SlowCloud {
    fn begun(&self) -> u32 {
        self.0.begun.load(Ordering::Relaxed)
    }

    fn ended(&self) -> u32 {
        self.0.ended.load(Ordering::Relaxed)
    }
}

impl Provider for SlowCloud {
    async fn observe(
        &self,
        _: &BTreeSet<IpAddr>,
        _: &BTreeSet<NodeName>,
    ) -> Result<Observation, PortError> {
        Ok(Observation::default())
    }

    async fn attach(
        &self,
        addresses: &BTreeSet<IpAddr>,
        node: &NodeName,
    ) -> Result<ByAddress<Accepted>, PortError> {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        let _call = OpenCall(&self.0);
        self.0.answer.notified().await;
        let accepted = Accepted { attachment: Attachment::at(node.clone()), observed: true };
        Ok(addresses.iter().map(|address| (*address, Ok(accepted.clone()))).collect())
    }

    async fn await_attached(
        &self,
        _: &BTreeSet<IpAddr>,
        _: &NodeName,
    ) -> Result<ByAddress<Attachment>, PortError> {
        Ok(ByAddress::new())
    }

    async fn detach(&self, _: IpAddr, _: &NodeName) -> Result<(), PortError> {
        Ok(())
    }
}

impl Cloud for SlowCloud {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Aws
    }

    fn connect(&self, _: watch::Receiver<Arc<Inventory>>) -> BoxFuture<'_, Arc<dyn DynProvider>> {
        let provider: Arc<dyn DynProvider> = Arc::new(self.clone());
        Box::pin(async move { provider })
    }
}

/// A leader whose lease the test has in its hands, and which waits for an attachment.
struct WaitingLeader {
    lease: watch::Sender<Option<HeldLease>>,
    leadership: Leadership,
    state: Arc<DirectoryState>,
    cloud: SlowCloud,
    terms: CloudTerms,
    _directory: tempfile::TempDir,
}

impl WaitingLeader {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        DirectoryState::create(directory.path()).unwrap();
        std::fs::write(directory.path().join("pool.yaml"), POOL.replace("PROVIDER", "AWS"))
            .unwrap();
        let state = opened(directory.path()).await;
        hold(&state, (ProviderKind::Aws, "cloud", ADDRESS)).await;
        let (lease, receiver) = watch::channel(Some(HeldLease::of(1, Instant::now() + LONG)));
        let leadership = Leadership::of(receiver);
        let cloud = SlowCloud::default();
        let terms = begun(&leadership, &state, &cloud);
        let leader = Self { lease, leadership, state, cloud, terms, _directory: directory };
        until("the attachment is begun", || leader.cloud.begun() == 1).await;
        leader
    }

    async fn until_ended(&self) {
        let ended = || self.terms.terms.iter().all(|term| term.0.is_finished());
        until("the term's work has ended", ended).await;
    }
}

fn begun(leadership: &Leadership, state: &Arc<DirectoryState>, cloud: &SlowCloud) -> CloudTerms {
    let term = leadership.term().unwrap();
    let clouds = CloudSet::new([Arc::new(cloud.clone()) as _]).unwrap();
    CloudTerms::begin(&clouds, &context(state.clone(), term, Millis::from_secs(300)))
}

#[tokio::test]
async fn a_call_ends_with_the_lease_that_it_was_begun_with() {
    let leader = WaitingLeader::new().await;
    leader.lease.send_replace(None);
    until("the call is given up", || leader.cloud.ended() == 1).await;
    leader.until_ended().await;
}

#[tokio::test]
async fn a_lease_that_runs_out_ends_calls_without_a_word() {
    let leader = WaitingLeader::new().await;
    // As where a renewal hangs: nothing more is sent.
    leader.lease.send_replace(Some(HeldLease::of(1, Instant::now() + Duration::from_millis(50))));
    until("the call is given up", || leader.cloud.ended() == 1).await;
    leader.until_ended().await;
}

#[tokio::test]
async fn an_answer_that_comes_with_the_end_of_the_lease_is_not_written() {
    let leader = WaitingLeader::new().await;
    leader.lease.send_replace(None);
    leader.cloud.0.answer.notify_one();
    leader.until_ended().await;
    assert_eq!(leader.cloud.ended(), 1);
    let read = leader.state.read_consistent().await.unwrap();
    assert_eq!(read.addresses[&ADDRESS].value.status.attachment, None);
}

#[tokio::test]
async fn the_next_term_begins_the_attachment_anew() {
    let mut leader = WaitingLeader::new().await;
    // The lease has been another's for so short a time that nobody saw it.
    leader.lease.send_replace(Some(HeldLease::of(2, Instant::now() + LONG)));
    leader.until_ended().await;
    leader.terms = begun(&leader.leadership, &leader.state, &leader.cloud);
    until("it is begun again", || leader.cloud.begun() == 2).await;
    leader.cloud.0.answer.notify_one();
    let written = || attached_by_status(&leader.state, ADDRESS) == Some("node-1".into());
    until("and written down", written).await;
}

#[tokio::test]
async fn an_answer_for_who_holds_it_no_more_is_not_written() {
    let leader = WaitingLeader::new().await;
    let read = leader.state.read_consistent().await.unwrap();
    let stored = &read.addresses[&ADDRESS];
    let node = NodeName::from("node-2");
    let epoch = Epoch { counter: 2, node: node.clone() };
    let holding = Some(Holding { node, epoch });
    let status = AddressStatus { holding: holding.clone(), ..stored.value.status.clone() };
    let expect = Some(stored.version.clone());
    leader.state.write(Write::AddressStatus { address: ADDRESS, expect, status }).await.unwrap();
    let held_by =
        || leader.state.watch().borrow().clone()?.addresses[&ADDRESS].value.status.holding.clone();
    until("the new holder is read", || held_by() == holding).await;
    leader.cloud.0.answer.notify_one();
    until("the new holder gets it", || leader.cloud.begun() == 2).await;
    let read = leader.state.read_consistent().await.unwrap();
    assert_eq!(read.addresses[&ADDRESS].value.status.attachment, None);
}
