use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::json::{list, text, texts};

/// A firewall rule for what comes to instances. (An implied one with the least priority denies the
/// rest: <https://cloud.google.com/firewall/docs/firewalls>.)
#[derive(Clone, Debug, PartialEq)]
pub(super) struct IngressRule {
    priority: u64,
    allows: bool,
    /// Instances with one of these tags; empty: all.
    targets: BTreeSet<String>,
    sources: BTreeSet<String>,
    destinations: BTreeSet<String>,
    /// What it is about, as nftables writes it; an empty one: everything.
    matches: Vec<String>,
}

impl IngressRule {
    /// `None` where it is disabled.
    pub(super) fn parse(rule: &Value) -> Result<Option<Self>> {
        let name = text(rule, "name")?;
        if rule["disabled"] == true {
            return Ok(None);
        }
        ensure!(rule["direction"] == "INGRESS", "firewall {name}: only ingress is known here");
        ensure!(
            list(rule, "source_tags")?.is_empty(),
            "firewall {name}: source tags are not known"
        );
        let (allowed, denied) = (list(rule, "allowed")?, list(rule, "denied")?);
        let matches = allowed.iter().chain(denied).map(matched).collect::<Result<_>>();
        Ok(Some(Self {
            priority: rule["priority"].as_u64().context("priority")?,
            allows: !allowed.is_empty(),
            targets: texts(&rule["target_tags"]),
            sources: texts(&rule["source_ranges"]),
            destinations: texts(&rule["destination_ranges"]),
            matches: matches.with_context(|| format!("firewall {name}"))?,
        }))
    }

    fn lines(&self, numbers: &[u32]) -> Vec<String> {
        let all = |what: &BTreeSet<String>| what.iter().cloned().collect::<Vec<_>>().join(", ");
        let marks = numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let verdict = if self.allows { "accept" } else { "goto refuse" };
        // The whole range is no set of its own in old versions of nft.
        // None is all, too.
        let any = |ranges: &BTreeSet<String>| ranges.is_empty() || ranges.contains("0.0.0.0/0");
        let within = |field: &str, ranges: &BTreeSet<String>| match any(ranges) {
            true => String::new(),
            false => format!("ip {field} {{ {} }} ", all(ranges)),
        };
        let (from, to) = (within("saddr", &self.sources), within("daddr", &self.destinations));
        let line =
            |matched: &String| format!("meta mark {{ {marks} }} {from}{to}{matched}{verdict}");
        self.matches.iter().map(line).collect()
    }
}

/// One of `allowed` or `denied`.
fn matched(what: &Value) -> Result<String> {
    let protocol = text(what, "IPProtocol")?;
    let ports: Vec<String> = texts(&what["ports"]).into_iter().collect();
    if protocol == "all" {
        return Ok(String::new());
    }
    let known = ["tcp", "udp", "icmp", "esp", "ah", "sctp"].contains(&protocol.as_str());
    let number = protocol.parse::<u8>().is_ok();
    match (known || number, ports.is_empty()) {
        (true, true) => Ok(format!("ip protocol {protocol} ")),
        (true, false) => Ok(format!("ip protocol {protocol} th dport {{ {} }} ", ports.join(", "))),
        (false, _) => bail!("protocol {protocol} is not known here"),
    }
}

/// The rules in the order in which they count: by priority, and of equal ones those that deny first.
/// `instances` has every instance's number and tags.
pub(super) fn render(
    rules: &[IngressRule],
    instances: &BTreeMap<u32, BTreeSet<String>>,
) -> Vec<String> {
    let mut sorted: Vec<&IngressRule> = rules.iter().collect();
    sorted.sort_by_key(|rule| (rule.priority, rule.allows));
    let mut lines = Vec::new();
    for rule in sorted {
        let for_it = |(_, tags): &(&u32, &BTreeSet<String>)| {
            rule.targets.is_empty() || !rule.targets.is_disjoint(tags)
        };
        let numbers: Vec<u32> =
            instances.iter().filter(for_it).map(|(number, _)| *number).collect();
        if !numbers.is_empty() {
            lines.extend(rule.lines(&numbers));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(name: &str, change: &Value) -> Value {
        let mut rule = json!({
            "name": name, "direction": "INGRESS", "priority": 1000, "disabled": false,
            "allowed": [], "denied": [], "source_ranges": ["0.0.0.0/0"], "source_tags": [],
            "destination_ranges": [],
            "target_tags": [],
        });
        for (field, value) in change.as_object().unwrap() {
            rule[field] = value.clone();
        }
        rule
    }

    #[test]
    fn priority_decides_and_of_equals_the_denial() {
        let rules: Vec<IngressRule> = [
            rule("late", &json!({"priority": 2000, "allowed": [{"IPProtocol": "all"}]})),
            rule(
                "ports",
                &json!({
                    "allowed": [{"IPProtocol": "tcp", "ports": ["80", "1024-2047"]}],
                    "target_tags": ["gateway"],
                }),
            ),
            rule(
                "deny",
                &json!({
                    "denied": [{"IPProtocol": "udp"}, {"IPProtocol": "47"}],
                    "source_ranges": ["192.0.2.0/24", "198.51.100.0/24"],
                    "destination_ranges": ["203.0.113.7/32"],
                }),
            ),
            rule("nobody", &json!({"allowed": [{"IPProtocol": "all"}], "target_tags": ["other"]})),
        ]
        .iter()
        .filter_map(|rule| IngressRule::parse(rule).unwrap())
        .collect();
        let instances = BTreeMap::from([(1, ["gateway".to_owned()].into()), (2, [].into())]);
        assert_eq!(
            render(&rules, &instances),
            [
                "meta mark { 1, 2 } ip saddr { 192.0.2.0/24, 198.51.100.0/24 } ip daddr { 203.0.113.7/32 } ip protocol udp goto refuse",
                "meta mark { 1, 2 } ip saddr { 192.0.2.0/24, 198.51.100.0/24 } ip daddr { 203.0.113.7/32 } ip protocol 47 goto refuse",
                "meta mark { 1 } ip protocol tcp th dport { 1024-2047, 80 } accept",
                "meta mark { 1, 2 } accept",
            ]
        );
    }

    #[test]
    fn what_is_not_known_is_refused_and_what_is_disabled_is_left_out() {
        let refused = |change: Value| IngressRule::parse(&rule("r", &change)).unwrap_err();
        refused(json!({"direction": "EGRESS", "allowed": [{"IPProtocol": "all"}]}));
        refused(json!({"source_tags": ["web"], "allowed": [{"IPProtocol": "all"}]}));
        refused(json!({"allowed": [{"IPProtocol": "ipip"}]}));
        let disabled = rule("r", &json!({"disabled": true}));
        assert_eq!(IngressRule::parse(&disabled).unwrap(), None);
    }
}
