//! What is so: pools, addresses, claims, voters.

use std::net::IpAddr;
use std::time::Duration;

use egret_core::membership::departure::drain_reason;
use egret_core::model::{
    ClaimRef, Condition, ConditionSummary, EgressAddress, InvalidObject, NodeName, PoolName,
    Snapshot, Timestamp,
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
    held_not_ready: usize,
    pool_answers: Vec<PoolAnswer>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PoolAnswer {
    pool: PoolName,
    paused: bool,
    ready: Option<bool>,
    message: String,
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
    ready: Option<bool>,
    message: String,
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
        let (held, pending): (Vec<_>, Vec<_>) =
            addresses.iter().partition(|address| address.holder.is_some());
        let set = snapshot.cluster.as_ref().and_then(|cluster| cluster.value.set.as_ref());
        let pools = snapshot.pools.values().map(|stored| &stored.value.0);
        Self {
            pools: snapshot.pools.len(),
            paused_pools: pools.filter(|pool| pool.paused).map(|pool| pool.name.clone()).collect(),
            held: held.len(),
            pending: pending.len(),
            without_standby: addresses.iter().filter(|a| a.standbys.is_empty()).count(),
            held_not_ready: held.iter().filter(|address| address.ready != Some(true)).count(),
            voter_set: set.map(|set| set.number),
            voters: set.map_or(0, |set| set.members.len()),
            addresses,
            claims: claims(snapshot),
            troubles: troubles(snapshot),
            pool_answers: pool_answers(snapshot),
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
        let not_ready = match self.held_not_ready {
            0 => String::new(),
            some => format!(" ({some} not ready)"),
        };
        format!(
            "pools {}   addresses {} held{not_ready}, {} pending, {} without a standby   voters {voters}{paused}",
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
        let said = ConditionSummary::of(&status.conditions);
        Self {
            address: *address,
            pool: plan.pool.clone(),
            claim: plan.claim.clone(),
            ready: said.ready,
            message: said.message.to_owned(),
            holder,
            standbys,
            since: status.since,
        }
    }
}

fn pool_answers(snapshot: &Snapshot) -> Vec<PoolAnswer> {
    let answer = |(pool, status): &(egret_core::model::Pool, egret_core::model::PoolStatus)| {
        let said = ConditionSummary::of(&status.conditions);
        PoolAnswer {
            pool: pool.name.clone(),
            paused: pool.paused,
            ready: said.ready,
            message: said.message.to_owned(),
        }
    };
    snapshot.pools.values().map(|stored| answer(&stored.value)).collect()
}

fn claims(snapshot: &Snapshot) -> Vec<ClaimAnswer> {
    let answer = |(claim, status): &(egret_core::model::Claim, egret_core::model::ClaimStatus)| {
        let said = ConditionSummary::of(&status.conditions);
        ClaimAnswer {
            claim: claim.reference.clone(),
            pool: claim.pool.clone(),
            addresses: status.addresses.clone(),
            gateways: status.gateways.clone(),
            ready: said.ready,
            message: said.message.to_owned(),
        }
    };
    snapshot.claims.values().map(|stored| answer(&stored.value)).collect()
}

/// What a person has to do something about, and the tables do not say.
fn troubles(snapshot: &Snapshot) -> Vec<InvalidObject> {
    let mut troubles = snapshot.invalid_objects.clone();
    let mut add = |place: String, conditions: &[Condition], in_a_table: bool| {
        let told = match in_a_table {
            true => ConditionSummary::of(conditions).troubles,
            false => conditions.iter().filter(|condition| condition.is_trouble()).collect(),
        };
        troubles.extend(told.into_iter().map(|condition| InvalidObject {
            place: place.clone(),
            message: format!("{}: {}", condition.reason, condition.message),
        }));
    };
    add("cluster".to_owned(), &snapshot.cluster_status.conditions, false);
    for (name, stored) in &snapshot.pools {
        add(format!("pool {name}"), &stored.value.1.conditions, true);
    }
    for (address, stored) in &snapshot.addresses {
        add(format!("address {address}"), &stored.value.status.conditions, true);
    }
    for (claim, stored) in &snapshot.claims {
        add(format!("claim {claim}"), &stored.value.1.conditions, true);
    }
    for (name, stored) in &snapshot.egress_nodes {
        add(format!("node {name}"), &stored.value.status.conditions, false);
    }
    let leave = snapshot.egress_nodes.keys().filter_map(|name| {
        let why = drain_reason(snapshot, name)?;
        let message = format!("it {why}: {}", why.consequence());
        Some(InvalidObject { place: format!("node {name}"), message })
    });
    troubles.extend(leave);
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
    print_some(&pool_table(&answer.pool_answers));
    print_some(&address_table(&answer.addresses, now));
    print_some(&claim_table(&answer.claims));
    for InvalidObject { place, message } in &answer.troubles {
        println!("\n{place}: {message}");
    }
}

fn dash() -> String {
    "-".to_owned()
}

fn pool_table(pools: &[PoolAnswer]) -> Table {
    let mut table = Table::new(&["POOL", "PAUSED", "READY", "MESSAGE"]);
    for pool in pools {
        let ready = pool.ready.map_or_else(dash, truth);
        table.row([pool.pool.to_string(), truth(pool.paused), ready, pool.message.clone()]);
    }
    table
}

fn address_table(addresses: &[AddressAnswer], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        "ADDRESS", "POOL", "CLAIM", "HOLDER", "STANDBYS", "SINCE", "READY", "MESSAGE",
    ]);
    for address in addresses {
        let standbys: Vec<&str> = address.standbys.iter().map(NodeName::as_str).collect();
        table.row([
            address.address.to_string(),
            address.pool.to_string(),
            address.claim.to_string(),
            address.holder.as_ref().map_or_else(dash, NodeName::to_string),
            if standbys.is_empty() { dash() } else { standbys.join(",") },
            address.since.map_or_else(dash, |since| age(since, now)),
            address.ready.map_or_else(dash, truth),
            address.message.clone(),
        ]);
    }
    table
}

fn claim_table(claims: &[ClaimAnswer]) -> Table {
    let mut table = Table::new(&["CLAIM", "POOL", "ADDRESSES", "GATEWAY", "READY", "MESSAGE"]);
    for claim in claims {
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
    table
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
