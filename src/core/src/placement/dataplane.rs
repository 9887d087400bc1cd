//! Nodes whose dataplane its maker supports beside no other programs: GKE's Dataplane V2.
//!
//! It is Google's build of Cilium, and a cluster has it on all of its nodes (but for one that is being
//! migrated). What matters is the gateways: there Egret's programs stand beside its programs on the
//! same interface. Whether the pods of a node can be steered past it, each agent finds out by itself
//! (condition `DatapathBypassed`).

use crate::model::{Labels, Node, Pool, Snapshot};

/// A node of GKE has it, in whatever dataplane: its node pool.
const NODE_POOL: &str = "cloud.google.com/gke-nodepool";

/// Nodes to whose CNI configuration GKE adds Cilium's plugin have one of these, with `true`: that is
/// what GKE's own installer of that configuration looks at (GoogleCloudPlatform/netd,
/// `scripts/install-cni.sh` and its test cases `cilium-dpv2-ready-*`). So they are Google's word, but
/// nodes of older versions may have neither.
const READY: [&str; 2] =
    ["cloud.google.com/gke-dpv2-ready", "cloud.google.com/gke-dpv2-migration-ready"];

/// What is said of such a node, and what to do.
pub(crate) const UNSUPPORTED: &str = "it runs GKE Dataplane V2, beside which Google supports no \
    other eBPF programs: take gateways of a cluster with Dataplane V1, or set \
    spec.gcp.acceptUnsupportedDataplane: true";

/// Whether a node may not carry a pool's addresses because of its dataplane.
pub(crate) fn is_unsupported(snapshot: &Snapshot, pool: &Pool, node: &Node) -> bool {
    if !pool.provider.is_google() || pool.accepts_unsupported_dataplane {
        return false;
    }
    let egress = snapshot.egress_nodes.get(&node.name);
    let chained = egress.is_some_and(|stored| stored.value.status.cilium_chained);
    runs_dataplane_v2(&node.labels, chained)
}

/// By Google's labels; else, which is inferred, by what the node's agent sees there: GKE has Cilium
/// behind a plugin of its own, and who installs Cilium on GKE has it without another. Whoever chains
/// it there by hand is refused too, and has a field to say so.
fn runs_dataplane_v2(labels: &Labels, cilium_chained: bool) -> bool {
    let says = |label: &&str| labels.get(*label).is_some_and(|value| value == "true");
    READY.iter().any(says) || (labels.contains_key(NODE_POOL) && cilium_chained)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::mk_labels;

    #[test]
    fn googles_labels_count_and_else_what_is_seen_on_a_node_of_gke() {
        let pool = (NODE_POOL, "default-pool");
        for (labels, seen, expected) in [
            (vec![], false, false),
            (vec![pool], false, false),
            (vec![pool], true, true),
            (vec![], true, false),
            (vec![pool, (READY[0], "true")], false, true),
            (vec![pool, (READY[1], "true")], false, true),
            (vec![pool, (READY[0], "false"), (READY[1], "")], false, false),
            // GKE before the plugin is there: the label of its next CNI says nothing of this one.
            (vec![pool, ("cloud.google.com/gke-dpv2-unified-cni", "true")], false, false),
        ] {
            let found = runs_dataplane_v2(&mk_labels(&labels), seen);
            assert_eq!(found, expected, "{labels:?}, chained: {seen}");
        }
    }
}
