//! What a decision says: the next step, and the calls that change something.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::Attachment;
use egret_ports::merge::MergeableChange;

use crate::names::ResourcePath;
use crate::refusal::GceRefusal;
use crate::snapshot::AliasRange;

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GceStep<T> {
    /// It is so.
    Done(T),
    /// Make this call.
    Call(GceCall),
    /// An operation is under way on what this is about: read again.
    Wait,
    /// It cannot be.
    Refuse(GceRefusal),
}

impl<T> GceStep<T> {
    /// With another value where it is so.
    pub fn map<U>(self, of: impl FnOnce(T) -> U) -> GceStep<U> {
        match self {
            Self::Done(value) => GceStep::Done(of(value)),
            Self::Call(call) => GceStep::Call(call),
            Self::Wait => GceStep::Wait,
            Self::Refuse(refusal) => GceStep::Refuse(refusal),
        }
    }
}

/// What prepares: each address with how it would be attached, or why it cannot be.
pub(crate) type PreparedAddresses = BTreeMap<IpAddr, Result<Attachment, GceRefusal>>;

/// A call that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GceCall {
    InsertGroup { group: ResourcePath, network: ResourcePath, subnetwork: ResourcePath },
    DeleteGroup { group: ResourcePath },
    AttachEndpoint { group: ResourcePath, instance: ResourcePath },
    DetachEndpoint { group: ResourcePath, instance: ResourcePath },
    InsertService(NewService),
    PatchService { service: ResourcePath, settings: ServiceSettings, fingerprint: Vec<u8> },
    DeleteService { service: ResourcePath },
    InsertTarget { target: ResourcePath, instance: ResourcePath },
    DeleteTarget { target: ResourcePath },
    InsertRule(NewRule),
    SetTarget { rule: ResourcePath, target: ResourcePath },
    DeleteRule { rule: ResourcePath },
    ChangeAliases(AliasChange),
}

impl MergeableChange for GceCall {
    fn key(&self) -> Option<String> {
        match self {
            Self::ChangeAliases(change) => Some(change.instance.as_str().to_owned()),
            _ => None,
        }
    }

    fn absorb(&mut self, other: &Self) {
        if let (Self::ChangeAliases(own), Self::ChangeAliases(other)) = (self, other) {
            own.add.extend(other.add.iter().cloned());
            own.remove.extend(other.remove.iter().cloned());
        }
    }
}

/// A backend service to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewService {
    pub service: ResourcePath,
    pub settings: ServiceSettings,
    pub network: ResourcePath,
    pub address: IpAddr,
    pub external: bool,
}

/// A forwarding rule to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewRule {
    pub rule: ResourcePath,
    pub deliver: RuleTarget,
    pub address: IpAddr,
    /// The static address.
    pub reserved: ResourcePath,
    /// `None`: an external address.
    pub subnetwork: Option<ResourcePath>,
    pub network: ResourcePath,
    pub standard_tier: bool,
}

/// What a forwarding rule delivers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RuleTarget {
    Service(ResourcePath),
    Instance(ResourcePath),
}

/// What of a service changes as gateways and leaders do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceSettings {
    pub groups: BTreeSet<ResourcePath>,
    /// The group and the instance.
    pub leader: Option<(ResourcePath, ResourcePath)>,
}

/// Ranges that an interface is to have, and those that it is not to have; all others stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AliasChange {
    pub instance: ResourcePath,
    pub add: BTreeSet<AliasRange>,
    pub remove: BTreeSet<AliasRange>,
}

impl GceCall {
    /// What it changes.
    pub fn target(&self) -> &ResourcePath {
        match self {
            Self::InsertGroup { group, .. }
            | Self::DeleteGroup { group }
            | Self::AttachEndpoint { group, .. }
            | Self::DetachEndpoint { group, .. } => group,
            Self::InsertService(NewService { service, .. })
            | Self::PatchService { service, .. }
            | Self::DeleteService { service } => service,
            Self::InsertTarget { target, .. } | Self::DeleteTarget { target } => target,
            Self::InsertRule(NewRule { rule, .. })
            | Self::SetTarget { rule, .. }
            | Self::DeleteRule { rule } => rule,
            Self::ChangeAliases(change) => &change.instance,
        }
    }

    /// Several tasks may come to want the same one at the same time, or ones that exclude each other: of
    /// what gateways of a zone or addresses of a gateway share.
    pub fn is_of_shared(&self) -> bool {
        let target = self.target();
        ["networkEndpointGroups", "targetInstances", "instances"]
            .iter()
            .any(|collection| target.part(collection).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(instance: &str, add: &str, remove: &str) -> GceCall {
        let ranges = |text: &str| -> BTreeSet<AliasRange> {
            let addresses = text.split_whitespace().map(|address| address.parse().unwrap());
            addresses.map(|address| AliasRange::single(address, None)).collect()
        };
        let instance = ResourcePath::new(&format!("projects/p/zones/z/instances/{instance}"));
        GceCall::ChangeAliases(AliasChange { instance, add: ranges(add), remove: ranges(remove) })
    }

    #[test]
    fn alias_changes_of_one_instance_are_one_and_no_other_call_is() {
        let mut merged = change("a", "10.0.0.7", "");
        assert_eq!(merged.key(), change("a", "", "10.0.0.9").key());
        assert_ne!(merged.key(), change("b", "10.0.0.7", "").key());
        merged.absorb(&change("a", "10.0.0.8", "10.0.0.9"));
        assert_eq!(merged, change("a", "10.0.0.7 10.0.0.8", "10.0.0.9"));
        let group = ResourcePath::new("projects/p/zones/z/networkEndpointGroups/g");
        assert_eq!(GceCall::DeleteGroup { group }.key(), None);
    }
}
