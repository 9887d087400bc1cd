//! Announcements of addresses, probes, and conflicts (RFC 5227, RFC 4861, RFC 4862).
//!
//! State: one packet socket per uplink in use, and the memberships in solicited-node groups; one
//! thread uses it. Always: what is sent passes the uplink's egress program, which refuses to let an
//! announcement of an address out that is not held; nothing received is believed without its
//! lengths.

pub(crate) mod echo;
pub(crate) mod frame;
mod groups;
pub(crate) mod tap;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use egret_core::model::AnnouncementForm;
use egret_ports::announcer::{Announcer, ForeignClaim};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::gateway::UplinkLink;

use groups::Groups;
use tap::AnnounceTap;

/// How many frames of one uplink are looked at in one call: a flood does not hold the caller.
const FRAMES_A_CALL: usize = 1024;

/// [`Announcer`] by packet sockets, in the network namespace of the thread that calls it first for
/// an uplink.
#[derive(Debug, Default)]
pub struct PacketAnnouncer {
    taps: BTreeMap<u32, AnnounceTap>,
    listened: BTreeMap<IpAddr, UplinkLink>,
    groups: Groups,
}

impl PacketAnnouncer {
    /// Opens nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn tap(&mut self, index: u32) -> io::Result<&AnnounceTap> {
        let tap = match self.taps.remove(&index) {
            Some(tap) => tap,
            None => AnnounceTap::open(index)?,
        };
        Ok(self.taps.entry(index).or_insert(tap))
    }

    /// Of a frame that claims, or probes for, what is listened for.
    fn conflict(&self, index: u32, frame: &[u8]) -> Option<ForeignClaim> {
        let claim = frame::claims(frame)?;
        let own = self.listened.get(&claim.address)?;
        (own.index == index && own.mac != claim.mac).then_some(claim)
    }

    fn send(&mut self, frames: &[Vec<u8>], uplink: &UplinkLink) -> io::Result<()> {
        for frame in frames {
            let sent = self.tap(uplink.index)?.send(frame);
            if let Err(error) = sent {
                // The interface may have been made anew: the next call opens a new socket.
                if error.raw_os_error() != Some(libc::ENOBUFS) {
                    self.taps.remove(&uplink.index);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Announcer for PacketAnnouncer {
    fn announce(
        &mut self,
        address: IpAddr,
        form: AnnouncementForm,
        uplink: &UplinkLink,
    ) -> Result<(), PortError> {
        use AnnouncementForm::{ArpNdp, GarpRa};
        let operation = || format!("announce {address}");
        let frames = match (form, address) {
            (ArpNdp, IpAddr::V4(v4)) => frame::gratuitous_arp(v4, uplink.mac).to_vec(),
            (ArpNdp, IpAddr::V6(v6)) => vec![frame::unsolicited_advertisement(v6, uplink.mac)],
            (GarpRa, IpAddr::V4(v4)) => vec![frame::gratuitous_arp_reply(v4, uplink.mac)],
            (GarpRa, IpAddr::V6(v6)) => {
                let frame = frame::router_advertisement(v6, uplink.mac).ok_or_else(|| {
                    let remedy = "it is not the first address of a /96, which is what Google moves: \
                                  reserve the range and use its first address";
                    PortError::new(ErrorClass::Invalid, operation(), remedy)
                })?;
                vec![frame]
            }
        };
        self.send(&frames, uplink).map_err(|error| port_error(operation(), error))
    }

    fn probe(&mut self, address: IpAddr, uplink: &UplinkLink) -> Result<(), PortError> {
        let frame = match address {
            IpAddr::V4(v4) => frame::arp_probe(v4, uplink.mac),
            IpAddr::V6(v6) => frame::duplicate_address_solicitation(v6, uplink.mac),
        };
        self.send(&[frame], uplink).map_err(|error| port_error(format!("probe {address}"), error))
    }

    fn conflicts(&mut self) -> Result<Vec<ForeignClaim>, PortError> {
        let mut conflicts = Vec::new();
        let mut failures = Vec::new();
        for (index, tap) in &self.taps {
            for _ in 0..FRAMES_A_CALL {
                match tap.receive() {
                    Ok(Some(received)) => {
                        let conflict = self.conflict(*index, &received);
                        conflicts.extend(conflict.filter(|seen| !conflicts.contains(seen)));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        failures.push((*index, error));
                        break;
                    }
                }
            }
        }
        let mut failed = None;
        for (index, error) in failures {
            self.taps.remove(&index);
            failed = Some(port_error(format!("listen on interface {index}"), error));
        }
        // What was seen is told first; a socket that stays broken says so in the next call.
        match failed {
            Some(error) if conflicts.is_empty() => Err(error),
            _ => Ok(conflicts),
        }
    }

    fn listen(&mut self, address: IpAddr, uplink: &UplinkLink) -> Result<(), PortError> {
        let failed = |error| port_error(format!("listen for {address}"), error);
        self.tap(uplink.index).map_err(failed)?;
        if let IpAddr::V6(v6) = address {
            self.groups.join(v6, uplink.index).map_err(failed)?;
        }
        self.listened.insert(address, *uplink);
        Ok(())
    }

    fn forget(&mut self, address: IpAddr) -> Result<(), PortError> {
        let uplink = self.listened.remove(&address);
        if let IpAddr::V6(v6) = address {
            self.groups
                .leave(v6)
                .map_err(|error| port_error(format!("forget {address}"), error))?;
        }
        let used = |index| self.listened.values().any(|listened| listened.index == index);
        if let Some(uplink) = uplink.filter(|uplink| !used(uplink.index)) {
            self.taps.remove(&uplink.index);
        }
        Ok(())
    }
}

/// ENOBUFS is what a packet socket reports for a frame that a tc program dropped.
fn port_error(operation: String, error: io::Error) -> PortError {
    let class = match error.raw_os_error() {
        Some(libc::ENOBUFS) => ErrorClass::Conflict,
        Some(libc::ENODEV | libc::ENXIO) => ErrorClass::NotFound,
        Some(libc::EPERM | libc::EACCES) => ErrorClass::Denied,
        _ => ErrorClass::Transient,
    };
    PortError::new(class, operation, error)
}
