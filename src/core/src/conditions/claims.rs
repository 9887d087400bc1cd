use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::ipam::ClaimBinding;
use crate::model::{
    Claim, ClaimRef, ClaimStatus, Condition, ConditionType, EgressNode, Family, NamespaceName,
    NodeName, PodSelection,
};
use crate::reason::Reason;
use crate::selection::{resolve, selector, service_selector};

use super::address_ready::AddressReadiness;
use super::agents::Unsteered;
use super::evaluation::{ConditionInputs, Evaluation};
use super::{outside_pool, written};

/// The statuses of claims that differ from what is written.
pub fn claim_statuses(view: &ConditionInputs<'_>) -> BTreeMap<ClaimRef, ClaimStatus> {
    let readiness = AddressReadiness::new(view);
    let troubled = Troubled::new(view);
    let unsteered = Unsteered::new(view);
    let mut statuses = BTreeMap::new();
    let empty = ClaimBinding::default();
    for (name, stored) in &view.snapshot.claims {
        let claim = &stored.value.0;
        let binding = view.bindings.claims.get(name).unwrap_or(&empty);
        let status = status(view, claim, binding, &readiness, (&troubled, &unsteered));
        if written(view, name) != Some(&status) {
            statuses.insert(name.clone(), status);
        }
    }
    statuses
}

fn status(
    view: &ConditionInputs<'_>,
    claim: &Claim,
    binding: &ClaimBinding,
    readiness: &AddressReadiness<'_>,
    (troubled, unsteered): (&Troubled<'_>, &Unsteered<'_>),
) -> ClaimStatus {
    let addresses: BTreeSet<IpAddr> = binding.bound.union(&binding.new).copied().collect();
    let before: &[Condition] =
        written(view, &claim.reference).map(|status| status.conditions.as_slice()).unwrap_or(&[]);
    let accepted = accepted(claim, binding);
    let bound = bound(binding, &addresses);
    let mut programmed = troubled.programmed(view, claim);
    if programmed.status
        && let Some(nowhere) = unsteered.of(view, claim)
    {
        programmed = nowhere;
    }
    if programmed.status
        && let Some(cut_off) = cut_off(view, &addresses)
    {
        programmed = cut_off;
    }
    let ready = ready(view, [&accepted, &bound, &programmed], &addresses, readiness);
    let judged = [accepted, bound, programmed, ready].into_iter().chain(overridden(view, claim));
    let judged = judged.chain(outside_pool::claim(view, claim, &addresses));
    let date = |judged: Evaluation| judged.date(before, claim.generation, view.now);
    ClaimStatus {
        observed_generation: claim.generation,
        gateways: holders(view, &addresses),
        addresses: addresses.into_iter().collect(),
        selected: resolve(view.snapshot, claim),
        conditions: judged.map(date).collect(),
    }
}

fn holders(view: &ConditionInputs<'_>, addresses: &BTreeSet<IpAddr>) -> Vec<NodeName> {
    let stored = addresses.iter().filter_map(|address| view.snapshot.addresses.get(address));
    let holding = stored.filter_map(|stored| stored.value.status.holding.as_ref());
    let nodes: BTreeSet<NodeName> = holding.map(|holding| holding.node.clone()).collect();
    nodes.into_iter().collect()
}

fn accepted(claim: &Claim, binding: &ClaimBinding) -> Evaluation {
    match &binding.refused {
        Some(verdict) => {
            Evaluation { kind: ConditionType::Accepted, status: false, cause: verdict.clone() }
        }
        None => {
            let message = format!("pool {} admits the claim", claim.pool);
            Evaluation::new(ConditionType::Accepted, true, Reason::Accepted, message)
        }
    }
}

fn bound(binding: &ClaimBinding, addresses: &BTreeSet<IpAddr>) -> Evaluation {
    match (&binding.refused, &binding.waits) {
        (Some(_), _) if addresses.is_empty() => {
            let message = "no address is bound before the claim is accepted: see Accepted";
            Evaluation::new(ConditionType::Bound, false, Reason::NotAccepted, message)
        }
        (_, Some(verdict)) => {
            Evaluation { kind: ConditionType::Bound, status: false, cause: verdict.clone() }
        }
        _ => {
            let list: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            Evaluation::new(
                ConditionType::Bound,
                true,
                Reason::Bound,
                format!("has {}", list.join(", ")),
            )
        }
    }
}

fn ready(
    view: &ConditionInputs<'_>,
    needed: [&Evaluation; 3],
    addresses: &BTreeSet<IpAddr>,
    readiness: &AddressReadiness<'_>,
) -> Evaluation {
    let reasons = [Reason::NotAccepted, Reason::NotBound, Reason::NotProgrammed];
    let unmet = needed.into_iter().zip(reasons).find(|(judged, _)| !judged.status);
    if let Some((judged, reason)) = unmet {
        return Evaluation::new(ConditionType::Ready, false, reason, judged.cause.message.clone());
    }
    let judged = |address: &IpAddr| {
        let plan = view.plans.get(address)?;
        let stored = view.snapshot.addresses.get(address);
        let status = stored.map(|stored| stored.value.status.clone()).unwrap_or_default();
        Some((*address, plan, readiness.of(*address, plan, &status)))
    };
    let judged: Vec<_> = addresses.iter().filter_map(judged).collect();
    if let Some((address, plan, bad)) = judged.iter().find(|(_, _, judged)| !judged.status) {
        let others = judged.iter().filter(|(other, _, judged)| {
            judged.status && Family::of(*other) == Family::of(*address)
        });
        let others: Vec<String> = others.map(|(other, ..)| other.to_string()).collect();
        // Where a director has heard of it and has a block (docs/design.md decision 15).
        let meanwhile = match others.is_empty() || !plan.facts().fabric_fences() {
            true => String::new(),
            false => format!("; new connections may leave with {} meanwhile", others.join(" or ")),
        };
        let message = format!("{address}: {}{meanwhile}", bad.cause.message);
        return Evaluation::new(ConditionType::Ready, false, bad.cause.reason, message);
    }
    Evaluation::new(
        ConditionType::Ready,
        true,
        Reason::Ready,
        "every address is held and programmed",
    )
}

