//! What is so: pools, addresses, claims, voters.

use std::net::IpAddr;
use std::time::Duration;

use egret_core::membership::departure::drain_reason;
use egret_core::model::{
    ClaimRef, ConditionType, EgressAddress, InvalidObject, NodeName, PoolName, Snapshot, Timestamp,
};
use egret_ports::clock::Clock as _;
use egret_runtime::clock::SystemClock;
use serde::Serialize;

use super::output;
use super::store::Store;
use crate::args::{StatusArgs, StoreArgs};
use crate::table::Table;

/// Everything that `egret status` says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    pools: usize,
    paused_pools: Vec<PoolName>,
    held: usize,
    pending: usize,
    without_standby: usize,
    voter_set: Option<u64>,
    voters: usize,
    addresses: Vec<AddressAnswer>,
    claims: Vec<ClaimAnswer>,
    troubles: Vec<InvalidObject>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AddressAnswer {
    address: IpAddr,
    pool: PoolName,
    claim: ClaimRef,
    holder: Option<NodeName>,
    standbys: Vec<NodeName>,
    since: Option<Timestamp>,
    ready: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClaimAnswer {
    claim: ClaimRef,
    pool: PoolName,
    addresses: Vec<IpAddr>,
    gateways: Vec<NodeName>,
    ready: Option<bool>,
    message: String,
}

impl Answer {
    fn of(snapshot: &Snapshot) -> Self {
        let addresses: Vec<AddressAnswer> =
            snapshot.addresses.values().map(|stored| AddressAnswer::of(&stored.value)).collect();
        let held = addresses.iter().filter(|address| address.holder.is_some()).count();
        let set = snapshot.cluster.as_ref().and_then(|cluster| cluster.value.set.as_ref());
        let pools = snapshot.pools.values().map(|stored| &stored.value.0);
        Self {
            pools: snapshot.pools.len(),
            paused_pools: pools.filter(|pool| pool.paused).map(|pool| pool.name.clone()).collect(),
            held,
            pending: addresses.len() - held,
            without_standby: addresses.iter().filter(|a| a.standbys.is_empty()).count(),
            voter_set: set.map(|set| set.number),
            voters: set.map_or(0, |set| set.members.len()),
            addresses,
            claims: claims(snapshot),
            troubles: troubles(snapshot),
        }
    }

    fn summary(&self) -> String {
        let voters = match self.voter_set {
            None => "none yet".to_owned(),
            Some(number) => format!("{} (set {number})", self.voters),
        };
        let paused: Vec<&str> = self.paused_pools.iter().map(PoolName::as_str).collect();
        let paused = match paused.is_empty() {
            true => String::new(),
            false => format!("   PAUSED {}", paused.join(", ")),
        };
        format!(
            "pools {}   addresses {} held, {} pending, {} without a standby   voters {voters}{paused}",
            self.pools, self.held, self.pending, self.without_standby
        )
    }
}

impl AddressAnswer {
    fn of(address: &EgressAddress) -> Self {
        let EgressAddress { address, plan, status, .. } = address;
        let holder = status.holding.as_ref().map(|holding| holding.node.clone());
        let others = plan.owner.iter().chain(&plan.standbys);
        let standbys = others.filter(|node| Some(*node) != holder.as_ref()).cloned().collect();
        Self {
            address: *address,
            pool: plan.pool.clone(),
            claim: plan.claim.clone(),
            ready: holder.is_some() && status.probed,
            holder,
            standbys,
            since: status.since,
        }
    }
}

fn claims(snapshot: &Snapshot) -> Vec<ClaimAnswer> {
    let answer = |(claim, status): &(egret_core::model::Claim, egret_core::model::ClaimStatus)| {
        let ready =
            status.conditions.iter().find(|condition| condition.kind == ConditionType::Ready);
        ClaimAnswer {
            claim: claim.reference.clone(),
            pool: claim.pool.clone(),
            addresses: status.addresses.clone(),
            gateways: status.gateways.clone(),
            ready: ready.map(|condition| condition.status),
            message: ready.filter(|c| !c.status).map_or(String::new(), |c| c.message.clone()),
        }
    };
    snapshot.claims.values().map(|stored| answer(&stored.value)).collect()
}

/// What a person has to do something about.
fn troubles(snapshot: &Snapshot) -> Vec<InvalidObject> {
    let mut troubles = snapshot.invalid_objects.clone();
    for (name, node) in &snapshot.egress_nodes {
        if let Some(why) = drain_reason(snapshot, name) {
            let message = format!("it {why}: what it holds moves, and it is given nothing new");
            troubles.push(InvalidObject { place: format!("node {name}"), message });
        }
        let conditions = node.value.status.conditions.iter();
        let bad = conditions
            .filter(|condition| condition.status == (condition.kind != ConditionType::Ready));
        troubles.extend(bad.map(|condition| InvalidObject {
            place: format!("node {name}"),
            message: format!("{}: {}", condition.reason, condition.message),
        }));
    }
    troubles
}

pub(crate) fn status(args: &StatusArgs) -> anyhow::Result<()> {
    let answer = Answer::of(&args.store.store()?.read()?);
    output::print(args.output, &answer, |answer| {
        println!("{}", answer.summary());
        if !args.short {
            show(answer, SystemClock.now());
        }
    })
}

fn show(answer: &Answer, now: Timestamp) {
    let dash = || "-".to_owned();
    let mut table =
        Table::new(&["ADDRESS", "POOL", "CLAIM", "HOLDER", "STANDBYS", "SINCE", "READY"]);
    for address in &answer.addresses {
        let standbys: Vec<&str> = address.standbys.iter().map(NodeName::as_str).collect();
        table.row([
            address.address.to_string(),
            address.pool.to_string(),
            address.claim.to_string(),
            address.holder.as_ref().map_or_else(dash, NodeName::to_string),
            if standbys.is_empty() { dash() } else { standbys.join(",") },
            address.since.map_or_else(dash, |since| age(since, now)),
            truth(address.ready),
        ]);
    }
    print_some(&table);
    let mut table = Table::new(&["CLAIM", "POOL", "ADDRESSES", "GATEWAY", "READY", "MESSAGE"]);
    for claim in &answer.claims {
        let addresses: Vec<String> = claim.addresses.iter().map(IpAddr::to_string).collect();
        let gateways: Vec<&str> = claim.gateways.iter().map(NodeName::as_str).collect();
        table.row([
            claim.claim.to_string(),
            claim.pool.to_string(),
            addresses.join(","),
            gateways.join(","),
            claim.ready.map_or_else(dash, truth),
            claim.message.clone(),
        ]);
    }
    print_some(&table);
    for InvalidObject { place, message } in &answer.troubles {
        println!("\n{place}: {message}");
    }
}

fn print_some(table: &Table) {
    if !table.is_empty() {
        println!();
        table.print();
    }
}

fn truth(value: bool) -> String {
    if value { "True" } else { "False" }.to_owned()
}

pub(crate) fn events(args: &StoreArgs) -> anyhow::Result<()> {
    let store = args.store()?;
    let found = match &store {
        Store::Directory(directory) => egret_state::events(directory)?,
        #[cfg(feature = "kubernetes")]
        Store::Kubernetes(api) => super::store::block_on(async {
            Ok(api.open(egret_state::kubernetes::WatchScope::Reader)?.events().await?)
        })?,
    };
    let now = SystemClock.now();
    let mut table = Table::new(&["AGE", "TYPE", "REASON", "OBJECT", "FROM", "MESSAGE"]);
    for recorded in found {
        let event = recorded.event;
        table.row([
            age(event.at, now),
            if event.warning { "Warning" } else { "Normal" }.to_owned(),
            event.reason,
            event.about.to_string(),
            event.source,
            event.message,
        ]);
    }
    table.print();
    Ok(())
}

fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = Duration::from_millis(now.since(since).0).as_secs();
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
