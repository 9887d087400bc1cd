use std::net::IpAddr;

use egret_core::model::{EgressAddress, NodeName, Snapshot, Timestamp};
use egret_ports::clock::Clock as _;
use egret_runtime::clock::SystemClock;

use super::store;
use crate::args::{StatusArgs, StoreArgs};
use crate::table::Table;

pub(crate) fn status(args: &StatusArgs) -> anyhow::Result<()> {
    let snapshot = store::read(&args.store.manifests)?;
    println!("{}", summary(&snapshot));
    if args.short {
        return Ok(());
    }
    addresses(&snapshot, SystemClock.now());
    claims(&snapshot);
    troubles(&snapshot);
    Ok(())
}

fn summary(snapshot: &Snapshot) -> String {
    let addresses = || snapshot.addresses.values().map(|stored| &stored.value);
    let held = addresses().filter(|address| address.status.holding.is_some()).count();
    let alone = addresses().filter(|address| address.plan.standbys.is_empty()).count();
    let voters = match snapshot.cluster.as_ref().and_then(|cluster| cluster.value.set.as_ref()) {
        None => "none yet".to_owned(),
        Some(set) => format!("{} (set {})", set.members.len(), set.number),
    };
    format!(
        "pools {}   addresses {held} held, {} pending, {alone} without a standby   voters {voters}",
        snapshot.pools.len(),
        snapshot.addresses.len() - held,
    )
}

fn addresses(snapshot: &Snapshot, now: Timestamp) {
    let mut table =
        Table::new(&["ADDRESS", "POOL", "CLAIM", "HOLDER", "STANDBYS", "SINCE", "READY"]);
    for stored in snapshot.addresses.values() {
        let EgressAddress { address, plan, status, .. } = &stored.value;
        let holder = status.holding.as_ref().map(|holding| holding.node.clone());
        let standbys: Vec<&str> = plan
            .owner
            .iter()
            .chain(&plan.standbys)
            .filter(|node| Some(*node) != holder.as_ref())
            .map(NodeName::as_str)
            .collect();
        table.row([
            address.to_string(),
            plan.pool.to_string(),
            plan.claim.to_string(),
            holder.as_ref().map_or("-".to_owned(), NodeName::to_string),
            if standbys.is_empty() { "-".to_owned() } else { standbys.join(",") },
            status.since.map_or("-".to_owned(), |since| age(since, now)),
            if holder.is_some() && status.probed { "True" } else { "False" }.to_owned(),
        ]);
    }
    if !table.is_empty() {
        println!();
        table.print();
    }
}

fn claims(snapshot: &Snapshot) {
    let mut table = Table::new(&["CLAIM", "POOL", "ADDRESSES", "GATEWAY", "READY", "MESSAGE"]);
    for stored in snapshot.claims.values() {
        let (claim, status) = &stored.value;
        let addresses: Vec<String> = status.addresses.iter().map(IpAddr::to_string).collect();
        let gateways: Vec<&str> = status.gateways.iter().map(NodeName::as_str).collect();
        let ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
        table.row([
            claim.reference.to_string(),
            claim.pool.to_string(),
            addresses.join(","),
            gateways.join(","),
            ready.map_or("-", |c| if c.status { "True" } else { "False" }).to_owned(),
            ready.filter(|c| !c.status).map_or(String::new(), |c| c.message.clone()),
        ]);
    }
    if !table.is_empty() {
        println!();
        table.print();
    }
}

/// What a person has to do something about.
fn troubles(snapshot: &Snapshot) {
    for broken in &snapshot.broken {
        println!("\n{}: {}", broken.place, broken.message);
    }
    for (name, node) in &snapshot.egress_nodes {
        for condition in node.value.status.conditions.iter().filter(|c| !c.status) {
            println!("\nnode {name}: {}: {}", condition.reason, condition.message);
        }
    }
}

pub(crate) fn events(args: &StoreArgs) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let mut table = Table::new(&["AGE", "TYPE", "REASON", "OBJECT", "FROM", "MESSAGE"]);
    for recorded in egret_state::events(&args.manifests)? {
        let event = recorded.event;
        table.row([
            age(event.at, now),
            if event.warning { "Warning" } else { "Normal" }.to_owned(),
            event.reason,
            event.about,
            event.source,
            event.message,
        ]);
    }
    table.print();
    Ok(())
}

fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.since(since).0 / 1000;
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