/// Says that pods' packets do not reach a holder; `None` where all do.
fn cut_off(view: &ConditionInputs<'_>, addresses: &BTreeSet<IpAddr>) -> Option<Evaluation> {
    let holders = addresses.iter().filter_map(|address| {
        let stored = view.snapshot.addresses.get(address)?;
        Some((*address, &stored.value.status.holding.as_ref()?.node))
    });
    let mut cut_off = holders.filter_map(|(address, holder)| {
        let (nodes, _) = view.reach.cut_off(address, holder);
        nodes.first().map(|node| (address, holder, *node))
    });
    let (address, holder, node) = cut_off.next()?;
    let message = format!(
        "{node}: it does not reach {holder}, which holds {address}, through the tunnel, and what its pods \
         send there is lost: see the condition Ready of the EgressNode {node}"
    );
    Some(Evaluation::new(ConditionType::Programmed, false, Reason::NodeNotReady, message))
}

/// Says of a claim that loses destinations to whom it does; nothing of one that does not.
fn overridden(view: &ConditionInputs<'_>, claim: &Claim) -> Option<Evaluation> {
    let mut winners: BTreeSet<&ClaimRef> = BTreeSet::new();
    let mut places: BTreeSet<&NodeName> = BTreeSet::new();
    for (name, node) in &view.snapshot.egress_nodes {
        if let Some(found) = node.value.status.overridden.get(&claim.reference) {
            winners.extend(found);
            places.insert(name);
        }
    }
    let place = places.first()?;
    let names: Vec<String> = winners.into_iter().map(ClaimRef::to_string).collect();
    let more = match places.len() - 1 {
        0 => String::new(),
        others => format!(" and {others} other nodes"),
    };
    let message = format!(
        "{} wins some destinations of pods that this claim selects too, on {place}{more}: the longest \
         prefix wins, then the older claim; narrow one of them if that is not meant",
        names.join(", ")
    );
    Some(Evaluation::new(ConditionType::Overridden, true, Reason::OtherClaimWins, message))
}

/// Nodes that cannot program what they should.
struct Troubled<'a>(BTreeMap<&'a NodeName, (&'a EgressNode, Reason, String)>);

impl<'a> Troubled<'a> {
    fn new(view: &ConditionInputs<'a>) -> Self {
        let nodes = view.snapshot.egress_nodes.iter();
        let troubled = nodes.filter_map(|(name, node)| {
            let (reason, message) = trouble(&node.value)?;
            Some((name, (&node.value, reason, message)))
        });
        Self(troubled.collect())
    }

    fn programmed(&self, view: &ConditionInputs<'_>, claim: &Claim) -> Evaluation {
        for (pods, _) in claim.parts() {
            if let (PodSelection::Service(service), Some(namespace)) =
                (pods, &claim.reference.namespace)
                && service_selector(view.snapshot, namespace, service).is_none()
            {
                let steered = selector(view.snapshot, claim, pods, namespace).is_some();
                return service_not_found(service, namespace, steered);
            }
        }
        let mut troubled = self.0.iter();
        let found =
            troubled.find(|(_, (node, ..))| node.status.unprogrammed.contains(&claim.reference));
        match found {
            Some((node, (_, reason, message))) => Evaluation::new(
                ConditionType::Programmed,
                false,
                *reason,
                format!("{node}: {message}"),
            ),
            None => {
                let message = "no node reports that it cannot program the claim";
                Evaluation::new(ConditionType::Programmed, true, Reason::Programmed, message)
            }
        }
    }
}

/// `steered`: the pods that it selected last are.
fn service_not_found(service: &str, namespace: &NamespaceName, steered: bool) -> Evaluation {
    let steered = if steered { "; the pods that it selected last stay steered" } else { "" };
    let message = format!(
        "spec.serviceName: there is no Service {service} with a selector in namespace {namespace}; \
         create it or use spec.podSelector{steered}"
    );
    Evaluation::new(ConditionType::Programmed, false, Reason::ServiceNotFound, message)
}

/// What a node says that keeps it from steering its pods.
fn trouble(node: &EgressNode) -> Option<(Reason, String)> {
    let find = |kind: ConditionType, status: bool| {
        let mut conditions = node.status.conditions.iter();
        conditions.find(|c| c.kind == kind && c.status == status).map(|c| c.message.clone())
    };
    find(ConditionType::DatapathBypassed, true)
        .map(|message| (Reason::DatapathBypassed, message))
        .or_else(|| {
            find(ConditionType::Ready, false).map(|message| (Reason::NodeNotReady, message))
        })
}
