//! What the metrics of a node's agent say of a pod's traffic.

use egret_core::explain::Explanation;
use egret_core::model::NodeName;
use egret_state::kubernetes::WatchScope;

use crate::commands::store::{Api, block_on};
use crate::error::with_causes;

pub(super) fn read(api: &Api, explanation: &Explanation) -> Vec<(&'static str, String)> {
    match scrape(api, &explanation.node) {
        Ok(metrics) => measured(&metrics, explanation),
        Err(error) => vec![("in use", format!("not known: {}", with_causes(&error)))],
    }
}

/// What the agent of a node says to a scrape.
pub(super) fn scrape(api: &Api, node: &NodeName) -> anyhow::Result<String> {
    block_on(async {
        let state = api.open(WatchScope::Reader)?;
        Ok(state.agent_metrics(node).await?)
    })
}

/// The values of the counters of this name, by their only label; empty where it has none.
#[cfg(any(feature = "node", test))]
pub(super) fn counts(metrics: &str, name: &str) -> std::collections::BTreeMap<String, u64> {
    let count = |line: &str| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.split_once("} ")?;
        let (_, label) = labels.split_once('=')?;
        Some((label.trim_matches('"').to_owned(), value.trim().parse().ok()?))
    };
    metrics.lines().filter_map(count).collect()
}

fn measured(metrics: &str, explanation: &Explanation) -> Vec<(&'static str, String)> {
    let node = &explanation.node;
    let mut lines = Vec::new();
    if let Some(address) = explanation.address {
        // The agent names those addresses alone that have connections.
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
    if sample(metrics, "egret_unread_counters", "director_drops").is_some_and(|its| its > 0.0) {
        return format!("not known: the agent of {node} cannot read its counters; see its log");
    }
    if !metrics.contains("\negret_director_drops_total{") {
        return format!("not known: {node} counts none, since its agent's rules are not there");
    }
    match counts.is_empty() {
        true => format!("none on {node} since its agent's rules are there"),
        false => format!("{} on {node}; see docs/operations.md", counts.join(", ")),
    }
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
        let none = metrics.replace("12", "0");
        assert!(drops_in(&none, &node).starts_with("none on node-2"));
        assert!(drops_in("", &node).starts_with("not known"));
    }

    #[test]
    fn counters_are_known_by_their_label() {
        let metrics = "# TYPE egret_packets counter\n\
                       egret_packets_total{reason=\"no_block\"} 7\n\
                       egret_director_drops_total{reason=\"no_block\"} 12\n";
        let expected = [("no_block".to_owned(), 7)].into();
        assert_eq!(counts(metrics, "egret_packets_total"), expected);
        assert!(counts(metrics, "egret_packets").is_empty());
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
