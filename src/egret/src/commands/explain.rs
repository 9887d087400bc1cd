use std::collections::BTreeMap;

use anyhow::Context as _;
use egret_core::explain::{Explanation, Outcome, explain, what_if as what_if_dies};
use egret_core::model::{NamespaceName, NodeName, PortRange};
use egret_datapath::Settings;
use egret_datapath::bpf;
use egret_datapath::nft::NftSteering;
use egret_ports::steering::Steering as _;

use super::store;
use crate::Usage;
use crate::args::{ExplainArgs, WhatIfArgs};
use crate::table::Table;

pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    if args.live {
        return live(args);
    }
    // Required by the arguments' own rules where --live is absent.
    let (Some(pod), Some(to), Some(manifests)) = (&args.pod, args.to, &args.manifests) else {
        return Err(Usage("name a pod and --to, or use --live".to_owned()).into());
    };
    let name = pod.strip_prefix("pod/").unwrap_or(pod);
    let snapshot = store::read(manifests)?;
    let namespace = NamespaceName::from(args.namespace.as_str());
    let explanation = explain(&snapshot, (&namespace, name), to)
        .ok_or_else(|| Usage(format!("no pod {namespace}/{name}: name its namespace with -n")))?;
    println!("{name} (on {}) → {to}", explanation.node);
    for (label, text) in lines(&explanation) {
        println!("  {label:12} {text}");
    }
    Ok(())
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
    let snapshot = store::read(&args.store.manifests)?;
    let name = args.node.strip_prefix("node/").unwrap_or(&args.node);
    let node = NodeName::from(name);
    if !snapshot.egress_nodes.contains_key(&node) {
        return Err(Usage(format!("no agent has run on node {node}")).into());
    }
    let mut table = Table::new(&["ADDRESS", "MOVES", "CLAIM", "NOTE"]);
    for outcome in what_if_dies(&snapshot, &node) {
        let to = outcome.to.as_ref().map_or("nobody", NodeName::as_str);
        table.row([
            outcome.address.to_string(),
            format!("{node} → {to}"),
            outcome.claim.to_string(),
            outcome.why,
        ]);
    }
    if table.is_empty() {
        println!("{node} holds no address: nothing moves");
    } else {
        table.print();
    }
    Ok(())
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
