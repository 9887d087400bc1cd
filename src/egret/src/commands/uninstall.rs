//! Removing Egret from a Kubernetes cluster, in the order that leaves nothing behind.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use egret_core::model::{NodeName, Snapshot};
use egret_ports::cluster_state::{ClusterState as _, Write};
use egret_ports::error::ErrorClass;
use egret_state::kubernetes::{KubernetesState, View};

use super::store::{Store, block_on};
use crate::Usage;
use crate::args::UninstallArgs;

pub(crate) fn run(args: &UninstallArgs) -> anyhow::Result<()> {
    let store = args.store.store();
    if let Store::Directory(_) = store {
        let text = "a directory of manifests has no installation: stop the processes, run `egret \
                    teardown` on every node and delete the directory";
        return Err(Usage(text.to_owned()).into());
    }
    let snapshot = store.read()?;
    tell(&snapshot);
    if !args.yes {
        return Err(Usage("nothing was changed; --yes removes Egret".to_owned()).into());
    }
    if snapshot.cluster.is_some() {
        mark(&store)?;
        wait_until_clean(&store, Duration::from_secs(args.wait))?;
    }
    block_on(async {
        let state = store.kubernetes(View::Reader)?;
        println!("stopping the controller");
        state.stop_controller().await?;
        delete(&state).await?;
        state.forget_cluster().await?;
        println!("nothing of Egret's is left but its pools, claims and definitions");
        Ok(())
    })
}

/// What the removal does to whom, before it is done.
fn tell(snapshot: &Snapshot) {
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

fn wait_until_clean(store: &Store, patience: Duration) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut told = BTreeSet::new();
    loop {
        let unclean = unclean(&store.read()?);
        if unclean.is_empty() {
            println!("every node's kernel is clean ({:.1} s)", begin.elapsed().as_secs_f64());
            return Ok(());
        }
        let names: Vec<&str> = unclean.iter().map(NodeName::as_str).collect();
        if begin.elapsed() > patience {
            println!(
                "going on without {}: run `egret teardown` there, or reboot",
                names.join(", ")
            );
            return Ok(());
        }
        if unclean != told {
            println!("waiting for {}", names.join(", "));
            told = unclean;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// The nodes that have not said that their kernel is clean.
fn unclean(snapshot: &Snapshot) -> BTreeSet<NodeName> {
    let nodes = snapshot.egress_nodes.values().map(|stored| &stored.value);
    nodes
        .filter(|node| {
            let mut conditions = node.status.conditions.iter();
            !conditions.any(|condition| condition.kind == "TornDown" && condition.status)
        })
        .map(|node| node.name.clone())
        .collect()
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
