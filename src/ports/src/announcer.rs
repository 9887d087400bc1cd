//! Announcements of L2 addresses: gratuitous ARP, unsolicited neighbour advertisements, probes.

use std::net::IpAddr;

use crate::error::PortError;
use crate::gateway::UplinkLink;

/// Sends and listens on an uplink.
///
/// Guarantees: never blocks longer than one send; a send that the kernel refuses since the address
/// is not held (the uplink's egress program) is `ErrorClass::Conflict` and sends nothing.
pub trait Announcer {
    /// One announcement: gratuitous ARP in request and reply form, or an unsolicited NA with the
    /// override flag.
    fn announce(&mut self, address: IpAddr, uplink: &UplinkLink) -> Result<(), PortError>;

    /// One probe (RFC 5227 section 2.1.1, RFC 4862 section 5.4): asks whether a foreign host has
    /// the address.
    fn probe(&mut self, address: IpAddr, uplink: &UplinkLink) -> Result<(), PortError>;

    /// Conflicts seen since the last call: a foreign MAC that claims one of our addresses.
    fn conflicts(&mut self) -> Result<Vec<(IpAddr, [u8; 6])>, PortError>;

    /// Makes the uplink receive neighbour solicitations of this IPv6 address (joins its
    /// solicited-node group); nothing for IPv4. Idempotent.
    fn listen(&mut self, address: IpAddr, uplink: &UplinkLink) -> Result<(), PortError>;
}
