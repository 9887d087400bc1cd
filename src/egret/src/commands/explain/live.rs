//! Every counter of a node's kernel: of this one's, or of another's by the metrics of its agent.

use std::collections::BTreeMap;

use anyhow::Context as _;
use egret_datapath::{HostSettings, bpf, snat_backend};
use egret_ports::steering::SteeringDrop;
use serde::Serialize;

use crate::args::ExplainArgs;
use crate::commands::output;
use crate::table::Table;

/// One counter.
#[derive(Serialize)]
struct Counter {
    /// Who counts.
    by: &'static str,
    counter: &'static str,
    packets: u64,
    /// What is counted is dropped.
    drop: bool,
    meaning: &'static str,
    remedy: &'static str,
}

/// How many packets, by the counters' names.
type Counts = BTreeMap<String, u64>;

pub(super) fn print(args: &ExplainArgs) -> anyhow::Result<()> {
    let (programs, drops) = match &args.node {
        None => of_kernel(args)?,
        Some(node) => of_agent(args, node)?,
    };
    let mut counters = all(&programs, &drops);
    counters.retain(|counter| counter.packets > 0 || args.all);
    output::print(args.output, &counters, |counters| show(counters))
}

fn show(counters: &[Counter]) {
    if counters.is_empty() {
        return println!("nothing was counted (--all shows the counters)");
    }
    let mut table = Table::new(&["COUNTER", "PACKETS", "MEANING", "REMEDY"]);
    for counter in counters {
        let (packets, meaning) = (counter.packets.to_string(), counter.meaning.to_owned());
        table.row([counter.counter.to_owned(), packets, meaning, counter.remedy.to_owned()]);
    }
    table.print();
}

fn all(programs: &Counts, drops: &Counts) -> Vec<Counter> {
    let of = |counts: &Counts, name: &str| counts.get(name).copied().unwrap_or(0);
    let of_programs = bpf::reasons().iter().map(|reason| Counter {
        by: "programs",
        counter: reason.name,
        packets: of(programs, reason.name),
        drop: reason.drop,
        meaning: reason.meaning,
        remedy: reason.remedy,
    });
    let of_rules = SteeringDrop::ALL.iter().map(|drop| {
        let (counter, meaning, remedy) = drop.describe();
        let packets = of(drops, counter);
        Counter { by: "rules", counter, packets, drop: true, meaning, remedy }
    });
    of_programs.chain(of_rules).collect()
}

fn of_kernel(args: &ExplainArgs) -> anyhow::Result<(Counts, Counts)> {
    let programs = bpf::counters(&args.bpffs.join("egret"))
        .context("no agent has programmed this node's kernel, or --bpffs is another one")?;
    let programs = programs.into_iter().map(|(name, packets)| (name.to_owned(), packets));
    let drops = snat_backend::choose(&HostSettings::default()).counters().drops()?;
    let drops = drops.into_iter().map(|(drop, packets)| (drop.describe().0.to_owned(), packets));
    Ok((programs.collect(), drops.collect()))
}

#[cfg(feature = "kubernetes")]
fn of_agent(args: &ExplainArgs, node: &str) -> anyhow::Result<(Counts, Counts)> {
    use super::metrics;
    use crate::commands::store::Store;

    let Store::Kubernetes(api) = args.store.store()? else { return Err(unreachable_agent(node)) };
    let node = node.strip_prefix("node/").unwrap_or(node);
    let read = metrics::scrape(&api, &node.into())
        .with_context(|| format!("the agent on {node} cannot be asked"))?;
    let programs = metrics::counts(&read, "egret_packets_total");
    anyhow::ensure!(
        !programs.is_empty(),
        "the agent on {node} has not programmed its node's kernel: look at its log"
    );
    Ok((programs, metrics::counts(&read, "egret_director_drops_total")))
}

#[cfg(not(feature = "kubernetes"))]
fn of_agent(_args: &ExplainArgs, node: &str) -> anyhow::Result<(Counts, Counts)> {
    Err(unreachable_agent(node))
}

fn unreachable_agent(node: &str) -> anyhow::Error {
    let text = format!(
        "--node {node}: with a directory of manifests no agent is asked; run `egret explain --live` on \
         that node"
    );
    crate::error::UsageError(text).into()
}
