//! What this node says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::lease::Report;
use egret_core::model::{
    AddressEnd, ClaimRef, Condition, ConditionType, EgressNodeStatus, NamespaceName, NodeName, Pod,
    Snapshot, Timestamp,
};
use egret_core::reason::AgentReason;
use egret_core::selection::Selection;
use egret_datapath::host::ReroutedPods;
use egret_ports::error::{ErrorClass, PortError};

use crate::guard_file::GuardAtBoot;

/// Takes a report of the lease machine into the status; true where it changes.
pub(crate) fn note(status: &mut EgressNodeStatus, report: &Report) -> bool {
    let before = status.clone();
    match report {
        Report::MayVote { boot } => status.may_vote = Some(boot.clone()),
        Report::AcknowledgedSet(number) => {
            status.acknowledged_set = status.acknowledged_set.max(*number);
        }
        Report::AcknowledgedFence { address, fence } => {
            status.acknowledged_fences.insert(*address, *fence);
        }
        Report::Absent { nodes } => status.absent.clone_from(nodes),
        _ => {}
    }
    *status != before
}

/// Fences of addresses that no longer exist are nobody's concern.
pub(crate) fn forget_fences(status: &mut EgressNodeStatus, addresses: &BTreeSet<IpAddr>) {
    status.acknowledged_fences.retain(|address, _| addresses.contains(address));
}

/// What keeps this node, a voter, from its vote; `None` where nothing does, or it is none.
pub(crate) fn silence(
    snapshot: &Snapshot,
    me: &NodeName,
    status: &EgressNodeStatus,
) -> Option<String> {
    let set = snapshot.cluster.as_ref().and_then(|cluster| cluster.value.set.as_ref())?;
    let votes = set.members.iter().any(|voter| voter.node == *me);
    (votes && status.may_vote.is_none()).then(|| {
        "this voter has found no grants of an earlier process and is silent until all of them have \
         ended (docs/leases.md rule 13)"
            .to_owned()
    })
}

/// What this node says of itself by what its agent could not do, and of its last boot.
pub(crate) fn conditions(
    problems: &BTreeMap<AgentReason, String>,
    guard: GuardAtBoot,
    now: Timestamp,
) -> Vec<Condition> {
    let of_agent = [ready(problems, now), bypassed(problems, now)];
    of_agent.into_iter().chain(guarded(guard, now)).collect()
}

fn guarded(guard: GuardAtBoot, now: Timestamp) -> Option<Condition> {
    const LOADED: &str = "what claims select was closed to this node's pods until its agent ran";
    const NOT_LOADED: &str = "nothing had loaded the guard when the agent began after this node's boot: what selected \
        pods sent before left with the node's address; have the unit egret-guard or the chained CNI plugin load it \
        (docs/install.md, After a boot), and reboot to see that it does";
    let kind = ConditionType::GuardedAtBoot;
    match guard {
        GuardAtBoot::Loaded => {
            Some(Condition::new(kind, true, AgentReason::GuardLoaded, LOADED, now))
        }
        GuardAtBoot::NotLoaded => {
            Some(Condition::new(kind, false, AgentReason::GuardNotLoaded, NOT_LOADED, now))
        }
        GuardAtBoot::NothingToSay => None,
    }
}

fn ready(problems: &BTreeMap<AgentReason, String>, now: Timestamp) -> Condition {
    let (status, reason, message) = match problems.keys().next() {
        None => {
            (true, AgentReason::Programmed, "the kernel holds what the store asks for".to_owned())
        }
        Some(first) => {
            let all: Vec<&str> = problems.values().map(String::as_str).collect();
            (false, *first, all.join("; "))
        }
    };
    Condition::new(ConditionType::Ready, status, reason, message, now)
}

fn bypassed(problems: &BTreeMap<AgentReason, String>, now: Timestamp) -> Condition {
    const PASSES: &str = "no traffic of pods was seen to pass by this host's netfilter";
    let kind = ConditionType::DatapathBypassed;
    match problems.get(&AgentReason::DatapathBypassed) {
        Some(problem) => Condition::new(kind, true, AgentReason::EbpfHostRouting, problem, now),
        None => Condition::new(kind, false, AgentReason::NotSeen, PASSES, now),
    }
}

/// That another rule takes pods' traffic, with the remedy.
pub(crate) fn rerouted(rerouted: &ReroutedPods) -> Result<(), PortError> {
    if rerouted.devices.is_empty() {
        return Ok(());
    }
    let devices: Vec<&str> = rerouted.devices.iter().map(String::as_str).collect();
    let message = format!(
        "security groups for pods in strict mode take the traffic of pods past Egret's rule ({}): it leaves \
         with the pod's own address; set POD_SECURITY_GROUP_ENFORCING_MODE=standard on the DaemonSet \
         aws-node, and start those pods anew",
        devices.join(", ")
    );
    Err(PortError::new(ErrorClass::Invalid, "steer the pods of this node", message))
}

