//! The calls that change something in EC2.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use egret_ports::merge::MergeableChange;

use tokio::time::Instant;

use crate::journal::{Doubt, Slot};

/// A call, with when it began to be decided: what has become known since may speak against it.
#[derive(Clone, Debug)]
pub(crate) struct DecidedCall {
    pub call: Ec2Call,
    pub decided: Instant,
}

/// A call that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ec2Call {
    /// Gives private IPv4 addresses to an interface, all or none; `take`s them from others in the
    /// subnet, and their Elastic IPs come with them.
    AssignPrivate { interface: String, addresses: BTreeSet<Ipv4Addr>, take: bool },
    /// Gives a private IPv4 address to an interface for each of these Elastic IPs; EC2 chooses.
    AssignAny { interface: String, wanted: BTreeSet<Ipv4Addr> },
    /// Takes secondary private IPv4 addresses from an interface.
    UnassignPrivate { interface: String, addresses: BTreeSet<Ipv4Addr> },
    /// Gives an IPv6 address to an interface.
    AssignIpv6 { interface: String, address: Ipv6Addr },
    /// Takes an IPv6 address from an interface.
    UnassignIpv6 { interface: String, address: Ipv6Addr },
    /// Maps an Elastic IP to a private address; `take`s it from another one.
    Associate {
        public: Ipv4Addr,
        allocation: String,
        interface: String,
        private: Ipv4Addr,
        take: bool,
    },
    /// Ends a mapping.
    Disassociate { public: Ipv4Addr, association: String },
}

impl Ec2Call {
    /// EC2's name for it.
    pub fn action(&self) -> &'static str {
        match self {
            Self::AssignPrivate { .. } | Self::AssignAny { .. } => "AssignPrivateIpAddresses",
            Self::UnassignPrivate { .. } => "UnassignPrivateIpAddresses",
            Self::AssignIpv6 { .. } => "AssignIpv6Addresses",
            Self::UnassignIpv6 { .. } => "UnassignIpv6Addresses",
            Self::Associate { .. } => "AssociateAddress",
            Self::Disassociate { .. } => "DisassociateAddress",
        }
    }

    /// The interface that a call is about; changes of mappings are about their Elastic IP.
    pub fn interface(&self) -> &str {
        match self {
            Self::AssignPrivate { interface, .. }
            | Self::AssignAny { interface, .. }
            | Self::UnassignPrivate { interface, .. }
            | Self::AssignIpv6 { interface, .. }
            | Self::UnassignIpv6 { interface, .. }
            | Self::Associate { interface, .. } => interface,
            Self::Disassociate { association, .. } => association,
        }
    }

    /// What it is about to fill: for each an interface, and the address that it is for.
    pub fn slots(&self) -> BTreeSet<Slot> {
        let (interface, addresses) = match self {
            Self::AssignPrivate { interface, addresses, .. } => (interface, addresses),
            Self::AssignAny { interface, wanted } => (interface, wanted),
            _ => return BTreeSet::new(),
        };
        addresses.iter().map(|address| (interface.clone(), IpAddr::from(*address))).collect()
    }

    /// The addresses of a call that takes a list of them.
    pub fn listed(&self) -> Vec<IpAddr> {
        match self {
            Self::AssignPrivate { addresses, .. }
            | Self::AssignAny { wanted: addresses, .. }
            | Self::UnassignPrivate { addresses, .. } => {
                addresses.iter().copied().map(IpAddr::V4).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What nobody knows while the call has no answer.
    pub fn doubts(&self) -> Vec<(IpAddr, Doubt)> {
        match self {
            Self::AssignPrivate { addresses, .. } => {
                addresses.iter().map(|address| ((*address).into(), Doubt::Moved)).collect()
            }
            Self::AssignIpv6 { address, .. } => vec![((*address).into(), Doubt::Moved)],
            Self::AssignAny { .. } => Vec::new(),
            Self::UnassignPrivate { addresses, .. } => {
                addresses.iter().map(|address| ((*address).into(), Doubt::Gone)).collect()
            }
            Self::UnassignIpv6 { address, .. } => vec![((*address).into(), Doubt::Gone)],
            Self::Associate { public, .. } | Self::Disassociate { public, .. } => {
                vec![((*public).into(), Doubt::Mapped)]
            }
        }
    }
}

/// Calls on secondary IPv4 addresses of one interface: each takes a list. Those that take an address from
/// whoever has it stay apart from those that must not.
impl MergeableChange for Ec2Call {
    fn key(&self) -> Option<String> {
        match self {
            Self::AssignPrivate { interface, take, .. } => {
                Some(format!("assign {interface} {take}"))
            }
            Self::AssignAny { interface, .. } => Some(format!("assign any {interface}")),
            Self::UnassignPrivate { interface, .. } => Some(format!("unassign {interface}")),
            _ => None,
        }
    }

    fn absorb(&mut self, other: &Self) {
        match (self, other) {
            (
                Self::AssignPrivate { addresses: own, .. },
                Self::AssignPrivate { addresses: more, .. },
            )
            | (Self::AssignAny { wanted: own, .. }, Self::AssignAny { wanted: more, .. })
            | (
                Self::UnassignPrivate { addresses: own, .. },
                Self::UnassignPrivate { addresses: more, .. },
            ) => own.extend(more),
            _ => {}
        }
    }
}

impl MergeableChange for DecidedCall {
    fn key(&self) -> Option<String> {
        self.call.key()
    }

    fn absorb(&mut self, other: &Self) {
        self.call.absorb(&other.call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(interface: &str, address: &str, take: bool) -> Ec2Call {
        let addresses = [address.parse().unwrap()].into();
        Ec2Call::AssignPrivate { interface: interface.into(), addresses, take }
    }

    #[test]
    fn only_what_one_call_can_do_is_merged() {
        let mut one = assign("eni-1", "10.0.1.7", true);
        for other in [
            assign("eni-2", "10.0.1.8", true),
            assign("eni-1", "10.0.1.8", false),
            Ec2Call::AssignAny { interface: "eni-1".into(), wanted: BTreeSet::new() },
            Ec2Call::UnassignPrivate { interface: "eni-1".into(), addresses: BTreeSet::new() },
        ] {
            assert_ne!(one.key(), other.key(), "{other:?}");
        }
        let association = "eipassoc-1".to_owned();
        let end = Ec2Call::Disassociate { public: "203.0.113.1".parse().unwrap(), association };
        assert_eq!(end.key(), None, "EC2 takes one");
        one.absorb(&assign("eni-1", "10.0.1.8", true));
        assert_eq!(one.doubts().len(), 2);
        assert_eq!(one.slots().len(), 2);
    }
}
