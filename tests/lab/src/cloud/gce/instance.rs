use super::zone::GceZone;
use crate::wire::Mac;

/// A machine that is to be an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcHost {
    /// Such as `gateway-1`.
    pub name: String,
    /// Decides its address.
    pub number: u8,
    /// Where it is.
    pub zone: GceZone,
    /// Whether it has the network tag of gateways.
    pub gateway: bool,
}

/// A node as Compute Engine knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcInstance {
    /// `spec.providerID` of its Node.
    pub provider_id: String,
    /// The hardware address of its interface.
    pub mac: Mac,
    /// Where it is.
    pub zone: GceZone,
    /// Its pods' range: its first alias from the beginning.
    pub pods: String,
}
