use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Context as _;
use egret_core::explain::{Explanation, Outcome, explain, what_if as what_if_dies};
use egret_core::model::{
    Claim, ClaimRef, ClaimStatus, NamespaceName, NodeName, PortRange, Snapshot,
};
use egret_core::selection::selects;
use egret_datapath::Settings;
use egret_datapath::bpf;
use egret_datapath::nft::NftSteering;
use egret_ports::steering::Steering as _;
use egret_state::kubernetes::View;

use serde::Serialize;

use super::output;
use super::store::{Store, block_on};
use crate::Usage;
use crate::args::{ExplainArgs, WhatIfArgs};
use crate::table::Table;

pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    if args.live {
        return live(args);
    }
    // Required by the arguments' own rules where --live is absent.
    let Some(pod) = &args.pod else {
        return Err(Usage("name a pod, or use --live".to_owned()).into());
    };
    let name = pod.strip_prefix("pod/").unwrap_or(pod);
    let namespace = NamespaceName::from(args.namespace.as_str());
    let snapshot = args.store.store().read_with_pod(&namespace, name)?;
    let missing = || Usage(format!("no pod {namespace}/{name}: name its namespace with -n"));
    let Some(to) = args.to else {
        let claims = claims_of(&snapshot, &namespace, name).ok_or_else(missing)?;
        return output::print(args.output, &claims, |claims| show_claims(name, claims));
    };
    let explanation = explain(&snapshot, (&namespace, name), to).ok_or_else(missing)?;
    let live = live_of(&args.store.store(), &explanation);
    output::print(args.output, &explanation, |explanation| {
        println!("{name} (on {}) → {to}", explanation.node);
        for (label, text) in lines(explanation).into_iter().chain(live) {
            println!("  {label:12} {text}");
        }
    })
}

/// What no object says and the agent of the pod's node does, where the store can reach it.
fn live_of(store: &Store, explanation: &Explanation) -> Vec<(&'static str, String)> {
    let Store::Kubernetes { .. } = store else { return Vec::new() };
    let read = block_on(async {
        let state = store.kubernetes(View::Reader)?;
        Ok(state.agent_metrics(&explanation.node).await?)
    });
    match read {
        Ok(metrics) => measured(&metrics, explanation),
        Err(error) => vec![("in use", format!("not known: {error:#}"))],
    }
}

fn measured(metrics: &str, explanation: &Explanation) -> Vec<(&'static str, String)> {
    let node = &explanation.node;
    let mut lines = Vec::new();
    if let Some(address) = explanation.address {
        let connections = sample(metrics, "egret_connections", &address.to_string()).unwrap_or(0.0);
        lines.push(("in use", format!("{connections} connections of {node} leave with it")));
    }
    let holder = explanation.holding.as_ref().map(|holding| &holding.node);
    if let Some(holder) = holder.filter(|holder| *holder != node) {
        let heard = match sample(metrics, "egret_peer_silence_seconds", holder.as_str()) {
            Some(seconds) => format!("{node} has heard {holder} {seconds:.1} s ago"),
            None => {
                format!("{node} has never heard {holder}: is UDP 5480 and 5481 open between them?")
            }
        };
        lines.push(("path", heard));
    }
    lines.push(("drops", drops_in(metrics, node)));
    lines
}

/// The value of a metric whose only label has this value.
fn sample(metrics: &str, name: &str, label: &str) -> Option<f64> {
    metrics.lines().find_map(|line| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.split_once("} ")?;
        let (_, found) = labels.split_once('=')?;
        (found.trim_matches('"') == label).then(|| value.trim().parse().ok())?
    })
}

