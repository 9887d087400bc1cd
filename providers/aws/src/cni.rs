//! Who else gives out the addresses of an interface: a CNI that makes and manages interfaces of EC2.

use std::collections::{BTreeMap, BTreeSet};

use crate::snapshot::{Instance, Interface};

/// An interface with this tag is not managed by the VPC CNI (Amazon EKS best practices, "VPC CNI").
const NO_MANAGE: &str = "node.k8s.amazonaws.com/no_manage";
/// The VPC CNI puts this tag on the interfaces that it creates.
const VPC_CNI_TAG: &str = "node.k8s.amazonaws.com/instance_id";
/// So the descriptions of its interfaces begin (`aws-K8S-i-…`), and those of the trunk and branch
/// interfaces of security groups for pods (`aws-k8s-trunk-eni`), in small letters.
const VPC_CNI_DESCRIPTION: &str = "aws-k8s-";
/// So the descriptions of interfaces begin that Cilium's operator makes in its ENI mode.
const CILIUM_DESCRIPTION: &str = "Cilium-CNI (";
/// Cilium's operator puts this tag on the interfaces that it creates.
const CILIUM_TAG: &str = "io.cilium/cilium-managed";

/// Whose an interface is beside Egret's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum InterfaceOwner {
    /// Amazon's, which hands out every address of an interface that it manages, Egret's too
    /// (aws/amazon-vpc-cni-k8s issue 1466).
    VpcCni,
    /// Cilium in its ENI mode: its operator takes away secondary addresses that it does not know.
    Cilium,
}

/// The CNI that made an interface, if one did.
pub(crate) fn maker(interface: &Interface) -> Option<InterfaceOwner> {
    let description = &interface.description;
    let vpc_cni = description.to_ascii_lowercase().starts_with(VPC_CNI_DESCRIPTION)
        || interface.tags.contains_key(VPC_CNI_TAG);
    let cilium = description.starts_with(CILIUM_DESCRIPTION)
        || interface.tags.get(CILIUM_TAG).is_some_and(|value| value == "true");
    match (vpc_cni, cilium) {
        (true, _) => Some(InterfaceOwner::VpcCni),
        (_, true) => Some(InterfaceOwner::Cilium),
        _ => None,
    }
}

/// What is known of the CNI of an instance.
#[derive(Debug)]
pub(crate) struct CniSigns {
    /// Who has made interfaces of gateways. A CNI is a DaemonSet: it runs on all nodes of a cluster.
    pub seen: BTreeSet<InterfaceOwner>,
    /// Who has made interfaces of this instance.
    pub here: BTreeSet<InterfaceOwner>,
    /// The instance's tags.
    pub instance: Instance,
}

impl CniSigns {
    /// The CNI that gives out the addresses of an interface; `own`: it has Egret's tags.
    pub fn manager(&self, interface: &Interface, own: bool) -> Option<InterfaceOwner> {
        // Who made it gives its addresses out; only the VPC CNI lets go of one by a tag.
        let released = interface.tags.get(NO_MANAGE).is_some_and(|value| value == "true");
        if let Some(owner) = maker(interface)
            && (owner != InterfaceOwner::VpcCni || !released || interface.device == 0)
        {
            return Some(owner);
        }
        let everywhere = self.seen.first().filter(|_| self.instance.in_cluster);
        let runs = self.here.first().or(everywhere);
        let eks = self.instance.eks.then_some(&InterfaceOwner::VpcCni);
        if interface.device != 0 {
            // The VPC CNI takes every interface of its instance that does not say otherwise, whoever made it.
            let takes = |owner: &&InterfaceOwner| **owner == InterfaceOwner::VpcCni && !released;
            return runs.or(eks).filter(takes).copied();
        }
        // It takes the primary interface whatever its tags (aws/amazon-vpc-cni-k8s issue 1510). With prefix
        // delegation it may have made no other yet.
        let delegated = !own && interface.v4_prefixes.saturating_add(interface.v6_prefixes) > 0;
        let by_prefix = delegated.then_some(&InterfaceOwner::VpcCni);
        runs.or(eks).or(by_prefix).copied()
    }
}