/// Claims with pods on `me`, where something keeps it from programming them.
pub(crate) fn unprogrammed(
    snapshot: &Snapshot,
    me: &NodeName,
    problems: &BTreeMap<AgentReason, String>,
    rerouted: &ReroutedPods,
) -> BTreeSet<ClaimRef> {
    // What is a gateway's matter, or that of some pods: the others of this node are steered all the same.
    let not_of_all = [
        AgentReason::InterfaceNotFound,
        AgentReason::AddressIsLocal,
        AgentReason::InterfaceUnusable,
        AgentReason::RouterSilent,
        AgentReason::ProgramsPassedBy,
        AgentReason::PodsRerouted,
        AgentReason::EndpointImpaired,
        AgentReason::TunnelUnanswered,
        // Of one family, or of the pods that a policy is about.
        AgentReason::DroppedByOthers,
        // What rules may do: the counters say what they do.
        AgentReason::NoFreeMark,
        AgentReason::ConnectionMarkOverwritten,
    ];
    let all = problems.keys().any(|reason| !not_of_all.contains(reason));
    if !all && rerouted.addresses.is_empty() {
        return BTreeSet::new();
    }
    let affected = |pod: &Pod| all || !pod.sources.is_disjoint(&rerouted.addresses);
    let pods = Selection::of_pods(snapshot, |pod| pod.node == *me && affected(pod));
    let claims = snapshot.claims.values().map(|stored| &stored.value.0);
    claims
        .filter(|claim| pods.of(claim).any(|pod| !pod.host_network))
        .map(|claim| claim.reference.clone())
        .collect()
}

/// What a director answers to the releases of `idle`, the addresses of which it has no connection left:
/// it has looked after it read of them (docs/leases.md rule 18).
pub(crate) fn answers(snapshot: &Snapshot, idle: &BTreeSet<IpAddr>) -> BTreeMap<IpAddr, Timestamp> {
    let answer = |address: &IpAddr| match snapshot.addresses.get(address)?.value.plan.end {
        Some(AddressEnd::Released { since, .. }) => Some((*address, since)),
        _ => None,
    };
    idle.iter().filter_map(answer).collect()
}

