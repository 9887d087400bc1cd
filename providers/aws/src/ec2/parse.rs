//! From the SDK's types, in which everything may be missing.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use aws_sdk_ec2::types;

use crate::snapshot::{
    Association, Elastic, ElasticKind, Instance, Interface, InterfaceLimits, Private, Subnet,
};

/// Instances of an EKS cluster have one of these tags: those of managed node groups, of Karpenter, of
/// eksctl's own groups.
const EKS: [&str; 3] = ["eks:cluster-name", "eks:eks-cluster-name", "alpha.eksctl.io/cluster-name"];
/// So the tag of every node of a cluster begins (the cluster's name follows).
const CLUSTER: &str = "kubernetes.io/cluster/";

pub(super) fn instance(found: &types::Instance) -> Option<(String, Instance)> {
    let kind = found.instance_type()?.as_str().to_owned();
    let eks = found.tags().iter().any(|tag| tag.key().is_some_and(|key| EKS.contains(&key)));
    let of_cluster = |key: &str| key.starts_with(CLUSTER);
    let in_cluster = found.tags().iter().any(|tag| tag.key().is_some_and(of_cluster));
    Some((found.instance_id()?.to_owned(), Instance { kind, eks, in_cluster }))
}

pub(super) fn interface(found: &types::NetworkInterface) -> Option<(String, Interface)> {
    let attachment = found.attachment().filter(|attachment| {
        // What is being detached carries nothing any more.
        !matches!(
            attachment.status(),
            Some(types::AttachmentStatus::Detached | types::AttachmentStatus::Detaching)
        )
    });
    let private = |private: &types::NetworkInterfacePrivateIpAddress| {
        let public = private.association().and_then(|association| association.public_ip());
        let public = public.and_then(|public| public.parse().ok());
        let primary = private.primary().unwrap_or_default();
        Some((private.private_ip_address()?.parse().ok()?, Private { primary, public }))
    };
    let v6 = found.ipv6_addresses().iter();
    let interface = Interface {
        subnet: found.subnet_id()?.to_owned(),
        zone: found.availability_zone().unwrap_or_default().to_owned(),
        instance: attachment.and_then(|at| at.instance_id()).map(ToOwned::to_owned),
        device: attachment.and_then(|at| at.device_index()).unwrap_or(i32::MAX),
        tags: tags(found.tag_set()),
        mac: found.mac_address().map(str::to_lowercase),
        description: found.description().unwrap_or_default().to_owned(),
        v4: found.private_ip_addresses().iter().filter_map(private).collect(),
        v6: v6.filter_map(|address| address.ipv6_address()?.parse().ok()).collect(),
        v4_prefixes: count(found.ipv4_prefixes().len()),
        v6_prefixes: count(found.ipv6_prefixes().len()),
    };
    Some((found.network_interface_id()?.to_owned(), interface))
}

pub(super) fn subnet(found: &types::Subnet) -> Option<(String, Subnet)> {
    let v4 = found.cidr_block().and_then(|block| block.parse().ok());
    let v6 = found.ipv6_cidr_block_association_set().iter();
    let v6 = v6.filter_map(|block| block.ipv6_cidr_block()?.parse().ok()).collect();
    Some((found.subnet_id()?.to_owned(), Subnet { v4, v6 }))
}

pub(super) fn limits(found: &types::InstanceTypeInfo) -> Option<(String, InterfaceLimits)> {
    let network = found.network_info()?;
    let limit = |limit: Option<i32>| limit.and_then(|limit| limit.try_into().ok()).unwrap_or(0);
    let v4 = limit(network.ipv4_addresses_per_interface());
    let v6 = limit(network.ipv6_addresses_per_interface());
    Some((found.instance_type()?.as_str().to_owned(), InterfaceLimits { v4, v6 }))
}

pub(super) fn elastic(found: &types::Address) -> Option<(Ipv4Addr, Elastic)> {
    let association = || {
        Some(Association {
            id: found.association_id()?.to_owned(),
            interface: found.network_interface_id()?.to_owned(),
            private: found.private_ip_address()?.parse().ok()?,
        })
    };
    // A carrier or customer-owned address stands in a field of its own: it is refused by name.
    let kinds = [
        (found.carrier_ip(), ElasticKind::Carrier),
        (found.customer_owned_ip(), ElasticKind::CustomerOwned),
        (found.public_ip(), ElasticKind::Public),
    ];
    let filled = |(address, kind): (Option<&str>, _)| Some((address?.parse().ok()?, kind));
    let (address, kind) = kinds.into_iter().find_map(filled)?;
    let elastic = Elastic {
        allocation: found.allocation_id()?.to_owned(),
        border_group: found.network_border_group().unwrap_or_default().to_owned(),
        association: association(),
        kind,
    };
    Some((address, elastic))
}

fn tags(found: &[types::Tag]) -> BTreeMap<String, String> {
    let tag = |tag: &types::Tag| {
        Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))
    };
    found.iter().filter_map(tag).collect()
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_no_elastic_ip_is_known_by_the_field_that_it_stands_in() {
        let address = || types::Address::builder().allocation_id("eipalloc-1");
        let carrier =
            address().carrier_ip("155.146.10.111").network_border_group("us-east-1-wl1-bos-wlz-1");
        let owned =
            address().customer_owned_ip("198.51.100.7").customer_owned_ipv4_pool("ipv4pool-coip-1");
        for (found, expected, kind) in [
            (address().public_ip("203.0.113.1"), "203.0.113.1", ElasticKind::Public),
            (carrier, "155.146.10.111", ElasticKind::Carrier),
            (owned, "198.51.100.7", ElasticKind::CustomerOwned),
        ] {
            let (address, elastic) = elastic(&found.build()).unwrap();
            assert_eq!((address.to_string(), elastic.kind), (expected.to_owned(), kind));
            assert_eq!(kind.refusal().is_none(), kind == ElasticKind::Public);
        }
        assert_eq!(elastic(&address().build()), None);
    }

    #[test]
    fn instances_of_eks_are_known_by_the_tags_of_those_who_launch_them() {
        for (key, eks, in_cluster) in [
            ("eks:cluster-name", true, false),
            ("eks:eks-cluster-name", true, false),
            ("alpha.eksctl.io/cluster-name", true, false),
            ("kubernetes.io/cluster/shop", false, true),
            ("Name", false, false),
        ] {
            let tag = types::Tag::builder().key(key).value("x").build();
            let found = types::Instance::builder().instance_id("i-1").tags(tag);
            let found = found.instance_type(types::InstanceType::M5Large).build();
            let kind = "m5.large".to_owned();
            let expected = Instance { kind, eks, in_cluster };
            assert_eq!(instance(&found), Some(("i-1".to_owned(), expected)), "{key}");
        }
    }
}
