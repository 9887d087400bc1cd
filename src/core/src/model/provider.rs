//! Who attaches addresses, and what follows from it: one table.

use serde::{Deserialize, Serialize};

/// Who attaches addresses to nodes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ProviderKind {
    /// Addresses of a local subnet, announced by ARP and NDP.
    #[default]
    L2,
    /// Private addresses and Elastic IPs of EC2, attached to network interfaces of the gateways.
    #[serde(rename = "AWS")]
    Aws,
    /// Static addresses of Google Cloud, external and internal, that gateways announce and Google's
    /// network follows.
    #[serde(rename = "GCP")]
    Gcp,
    /// Static external addresses of Google Cloud, whose forwarding rules deliver to one gateway by a
    /// target instance.
    #[serde(rename = "GCPTargetInstance")]
    GcpTargetInstance,
    /// Internal addresses of Google Cloud, as alias ranges of the gateways' network interfaces.
    #[serde(rename = "GCPAliasRange")]
    GcpAliasRange,
}

/// What holds of the addresses of a pool. None of these follows from another: a provider may have
/// leases that end, announcements of ours, and a word of its own on where an address can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderFacts {
    /// Who keeps a second node from serving an address.
    pub fence: Fence,
    /// Who tells the network where an address is.
    pub announcing: Announcing,
    /// Who says which nodes an address can be at.
    pub placement: Placement,
}

/// Who keeps a second node from serving an address (docs/design.md decisions 5 and 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// The cloud's fabric, which delivers to one node and is told by the controller: no deadline is
    /// armed, a lease lasts longer, a holder serves once the address is attached to it, and an
    /// address is free once it is detached everywhere.
    Fabric,
    /// The deadline in the kernel of the node that has the lease.
    Deadline,
}

/// Who tells the network where an address is (docs/design.md decision 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcing {
    /// The node that has the lease announces it, in this form.
    Holder(AnnouncementForm),
    /// Nobody: the network knows.
    Nobody,
}

/// What a network takes as news of where an address is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AnnouncementForm {
    /// Gratuitous ARP in request and reply form, or an unsolicited neighbour advertisement with the
    /// override flag; probed for before the first one (RFC 5227, RFC 4861 section 7.2.6).
    #[default]
    ArpNdp,
    /// Gratuitous ARP in reply form, or a router advertisement with the address as a prefix
    /// (<https://cloud.google.com/load-balancing/docs/garp-ra-packet-spec>). No probe: Google's
    /// network answers every ARP request itself.
    GarpRa,
}

/// Who says which nodes an address can be at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// The subnets of the nodes' uplinks.
    #[default]
    Uplinks,
    /// The cloud, which is asked by the controller: what a node can serve, and how many more.
    Cloud,
}

impl ProviderKind {
    /// Google Cloud, in whichever mode.
    #[must_use]
    pub fn is_google(self) -> bool {
        matches!(self, Self::Gcp | Self::GcpTargetInstance | Self::GcpAliasRange)
    }

    /// The table of what holds for each provider.
    pub fn facts(self) -> ProviderFacts {
        match self {
            Self::L2 => ProviderFacts {
                fence: Fence::Deadline,
                announcing: Announcing::Holder(AnnouncementForm::ArpNdp),
                placement: Placement::Uplinks,
            },
            Self::Aws | Self::GcpTargetInstance | Self::GcpAliasRange => ProviderFacts {
                fence: Fence::Fabric,
                announcing: Announcing::Nobody,
                placement: Placement::Cloud,
            },
            Self::Gcp => ProviderFacts {
                fence: Fence::Deadline,
                announcing: Announcing::Holder(AnnouncementForm::GarpRa),
                placement: Placement::Cloud,
            },
        }
    }
}

impl ProviderFacts {
    /// The fabric fences.
    #[must_use]
    pub fn fabric_fences(self) -> bool {
        self.fence == Fence::Fabric
    }

    /// The cloud says where an address can be.
    #[must_use]
    pub fn cloud_places(self) -> bool {
        self.placement == Placement::Cloud
    }

    /// How the holder announces; `None` where nobody does.
    #[must_use]
    pub fn announcement(self) -> Option<AnnouncementForm> {
        match self.announcing {
            Announcing::Holder(form) => Some(form),
            Announcing::Nobody => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_makes_every_address_known() {
        for kind in [
            ProviderKind::L2,
            ProviderKind::Aws,
            ProviderKind::Gcp,
            ProviderKind::GcpTargetInstance,
            ProviderKind::GcpAliasRange,
        ] {
            let facts = kind.facts();
            assert!(facts.fabric_fences() || facts.announcement().is_some(), "{kind:?}");
        }
    }
}
