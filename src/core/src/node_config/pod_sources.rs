//! Which pod has an address that several pods of one node show.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::cidr;
use crate::model::{NamespaceName, Pod, Uid};

/// A pod, told from a later one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodIdentity {
    /// `metadata.namespace`.
    pub namespace: NamespaceName,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`; empty where nobody says it.
    pub uid: Uid,
}

impl PodIdentity {
    /// Of a pod that was read.
    pub fn of(pod: &Pod) -> Self {
        let Pod { namespace, name, uid, .. } = pod;
        Self { namespace: namespace.clone(), name: name.clone(), uid: uid.clone() }
    }

    /// Whether it is this pod. Where one of the two has no uid, the name counts: runtimes before
    /// containerd 1.6 do not say it, and few write it into a manifest.
    pub fn is(&self, pod: &Pod) -> bool {
        let uids = [&self.uid, &pod.uid].map(Uid::as_str);
        let same_uid = uids[0] == uids[1] || uids.contains(&"");
        self.namespace == pod.namespace && self.name == pod.name && same_uid
    }
}

/// The pod that has an address which all of these pods show: the one to which the CNI gave it last,
/// as far as that is known; else one that is not being deleted; else the one that was created last;
/// else the one with the greatest uid. `None` where there is no pod.
pub fn address_winner<'a>(
    pods: impl IntoIterator<Item = &'a Pod>,
    last_added: Option<&PodIdentity>,
) -> Option<&'a Pod> {
    pods.into_iter().max_by_key(|pod| {
        let was_added = last_added.is_some_and(|added| added.is(pod));
        // Uids are equal where there are none.
        let name = Reverse((&pod.namespace, &pod.name));
        (was_added, !pod.terminating, pod.created, &pod.uid, name)
    })
}

/// Each pod's sources, disjoint between pods: of two that overlap the longer prefix has it, of the
/// same the [`address_winner`].
pub(super) fn disjoint_sources(mut pods: Vec<&Pod>) -> Vec<(&Pod, Vec<IpNet>)> {
    pods.sort_by_key(|pod| (&pod.namespace, &pod.name));
    let mut showing: BTreeMap<IpNet, Vec<&Pod>> = BTreeMap::new();
    for pod in &pods {
        for net in &pod.sources {
            showing.entry(net.trunc()).or_default().push(pod);
        }
    }
    let mut nets: Vec<(IpNet, &Pod)> = showing
        .into_iter()
        .filter_map(|(net, pods)| Some((net, address_winner(pods, None)?)))
        .collect();
    nets.sort_by_key(|(net, _)| Reverse(net.prefix_len()));
    let mut taken: BTreeSet<IpNet> = BTreeSet::new();
    let mut found: BTreeMap<(&NamespaceName, &str), Vec<IpNet>> = BTreeMap::new();
    for (net, pod) in nets {
        let inner: Vec<IpNet> = if net.prefix_len() == net.max_prefix_len() {
            Vec::new()
        } else {
            taken.iter().copied().filter(|other| cidr::contains_net(net, *other)).collect()
        };
        let of = found.entry((&pod.namespace, pod.name.as_str())).or_default();
        of.extend(cidr::subtract_nets([net], inner));
        taken.insert(net);
    }
    let of = |pod: &Pod| found.get(&(&pod.namespace, pod.name.as_str())).cloned();
    pods.iter().filter_map(|pod| Some((*pod, of(pod)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use crate::testing::mk_pod;

    /// A pod with the address.
    fn pod(name: &str, terminating: bool, created: i64, uid: &str) -> Pod {
        let pod = mk_pod(&format!("shop/{name}"), "a", "d1", &["10.244.4.7/32"]);
        Pod { terminating, created: Timestamp(created), uid: uid.into(), ..pod }
    }

    fn winner<'a>(pods: &[&'a Pod], added: Option<&Pod>) -> &'a str {
        let added = added.map(PodIdentity::of);
        let forwards = address_winner(pods.iter().copied(), added.as_ref()).unwrap();
        let backwards = address_winner(pods.iter().rev().copied(), added.as_ref()).unwrap();
        assert_eq!(forwards, backwards, "it depends on the order");
        &forwards.name
    }

    #[test]
    fn an_address_is_one_pods() {
        let old = pod("a", true, 9, "z");
        let new = pod("b", false, 1, "a");
        assert_eq!(winner(&[&old, &new], None), "b", "the other is being deleted");
        assert_eq!(winner(&[&old, &new], Some(&old)), "a", "the CNI gave it to this one last");
        let later = pod("c", false, 2, "");
        assert_eq!(winner(&[&new, &later, &old], None), "c", "created last");
        let same_age = pod("d", false, 2, "b");
        assert_eq!(winner(&[&later, &same_age], None), "d", "the greater uid");
        let without_uid = pod("e", false, 2, "");
        assert_eq!(winner(&[&later, &without_uid], None), "c", "the first name");
        assert_eq!(address_winner([], None), None);
    }

    #[test]
    fn a_pod_is_told_from_a_later_one_of_its_name() {
        let first = pod("a", false, 1, "u-1");
        let second = pod("a", false, 1, "u-2");
        assert!(PodIdentity::of(&first).is(&first) && !PodIdentity::of(&first).is(&second));
        let nameless = PodIdentity { uid: "".into(), ..PodIdentity::of(&first) };
        assert!(nameless.is(&first) && nameless.is(&second));
        assert!(!nameless.is(&pod("b", false, 1, "u-1")));
    }

    #[test]
    fn sources_are_the_winners_and_longer_prefixes_go_before() {
        let old = pod("a", true, 1, "a");
        let new = pod("b", false, 2, "b");
        let range = mk_pod("shop/c", "a", "d1", &["10.244.4.6/31"]);
        let found = disjoint_sources(vec![&old, &new, &range]);
        let found: Vec<(&str, Vec<String>)> = found
            .iter()
            .map(|(pod, nets)| (pod.name.as_str(), nets.iter().map(IpNet::to_string).collect()))
            .collect();
        let of = |text: &str| vec![text.to_owned()];
        assert_eq!(found, [("b", of("10.244.4.7/32")), ("c", of("10.244.4.6/32"))]);
    }
}
