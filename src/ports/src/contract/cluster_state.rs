//! What every [`ClusterState`] must do.
//!
//! Each function takes two clients of one store that holds the pool `partners`, the claim
//! `payments/bank` and none of Egret's own objects, and panics where the contract is broken.
#![expect(clippy::expect_used, reason = "a contract suite fails by panicking")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use egret_core::model::{
    AddressPlan, AddressStatus, BlockGrant, ClaimRef, ClaimStatus, Cluster, Condition,
    ConditionType, EgressNodeSpec, EgressNodeStatus, Epoch, Holding, Millis, NamespaceName,
    NodeName, PoolName, PoolStatus, PortRange, ResourceVersion, Snapshot, Timestamp, Uid,
};
use tokio::sync::watch;

use super::objects::bare_plan;
use crate::cluster_state::{ClusterState, Event, Write};
use crate::error::{ErrorClass, PortError};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 17));
/// Longer than any change needs to be seen; only a broken implementation waits for its end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs everything, each part on a fresh store.
pub async fn all<S: ClusterState>(mut fresh: impl AsyncFnMut() -> (S, S)) {
    macro_rules! run {
        ($($part:ident),* $(,)?) => {$({
            let (one, other) = fresh().await;
            $part(&one, &other).await;
        })*};
    }
    run!(
        snapshot_is_complete,
        addresses_compare_and_swap,
        versions_never_repeat,
        writes_are_idempotent,
        plan_and_status_are_kept_apart,
        node_status_never_conflicts,
        an_agent_and_the_leader_say_different_things_of_a_node,
        statuses_need_their_object,
        every_write_is_read_back,
        no_update_is_lost,
        fences_never_repeat,
        one_leads,
        changes_are_watched,
        events_are_taken,
    );
}

/// The first snapshot holds every kind, and both clients read the same.
pub async fn snapshot_is_complete<S: ClusterState>(one: &S, other: &S) {
    let snapshot = until(&mut one.watch(), |_| true).await;
    assert!(snapshot.pools.contains_key(&pool()), "the pool is in the first snapshot");
    assert!(snapshot.claims.contains_key(&claim()), "the claim is in the first snapshot");
    assert_eq!(read(one).await, read(other).await, "two clients read the same");
    until_true(&mut one.reachable()).await;
}

/// A write names the version that it was decided from, or changes nothing.
pub async fn addresses_compare_and_swap<S: ClusterState>(one: &S, other: &S) {
    let first = one.write(put(None, plan(1))).await.expect("an address is created");
    refused(other.write(put(None, plan(2))).await, "created twice");
    let second = other.write(put(Some(&first), plan(2))).await.expect("the version fits");
    assert_ne!(first, second, "a change is a new version");
    refused(one.write(put(Some(&first), plan(3))).await, "a stale version");
    refused(one.write(delete(Some(&first))).await, "deleted by a stale version");
    refused(one.write(delete(None)).await, "deleted without a version");
    let stored = read(one).await.addresses[&ADDRESS].clone();
    assert_eq!(stored.version, second, "a refused write changes no version");
    assert_eq!(stored.value.plan, plan(2), "a refused write changes nothing");
    one.write(delete(Some(&second))).await.expect("the version fits");
    assert!(!read(other).await.addresses.contains_key(&ADDRESS), "it is gone");
    one.write(delete(Some(&second))).await.expect("gone already is success");
    refused(one.write(put(Some(&second), plan(3))).await, "a version of a deleted object");
}

/// No version is seen twice, whatever is deleted and made anew.
pub async fn versions_never_repeat<S: ClusterState>(one: &S, other: &S) {
    let mut seen: BTreeSet<ResourceVersion> = BTreeSet::new();
    for round in 0..5 {
        let writer = if round % 2 == 0 { one } else { other };
        let made = writer.write(put(None, plan(round))).await.expect("it is created");
        let changed = writer.write(put(Some(&made), plan(round + 100))).await.expect("it fits");
        writer.write(delete(Some(&changed))).await.expect("it is deleted");
        assert!(seen.insert(made) && seen.insert(changed), "a version came back");
    }
}

