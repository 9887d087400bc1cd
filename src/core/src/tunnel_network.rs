//! By which network the nodes' tunnel runs: what the leader tells each node of where its own is to end.
//!
//! A node finds its addresses itself. But the annotation of its Node it cannot read, and that all nodes can move
//! to another network it cannot know: nodes on different ones do not reach each other.

use crate::membership::liveness;
use crate::model::{
    EgressNode, EgressNodeSpec, EndpointAnnotation, EndpointChoice, Family, NodeName, Snapshot,
};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What a node was told of where its tunnel is to end.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ToldEndpoint {
    /// By the annotation of its Node.
    pub annotated: Option<EndpointChoice>,
    /// As long as nobody says otherwise; `None`: where it ended before there was a choice.
    pub default: Option<EndpointChoice>,
}

impl ToldEndpoint {
    /// What the spec of a node says.
    pub fn of(spec: &EgressNodeSpec) -> Self {
        Self {
            annotated: spec.tunnel_endpoint.clone(),
            default: spec.tunnel_endpoint_default.clone(),
        }
    }
}

/// What the annotation of a Node says, as its spec is to have it: unreadable, or without the Node, as `before`.
pub fn annotated(
    snapshot: &Snapshot,
    node: &NodeName,
    before: &EgressNodeSpec,
) -> Option<EndpointChoice> {
    match snapshot.nodes.get(node).map(|node| &node.tunnel_endpoint) {
        Some(EndpointAnnotation::Absent) => None,
        Some(EndpointAnnotation::Says(choice)) => Some(choice.clone()),
        Some(EndpointAnnotation::Unread) | None => before.tunnel_endpoint.clone(),
    }
}

/// Where the nodes' tunnel is to end unless somebody says otherwise.
///
/// At the InternalIP as soon as every agent that runs goes where it is told: then all move at once. Agents of a
/// version before end at the address of the default route, and so do all until the last of these has gone. Where
/// they have moved, they go back when most agents are of such a version again; a single one (a node that was
/// off during the upgrade) moves nobody.
pub fn by_default(snapshot: &Snapshot) -> Option<EndpointChoice> {
    let absent = liveness::absent(snapshot);
    let nodes = snapshot.egress_nodes.iter().map(|(name, stored)| (name, &stored.value));
    let runs = |(name, node): &(&NodeName, &EgressNode)| {
        !node.status.endpoints.is_empty() && !absent.contains(*name)
    };
    let (able, behind): (Vec<_>, Vec<_>) =
        nodes.clone().filter(runs).partition(|(_, node)| node.status.follows_endpoint);
    let moved = nodes.clone().any(|(_, node)| node.spec.tunnel_endpoint_default.is_some());
    let all = behind.is_empty() || moved && behind.len() <= able.len();
    all.then_some(EndpointChoice::InternalIP)
}

/// By which of its addresses a node that has `own` reaches one that has `theirs`, both with the best first: of
/// the first family that both have. The answer goes the same way.
pub fn reached_by(own: &[IpAddr], theirs: &[IpAddr]) -> Option<IpAddr> {
    let of = |family| theirs.iter().find(move |address| Family::of(**address) == family);
    own.iter().find_map(|address| of(Family::of(*address))).copied()
}

