use std::net::{IpAddr, Ipv4Addr};

/// The subnetwork of all nodes.
pub(super) const SUBNETWORK: &str = "10.0.0.0/24";
/// The region of both zones.
pub(super) const REGION: &str = "europe-west3";

/// A zone of the laboratory's region. Both are in one subnetwork, which in Google's cloud spans a
/// region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GceZone {
    /// `europe-west3-a`.
    A,
    /// `europe-west3-b`.
    B,
}

impl GceZone {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// What the cloud calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "europe-west3-a",
            Self::B => "europe-west3-b",
        }
    }
}

/// The gateway of the subnetwork, its second address
/// (<https://cloud.google.com/vpc/docs/subnets>): the router.
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// The address of node `number`, whatever its zone.
pub(crate) fn node(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, 100 + number).into()
}