/// Writing what is there changes no version, for every kind of write.
pub async fn writes_are_idempotent<S: ClusterState>(one: &S, other: &S) {
    let made = one.write(put(None, plan(1))).await.expect("created");
    assert_eq!(other.write(put(Some(&made), plan(1))).await.expect("the same plan"), made);
    let status = one.write(status(Some(&made), held())).await.expect("a status");
    assert_eq!(other.write(self::status(Some(&status), held())).await.expect("again"), status);
    let spec = one.write(node_spec(None, vec![grant(1)])).await.expect("created");
    let again = other.write(node_spec(Some(&spec), vec![grant(1)])).await;
    assert_eq!(again.expect("the same spec"), spec);
    let cluster = one.write(put_cluster(None)).await.expect("created");
    assert_eq!(other.write(put_cluster(Some(&cluster))).await.expect("the same"), cluster);
    let writes = [
        node_status(7),
        Write::PoolStatus { pool: pool(), status: pool_status() },
        Write::ClaimStatus { claim: claim(), status: claim_status() },
    ];
    for write in writes {
        let first = one.write(write.clone()).await.expect("written");
        assert_eq!(other.write(write).await.expect("written again"), first);
    }
}

/// A plan leaves the status as it is, and a status the plan.
pub async fn plan_and_status_are_kept_apart<S: ClusterState>(one: &S, other: &S) {
    let made = one.write(put(None, plan(1))).await.expect("created");
    let held_at = other.write(status(Some(&made), held())).await.expect("a status");
    refused(one.write(put(Some(&made), plan(2))).await, "a plan from before the status");
    one.write(put(Some(&held_at), plan(2))).await.expect("the version fits");
    let stored = read(other).await.addresses[&ADDRESS].value.clone();
    assert_eq!((stored.plan, stored.status), (plan(2), held()));
}

/// An agent's status creates its object, and no spec of the controller stands in its way.
pub async fn node_status_never_conflicts<S: ClusterState>(one: &S, other: &S) {
    one.write(node_status(1)).await.expect("the status creates the object");
    refused(other.write(node_spec(None, Vec::new())).await, "created twice");
    let version = read(other).await.egress_nodes[&node()].version.clone();
    other.write(node_spec(Some(&version), vec![grant(1)])).await.expect("the version fits");
    one.write(node_status(2)).await.expect("a status after another's spec");
    let stored = read(other).await.egress_nodes[&node()].value.clone();
    assert_eq!(stored.spec.blocks, [grant(1)], "the status leaves the spec as it is");
    assert_eq!(stored.status.acknowledged_set, 2);
}

/// What the leader says of an agent stays whatever the agent writes, and goes when the leader takes it back.
pub async fn an_agent_and_the_leader_say_different_things_of_a_node<S: ClusterState>(
    agent: &S,
    leader: &S,
) {
    let away = Condition::new(ConditionType::AgentAbsent, true, "AgentNotHeard", "", Timestamp(1));
    let write = |condition| Write::AgentAbsent { node: node(), condition };
    let nobody =
        leader.write(write(Some(away.clone()))).await.expect_err("no agent has been there");
    assert_eq!(nobody.class, ErrorClass::NotFound, "{nobody}");
    agent.write(node_status(1)).await.expect("the status creates the object");
    leader.write(write(Some(away.clone()))).await.expect("said");
    agent.write(node_status(2)).await.expect("the agent goes on");
    let status = read(leader).await.egress_nodes[&node()].value.status.clone();
    assert_eq!((status.acknowledged_set, status.agent_absent()), (2, Some(&away)));
    leader.write(write(None)).await.expect("taken back");
    let status = read(agent).await.egress_nodes[&node()].value.status.clone();
    assert_eq!((status.acknowledged_set, status.agent_absent()), (2, None));
}

/// A status of nothing is refused.
pub async fn statuses_need_their_object<S: ClusterState>(one: &S, _other: &S) {
    let nobody = ClaimRef { namespace: None, name: "nobody".to_owned() };
    let writes = [
        status(None, held()),
        status(Some(&ResourceVersion("1".to_owned())), held()),
        Write::PoolStatus { pool: PoolName::new("nobody"), status: pool_status() },
        Write::ClaimStatus { claim: nobody, status: claim_status() },
    ];
    for write in writes {
        let error = one.write(write).await.expect_err("there is no such object");
        assert_eq!(error.class, ErrorClass::NotFound, "{error}");
    }
}

