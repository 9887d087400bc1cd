use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// An IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Family {
    /// IPv4.
    IPv4,
    /// IPv6.
    IPv6,
}

impl Family {
    /// The family of `address`.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::IPv4 } else { Self::IPv6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::IPv4 => "IPv4",
            Self::IPv6 => "IPv6",
        })
    }
}

/// Addresses from `first` to `last`, both included, of one family, `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "AddressBounds")]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

#[derive(Deserialize)]
struct AddressBounds {
    first: IpAddr,
    last: IpAddr,
}

impl TryFrom<AddressBounds> for AddressRange {
    type Error = &'static str;

    fn try_from(bounds: AddressBounds) -> Result<Self, Self::Error> {
        Self::new(bounds.first, bounds.last).ok_or("last is below first, or of another family")
    }
}

impl AddressRange {
    /// `None` where the families differ or `last` is below `first`.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(Self { first, last })
    }

    /// One address.
    pub fn of(address: IpAddr) -> Self {
        Self { first: address, last: address }
    }

    /// The lowest address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The highest address.
    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// The family of both ends.
    pub fn family(&self) -> Family {
        Family::of(self.first)
    }

    /// True for every address from first to last.
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == self.family() && self.first <= address && address <= self.last
    }
}

/// Ports from `first` to `last`, both included, `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "PortBounds")]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Ports from `first` to `last`, both included.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct PortBounds {
    /// The lowest port.
    first: u16,
    /// The highest port.
    last: u16,
}

impl TryFrom<PortBounds> for PortRange {
    type Error = &'static str;

    fn try_from(bounds: PortBounds) -> Result<Self, Self::Error> {
        Self::new(bounds.first, bounds.last).ok_or("last is below first")
    }
}

impl PortRange {
    /// `None` where `last` is below `first`.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The lowest port.
    pub fn first(&self) -> u16 {
        self.first
    }

    /// The highest port.
    pub fn last(&self) -> u16 {
        self.last
    }

    /// How many ports: 1 … 65,536.
    pub fn size(&self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    /// True where the two share a port.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}–{}", self.first, self.last)
    }
}
