#[cfg(feature = "node")]
mod live;
#[cfg(feature = "kubernetes")]
mod metrics;

use std::net::IpAddr;

use egret_core::explain::{
    ConnectionOutcome, Explanation, WhatIf, explain, what_if as what_if_dies,
};
use egret_core::membership::departure::drain_reason;
use egret_core::model::{
    Claim, ClaimRef, ClaimStatus, Destination, Millis, NamespaceName, NodeName, PortRange,
    Snapshot, Text,
};
use egret_core::selection::{selects, selects_part};
use serde::Serialize;

use super::output;
use super::store::Store;
use crate::args::{ExplainArgs, WhatIfArgs};
use crate::error::UsageError;
use crate::table::Table;

pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    if args.live {
        #[cfg(feature = "node")]
        return live::print(args);
        #[cfg(not(feature = "node"))]
        return Err(UsageError(crate::features::missing("node")).into());
    }
    // Required by the arguments' own rules where --live is absent.
    let Some(pod) = &args.pod else {
        return Err(UsageError("name a pod, or use --live".to_owned()).into());
    };
    let name = pod.strip_prefix("pod/").unwrap_or(pod);
    let namespace = NamespaceName::from(args.namespace.as_str());
    let store = args.store.store()?;
    let snapshot = store.read_with_pod(&namespace, name)?;
    let missing = || UsageError(format!("no pod {namespace}/{name}: name its namespace with -n"));
    let Some(to) = args.to else {
        let claims = claims_of(&snapshot, &namespace, name).ok_or_else(missing)?;
        return output::print(args.output, &claims, |claims| show_claims(name, claims));
    };
    let explanation = explain(&snapshot, (&namespace, name), to).ok_or_else(missing)?;
    let live = measures_of(&store, &explanation);
    output::print(args.output, &explanation, |explanation| {
        println!("{name} (on {}) → {to}", explanation.node);
        for (label, text) in lines(explanation).into_iter().chain(live) {
            println!("  {label:12} {text}");
        }
    })
}

/// What no object says and the agent of the pod's node does, where the store can reach it.
fn measures_of(store: &Store, explanation: &Explanation) -> Vec<(&'static str, String)> {
    match store {
        Store::Directory(_) => {
            let node = &explanation.node;
            let ask = format!("not known from manifests: `egret explain --live` on {node} says it");
            vec![("drops", ask)]
        }
        #[cfg(feature = "kubernetes")]
        Store::Kubernetes(api) => metrics::read(api, explanation),
    }
}

/// A claim that selects a pod.
#[derive(Serialize)]
struct Selecting {
    claim: ClaimRef,
    destinations: Vec<String>,
    addresses: Vec<IpAddr>,
}

/// The claims that select a pod; `None` where there is no such pod.
fn claims_of(snapshot: &Snapshot, namespace: &NamespaceName, name: &str) -> Option<Vec<Selecting>> {
    let pod = snapshot.pods.get(&(namespace.clone(), name.to_owned()))?;
    let claims = snapshot.claims.values().map(|stored| &stored.value);
    let selecting = claims.filter(|(claim, _)| selects(snapshot, claim, pod));
    let destinations = |destinations: Option<&[Destination]>| match destinations {
        None => vec!["everywhere outside the cluster".to_owned()],
        Some(destinations) => destinations.iter().map(|d| d.cidr.to_string()).collect(),
    };
    let answer = |(claim, status): &(Claim, ClaimStatus)| Selecting {
        claim: claim.reference.clone(),
        destinations: claim
            .parts()
            .filter(|(pods, _)| selects_part(snapshot, claim, pods, pod))
            .flat_map(|(_, to)| destinations(to))
            .collect(),
        addresses: status.addresses.clone(),
    };
    Some(selecting.map(answer).collect())
}

fn show_claims(name: &str, claims: &[Selecting]) {
    if claims.is_empty() {
        return println!("no claim selects {name}: it leaves as if there were no Egret");
    }
    let mut table = Table::new(&["CLAIM", "DESTINATIONS", "ADDRESSES"]);
    for claim in claims {
        let addresses: Vec<String> = claim.addresses.iter().map(IpAddr::to_string).collect();
        table.row([claim.claim.to_string(), claim.destinations.join(","), addresses.join(",")]);
    }
    table.print();
    println!("--to ADDRESS says what happens to a packet");
}