/// The counters of dropped packets in a scrape that are not zero.
fn drops_in(metrics: &str, node: &NodeName) -> String {
    let counts = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix("egret_director_drops_total{reason=\"")?;
        let (reason, count) = rest.split_once("\"}")?;
        let count = count.trim();
        (count != "0").then(|| format!("{count} {reason}"))
    });
    let counts: Vec<String> = counts.collect();
    match counts.is_empty() {
        true => format!("none on {node} since its agent's rules are there"),
        false => format!("{} on {node}; see docs/operations.md", counts.join(", ")),
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
    let answer = |(claim, status): &(Claim, ClaimStatus)| Selecting {
        claim: claim.reference.clone(),
        destinations: claim.destinations.as_ref().map_or_else(
            || vec!["everywhere outside the cluster".to_owned()],
            |destinations| destinations.iter().map(|d| d.cidr.to_string()).collect(),
        ),
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
    lines.push(("outcome", outcome(explanation.outcome).to_owned()));
    let Some(address) = explanation.address else { return lines };
    let ports: Vec<String> = explanation.blocks.iter().map(PortRange::to_string).collect();
    let ports = if ports.is_empty() { "no port block yet".to_owned() } else { ports.join(", ") };
    lines.push(("leaves as", format!("{address}   ports {ports} of {}", explanation.node)));
    let holder = explanation.holding.as_ref();
    let name = holder.map_or("nobody: dropped".to_owned(), |holding| holding.node.to_string());
    lines.push(("holder", name));
    let standbys: Vec<&str> = explanation.standbys.iter().map(NodeName::as_str).collect();
    let next = if standbys.is_empty() { "nobody".to_owned() } else { standbys.join(", then ") };
    lines.push(("if it dies", next));
    lines
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Steered => "leaves with the egress address",
        Outcome::HostNetwork => "the pod uses its node's network: it cannot be steered",
        Outcome::NeverSteered => {
            "never steered: the cluster's own, link-local, loopback, multicast"
        }
        Outcome::NotSelected => "no claim selects pod and destination: as if there were no Egret",
        Outcome::DropFamilyWithoutAddress => {
            "dropped: the claim has no address of this family; add one, or name the destinations"
        }
        Outcome::DropUnknownRange => {
            "dropped: a pod has an address in no known range; name the pod ranges (--pod-cidr)"
        }
        Outcome::DropNoAddress => "dropped: the claim has no address yet; see its conditions",
    }
}

pub(crate) fn what_if(args: &WhatIfArgs) -> anyhow::Result<()> {
    let snapshot = args.store.store().read()?;
    let name = args.node.strip_prefix("node/").unwrap_or(&args.node);
    let node = NodeName::from(name);
    if !snapshot.egress_nodes.contains_key(&node) {
        return Err(Usage(format!("no agent has run on node {node}")).into());
    }
    output::print(args.output, &what_if_dies(&snapshot, &node), |outcomes| {
        let mut table = Table::new(&["ADDRESS", "MOVES", "CLAIM", "NOTE"]);
        for outcome in outcomes {
            let to = outcome.to.as_ref().map_or("nobody", NodeName::as_str);
            let note = match &outcome.to {
                Some(_) => "0 connections lost".to_owned(),
                None => outcome.why.clone(),
            };
            let (address, claim) = (outcome.address.to_string(), outcome.claim.to_string());
            table.row([address, format!("{node} → {to}"), claim, note]);
        }
        if table.is_empty() {
            println!("{node} holds no address: nothing moves");
        } else {
            table.print();
        }
    })
}

/// Every counter of this node's kernel.
fn live(args: &ExplainArgs) -> anyhow::Result<()> {
    let programs = bpf::counters(&args.bpffs.join("egret"))
        .context("no agent has programmed this node's kernel, or --bpffs is another one")?;
    let mut table = Table::new(&["COUNTER", "PACKETS", "MEANING", "REMEDY"]);
    for reason in bpf::reasons() {
        let packets = programs.get(reason.name).copied().unwrap_or(0);
        if packets > 0 || args.all {
            let (meaning, remedy) = (reason.meaning.to_owned(), reason.remedy.to_owned());
            table.row([reason.name.to_owned(), packets.to_string(), meaning, remedy]);
        }
    }
    let drops: BTreeMap<_, _> = NftSteering::new(Settings::default(), 1450).drops()?;
    for (drop, packets) in drops {
        if packets > 0 || args.all {
            let (name, meaning, remedy) = drop.describe();
            let packets = packets.to_string();
            table.row([name.to_owned(), packets, meaning.to_owned(), remedy.to_owned()]);
        }
    }
    if table.is_empty() {
        println!("no packet was dropped (--all shows the counters)");
    } else {
        table.print();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_dropped_is_told() {
        let metrics = "# TYPE egret_director_drops counter\n\
                       egret_director_drops_total{reason=\"no_block\"} 12\n\
                       egret_director_drops_total{reason=\"unknown_pod\"} 0\n\
                       egret_packets_total{reason=\"steered\"} 9\n";
        let node = NodeName::from("node-2");
        assert!(drops_in(metrics, &node).starts_with("12 no_block on node-2"));
        assert!(drops_in("", &node).starts_with("none on node-2"));
    }

    #[test]
    fn a_sample_is_found_by_its_label() {
        let metrics = "# TYPE egret_connections gauge\n\
                       egret_connections{address=\"203.0.113.17\"} 12.0\n\
                       egret_connections{address=\"2001:db8::1\"} 3.0\n";
        assert_eq!(sample(metrics, "egret_connections", "2001:db8::1"), Some(3.0));
        assert_eq!(sample(metrics, "egret_connections", "203.0.113.1"), None);
    }
}
