//! Which pods a claim selects.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Claim, LabelSelector, NamespaceName, NodeName, Pod, PodSelection, SelectedPods, Snapshot,
    SnapshotScope,
};

/// Pods by namespace: of one node, or of all.
pub struct Selection<'a> {
    snapshot: &'a Snapshot,
    pods: BTreeMap<&'a NamespaceName, Vec<&'a Pod>>,
}

impl<'a> Selection<'a> {
    /// The pods of one node.
    pub fn of_node(snapshot: &'a Snapshot, node: &NodeName) -> Self {
        Self::of_pods(snapshot, |pod| pod.node == *node)
    }

    /// No pods.
    pub fn empty(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, pods: BTreeMap::new() }
    }

    /// The pods that `wanted` says.
    pub fn of_pods(snapshot: &'a Snapshot, wanted: impl Fn(&Pod) -> bool) -> Self {
        let mut pods: BTreeMap<&NamespaceName, Vec<&Pod>> = BTreeMap::new();
        for pod in snapshot.pods.values().filter(|pod| wanted(pod)) {
            pods.entry(&pod.namespace).or_default().push(pod);
        }
        Self { snapshot, pods }
    }

    /// The pods that `claim` selects, host-network ones too (which cannot be steered): each once.
    pub fn of(&self, claim: &'a Claim) -> impl Iterator<Item = &'a Pod> {
        let mut seen = BTreeSet::new();
        let parts = claim.parts().flat_map(|(pods, _)| self.of_part(claim, pods));
        let first = |pod: &&'a Pod| seen.insert((&pod.namespace, &pod.name));
        parts.filter(first).collect::<Vec<_>>().into_iter()
    }

    /// Those that one part of `claim` selects.
    pub fn of_part(
        &self,
        claim: &'a Claim,
        part: &'a PodSelection,
    ) -> impl Iterator<Item = &'a Pod> {
        let one = claim.reference.namespace.as_ref();
        let all = self.pods.keys().copied().filter(|_| one.is_none());
        let namespaces: Vec<&NamespaceName> = match one {
            Some(namespace) => vec![namespace],
            None => all.filter(|namespace| self.admits(claim, namespace)).collect(),
        };
        let found = namespaces.into_iter().flat_map(|namespace| {
            let selector = selector(self.snapshot, claim, part, namespace);
            let pods = self.pods.get(namespace).into_iter().flatten().copied();
            pods.filter(move |pod| selector.is_some_and(|selector| selector.matches(&pod.labels)))
        });
        found.collect::<Vec<_>>().into_iter()
    }

    fn admits(&self, claim: &Claim, namespace: &NamespaceName) -> bool {
        admits(self.snapshot, claim, namespace)
    }
}

/// Whether `claim` means pods of `namespace`.
fn admits(snapshot: &Snapshot, claim: &Claim, namespace: &NamespaceName) -> bool {
    if let Some(one) = &claim.reference.namespace {
        return one == namespace;
    }
    if snapshot.scope == SnapshotScope::Node {
        return selected(snapshot, claim).any(|selected| selected.namespaces.contains(namespace));
    }
    let labels = snapshot.namespaces.get(namespace).map(|namespace| &namespace.labels);
    let none = BTreeMap::new();
    claim.namespaces.as_ref().is_some_and(|selector| selector.matches(labels.unwrap_or(&none)))
}

/// What the controller resolved of `claim`.
fn selected<'a>(snapshot: &'a Snapshot, claim: &Claim) -> impl Iterator<Item = &'a SelectedPods> {
    let stored = snapshot.claims.get(&claim.reference);
    stored.into_iter().flat_map(|stored| &stored.value.1.selected)
}

/// What the controller writes into the status of `claim`, so that agents need neither Services nor
/// Namespaces. Empty for a namespaced claim with labels of its own.
pub fn resolve(snapshot: &Snapshot, claim: &Claim) -> Vec<SelectedPods> {
    let by_service = |part: &PodSelection| matches!(part, PodSelection::Service(_));
    if claim.namespaces.is_none() && !claim.parts().any(|(part, _)| by_service(part)) {
        return Vec::new();
    }
    let mut found: BTreeMap<(usize, Option<&String>, &LabelSelector), BTreeSet<NamespaceName>> =
        BTreeMap::new();
    let namespaces = snapshot.namespaces.keys().chain(claim.reference.namespace.as_ref());
    for namespace in namespaces.filter(|namespace| admits(snapshot, claim, namespace)) {
        for (index, (part, _)) in claim.parts().enumerate() {
            if let Some(selector) = selector(snapshot, claim, part, namespace) {
                let key = (index, service(part), selector);
                found.entry(key).or_default().insert(namespace.clone());
            }
        }
    }
    let resolved = |((_, service, pods), namespaces): ((_, Option<&String>, &LabelSelector), _)| {
        SelectedPods { namespaces, pods: pods.clone(), service: service.cloned() }
    };
    found.into_iter().map(resolved).collect()
}

/// Whether `claim` selects `pod`.
pub fn selects(snapshot: &Snapshot, claim: &Claim, pod: &Pod) -> bool {
    claim.parts().any(|(part, _)| selects_part(snapshot, claim, part, pod))
}

/// Whether this part of `claim` selects `pod`.
pub fn selects_part(snapshot: &Snapshot, claim: &Claim, part: &PodSelection, pod: &Pod) -> bool {
    let in_namespace = admits(snapshot, claim, &pod.namespace);
    let selector = selector(snapshot, claim, part, &pod.namespace);
    in_namespace && selector.is_some_and(|selector| selector.matches(&pod.labels))
}

/// The pod selector of a part of `claim` in `namespace`. Of a Service that is not there, or has no
/// selector, the last one that the controller resolved: its pods stay steered, since they would leave
/// with their nodes' addresses. `None` where there was none.
pub fn selector<'a>(
    snapshot: &'a Snapshot,
    claim: &Claim,
    part: &'a PodSelection,
    namespace: &NamespaceName,
) -> Option<&'a LabelSelector> {
    let name = match part {
        PodSelection::Labels(selector) => return Some(selector),
        PodSelection::Service(name) => name,
    };
    let of_it = |selected: &&SelectedPods| {
        selected.namespaces.contains(namespace)
            && selected.service.as_ref().is_none_or(|service| service == name)
    };
    let resolved = || selected(snapshot, claim).find(of_it).map(|selected| &selected.pods);
    service_selector(snapshot, namespace, name).or_else(resolved)
}

/// The selector of a Service; `None` where it is not there, or has none, and for the agents of large
/// clusters, which know no Services.
pub fn service_selector<'a>(
    snapshot: &'a Snapshot,
    namespace: &NamespaceName,
    name: &str,
) -> Option<&'a LabelSelector> {
    let service = snapshot.services.get(&(namespace.clone(), name.to_owned()))?;
    service.selector.as_ref()
}

fn service(part: &PodSelection) -> Option<&String> {
    match part {
        PodSelection::Service(name) => Some(name),
        PodSelection::Labels(_) => None,
    }
}
