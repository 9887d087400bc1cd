//! Draining a node and taking it back.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::membership::departure::{DrainReason, drain_reason};
use egret_core::model::{NodeName, Snapshot};
use egret_core::placement::EligibleGateways;
use egret_core::planner::manual;
use egret_ports::cluster_state::Write;
use egret_ports::error::ErrorClass;

use super::store::Store;
use crate::args::NodeArgs;
use crate::error::UsageError;

pub(crate) fn drain(args: &NodeArgs) -> anyhow::Result<()> {
    let store = args.store.store()?;
    let node = name(args);
    set_drain(&store, &node, true)?;
    let why = DrainReason::ByHand;
    println!("{node} {why}: {}", why.consequence());
    hand_over(&store, &node)?;
    if args.wait > 0 {
        wait_until_empty(&store, &node, args.wait)?;
    }
    Ok(())
}

pub(crate) fn uncordon(args: &NodeArgs) -> anyhow::Result<()> {
    let node = name(args);
    let store = args.store.store()?;
    set_drain(&store, &node, false)?;
    match drain_reason(&store.read()?, &node) {
        None => println!("{node} is taken back: it may hold addresses again"),
        Some(why) => {
            println!("{node} is drained no longer, but it {why}: {}", why.consequence());
        }
    }
    Ok(())
}

fn name(args: &NodeArgs) -> NodeName {
    NodeName::from(args.node.strip_prefix("node/").unwrap_or(&args.node))
}

fn set_drain(store: &Store, node: &NodeName, drain: bool) -> anyhow::Result<()> {
    store.change(|snapshot| {
        let stored = snapshot.egress_nodes.get(node).ok_or_else(|| unknown_node(node, snapshot))?;
        let mut spec = stored.value.spec.clone();
        spec.drain = drain;
        Ok(Write::NodeSpec { node: node.clone(), expect: Some(stored.version.clone()), spec })
    })
}

/// What the controller does too, where one runs: who writes first is all the same.
fn hand_over(store: &Store, node: &NodeName) -> anyhow::Result<()> {
    let (snapshot, clouds) = (store.read()?, BTreeMap::new());
    let gateways = EligibleGateways::new(&snapshot, &clouds);
    for (address, stored) in &snapshot.addresses {
        let Some(plan) = manual::move_away(&gateways, &stored.value, node) else { continue };
        let expect = Some(stored.version.clone());
        match store.write(Write::AddressPlan { address: *address, expect, plan })? {
            Err(error) if error.class != ErrorClass::Conflict => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn unknown_node(node: &NodeName, snapshot: &Snapshot) -> UsageError {
    let known: Vec<&str> = snapshot.egress_nodes.keys().map(NodeName::as_str).collect();
    UsageError(format!("no agent has run on node {node}; known nodes: {}", known.join(", ")))
}

fn wait_until_empty(store: &Store, node: &NodeName, seconds: u64) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut printed = Vec::new();
    while begin.elapsed() < Duration::from_secs(seconds) {
        let held = manual::held_by(&store.read()?, node);
        if held.is_empty() {
            println!("{node} holds nothing now ({:.1} s)", begin.elapsed().as_secs_f64());
            return Ok(());
        }
        if held != printed {
            let names: Vec<String> = held.iter().map(IpAddr::to_string).collect();
            println!("waiting for {}", names.join(", "));
            printed = held;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!(
        "{node} still holds addresses after {seconds} s: is another gateway of the pool there \
         (`egret what-if {node}`)? In Google Cloud a drain waits up to a minute for one that is being \
         made ready (`egret status`)"
    )
}
