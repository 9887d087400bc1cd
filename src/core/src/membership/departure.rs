//! Which nodes leave: what others write into a Node that goes, and what counts as a drain.
//!
//! A node that leaves is not one that restarts: whoever waits for it waits in vain. So what it holds
//! is handed over as soon as anybody says that it will go, as `egret drain` does.

use std::collections::BTreeSet;
use std::fmt;

use super::liveness;
use crate::model::{LeavingReason, NodeName, Snapshot};

/// Whether a node with such a taint still runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// It goes, and can hand over what it holds.
    Leaves,
    /// It is off: nothing can be handed over.
    IsDead,
}

/// Taints that say that a node goes, and who writes each. The effect is of no matter. Those that say
/// that it is off come first: of several taints the first in this order counts.
const TAINTS: &[(&str, Said)] = &[
    // A person, or a handler for him, of a node that is shut down (Kubernetes, "non-graceful node
    // shutdown handling").
    ("node.kubernetes.io/out-of-service", Said::IsDead),
    // The cloud's controller, of an instance that the cloud says is stopped (Kubernetes,
    // "well-known labels, annotations and taints").
    ("node.cloudprovider.kubernetes.io/shutdown", Said::IsDead),
    // Karpenter, before it drains and terminates (`DisruptedTaintKey`); taken off again where it
    // finds nothing to replace the node with.
    ("karpenter.sh/disrupted", Said::Leaves),
    // The same before Karpenter 1.0 (`DisruptionTaintKey` of v1beta1).
    ("karpenter.sh/disruption", Said::Leaves),
    // Karpenter, of a node that it reboots; taken off by the next boot (`RebootingTaintKey`).
    ("karpenter.sh/rebooting", Said::Leaves),
    // Cluster Autoscaler, before it drains and deletes. Its `DeletionCandidateOfClusterAutoscaler`
    // says only that the node is little used: most such nodes stay.
    ("ToBeDeletedByClusterAutoscaler", Said::Leaves),
    // AWS Node Termination Handler, beside a cordon, with `taintNode`: spot-itn,
    // scheduled-maintenance, asg-lifecycle-termination and rebalance-recommendation. The last is
    // Amazon's advice alone; but the handler takes it only where somebody has told it to, and cordons
    // the node for it, which is a drain already.
    ("aws-node-termination-handler/", Said::Leaves),
    // GKE's handlers of preemption and of maintenance.
    ("cloud.google.com/impending-node-termination", Said::Leaves),
];

/// Why a Node with these keys of taints leaves; `None` where nothing says so. `deleting`: it has a
/// `deletionTimestamp`.
///
/// A key of the table that ends with `/` stands for all that begin with it.
pub fn leaving<'a>(
    taints: impl IntoIterator<Item = &'a str>,
    deleting: bool,
) -> Option<LeavingReason> {
    let found = taints.into_iter().filter_map(|key| Some((row(key)?, key)));
    let first = found.min_by(|(a, _), (b, _)| a.cmp(b));
    let taint = first.map(|(_, key)| LeavingReason::Taint(key.to_owned()));
    taint.or(deleting.then_some(LeavingReason::Deleted))
}

/// The place of a taint in the table.
fn row(key: &str) -> Option<usize> {
    TAINTS.iter().position(|(known, _)| match known.strip_suffix('/') {
        Some(_) => key.len() > known.len() && key.starts_with(known),
        None => key == *known,
    })
}

/// Why a node is to hand over what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrainReason {
    /// `egret drain`: until `egret uncordon`.
    ByHand,
    /// What its Node says of it: as long as it does.
    Leaves(LeavingReason),
    /// Its agent says that the host is being shut down: until the next process there.
    HostStops,
    /// Its Node is cordoned.
    Cordoned,
}

impl DrainReason {
    /// What becomes of such a node, for people.
    pub fn consequence(&self) -> &'static str {
        match self {
            Self::Cordoned => {
                "what it holds moves where another gateway may carry it, and it stands by last"
            }
            Self::ByHand | Self::Leaves(_) | Self::HostStops => {
                "what it holds moves, and it is given nothing new"
            }
        }
    }
}

impl fmt::Display for DrainReason {
    /// Follows the node's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByHand => f.write_str("is drained"),
            Self::Leaves(why) if is_dead(why) => {
                write!(f, "leaves ({why} says that it is off: take it off the Node if it runs)")
            }
            Self::Leaves(why) => write!(f, "leaves ({why})"),
            Self::Cordoned => f.write_str("is cordoned"),
            Self::HostStops => f.write_str("is being shut down"),
        }
    }
}

/// Why `node` is to hand over what it holds; `None` where it is not. A cordon says least: such a node may
/// still carry what nobody else can.
pub fn drain_reason(snapshot: &Snapshot, node: &NodeName) -> Option<DrainReason> {
    let egress = snapshot.egress_nodes.get(node).map(|stored| &stored.value);
    if egress.is_some_and(|egress| egress.spec.drain) {
        return Some(DrainReason::ByHand);
    }
    let known = snapshot.nodes.get(node);
    if let Some(why) = known.and_then(|node| node.leaving.clone()) {
        return Some(DrainReason::Leaves(why));
    }
    if egress.is_some_and(|egress| egress.status.stopping) {
        return Some(DrainReason::HostStops);
    }
    known.is_some_and(|node| node.cordoned).then_some(DrainReason::Cordoned)
}

