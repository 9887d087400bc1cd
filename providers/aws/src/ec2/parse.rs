//! From the SDK's types, in which everything may be missing.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use aws_sdk_ec2::types;

use crate::snapshot::{
    Association, Elastic, Instance, Interface, InterfaceLimits, Private, Subnet,
};

/// Amazon EKS puts this tag on the instances of managed node groups.
const EKS: &str = "eks:cluster-name";

pub(super) fn instance(found: &types::Instance) -> Option<(String, Instance)> {
    let kind = found.instance_type()?.as_str().to_owned();
    let eks = found.tags().iter().any(|tag| tag.key() == Some(EKS));
    Some((found.instance_id()?.to_owned(), Instance { kind, eks }))
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
    let elastic = Elastic {
        allocation: found.allocation_id()?.to_owned(),
        border_group: found.network_border_group().unwrap_or_default().to_owned(),
        association: association(),
    };
    Some((found.public_ip()?.parse().ok()?, elastic))
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