/// Every field of every kind comes back as it was written.
pub async fn every_write_is_read_back<S: ClusterState>(one: &S, other: &S) {
    one.write(put_cluster(None)).await.expect("created");
    one.write(Write::PoolStatus { pool: pool(), status: pool_status() }).await.expect("written");
    let claimed = Write::ClaimStatus { claim: claim(), status: claim_status() };
    one.write(claimed).await.expect("written");
    let made = one.write(put(None, plan(9))).await.expect("created");
    one.write(status(Some(&made), held())).await.expect("written");
    let snapshot = read(other).await;
    assert_eq!(snapshot.cluster.as_ref().map(|stored| &stored.value), Some(&cluster()));
    assert_eq!(snapshot.pools[&pool()].value.1, pool_status());
    assert_eq!(snapshot.claims[&claim()].value.1, claim_status());
    let address = &snapshot.addresses[&ADDRESS].value;
    assert_eq!((&address.plan, &address.status), (&plan(9), &held()));
}

/// Two writers that read, change and write until they succeed lose nothing of each other.
pub async fn no_update_is_lost<S: ClusterState>(one: &S, other: &S) {
    const EACH: u64 = 20;
    one.write(node_spec(None, Vec::new())).await.expect("created");
    tokio::join!(add_grants(one, 0..EACH), add_grants(other, EACH..2 * EACH));
    let mut epochs: Vec<u64> = read(one).await.egress_nodes[&node()]
        .value
        .spec
        .blocks
        .iter()
        .map(|block| block.epoch)
        .collect();
    epochs.sort_unstable();
    assert_eq!(epochs, (0..2 * EACH).collect::<Vec<_>>());
}

async fn add_grants<S: ClusterState>(writer: &S, epochs: std::ops::Range<u64>) {
    for epoch in epochs {
        loop {
            let stored = read(writer).await.egress_nodes[&node()].clone();
            let mut blocks = stored.value.spec.blocks;
            blocks.push(grant(epoch));
            match writer.write(node_spec(Some(&stored.version), blocks)).await {
                Ok(_) => break,
                Err(error) => assert_eq!(error.class, ErrorClass::Conflict, "{error}"),
            }
        }
    }
}

/// No fence is drawn twice, whoever draws and whatever is deleted.
pub async fn fences_never_repeat<S: ClusterState>(one: &S, other: &S) {
    let mut drawn: BTreeSet<u64> = BTreeSet::new();
    for round in 0..10 {
        let (first, second) = tokio::join!(one.draw_fences(3), other.draw_fences(2));
        let (first, second) = (first.expect("drawn"), second.expect("drawn"));
        for fence in (first..first + 3).chain(second..second + 2) {
            assert!(drawn.insert(fence), "fence {fence} was drawn twice");
        }
        let made = one.write(put(None, plan(round))).await.expect("created");
        one.write(delete(Some(&made))).await.expect("deleted");
    }
    let error = one.draw_fences(0).await.expect_err("no fence at all");
    assert_eq!(error.class, ErrorClass::Invalid, "{error}");
}

