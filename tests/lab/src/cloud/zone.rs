use std::net::{IpAddr, Ipv4Addr};

/// The VPC's range.
pub const VPC: &str = "10.0.0.0/16";

/// How the outside is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// By an Internet gateway: only what has an Elastic IP leaves, and only that is reached.
    Internet,
    /// By a VPN: private addresses leave and are reached as they are.
    Vpn,
}

/// A zone of the laboratory's region, with the one subnet there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// `eu-central-1a`, 10.0.1.0/24.
    A,
    /// `eu-central-1b`, 10.0.2.0/24.
    B,
}

impl Zone {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// What the cloud calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "eu-central-1a",
            Self::B => "eu-central-1b",
        }
    }

    /// The subnet's range.
    #[must_use]
    pub fn cidr(self) -> &'static str {
        match self {
            Self::A => "10.0.1.0/24",
            Self::B => "10.0.2.0/24",
        }
    }

    /// Host `host` of the subnet. The router is the first one: the VPC's router is at the subnet's
    /// base address plus one
    /// (<https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html>).
    #[must_use]
    pub fn host(self, host: u8) -> Ipv4Addr {
        match self {
            Self::A => Ipv4Addr::new(10, 0, 1, host),
            Self::B => Ipv4Addr::new(10, 0, 2, host),
        }
    }

    /// The primary address of node `number`.
    #[must_use]
    pub fn node(self, number: u8) -> IpAddr {
        self.host(100 + number).into()
    }

    /// The switch that its nodes are plugged into.
    pub(crate) fn bridge(self) -> &'static str {
        match self {
            Self::A => "br0",
            Self::B => "br1",
        }
    }

    /// The router's device there.
    pub(crate) fn device(self) -> &'static str {
        match self {
            Self::A => "lan0",
            Self::B => "lan1",
        }
    }
}
