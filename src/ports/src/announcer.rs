//! Announcements of addresses: gratuitous ARP, unsolicited neighbour and router advertisements, probes.

use std::net::IpAddr;

use egret_core::model::AnnouncementForm;

use crate::error::PortError;
use crate::gateway::UplinkLink;

/// A host that is not this one has an address that is listened for, or is about to take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignClaim {
    /// The address.
    pub address: IpAddr,
    /// The host's MAC address.
    pub mac: [u8; 6],
    /// It only asks whether the address is free (an ARP probe, or duplicate address detection), and
    /// so will not take one that is held (RFC 5227 section 2.4, RFC 4862 section 5.4).
    pub probes: bool,
}

/// Sends and listens on an uplink.
///
/// Guarantees: never blocks longer than one send; a send that the kernel refuses since the address
/// is not held (the uplink's egress program) is `ErrorClass::Conflict` and sends nothing.
pub trait Announcer {
    /// One announcement in this form. `Invalid` where the form cannot say the address: a router
    /// advertisement in Google's form names a /96, so an IPv6 address must be the first of its /96.
    fn announce(
        &mut self,
        address: IpAddr,
        form: AnnouncementForm,
        uplink: &UplinkLink,
    ) -> Result<(), PortError>;

    /// One probe (RFC 5227 section 2.1.1, RFC 4862 section 5.4): asks whether a foreign host has
    /// the address.
    fn probe(&mut self, address: IpAddr, uplink: &UplinkLink) -> Result<(), PortError>;

    /// What was seen since the last call: a MAC that is not the uplink's and that claims, or
    /// probes for, an address that is listened for. The caller knows the MACs of its peers: an
    /// old holder's late announcement shows here too.
    fn conflicts(&mut self) -> Result<Vec<ForeignClaim>, PortError>;

    /// Begins to report conflicts of `address` on `uplink`, and makes the uplink receive neighbour
    /// solicitations of it (IPv6: joins its solicited-node group, RFC 4291 section 2.7.1).
    /// Idempotent; another uplink replaces the first. Needed on standbys too, before a takeover: a
    /// switch with MLD snooping delivers only after a while.
    fn listen(&mut self, address: IpAddr, uplink: &UplinkLink) -> Result<(), PortError>;

    /// Ends what `listen` began; absent is success.
    fn forget(&mut self, address: IpAddr) -> Result<(), PortError>;
}