/// One leads; another takes over when the lease has run out, or at once where it was given up.
pub async fn one_leads<S: ClusterState>(one: &S, other: &S) {
    assert!(one.lead("one", 1).await.expect("reachable"), "nobody led");
    assert!(!other.lead("other", 1).await.expect("reachable"), "one leads");
    assert!(one.lead("one", 1).await.expect("reachable"), "a renewal");
    let taken = async {
        while !other.lead("other", 3600).await.expect("reachable") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("a lease that is not renewed runs out");
    assert!(!one.lead("one", 1).await.expect("reachable"), "one was silent and has lost it");
    assert!(!other.lead("other", 0).await.expect("reachable"), "given up");
    assert!(one.lead("one", 1).await.expect("reachable"), "free at once");
}

/// Each client sees what the other writes.
pub async fn changes_are_watched<S: ClusterState>(one: &S, other: &S) {
    let mut seen = other.watch();
    let made = one.write(put(None, plan(1))).await.expect("created");
    until(&mut seen, |snapshot| {
        snapshot.addresses.get(&ADDRESS).is_some_and(|stored| stored.version == made)
    })
    .await;
    one.write(delete(Some(&made))).await.expect("deleted");
    until(&mut seen, |snapshot| snapshot.addresses.is_empty()).await;
    let mut own = one.watch();
    one.write(node_status(1)).await.expect("written");
    until(&mut own, |snapshot| snapshot.egress_nodes.contains_key(&node())).await;
}

/// Events are taken, equal ones too.
pub async fn events_are_taken<S: ClusterState>(one: &S, other: &S) {
    for writer in [one, other, one] {
        let event = Event {
            about: "EgressAddress 203.0.113.17".into(),
            warning: true,
            reason: "HolderLost".to_owned(),
            message: "node-1 has been silent for 0.51 s".to_owned(),
            source: "node-3".to_owned(),
            at: Timestamp(1_700_000_000_000),
        };
        writer.event(event).await.expect("taken");
    }
}

async fn read<S: ClusterState>(store: &S) -> Arc<Snapshot> {
    store.read_consistent().await.expect("the store is reachable")
}

async fn until(
    watched: &mut watch::Receiver<Option<Arc<Snapshot>>>,
    wanted: impl Fn(&Snapshot) -> bool,
) -> Arc<Snapshot> {
    let seen = watched.wait_for(|snapshot| snapshot.as_deref().is_some_and(&wanted));
    let seen = tokio::time::timeout(PATIENCE, seen).await.expect("the change is seen");
    let snapshot = seen.expect("the store lives").clone();
    snapshot.expect("wait_for saw a snapshot")
}

async fn until_true(watched: &mut watch::Receiver<bool>) {
    let seen = tokio::time::timeout(PATIENCE, watched.wait_for(|reachable| *reachable)).await;
    seen.expect("the store is reachable").expect("the store lives");
}

fn refused(result: Result<ResourceVersion, PortError>, what: &str) {
    match result {
        Ok(version) => panic!("{what}: written as version {version}"),
        Err(error) => assert_eq!(error.class, ErrorClass::Conflict, "{what}: {error}"),
    }
}

fn pool() -> PoolName {
    PoolName::new("partners")
}

fn claim() -> ClaimRef {
    ClaimRef { namespace: Some(NamespaceName::new("payments")), name: "bank".to_owned() }
}

fn node() -> NodeName {
    NodeName::new("node-3")
}

fn holding() -> Holding {
    Holding { node: node(), epoch: Epoch { counter: 7, node: node() } }
}

fn plan(fence: u64) -> AddressPlan {
    AddressPlan {
        claim_uid: Uid::new("0b5b1f0e-8f63-4f2b-9d3c-0f6f5a3f2a11"),
        owner: Some(node()),
        standbys: vec![NodeName::new("node-5"), NodeName::new("node-1")],
        made_for: Some(holding()),
        preferred_node: Some(node()),
        paused: fence.is_multiple_of(2),
        ..bare_plan(claim(), fence)
    }
}

fn held() -> AddressStatus {
    AddressStatus {
        holding: Some(holding()),
        since: Some(Timestamp(1_700_000_000_123)),
        probed: true,
        ..AddressStatus::default()
    }
}

fn put(expect: Option<&ResourceVersion>, plan: AddressPlan) -> Write {
    Write::AddressPlan { address: ADDRESS, expect: expect.cloned(), plan }
}

fn status(expect: Option<&ResourceVersion>, status: AddressStatus) -> Write {
    Write::AddressStatus { address: ADDRESS, expect: expect.cloned(), status }
}

fn delete(expect: Option<&ResourceVersion>) -> Write {
    Write::DeleteAddress { address: ADDRESS, expect: expect.cloned() }
}

fn grant(epoch: u64) -> BlockGrant {
    BlockGrant {
        address: ADDRESS,
        ports: PortRange::new(1024, 2047).expect("in order"),
        epoch,
        ended: None,
        quarantined_since: None,
    }
}

fn node_spec(expect: Option<&ResourceVersion>, blocks: Vec<BlockGrant>) -> Write {
    let spec = EgressNodeSpec { blocks, ..EgressNodeSpec::default() };
    Write::NodeSpec { node: node(), expect: expect.cloned(), spec }
}

fn node_status(acknowledged_set: u64) -> Write {
    let status = EgressNodeStatus { acknowledged_set, ..EgressNodeStatus::default() };
    Write::NodeStatus { node: node(), status }
}

fn cluster() -> Cluster {
    Cluster {
        id: "3f2a11".to_owned(),
        set: None,
        t_max: Millis::from_secs(10),
        ranges: Default::default(),
        uninstalling: false,
    }
}

fn put_cluster(expect: Option<&ResourceVersion>) -> Write {
    Write::Cluster { expect: expect.cloned(), cluster: cluster() }
}

fn pool_status() -> PoolStatus {
    PoolStatus { observed_generation: 1, ..PoolStatus::default() }
}

fn claim_status() -> ClaimStatus {
    ClaimStatus {
        observed_generation: 1,
        addresses: vec![ADDRESS],
        gateways: vec![node()],
        selected: Vec::new(),
        conditions: Vec::new(),
    }
}