/// Why a gateway is refused of which every interface is managed, with the remedy.
pub(crate) fn managed_message(
    id: &str,
    instance: &str,
    owner: InterfaceOwner,
    tags: &BTreeMap<String, String>,
) -> String {
    let tags: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let tags = tags.join(",");
    match owner {
        InterfaceOwner::VpcCni => format!(
            "interface {id} of instance {instance} is managed by the VPC CNI, which would give \
             an egress address to a pod: tag one that is not the primary interface, or attach one \
             tagged, {NO_MANAGE}=true and {tags}, or allow managed interfaces where another CNI runs"
        ),
        InterfaceOwner::Cilium => format!(
            "interface {id} of instance {instance} is managed by Cilium's ENI mode, which would take \
             an egress address away: attach an interface tagged {tags}, and name that tag in Cilium's \
             eni-exclude-interface-tags before"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(description: &str, tags: &[(&str, &str)], device: i32) -> Interface {
        let tags = tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Interface { description: description.into(), tags, device, ..Interface::default() }
    }

    #[test]
    fn what_a_cni_made_is_known_by_its_description_or_its_tags() {
        for (description, tags, made) in [
            ("aws-K8S-i-0123", &[][..], Some(InterfaceOwner::VpcCni)),
            ("aws-k8s-trunk-eni", &[], Some(InterfaceOwner::VpcCni)),
            ("", &[("node.k8s.amazonaws.com/instance_id", "i-0123")], Some(InterfaceOwner::VpcCni)),
            ("Cilium-CNI (i-0123)", &[], Some(InterfaceOwner::Cilium)),
            ("", &[("io.cilium/cilium-managed", "true")], Some(InterfaceOwner::Cilium)),
            ("", &[("io.cilium/cilium-managed", "false")], None),
            ("a gateway's own", &[("node.k8s.amazonaws.com/no_manage", "true")], None),
        ] {
            assert_eq!(maker(&described(description, tags, 1)), made, "{description} {tags:?}");
        }
    }

    fn signs(seen: &[InterfaceOwner], here: &[InterfaceOwner], instance: Instance) -> CniSigns {
        let (seen, here) = (seen.iter().copied().collect(), here.iter().copied().collect());
        CniSigns { seen, here, instance }
    }

    #[test]
    fn the_primary_interface_is_managed_where_a_cni_is_seen() {
        let plain = Instance::default();
        let in_cluster = Instance { in_cluster: true, ..Instance::default() };
        let eks = Instance { eks: true, ..Instance::default() };
        let (primary, second) = (described("", &[], 0), described("", &[], 1));
        let released_second = described("", &[(NO_MANAGE, "true")], 1);
        for owner in [InterfaceOwner::VpcCni, InterfaceOwner::Cilium] {
            let here = signs(&[owner], &[owner], plain.clone());
            assert_eq!(here.manager(&primary, false), Some(owner));
            let taken = (owner == InterfaceOwner::VpcCni).then_some(owner);
            assert_eq!(here.manager(&second, true), taken);
            assert_eq!(here.manager(&released_second, true), None);
            // A node of a cluster that has no other interface yet: what runs on the others runs there.
            let seen = signs(&[owner], &[], in_cluster.clone());
            assert_eq!(seen.manager(&primary, true), Some(owner));
            assert_eq!(seen.manager(&second, true), taken);
            assert_eq!(signs(&[owner], &[], plain.clone()).manager(&primary, true), None);
        }
        let released = described("", &[(NO_MANAGE, "true")], 0);
        let of_eks = signs(&[], &[], eks);
        assert_eq!(of_eks.manager(&released, true), Some(InterfaceOwner::VpcCni));
        assert_eq!(of_eks.manager(&second, true), Some(InterfaceOwner::VpcCni));
        assert_eq!(of_eks.manager(&released_second, true), None);
        let none = signs(&[], &[], in_cluster);
        assert_eq!(none.manager(&primary, false), None);
        let delegated = Interface { v4_prefixes: 1, ..primary };
        assert_eq!(none.manager(&delegated, false), Some(InterfaceOwner::VpcCni));
        assert_eq!(none.manager(&delegated, true), None, "Egret's by its tag");
    }

    #[test]
    fn only_the_vpc_cni_lets_go_by_its_tag() {
        let signs = signs(&[], &[], Instance::default());
        let released = |description| described(description, &[(NO_MANAGE, "true")], 2);
        assert_eq!(signs.manager(&released("aws-K8S-i-1"), true), None);
        let cilium = signs.manager(&released("Cilium-CNI (i-1)"), true);
        assert_eq!(cilium, Some(InterfaceOwner::Cilium));
        let refused = managed_message("eni-1", "i-1", InterfaceOwner::Cilium, &BTreeMap::new());
        assert!(refused.contains("eni-exclude-interface-tags"), "{refused}");
    }
}
