use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::address;
use crate::node::LabNode;
use crate::role::LabNodeRole;

type Labels = BTreeMap<String, String>;

/// A `v1` Pod with its addresses, as the directory store reads it.
#[must_use]
pub fn pod_manifest(
    namespace: &str,
    name: &str,
    node: &str,
    labels: &Labels,
    addresses: [IpAddr; 2],
) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {namespace}\n{}\
         spec: {{nodeName: {node}}}\nstatus:\n  podIPs: [{{ip: {}}}, {{ip: '{}'}}]\n",
        label_lines(labels),
        addresses[0],
        addresses[1],
    )
}

/// What a Node says of its end, and of its tunnel's.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeMarks<'a> {
    /// Keys of taints.
    pub taints: &'a [&'a str],
    /// `spec.unschedulable`.
    pub cordoned: bool,
    /// It has a `deletionTimestamp`.
    pub deleting: bool,
    /// The annotation egret.dev/tunnel-endpoint.
    pub endpoint: Option<&'a str>,
}

/// A `v1` Node; in a cloud with the name of its zone and its `spec.providerID`.
pub(crate) fn node_manifest(
    node: &LabNode,
    instance: Option<(&str, String)>,
    marks: &NodeMarks<'_>,
) -> String {
    let name = &node.name;
    let [pods4, pods6] = address::pod_cidrs(node.number);
    let mut labels = Labels::from([("kubernetes.io/hostname".into(), name.clone())]);
    if node.role == LabNodeRole::Gateway {
        labels.insert("egret.dev/gateway".into(), "true".into());
    }
    let mut provider = String::new();
    if let Some((zone, provider_id)) = instance {
        labels.insert("topology.kubernetes.io/zone".into(), zone.into());
        provider = format!("  providerID: {provider_id}\n");
    }
    let taint = |key: &&str| format!("{{key: {key}, effect: NoSchedule}}");
    let taints: Vec<String> = marks.taints.iter().map(taint).collect();
    let deletion =
        if marks.deleting { "  deletionTimestamp: '2026-01-01T00:00:00Z'\n" } else { "" };
    let annotation = marks.endpoint.map_or_else(String::new, |endpoint| {
        format!("  annotations: {{egret.dev/tunnel-endpoint: '{endpoint}'}}\n")
    });
    let mut text = format!(
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\n{deletion}{annotation}{}\
         spec:\n  podCIDRs: ['{pods4}', '{pods6}']\n  unschedulable: {}\n  taints: [{}]\n\
         {provider}status:\n  addresses:\n",
        label_lines(&labels),
        marks.cordoned,
        taints.join(", "),
    );
    for address in node.internal_addresses() {
        let _ = writeln!(text, "  - {{type: InternalIP, address: '{address}'}}");
    }
    text
}

pub(crate) fn namespace_manifest(name: &str, labels: &Labels) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n{}", label_lines(labels))
}

fn label_lines(labels: &Labels) -> String {
    let mut text = String::new();
    if !labels.is_empty() {
        text.push_str("  labels:\n");
    }
    for (key, value) in labels {
        let _ = writeln!(text, "    {key}: \"{value}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_both_addresses_and_its_labels() {
        let labels = Labels::from([("app".to_owned(), "settle".to_owned())]);
        let text = pod_manifest("payments", "settle-1", "director-1", &labels, address::pod(4, 0));
        assert!(text.contains("  labels:\n    app: \"settle\"\nspec: {nodeName: director-1}"));
        assert!(text.contains("podIPs: [{ip: 10.244.4.10}, {ip: 'fd00:10:244:4::10'}]"));
    }
}
