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

/// A subnet of the laboratory's region, by its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// `eu-central-1a`, 10.0.1.0/24.
    A,
    /// `eu-central-1b`, 10.0.2.0/24.
    B,
    /// A second subnet of `eu-central-1a`, 10.0.3.0/24, for second interfaces.
    A2,
}

impl Zone {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::A, Self::B, Self::A2];

    /// What the cloud calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::A | Self::A2 => "eu-central-1a",
            Self::B => "eu-central-1b",
        }
    }

    /// The subnet's range.
    #[must_use]
    pub fn cidr(self) -> &'static str {
        match self {
            Self::A => "10.0.1.0/24",
            Self::B => "10.0.2.0/24",
            Self::A2 => "10.0.3.0/24",
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
            Self::A2 => Ipv4Addr::new(10, 0, 3, host),
        }
    }

    /// The primary address of node `number`.
    #[must_use]
    pub fn node(self, number: u8) -> IpAddr {
        self.host(100 + number).into()
    }

    /// The primary address of a second interface of node `number` in this subnet.
    #[must_use]
    pub fn second(self, number: u8) -> Ipv4Addr {
        self.host(200 + number)
    }

    /// The switch that its nodes are plugged into.
    pub(crate) fn bridge(self) -> &'static str {
        match self {
            Self::A => "br0",
            Self::B => "br1",
            Self::A2 => "br2",
        }
    }

    /// The router's device there.
    pub(crate) fn device(self) -> &'static str {
        match self {
            Self::A => "lan0",
            Self::B => "lan1",
            Self::A2 => "lan2",
        }
    }
}