fn lines(explanation: &Explanation) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(claim) = &explanation.claim {
        let matched = explanation
            .matched
            .map_or("its default, everywhere".to_owned(), |net| format!("prefix {net}"));
        let others = explanation.others.len();
        let others = if others == 0 { String::new() } else { format!("; {others} more match") };
        lines.push(("claim", format!("{claim}   {matched}{others}")));
    }
    let outcome = outcome(explanation.outcome);
    let why = explanation.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    lines.push(("outcome", format!("{outcome}{why}")));
    if let Some(trouble) = &explanation.node_trouble {
        lines.push(("but", format!("{} is not ready: {trouble}", explanation.node)));
    }
    if let Some(owner) = &explanation.address_owner {
        lines.push(("address of", format!("pod {}/{}", owner.namespace, owner.name)));
    }
    let Some(address) = explanation.address else { return lines };
    let ports: Vec<String> = explanation.blocks.iter().map(PortRange::to_string).collect();
    let ports = match ports.is_empty() {
        true => format!("no port block on {}", explanation.node),
        false => format!("ports {} of {}", ports.join(", "), explanation.node),
    };
    let steered = explanation.outcome == ConnectionOutcome::Steered;
    let label = if steered { "leaves as" } else { "address" };
    lines.push((label, format!("{address}   {ports}")));
    let holder = explanation.holding.as_ref();
    let name = holder.map_or("nobody".to_owned(), |holding| holding.node.to_string());
    let drain = explanation.holder_drain.as_ref().map(|why| format!(", which {why}"));
    lines.push(("holder", name + &drain.unwrap_or_default()));
    if holder.is_some() {
        lines.push(("if it dies", next(explanation)));
    }
    lines
}

fn next(explanation: &Explanation) -> String {
    let standbys: Vec<&str> = explanation.standbys.iter().map(NodeName::as_str).collect();
    match explanation.takeover_after {
        Some(after) => format!("{} (asks {})", standbys.join(", then "), silence(after)),
        None => "nobody".to_owned(),
    }
}

/// After which silence of a holder the next one asks, for people.
fn silence(after: Millis) -> String {
    let tenths = (after.0 + 50) / 100;
    format!("after {}.{} s of silence", tenths / 10, tenths % 10)
}

fn outcome(outcome: ConnectionOutcome) -> &'static str {
    match outcome {
        ConnectionOutcome::Steered => "leaves with the egress address",
        ConnectionOutcome::HostNetwork => "the pod uses its node's network: it cannot be steered",
        ConnectionOutcome::AddressOfOther => {
            "another pod of its node has its address: it leaves as that one does"
        }
        ConnectionOutcome::NeverSteered => {
            "never steered: the cluster's own, its API servers, clouds' metadata, link-local, \
             loopback, multicast"
        }
        ConnectionOutcome::NotSelected => {
            "no claim selects pod and destination: as if there were no Egret"
        }
        ConnectionOutcome::DropFamilyWithoutAddress => {
            "dropped: the claim has no address of this family; add one, or name the destinations"
        }
        ConnectionOutcome::DropUnknownRange => {
            "dropped: a pod has an address in no known range; name the pod ranges (--pod-cidr)"
        }
        ConnectionOutcome::DropNoAddress => {
            "dropped: the claim has no address yet; see its conditions"
        }
        ConnectionOutcome::DropNoHolder => {
            "dropped: nobody holds the egress address; see its conditions (egret status)"
        }
        ConnectionOutcome::DropNoBlock => {
            "dropped: the node has no port block of the egress address yet; a controller grants it"
        }
        ConnectionOutcome::NotKnown => "not known",
    }
}

pub(crate) fn what_if(args: &WhatIfArgs) -> anyhow::Result<()> {
    let snapshot = args.store.store()?.read()?;
    let name = args.node.strip_prefix("node/").unwrap_or(&args.node);
    let node = NodeName::from(name);
    if !snapshot.egress_nodes.contains_key(&node) {
        return Err(UsageError(format!("no agent has run on node {node}")).into());
    }
    output::print(args.output, &what_if_dies(&snapshot, &node), |outcomes| {
        let mut table = Table::new(&["ADDRESS", "MOVES", "CLAIM", "T", "NOTE"]);
        for outcome in outcomes {
            let to = outcome.to.as_ref().map_or("nobody", NodeName::as_str);
            let (address, claim) = (outcome.address.to_string(), outcome.claim.to_string());
            let (moves, lease) = (format!("{node} → {to}"), outcome.lease.to_string());
            table.row([address, moves, claim, lease, note(outcome)]);
        }
        if table.is_empty() {
            println!("{node} holds no address: nothing moves");
        } else {
            table.print();
        }
        for outcome in outcomes {
            if let Some(found) = &outcome.rebalance {
                println!(
                    "{} moves to {} anyhow, not before {}: that has fewer addresses of the pool",
                    found.address,
                    found.to,
                    found.not_before.to_text()
                );
            }
        }
        if let Some(why) = drain_reason(&snapshot, &node) {
            println!("{node} {why}: {}", why.consequence());
        }
    })
}

/// When an address is taken over, or why it is not.
fn note(outcome: &WhatIf) -> String {
    let held = if outcome.held { "" } else { "nobody holds it now; " };
    let Some(after) = outcome.takeover_after else { return format!("{held}{}", outcome.why) };
    let to = outcome.to.as_ref().map_or("nobody", NodeName::as_str);
    let then = if outcome.cloud_moves { ", then the cloud moves it" } else { "" };
    format!("{held}{to} asks {}{then}", silence(after))
}
