//! Removing Egret from a Kubernetes cluster, in the order that leaves nothing behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use egret_core::model::{
    Attachment, ClaimStatus, Condition, ConditionType, NodeName, Snapshot, Timestamp,
};
use egret_core::reason::Reason;
use egret_ports::clock::Clock as _;
use egret_ports::cluster_state::{ClusterState as _, Write};
use egret_ports::error::{ErrorClass, PortError};
use egret_runtime::clock::SystemClock;
use egret_state::kubernetes::{KubernetesState, WatchScope};

use super::store::{Store, block_on};
use crate::args::UninstallArgs;
use crate::error::UsageError;

pub(crate) fn run(args: &UninstallArgs) -> anyhow::Result<()> {
    let store = args.store.store()?;
    let Store::Kubernetes(api) = &store else {
        let text = "a directory of manifests has no installation: stop the processes, run `egret \
                    teardown` on every node and delete the directory";
        return Err(UsageError(text.to_owned()).into());
    };
    let snapshot = store.read()?;
    report_progress(&snapshot);
    if !args.yes {
        return Err(UsageError("nothing was changed; --yes removes Egret".to_owned()).into());
    }
    let mut unclean = BTreeSet::new();
    if snapshot.cluster.is_some() {
        mark(&store)?;
        unclean = wait_until_clean(&store, args)?;
    }
    block_on(async {
        let state = api.open(WatchScope::Reader)?;
        // While their objects are there: by those the next try finds them.
        for node in &unclean {
            println!("{}", left_for(node, state.leave_teardown(node).await));
        }
        println!("stopping the controller");
        state.stop_controller().await?;
        delete(&state).await?;
        say_unserved(&state).await?;
        state.forget_cluster().await?;
        println!("nothing of Egret's is left but its pools, claims and definitions");
        Ok(())
    })
}

/// What the removal does to whom, before it is done.
fn report_progress(snapshot: &Snapshot) {
    let addresses = snapshot.addresses.values().map(|stored| &stored.value);
    let used: Vec<String> = addresses
        .map(|address| format!("  {}   {}", address.address, address.plan.claim))
        .collect();
    if used.is_empty() {
        return println!("no egress address is in use");
    }
    println!("in use, and about to end with every connection that leaves with them:");
    println!("{}", used.join("\n"));
    println!("pods of these claims leave with their nodes' addresses afterwards");
}

/// Asks the agents to clean up; from here on nothing is planned.
fn mark(store: &Store) -> anyhow::Result<()> {
    store.change(|snapshot| {
        let stored = snapshot.cluster.as_ref().context("the EgressCluster object is gone")?;
        let mut cluster = stored.value.clone();
        cluster.uninstalling = true;
        Ok(Write::Cluster { expect: Some(stored.version.clone()), cluster })
    })
}

