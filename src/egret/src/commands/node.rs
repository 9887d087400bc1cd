//! Commands that ask for a planned move.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use egret_core::model::{NodeName, Snapshot};
use egret_ports::cluster_state::Write;

use super::store;
use crate::Usage;
use crate::args::{MoveArgs, NodeArgs};

pub(crate) fn drain(args: &NodeArgs) -> anyhow::Result<()> {
    set_drain(args, true)?;
    println!("{} is drained: what it holds moves, and it is given nothing new", args.node);
    if args.wait > 0 {
        wait_until_empty(&args.store.manifests, &args.node.as_str().into(), args.wait)?;
    }
    Ok(())
}

pub(crate) fn uncordon(args: &NodeArgs) -> anyhow::Result<()> {
    set_drain(args, false)?;
    println!("{} is taken back: it may hold addresses again", args.node);
    Ok(())
}

fn set_drain(args: &NodeArgs, drain: bool) -> anyhow::Result<()> {
    store::change(&args.store.manifests, |snapshot| {
        let name = NodeName::from(args.node.as_str());
        let stored = snapshot.egress_nodes.get(&name).ok_or_else(|| unknown(&name, snapshot))?;
        let mut spec = stored.value.spec.clone();
        spec.drain = drain;
        Ok(Write::NodeSpec { node: name, expect: Some(stored.version.clone()), spec })
    })
}

pub(crate) fn move_address(args: &MoveArgs) -> anyhow::Result<()> {
    store::change(&args.store.manifests, |snapshot| {
        let to = NodeName::from(args.to.as_str());
        let stored = snapshot.addresses.get(&args.address).ok_or_else(|| {
            Usage(format!("{} is not in use; `egret status` lists those that are", args.address))
        })?;
        if !snapshot.egress_nodes.contains_key(&to) {
            return Err(unknown(&to, snapshot).into());
        }
        let mut plan = stored.value.plan.clone();
        plan.preferred_node = Some(to);
        let expect = Some(stored.version.clone());
        Ok(Write::AddressPlan { address: args.address, expect, plan })
    })?;
    println!("{} moves to {} as soon as it can", args.address, args.to);
    Ok(())
}

fn unknown(node: &NodeName, snapshot: &Snapshot) -> Usage {
    let known: Vec<&str> = snapshot.egress_nodes.keys().map(NodeName::as_str).collect();
    Usage(format!("no agent has run on node {node}; known nodes: {}", known.join(", ")))
}

fn wait_until_empty(directory: &Path, node: &NodeName, seconds: u64) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut told = Vec::new();
    while begin.elapsed() < Duration::from_secs(seconds) {
        let held = held_by(&store::read(directory)?, node);
        if held.is_empty() {
            println!("{node} holds nothing now ({:.1} s)", begin.elapsed().as_secs_f64());
            return Ok(());
        }
        if held != told {
            let names: Vec<String> = held.iter().map(IpAddr::to_string).collect();
            println!("waiting for {}", names.join(", "));
            told = held;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!(
        "{node} still holds addresses after {seconds} s: is another gateway of the pool there \
         (`egret what-if {node}`)?"
    )
}

fn held_by(snapshot: &Snapshot, node: &NodeName) -> Vec<IpAddr> {
    snapshot
        .addresses
        .iter()
        .filter(|(_, stored)| {
            stored.value.status.holding.as_ref().is_some_and(|holding| holding.node == *node)
        })
        .map(|(address, _)| *address)
        .collect()
}
