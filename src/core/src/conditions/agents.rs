//! What is said of nodes without an agent, which cannot say it themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::membership::liveness;
use crate::model::{Claim, Condition, ConditionType, Millis, NodeName, Pod, Pool};
use crate::placement::{Ineligible, unfit};
use crate::reason::Reason;
use crate::selection::selects;

use super::evaluation::{ConditionInputs, Evaluation, names};

/// After so long a node that is absent is not dead, or its pods were gone: its agent is.
const PODS_GONE_AFTER: Millis = Millis::from_secs(300);

/// The conditions `AgentAbsent` that differ from what is written; `None`: there is to be none.
pub fn agent_absences(view: &ConditionInputs<'_>) -> BTreeMap<NodeName, Option<Condition>> {
    let unheard = liveness::unheard(view.snapshot);
    let no_majority = liveness::silent_majority(view.snapshot);
    let mut differing = BTreeMap::new();
    for (name, stored) in &view.snapshot.egress_nodes {
        let before = &stored.value.status.conditions;
        let who = match &no_majority {
            _ if unheard.contains(name) => Some("a majority of the voters has".to_owned()),
            Some(found) if found.silent.contains(name) => Some(format!(
                "too few voters are left to grant or renew a lease ({}), and they have",
                names(found.left.iter())
            )),
            _ => None,
        };
        let wanted = who.map(|who| {
            let message = format!(
                "{who} not heard its agent for 10 s: what its kernel has stays, and nothing new is \
                 programmed there; look at the agent's pod and at UDP 5481 between the nodes"
            );
            let absent =
                Evaluation::new(ConditionType::AgentAbsent, true, Reason::AgentNotHeard, message);
            absent.date(before, 0, view.now)
        });
        if stored.value.status.agent_absent() != wanted.as_ref() {
            differing.insert(name.clone(), wanted);
        }
    }
    differing
}

/// Pods on nodes where no agent can steer them. Over an API server only these pods are read
/// (`egret_state::kubernetes`), of some nodes.
pub(super) struct Unsteered<'a>(Vec<&'a Pod>);

impl<'a> Unsteered<'a> {
    pub(super) fn new(view: &ConditionInputs<'a>) -> Self {
        let mut unheard = liveness::unheard(view.snapshot);
        unheard.extend(
            liveness::silent_majority(view.snapshot).into_iter().flat_map(|found| found.silent),
        );
        let has_agent = |node: &NodeName| {
            let stored = view.snapshot.egress_nodes.get(node);
            stored.is_some_and(|stored| {
                // What is written goes with this plan where it is heard again.
                let absent = stored.value.status.agent_absent();
                let absent = absent.filter(|_| unheard.contains(node));
                absent.is_none_or(|known| view.now.since(known.last_transition) < PODS_GONE_AFTER)
            })
        };
        let mut nodes: BTreeMap<&NodeName, bool> = BTreeMap::new();
        let pods = view.snapshot.pods.values().filter(|pod| {
            let without = *nodes.entry(&pod.node).or_insert_with(|| {
                view.snapshot.nodes.contains_key(&pod.node) && !has_agent(&pod.node)
            });
            without && !pod.host_network && !pod.sources.is_empty()
        });
        Self(pods.collect())
    }

    /// Says where nothing steers pods of the claim; `None` where something does everywhere.
    pub(super) fn of(&self, view: &ConditionInputs<'_>, claim: &Claim) -> Option<Evaluation> {
        let pods: Vec<&&Pod> =
            self.0.iter().filter(|pod| selects(view.snapshot, claim, pod)).collect();
        let (first, count) = (pods.first()?, pods.len());
        let nodes: BTreeSet<&NodeName> = pods.iter().map(|pod| &pod.node).collect();
        let message = format!(
            "no agent runs on {}, where {count} of its pods are, {}/{} among them: they leave as if there \
             were no claim; let the agents' DaemonSet run there, or keep the pods off",
            names(nodes.into_iter()),
            first.namespace,
            first.name
        );
        Some(Evaluation::new(ConditionType::Programmed, false, Reason::NoAgent, message))
    }
}

/// Says why none of the pool's gateways can carry addresses; `None` where one can.
pub(super) fn no_living_gateway(view: &ConditionInputs<'_>, pool: &Pool) -> Option<Evaluation> {
    let absent = liveness::absent(view.snapshot);
    let selected = view.snapshot.nodes.values().filter(|node| pool.gateways.matches(&node.labels));
    let mut why: BTreeMap<Ineligible, Vec<&NodeName>> = BTreeMap::new();
    for node in selected {
        why.entry(unfit(view.snapshot, &absent, &node.name)?).or_default().push(&node.name);
    }
    let told = why.into_iter().map(|(why, nodes)| {
        let what = match why {
            Ineligible::Absent => "absent",
            Ineligible::NoAgent => "without an agent",
            _ => "drained",
        };
        format!("{}: {what}", names(nodes.into_iter()))
    });
    let told: Vec<String> = told.collect();
    let message = format!(
        "none of its gateways can carry addresses ({}); bring one back, or have \
         spec.gateways.nodeSelector match others",
        told.join("; ")
    );
    Some(Evaluation::new(ConditionType::Ready, false, Reason::NoLivingGateway, message))
}

#[cfg(test)]
mod tests;