/// Returns the nodes that have not said that they are clean.
fn wait_until_clean(store: &Store, args: &UninstallArgs) -> anyhow::Result<BTreeSet<NodeName>> {
    let patience = Duration::from_secs(args.wait);
    let begin = Instant::now();
    let mut printed = BTreeSet::new();
    loop {
        let snapshot = store.read()?;
        let (unclean, attached) = (unclean(&snapshot), attached(&snapshot));
        if unclean.is_empty() && attached.is_empty() {
            println!("every node's kernel is clean ({:.1} s)", begin.elapsed().as_secs_f64());
            return Ok(unclean);
        }
        if begin.elapsed() > patience {
            give_up_on(&attached, args.leave_attached)?;
            return Ok(unclean);
        }
        let waiting: BTreeSet<String> =
            unclean.iter().map(NodeName::to_string).chain(attached.into_keys()).collect();
        if waiting != printed {
            println!("waiting for {}", join(&waiting));
            printed = waiting;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// Kernels can be cleaned afterwards; what a cloud still delivers is known here alone.
fn give_up_on(attached: &BTreeMap<String, String>, leave_attached: bool) -> anyhow::Result<()> {
    if !attached.is_empty() {
        let at = |(address, at): (&String, &String)| format!("  {address}   {at}");
        let list: Vec<String> = attached.iter().map(at).collect();
        let list = list.join("\n");
        anyhow::ensure!(
            leave_attached,
            "the cloud still has, and nobody would know of it afterwards:\n{list}\nlook at the \
             controller (does it run? kubectl describe egressaddress) and run the command again, \
             or go on with --leave-attached"
        );
        println!("left attached, as asked:\n{list}");
    }
    Ok(())
}

/// What becomes of a node that was away.
fn left_for(node: &NodeName, left: Result<Option<String>, PortError>) -> String {
    const BY_HAND: &str =
        "run `egret teardown` there: it keeps its guard, and a reboot alone does not lift it";
    match left {
        Ok(Some(job)) => {
            format!("going on without {node}: the Job {job} cleans it when it is back")
        }
        Ok(None) => format!(
            "going on without {node}, which the cluster has no more; should it come back, {BY_HAND}"
        ),
        Err(error) => format!("going on without {node}: {error}; {BY_HAND}"),
    }
}

fn join(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.join(", ")
}

/// What clouds have not taken back: each address with where something of it is.
fn attached(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let mut attached = BTreeMap::new();
    for (address, stored) in &snapshot.addresses {
        let status = &stored.value.status;
        let at = |at: &Attachment| match &at.interface {
            Some(interface) => format!("{} ({interface})", at.node),
            None => at.node.to_string(),
        };
        let places: BTreeSet<String> =
            status.attachment.iter().chain(&status.prepared).map(at).collect();
        if stored.value.plan.facts().cloud_places() && !places.is_empty() {
            attached.insert(address.to_string(), join(&places));
        }
    }
    attached
}

/// The nodes that have not said that their kernel is clean.
fn unclean(snapshot: &Snapshot) -> BTreeSet<NodeName> {
    let nodes = snapshot.egress_nodes.values().map(|stored| &stored.value);
    nodes
        .filter(|node| {
            let mut conditions = node.status.conditions.iter();
            !conditions
                .any(|condition| condition.kind == ConditionType::TornDown && condition.status)
        })
        .map(|node| node.name.clone())
        .collect()
}

/// The last word in the claims' statuses, since no controller corrects it.
async fn say_unserved(state: &KubernetesState) -> anyhow::Result<()> {
    let snapshot = state.read_consistent().await?;
    let now = SystemClock.now();
    for (claim, stored) in &snapshot.claims {
        let status = unserved(&stored.value.1, now);
        match state.write(Write::ClaimStatus { claim: claim.clone(), status }).await {
            // Deleted meanwhile.
            Err(error) if error.class == ErrorClass::NotFound => {}
            done => done.map(|_| ())?,
        }
    }
    Ok(())
}

/// A claim that keeps what it had, and of which nothing is in any kernel.
fn unserved(before: &ClaimStatus, now: Timestamp) -> ClaimStatus {
    const WHY: &str = "Egret was removed from the cluster, and pods leave with their nodes' addresses: install it again, or \
                       delete the claim";
    let condition = |condition: &Condition| match condition.kind {
        ConditionType::Programmed | ConditionType::Ready => Condition {
            observed_generation: condition.observed_generation,
            ..Condition::new(condition.kind.clone(), false, Reason::NotServed, WHY, now)
        },
        _ => condition.clone(),
    };
    ClaimStatus {
        gateways: Vec::new(),
        conditions: before.conditions.iter().map(condition).collect(),
        ..before.clone()
    }
}

/// Addresses and nodes with their finalizers. Nobody else writes any more.
async fn delete(state: &KubernetesState) -> anyhow::Result<()> {
    let snapshot = state.read_consistent().await?;
    let addresses = snapshot.addresses.iter().map(|(address, stored)| Write::DeleteAddress {
        address: *address,
        expect: Some(stored.version.clone()),
    });
    let nodes = snapshot.egress_nodes.iter().map(|(node, stored)| Write::DeleteNode {
        node: node.clone(),
        expect: Some(stored.version.clone()),
    });
    for write in addresses.chain(nodes) {
        match state.write(write).await {
            Err(error) if error.class == ErrorClass::Conflict => {
                anyhow::bail!("{error}: somebody still writes; run the command again")
            }
            done => done.map(|_| ())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_for_a_node_that_is_away_is_said() {
        let node = NodeName::from("worker-7");
        let refused = PortError::new(ErrorClass::Denied, "leave a Job for worker-7", "no right");
        let job = left_for(&node, Ok(Some("egret-teardown-worker-7".to_owned())));
        assert!(job.contains("the Job egret-teardown-worker-7"), "{job}");
        for left in [Ok(None), Err(refused)] {
            let said = left_for(&node, left);
            assert!(said.contains("worker-7") && said.contains("`egret teardown`"), "{said}");
        }
    }

    #[test]
    fn a_claim_says_that_nobody_serves_it_and_keeps_its_addresses() {
        let condition = |kind, generation| Condition {
            observed_generation: generation,
            ..Condition::new(kind, true, Reason::Ready, "all is well", Timestamp(1))
        };
        let before = ClaimStatus {
            addresses: vec!["203.0.113.17".parse().unwrap()],
            gateways: vec!["gateway-1".into()],
            conditions: vec![
                condition(ConditionType::Bound, 3),
                condition(ConditionType::Ready, 3),
            ],
            ..ClaimStatus::default()
        };
        let after = unserved(&before, Timestamp(2));
        assert_eq!((&after.addresses, after.gateways.len()), (&before.addresses, 0));
        let [bound, ready] = &after.conditions[..] else { panic!("{after:?}") };
        assert_eq!(bound, &before.conditions[0]);
        assert!(!ready.status && ready.observed_generation == 3, "{ready:?}");
        assert_eq!(ready.reason, "NotServed");
        assert!(ready.message.contains("install it again"), "{ready:?}");
    }
}
