use egret_api as api;
use egret_core::model::{
    AddressEnd, AddressPlan, AddressStatus, Attachment, ClaimRef, EgressAddress, NamespaceName,
    NodeName, PoolName, Uid,
};

use super::common::{
    conditions_from_api, conditions_to_api, duration, duration_to_text, holding_from_api,
    holding_to_api, optional_time, timestamp_to_text,
};
use super::pool::{provider_from_api, provider_to_api};
use super::{Faults, FieldError, parse_address};

/// An address as text.
pub fn address_to_api(
    address: &EgressAddress,
) -> (api::EgressAddressSpec, api::EgressAddressStatus) {
    let plan = &address.plan;
    let text = |node: &NodeName| node.as_str().to_owned();
    let standbys: Vec<String> = plan.standbys.iter().map(text).collect();
    let (released, revoked) = match plan.end {
        None => (None, None),
        Some(AddressEnd::Released { since, until }) => {
            let released =
                api::Released { since: timestamp_to_text(since), until: timestamp_to_text(until) };
            (Some(released), None)
        }
        Some(AddressEnd::Revoked { since }) => {
            (None, Some(api::Revoked { since: timestamp_to_text(since) }))
        }
    };
    let spec = api::EgressAddressSpec {
        address: address.address.to_string(),
        claim_ref: api::ClaimRef {
            namespace: plan.claim.namespace.as_ref().map(NamespaceName::to_string),
            name: plan.claim.name.clone(),
            uid: plan.claim_uid.as_str().to_owned(),
        },
        pool_ref: api::ObjectRef { name: plan.pool.as_str().to_owned() },
        provider: provider_to_api(plan.provider),
        owner: plan.owner.as_ref().map(text),
        fence: plan.fence,
        made_for: plan.made_for.as_ref().map(holding_to_api),
        lease: duration_to_text(plan.lease),
        released,
        revoked,
        preferred_node: plan.preferred_node.as_ref().map(text),
        home: plan.home.as_ref().map(text),
        paused: plan.paused,
        summary: api::AddressSummary {
            claim: plan.claim.to_string(),
            standbys: standbys.join(","),
        },
        standbys,
    };
    (spec, address_status_to_api(&address.status))
}

/// The status of an address as text.
pub fn address_status_to_api(status: &AddressStatus) -> api::EgressAddressStatus {
    api::EgressAddressStatus {
        holding: status.holding.as_ref().map(holding_to_api),
        since: status.since.map(timestamp_to_text),
        probed: status.probed,
        attachment: status.attachment.as_ref().map(attachment_to_api),
        prepared: status.prepared.iter().map(attachment_to_api).collect(),
        conditions: conditions_to_api(&status.conditions),
    }
}

fn attachment_to_api(attachment: &Attachment) -> api::Attachment {
    api::Attachment {
        node: attachment.node.as_str().to_owned(),
        wire_address: attachment.wire.map(|wire| wire.to_string()),
        interface: attachment.interface.clone(),
        mac_address: attachment.mac.clone(),
        allocation: attachment.allocation.clone(),
    }
}

/// An address from text.
///
/// # Errors
/// Every fault of the object.
pub fn address_from_api(
    spec: &api::EgressAddressSpec,
    status: &api::EgressAddressStatus,
) -> Result<EgressAddress, Vec<FieldError>> {
    let mut faults = Faults::default();
    let address = faults.take("spec.address", parse_address(&spec.address));
    let lease = duration(&mut faults, "spec.lease", &spec.lease);
    let end = end(&mut faults, spec);
    let status = status_from_api(&mut faults, status);
    let value = address.zip(lease).map(|(address, lease)| EgressAddress {
        address,
        plan: AddressPlan {
            claim: ClaimRef {
                namespace: spec.claim_ref.namespace.as_ref().map(NamespaceName::new),
                name: spec.claim_ref.name.clone(),
            },
            claim_uid: Uid::new(&spec.claim_ref.uid),
            pool: PoolName::new(&spec.pool_ref.name),
            provider: provider_from_api(spec.provider),
            owner: spec.owner.as_ref().map(NodeName::new),
            standbys: spec.standbys.iter().map(NodeName::new).collect(),
            fence: spec.fence,
            made_for: spec.made_for.as_ref().map(holding_from_api),
            lease,
            end,
            preferred_node: spec.preferred_node.as_ref().map(NodeName::new),
            home: spec.home.as_ref().map(NodeName::new),
            paused: spec.paused,
        },
        status,
        deleting: false,
    });
    faults.finish(value)
}

fn end(faults: &mut Faults, spec: &api::EgressAddressSpec) -> Option<AddressEnd> {
    if let Some(revoked) = &spec.revoked {
        let since = optional_time(faults, "spec.revoked.since", Some(&revoked.since))?;
        return Some(AddressEnd::Revoked { since });
    }
    let released = spec.released.as_ref()?;
    let since = optional_time(faults, "spec.released.since", Some(&released.since));
    let until = optional_time(faults, "spec.released.until", Some(&released.until));
    since.zip(until).map(|(since, until)| AddressEnd::Released { since, until })
}

fn status_from_api(faults: &mut Faults, status: &api::EgressAddressStatus) -> AddressStatus {
    let attachment = status.attachment.as_ref();
    let attachment = attachment.map(|one| attachment_from_api(faults, "status.attachment", one));
    let prepared = status.prepared.iter().enumerate();
    let prepared = prepared
        .map(|(index, one)| attachment_from_api(faults, &format!("status.prepared[{index}]"), one))
        .collect();
    AddressStatus {
        holding: status.holding.as_ref().map(holding_from_api),
        since: optional_time(faults, "status.since", status.since.as_ref()),
        probed: status.probed,
        attachment,
        prepared,
        conditions: conditions_from_api(faults, &status.conditions),
    }
}

fn attachment_from_api(
    faults: &mut Faults,
    field: &str,
    attachment: &api::Attachment,
) -> Attachment {
    let wire = attachment.wire_address.as_ref();
    Attachment {
        node: NodeName::new(&attachment.node),
        wire: wire
            .and_then(|text| faults.take(&format!("{field}.wireAddress"), parse_address(text))),
        interface: attachment.interface.clone(),
        mac: attachment.mac_address.clone(),
        allocation: attachment.allocation.clone(),
    }
}
