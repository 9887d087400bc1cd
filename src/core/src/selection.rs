//! Which pods a claim selects.

use std::collections::BTreeMap;

use crate::model::{Claim, LabelSelector, NamespaceName, NodeName, Pod, PodSelection, Snapshot};

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

    /// The pods that `claim` selects, host-network ones too (which cannot be steered).
    pub fn of(&self, claim: &'a Claim) -> impl Iterator<Item = &'a Pod> {
        let one = claim.reference.namespace.as_ref();
        let all = self.pods.keys().copied().filter(|_| one.is_none());
        let namespaces: Vec<&NamespaceName> = match one {
            Some(namespace) => vec![namespace],
            None => all.filter(|namespace| self.admits(claim, namespace)).collect(),
        };
        let found = namespaces.into_iter().flat_map(|namespace| {
            let selector = selector(self.snapshot, claim, namespace);
            let pods = self.pods.get(namespace).into_iter().flatten().copied();
            pods.filter(move |pod| selector.is_some_and(|selector| selector.matches(&pod.labels)))
        });
        found.collect::<Vec<_>>().into_iter()
    }

    fn admits(&self, claim: &Claim, namespace: &NamespaceName) -> bool {
        let Some(selector) = &claim.namespaces else { return false };
        match self.snapshot.namespaces.get(namespace) {
            Some(namespace) => selector.matches(&namespace.labels),
            None => selector.matches(&BTreeMap::new()),
        }
    }
}

/// Whether `claim` selects `pod`.
pub fn selects(snapshot: &Snapshot, claim: &Claim, pod: &Pod) -> bool {
    let in_namespace = match &claim.reference.namespace {
        Some(namespace) => *namespace == pod.namespace,
        None => {
            let labels = snapshot.namespaces.get(&pod.namespace).map(|n| n.labels.clone());
            let labels = labels.unwrap_or_default();
            claim.namespaces.as_ref().is_some_and(|selector| selector.matches(&labels))
        }
    };
    let selector = selector(snapshot, claim, &pod.namespace);
    in_namespace && selector.is_some_and(|selector| selector.matches(&pod.labels))
}

/// The pod selector of `claim` in `namespace`; `None` where it names a Service that is not there
/// or has no selector.
pub fn selector<'a>(
    snapshot: &'a Snapshot,
    claim: &'a Claim,
    namespace: &NamespaceName,
) -> Option<&'a LabelSelector> {
    match &claim.pods {
        PodSelection::Labels(selector) => Some(selector),
        PodSelection::Service(name) => {
            let key = (namespace.clone(), name.clone());
            snapshot.services.get(&key)?.selector.as_ref()
        }
    }
}
