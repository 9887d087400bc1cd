use std::net::IpAddr;

use super::gce::{self, GceZone};
use super::zone::Zone;
use crate::address;

/// What a node is plugged into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The LAN.
    Lan,
    /// A subnet of EC2's VPC.
    Ec2(Zone),
    /// The subnetwork of Google's VPC.
    Gce(GceZone),
}

impl Site {
    /// What the Node object of node `number` lists: both on the LAN, an IPv4 address in a cloud.
    #[must_use]
    pub fn addresses(self, number: u8) -> Vec<IpAddr> {
        match self {
            Self::Lan => address::node(number).to_vec(),
            Self::Ec2(zone) => vec![zone.node(number)],
            Self::Gce(_) => vec![gce::node(number)],
        }
    }
}