/// Whether any of `others` is reached by IPv6 alone, whose headers are longer.
pub fn crosses_to_ipv6(own: &[IpAddr], others: &BTreeMap<NodeName, Vec<IpAddr>>) -> bool {
    others.values().any(|theirs| reached_by(own, theirs).is_some_and(|address| address.is_ipv6()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fixture;

    fn within(text: &str) -> EndpointChoice {
        EndpointChoice::Within(vec![text.parse().unwrap()])
    }

    fn capable(world: &mut Fixture, names: &[&str]) {
        let nodes: Vec<NodeName> = world.snapshot.egress_nodes.keys().cloned().collect();
        for node in nodes {
            world.status(node.as_str()).follows_endpoint = names.contains(&node.as_str());
        }
    }

    fn names(world: &Fixture) -> Vec<String> {
        world.snapshot.egress_nodes.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn an_annotation_is_copied_and_one_that_nobody_can_read_changes_nothing() {
        let mut world = Fixture::small();
        let node = NodeName::from("g1");
        let before = EgressNodeSpec {
            tunnel_endpoint: Some(within("10.1.0.0/16")),
            ..EgressNodeSpec::default()
        };
        let mut says = |annotation| {
            world.snapshot.nodes.get_mut(&node).unwrap().tunnel_endpoint = annotation;
            annotated(&world.snapshot, &node, &before)
        };
        assert_eq!(says(EndpointAnnotation::Absent), None);
        let other = within("10.2.0.0/16");
        assert_eq!(says(EndpointAnnotation::Says(other.clone())), Some(other));
        assert_eq!(says(EndpointAnnotation::Unread), Some(within("10.1.0.0/16")));
        world.snapshot.nodes.remove(&node);
        let gone = annotated(&world.snapshot, &node, &before);
        assert_eq!(gone, Some(within("10.1.0.0/16")), "its Node was not read yet");
    }

    /// An upgrade of agents one after the other, and the way back.
    #[test]
    fn all_move_when_the_last_old_agent_has_gone_and_back_when_most_are_old_again() {
        let mut world = Fixture::small();
        let all = names(&world);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        for upgraded in 0..all.len() {
            capable(&mut world, &all[..upgraded]);
            assert_eq!(by_default(&world.snapshot), None, "{upgraded} of {}", all.len());
        }
        capable(&mut world, &all);
        assert_eq!(by_default(&world.snapshot), Some(EndpointChoice::InternalIP));
        for node in &all {
            world.spec(node).tunnel_endpoint_default = Some(EndpointChoice::InternalIP);
        }
        capable(&mut world, &all[1..]);
        let one_behind = by_default(&world.snapshot);
        assert_eq!(one_behind, Some(EndpointChoice::InternalIP), "one that was off moves nobody");
        capable(&mut world, &all[..1]);
        assert_eq!(by_default(&world.snapshot), None, "rolled back");
    }

    #[test]
    fn a_node_without_an_agent_keeps_nobody_where_they_are() {
        let mut world = Fixture::small();
        let all = names(&world);
        capable(&mut world, &all.iter().skip(1).map(String::as_str).collect::<Vec<_>>());
        assert_eq!(by_default(&world.snapshot), None);
        world.status(&all[0]).endpoints.clear();
        assert_eq!(by_default(&world.snapshot), Some(EndpointChoice::InternalIP));
        let empty = Snapshot::default();
        assert_eq!(by_default(&empty), Some(EndpointChoice::InternalIP), "a new cluster");
    }

    #[test]
    fn an_annotation_alone_moves_no_other_node() {
        let mut world = Fixture::small();
        world.spec("g1").tunnel_endpoint = Some(EndpointChoice::InternalIP);
        let all = names(&world);
        capable(&mut world, &all.iter().skip(1).map(String::as_str).collect::<Vec<_>>());
        assert_eq!(by_default(&world.snapshot), None);
    }

    #[test]
    fn two_nodes_meet_in_a_family_that_both_have() {
        let ips = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let (four, six) = (ips(&["10.0.0.1"]), ips(&["2001:db8::1"]));
        let (both, six_first) =
            (ips(&["10.0.0.2", "2001:db8::2"]), ips(&["2001:db8::3", "10.0.0.3"]));
        let by = |own: &[IpAddr], theirs: &[IpAddr]| reached_by(own, theirs);
        assert_eq!(by(&four, &both), Some(both[0]));
        assert_eq!(by(&both, &six), Some(six[0]), "the other has no IPv4");
        assert_eq!(by(&six, &both), Some(both[1]));
        assert_eq!(by(&six_first, &four), Some(four[0]));
        assert_eq!(by(&both, &six_first), Some(six_first[1]), "one's own order");
        assert_eq!(by(&four, &six), None);
        let crosses = |own: &[IpAddr], theirs: &[IpAddr]| {
            crosses_to_ipv6(own, &BTreeMap::from([("g1".into(), theirs.to_vec())]))
        };
        assert!(crosses(&both, &six) && crosses(&six_first, &both));
        assert!(!crosses(&both, &six_first) && !crosses(&six_first, &four));
    }
}
