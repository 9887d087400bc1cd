use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_api as api;
use egret_core::model::{
    BlockGrant, ClaimRef, EgressNodeSpec, EgressNodeStatus, NamespaceName, NodeName, PortRange,
    Role, Uplink,
};

use super::common::{
    conditions_from_api, conditions_to_api, optional_time, public_key, public_key_to_text,
    timestamp_to_text,
};
use super::{Faults, FieldError, parse_address, parse_cidr};

/// A node's spec as text.
pub fn node_spec_to_api(spec: &EgressNodeSpec) -> api::EgressNodeSpec {
    let blocks = spec.blocks.iter().map(|block| api::BlockGrant {
        address: block.address.to_string(),
        ports: api::PortRange { first: block.ports.first(), last: block.ports.last() },
        epoch: block.epoch,
        ended: block.ended,
        quarantined_since: block.quarantined_since.map(timestamp_to_text),
    });
    api::EgressNodeSpec {
        blocks: blocks.collect(),
        drain: spec.drain,
        roles: spec.roles.iter().map(role_to_api).collect(),
        pod_cidrs: spec.pod_cidrs.iter().map(ToString::to_string).collect(),
    }
}

/// A node's spec from text.
///
/// # Errors
/// Every fault of it.
pub fn node_spec_from_api(spec: &api::EgressNodeSpec) -> Result<EgressNodeSpec, Vec<FieldError>> {
    let mut faults = Faults::default();
    let mut blocks = Vec::new();
    for (index, block) in spec.blocks.iter().enumerate() {
        let place = format!("spec.blocks[{index}]");
        let address = faults.take(&format!("{place}.address"), parse_address(&block.address));
        let ports = PortRange::new(block.ports.first, block.ports.last)
            .ok_or_else(|| "last is below first".to_owned());
        let ports = faults.take(&format!("{place}.ports"), ports);
        let since = format!("{place}.quarantinedSince");
        let quarantined_since =
            optional_time(&mut faults, &since, block.quarantined_since.as_ref());
        let Some((address, ports)) = address.zip(ports) else { continue };
        blocks.push(BlockGrant {
            address,
            ports,
            epoch: block.epoch,
            ended: block.ended,
            quarantined_since,
        });
    }
    let roles = spec.roles.iter().map(role_from_api).collect();
    let cidr =
        |text: &String| faults.take("spec.podCIDRs", parse_cidr(text)).map(|cidr| cidr.written);
    let pod_cidrs = spec.pod_cidrs.iter().filter_map(cidr).collect();
    faults.finish(Some(EgressNodeSpec { blocks, drain: spec.drain, roles, pod_cidrs }))
}

fn role_to_api(role: &Role) -> api::Role {
    match role {
        Role::Gateway => api::Role::Gateway,
        Role::Voter => api::Role::Voter,
    }
}

fn role_from_api(role: &api::Role) -> Role {
    match role {
        api::Role::Gateway => Role::Gateway,
        api::Role::Voter => Role::Voter,
    }
}

/// A node's status as text.
pub fn node_status_to_api(status: &EgressNodeStatus) -> api::EgressNodeStatus {
    let uplinks = status.uplinks.iter().map(|uplink| api::Uplink {
        name: uplink.name.clone(),
        subnets: uplink.subnets.iter().map(ToString::to_string).collect(),
    });
    let fences = status.acknowledged_fences.iter();
    let needs = status.block_needs.iter();
    api::EgressNodeStatus {
        endpoints: status.endpoints.iter().map(IpAddr::to_string).collect(),
        peer_port: status.peer_port,
        public_key: status.public_key.as_ref().map(public_key_to_text),
        uplinks: uplinks.collect(),
        may_vote: status.may_vote.clone(),
        acknowledged_set: status.acknowledged_set,
        acknowledged_fences: fences.map(|(address, fence)| (address.to_string(), *fence)).collect(),
        absent: status.absent.iter().map(NodeName::to_string).collect(),
        block_needs: needs.map(|(address, count)| (address.to_string(), *count)).collect(),
        acknowledged_blocks: status.acknowledged_blocks,
        idle_addresses: status.idle_addresses.iter().map(IpAddr::to_string).collect(),
        unprogrammed_claims: names(&status.unprogrammed),
        overridden_claims: status
            .overridden
            .iter()
            .map(|(loser, winners)| (loser.to_string(), names(winners)))
            .collect(),
        conditions: conditions_to_api(&status.conditions),
    }
}

/// A node's status from text.
///
/// # Errors
/// Every fault of it.
pub fn node_status_from_api(
    status: &api::EgressNodeStatus,
) -> Result<EgressNodeStatus, Vec<FieldError>> {
    let mut faults = Faults::default();
    let mut uplinks = Vec::new();
    for (index, uplink) in status.uplinks.iter().enumerate() {
        let field = format!("status.uplinks[{index}].subnets");
        // As written: an uplink's subnet carries the interface's own address.
        let subnets =
            faults.list(&field, &uplink.subnets, |text| parse_cidr(text).map(|cidr| cidr.written));
        uplinks.push(Uplink { name: uplink.name.clone(), subnets });
    }
    let key = status.public_key.as_ref();
    let value = EgressNodeStatus {
        endpoints: faults.list("status.endpoints", &status.endpoints, parse_address),
        peer_port: status.peer_port,
        public_key: key.and_then(|text| faults.take("status.publicKey", public_key(text))),
        uplinks,
        may_vote: status.may_vote.clone(),
        acknowledged_set: status.acknowledged_set,
        acknowledged_fences: keyed(
            &mut faults,
            "status.acknowledgedFences",
            status.acknowledged_fences.iter(),
        ),
        absent: status.absent.iter().map(NodeName::new).collect(),
        block_needs: keyed(&mut faults, "status.blockNeeds", status.block_needs.iter()),
        acknowledged_blocks: status.acknowledged_blocks,
        idle_addresses: status
            .idle_addresses
            .iter()
            .filter_map(|text| faults.take("status.idleAddresses", parse_address(text)))
            .collect(),
        unprogrammed: claim_refs(&status.unprogrammed_claims),
        overridden: status
            .overridden_claims
            .iter()
            .map(|(loser, winners)| (claim_ref(loser), claim_refs(winners)))
            .collect(),
        conditions: conditions_from_api(&mut faults, &status.conditions),
    };
    faults.finish(Some(value))
}

fn names(claims: &BTreeSet<ClaimRef>) -> BTreeSet<String> {
    claims.iter().map(ClaimRef::to_string).collect()
}

fn claim_refs(names: &BTreeSet<String>) -> BTreeSet<ClaimRef> {
    names.iter().map(|name| claim_ref(name)).collect()
}

/// The claim that its display names: `payments/bank`, or `bank` for the cluster-wide kind.
fn claim_ref(text: &str) -> ClaimRef {
    match text.split_once('/') {
        Some((namespace, name)) => {
            ClaimRef { namespace: Some(NamespaceName::new(namespace)), name: name.to_owned() }
        }
        None => ClaimRef { namespace: None, name: text.to_owned() },
    }
}

fn keyed<'a, T: Copy + 'a>(
    faults: &mut Faults,
    field: &str,
    entries: impl Iterator<Item = (&'a String, &'a T)>,
) -> std::collections::BTreeMap<IpAddr, T> {
    entries
        .filter_map(|(text, value)| {
            faults.take(field, parse_address(text)).map(|address| (address, *value))
        })
        .collect()
}