/// What of it the Node alone says: the leader copies it to where the node's agent reads it.
pub fn said_by_node(snapshot: &Snapshot, node: &NodeName) -> Option<String> {
    let node = snapshot.nodes.get(node)?;
    let leaves = node.leaving.as_ref().map(ToString::to_string);
    leaves.or_else(|| node.cordoned.then(|| "its Node is cordoned".to_owned()))
}

/// Whether `node` is to hand over what it holds.
pub fn drained(snapshot: &Snapshot, node: &NodeName) -> bool {
    drain_reason(snapshot, node).is_some()
}

/// Nodes from which nothing can be taken over in order: those that are [absent](liveness::absent), and
/// those of which a taint says that they are off, whose silence nobody waits for. The taint may be wrong:
/// whether what such a node holds is served, the voters know.
pub fn gone(snapshot: &Snapshot) -> BTreeSet<NodeName> {
    let dead = snapshot.nodes.values().filter(|node| node.leaving.as_ref().is_some_and(is_dead));
    let dead: Vec<NodeName> = dead.map(|node| node.name.clone()).collect();
    let mut gone = liveness::absent(snapshot);
    gone.extend(dead);
    gone
}

fn is_dead(why: &LeavingReason) -> bool {
    match why {
        LeavingReason::Taint(key) => {
            row(key).and_then(|at| TAINTS.get(at)).is_some_and(|(_, said)| *said == Said::IsDead)
        }
        LeavingReason::Deleted => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fixture;

    fn taint(key: &str) -> Option<LeavingReason> {
        Some(LeavingReason::Taint(key.to_owned()))
    }

    #[test]
    fn what_says_that_a_node_goes() {
        for key in [
            "karpenter.sh/disrupted",
            "karpenter.sh/disruption",
            "karpenter.sh/rebooting",
            "ToBeDeletedByClusterAutoscaler",
            "aws-node-termination-handler/spot-itn",
            "aws-node-termination-handler/scheduled-maintenance",
            "aws-node-termination-handler/asg-lifecycle-termination",
            "aws-node-termination-handler/rebalance-recommendation",
            "cloud.google.com/impending-node-termination",
            "node.kubernetes.io/out-of-service",
            "node.cloudprovider.kubernetes.io/shutdown",
        ] {
            assert_eq!(leaving(["dedicated", key], false), taint(key));
        }
        assert_eq!(leaving([], true), Some(LeavingReason::Deleted));
    }

    #[test]
    fn what_says_something_else() {
        for key in [
            "DeletionCandidateOfClusterAutoscaler",
            "node.kubernetes.io/unschedulable",
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
            "node.cloudprovider.kubernetes.io/uninitialized",
            "karpenter.sh/unregistered",
            "karpenter.sh/disrupted-not",
            "aws-node-termination-handler/",
            "aws-node-termination-handler",
        ] {
            assert_eq!(leaving([key], false), None, "{key}");
        }
    }

    #[test]
    fn of_several_the_one_that_says_most_counts_in_any_order() {
        let (dead, leaves) = ("node.kubernetes.io/out-of-service", "karpenter.sh/disrupted");
        assert_eq!(leaving([leaves, dead], true), taint(dead));
        assert_eq!(leaving([dead, leaves], true), taint(dead));
        assert_eq!(leaving([leaves], true), taint(leaves));
    }

    #[test]
    fn who_leaves_is_drained_and_who_is_off_is_gone_too() {
        let mut world = Fixture::small();
        let node = NodeName::from("g1");
        let mut set = |why| world.snapshot.nodes.get_mut(&node).unwrap().leaving = why;
        set(taint("karpenter.sh/disrupted"));
        let why = drain_reason(&world.snapshot, &node).unwrap();
        assert_eq!(why.to_string(), "leaves (taint karpenter.sh/disrupted)");
        assert!(gone(&world.snapshot).is_empty());
        let mut set = |why| world.snapshot.nodes.get_mut(&node).unwrap().leaving = why;
        set(taint("node.cloudprovider.kubernetes.io/shutdown"));
        assert!(drained(&world.snapshot, &node));
        let why = drain_reason(&world.snapshot, &node).unwrap().to_string();
        assert!(why.contains("shutdown says that it is off: take it off the Node"), "{why}");
        assert_eq!(gone(&world.snapshot), BTreeSet::from([node.clone()]));
        assert!(liveness::absent(&world.snapshot).is_empty(), "the voters say nothing of it");
        let mut set = |why| world.snapshot.nodes.get_mut(&node).unwrap().leaving = why;
        set(None);
        assert_eq!(drain_reason(&world.snapshot, &node), None);
        world.status("g1").stopping = true;
        assert_eq!(drain_reason(&world.snapshot, &node), Some(DrainReason::HostStops));
    }

    #[test]
    fn a_drain_by_hand_outlives_the_taint() {
        let mut world = Fixture::small();
        let node = NodeName::from("g1");
        world.spec("g1").drain = true;
        world.snapshot.nodes.get_mut(&node).unwrap().leaving = taint("karpenter.sh/disrupted");
        assert_eq!(drain_reason(&world.snapshot, &node), Some(DrainReason::ByHand));
        world.snapshot.nodes.get_mut(&node).unwrap().leaving = None;
        assert_eq!(drain_reason(&world.snapshot, &node), Some(DrainReason::ByHand));
    }
}
