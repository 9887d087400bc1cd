//! What else is on this host: its links to the world, and others that use what Egret takes.

mod nftables;
mod others;
mod uplinks;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use egret_core::model::Family;
use egret_ports::error::PortError;
use ipnet::IpNet;

use crate::constants::Settings;

pub use uplinks::uplinks;

/// A next hop out of an uplink, by who names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NextHop {
    /// Whoever runs the agent.
    Given(IpAddr),
    /// A default route, of whichever table.
    Default(IpAddr),
    /// Routes to parts of the world, of whichever tables, and they all name this one.
    Partial(IpAddr),
}

/// A link to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// The interface's name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// MTU in bytes.
    pub mtu: u32,
    /// Its addresses of global scope with the length of their subnets, not truncated.
    pub addresses: Vec<IpNet>,
    /// Families whose default route in the main table leaves here, with the next hop where the
    /// route names one.
    pub defaults: Vec<(Family, Option<IpAddr>)>,
    /// What is known of the way out in the other families, where the main table has no default
    /// route for it here: policy rules may lead to one in a table of its own.
    pub next_hops: BTreeMap<Family, NextHop>,
}

impl Uplink {
    /// The subnets of its addresses.
    #[must_use]
    pub fn subnets(&self) -> BTreeSet<IpNet> {
        self.addresses.iter().map(IpNet::trunc).collect()
    }

    /// The first address of a family.
    #[must_use]
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().map(IpNet::addr).find(|address| Family::of(*address) == family)
    }

    /// Whether a default route of the main table leaves here.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        !self.defaults.is_empty()
    }

    /// Whether a default route of this family in the main table leaves here.
    #[must_use]
    pub fn is_primary_for(&self, family: Family) -> bool {
        self.defaults.iter().any(|(of, _)| *of == family)
    }

    /// Whether a default route of any table leaves here, or a next hop was given.
    #[must_use]
    pub fn leads_to_the_world(&self) -> bool {
        let whole = |hop: &NextHop| !matches!(hop, NextHop::Partial(_));
        self.is_primary() || self.next_hops.values().any(whole)
    }
}

/// Somebody else who uses what Egret would take.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Collision {
    /// What is taken, such as `the mark bit 0x1000`.
    pub what: String,
    /// Who takes it, such as `nft table inet foo, chain bar`.
    pub who: String,
    /// Which setting to change, such as `mark`.
    pub setting: &'static str,
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, who, setting } = self;
        write!(f, "{what} is used by {who}: choose another {setting}")
    }
}

/// Finds others that use our bit, table, priority, device or ports. Empty: none.
///
/// Looks at the nft rule set (iptables-nft is in it), the policy rules, our routing table, the
/// legacy iptables where that tool is there, and the UDP sockets. What Egret itself left there
/// (rules of our table with `proto kernel`, our nft table, our device) is no collision.
///
/// # Errors
/// `NotFound` where the tool nft is missing; `Denied` without CAP_NET_ADMIN.
pub fn check(settings: &Settings) -> Result<BTreeSet<Collision>, PortError> {
    let mut found = BTreeSet::new();
    others::rules_and_routes(settings, &mut found)?;
    others::sockets(settings, &mut found);
    nftables::users_of_bit(settings, &mut found)?;
    others::legacy_iptables(settings, &mut found);
    Ok(found)
}
