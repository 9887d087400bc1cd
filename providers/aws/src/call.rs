//! The calls that change something in EC2.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::journal::Doubt;

/// A call that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ec2Call {
    /// Gives a private IPv4 address to an interface; `take`s it from another one in the subnet,
    /// and its Elastic IP comes with it.
    AssignPrivate { interface: String, address: Ipv4Addr, take: bool },
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

    /// What nobody knows while the call has no answer.
    pub fn doubts(&self) -> Vec<(IpAddr, Doubt)> {
        match self {
            Self::AssignPrivate { address, .. } => vec![((*address).into(), Doubt::Moved)],
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