/// Host-network pods of `me` that a claim selects, with the claim: they cannot be steered.
pub(crate) fn host_network_pods(
    snapshot: &Snapshot,
    me: &NodeName,
) -> BTreeMap<(NamespaceName, String), ClaimRef> {
    let mut found = BTreeMap::new();
    if !snapshot.pods.values().any(|pod| pod.host_network && pod.node == *me) {
        return found;
    }
    let pods = Selection::of_node(snapshot, me);
    for stored in snapshot.claims.values() {
        let claim = &stored.value.0;
        for pod in pods.of(claim).filter(|pod| pod.host_network) {
            let key = (pod.namespace.clone(), pod.name.clone());
            found.entry(key).or_insert_with(|| claim.reference.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use egret_core::model::{
        Claim, ClaimStatus, Cluster, ClusterRanges, LabelSelector, Millis, PodSelection, PublicKey,
        ResourceVersion, Stored, Uid, Voter, VoterSet, WhenUnavailable,
    };

    use super::*;

    #[test]
    fn only_what_changes_is_said() {
        let mut status = EgressNodeStatus::default();
        assert!(note(&mut status, &Report::AcknowledgedSet(3)));
        assert!(!note(&mut status, &Report::AcknowledgedSet(2)));
        assert!(!note(&mut status, &Report::MajorityBack));
    }

    fn put_voters(snapshot: &mut Snapshot, nodes: &[&str]) {
        let voter = |node: &&str| Voter {
            node: NodeName::from(*node),
            endpoints: Vec::new(),
            peer_port: 5481,
            public_key: PublicKey([1; 32]),
        };
        let set = VoterSet { number: 1, members: nodes.iter().map(voter).collect() };
        let value = Cluster {
            id: "test".to_owned(),
            set: Some(set),
            t_max: Millis::from_secs(10),
            ranges: ClusterRanges::default(),
            uninstalling: false,
        };
        snapshot.cluster = Some(Stored { version: ResourceVersion("1".into()), value });
    }

    /// A roll-out waits for each pod to be ready: else the next voter goes while this one is silent.
    #[test]
    fn a_voter_is_silent_until_it_may_vote() {
        let (me, mut status) = (NodeName::from("me"), EgressNodeStatus::default());
        let mut snapshot = Snapshot::default();
        assert_eq!(silence(&snapshot, &me, &status), None, "nobody votes");
        put_voters(&mut snapshot, &["other"]);
        assert_eq!(silence(&snapshot, &me, &status), None, "others do");
        put_voters(&mut snapshot, &["me", "other"]);
        assert!(silence(&snapshot, &me, &status).unwrap().contains("rule 13"));
        note(&mut status, &Report::MayVote { boot: "boot".into() });
        assert_eq!(silence(&snapshot, &me, &status), None);
    }

    fn pod(name: &str, labels: &[(&str, &str)], address: &str) -> ((NamespaceName, String), Pod) {
        let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let pod = Pod {
            namespace: "shop".into(),
            name: name.into(),
            labels,
            node: "me".into(),
            host_network: false,
            sources: [address.parse().unwrap()].into(),
            uid: Uid::new(name),
            created: Timestamp(0),
            terminating: false,
        };
        ((pod.namespace.clone(), name.into()), pod)
    }

    fn claim(name: &str, app: &str) -> Claim {
        let selector = LabelSelector {
            match_labels: [("app".into(), app.into())].into(),
            ..LabelSelector::default()
        };
        Claim {
            reference: ClaimRef { namespace: Some("shop".into()), name: name.into() },
            uid: Uid::new(name),
            generation: 1,
            created: Timestamp(0),
            pool: "pool".into(),
            addresses: Vec::new(),
            count: 1,
            families: None,
            pods: PodSelection::Labels(selector),
            namespaces: None,
            destinations: None,
            when_unavailable: WhenUnavailable::Drop,
            further: Vec::new(),
        }
    }

    #[test]
    fn only_claims_of_the_pods_that_strict_mode_takes_are_not_programmed() {
        let mut snapshot = Snapshot::default();
        snapshot.pods.extend([
            pod("bank-1", &[("app", "bank")], "10.0.1.77/32"),
            pod("mail-1", &[("app", "mail")], "10.0.1.78/32"),
        ]);
        for claim in [claim("bank", "bank"), claim("mail", "mail")] {
            let version = ResourceVersion("1".into());
            let stored = Stored { version, value: (claim.clone(), ClaimStatus::default()) };
            snapshot.claims.insert(claim.reference, stored);
        }
        let none = ReroutedPods::default();
        let strict = ReroutedPods {
            devices: ["vlan5f3c1d2e4a6".to_owned()].into(),
            addresses: ["10.0.1.77/32".parse().unwrap()].into(),
        };
        assert!(rerouted(&none).is_ok());
        let message = rerouted(&strict).unwrap_err().to_string();
        assert!(message.contains("vlan5f3c1d2e4a6") && message.contains("=standard"), "{message}");
        let of = |reasons: &[AgentReason], rerouted: &ReroutedPods| -> Vec<String> {
            let problems = reasons.iter().map(|reason| (*reason, message.clone())).collect();
            let found = unprogrammed(&snapshot, &"me".into(), &problems, rerouted);
            found.into_iter().map(|claim| claim.name.to_string()).collect()
        };
        assert!(of(&[], &none).is_empty());
        assert_eq!(of(&[AgentReason::PodsRerouted], &strict), ["bank"]);
        for reason in [AgentReason::RulesNotApplied, AgentReason::EndpointMissing] {
            assert_eq!(of(&[reason], &none), ["bank", "mail"], "{reason}");
        }
        for reason in [
            AgentReason::EndpointImpaired,
            AgentReason::NoFreeMark,
            AgentReason::ConnectionMarkOverwritten,
        ] {
            assert!(of(&[reason], &none).is_empty(), "{reason}");
        }
    }

    /// Programs of people look for these; the reasons of problems are in docs/reference-api.md.
    #[test]
    fn conditions_are_spelled_as_they_were() {
        let none = BTreeMap::new();
        let problems = BTreeMap::from([(AgentReason::DatapathBypassed, "eBPF".to_owned())]);
        let now = Timestamp(1);
        let nothing = GuardAtBoot::NothingToSay;
        let both = [conditions(&none, nothing, now), conditions(&problems, nothing, now)];
        let guards = [GuardAtBoot::Loaded, GuardAtBoot::NotLoaded];
        let guards = guards.map(|guard| guarded(guard, now).into_iter().collect());
        let spelled = both.into_iter().chain(guards).flatten().map(|condition| {
            let Condition { kind, status, reason, .. } = condition;
            format!("{kind}={status} {reason}")
        });
        let known = [
            "Ready=true Programmed",
            "DatapathBypassed=false NotSeen",
            "Ready=false DatapathBypassed",
            "DatapathBypassed=true EbpfHostRouting",
            "GuardedAtBoot=true GuardLoaded",
            "GuardedAtBoot=false GuardNotLoaded",
        ];
        assert_eq!(spelled.collect::<Vec<_>>(), known);
    }
}
