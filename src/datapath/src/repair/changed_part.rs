use std::fmt;
use std::net::IpAddr;

use egret_core::model::Family;
use ipnet::IpNet;

/// What was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedPart {
    /// Our device was removed.
    DeviceRemoved,
    /// Our device was set down.
    DeviceDown,
    /// Another setting of our device: MTU, ARP, address, `rp_filter`.
    DeviceChanged,
    /// A route of our table was removed, or a foreign one added.
    Route(IpNet),
    /// Our rule was removed.
    RuleRemoved(Family),
    /// A rule of others that is about packets' marks was added or removed.
    MarkRule(Family),
    /// Something of the back end's rules: what, in its words.
    Rules(String),
    /// Our programs were taken from a link, or what filters a link has.
    Programs,
    /// An address, a way out or a setting of another link: the uplinks may be others now.
    Uplinks,
    /// A route makes an address this host's own (see [`crate::local_address`]).
    LocalRoute(IpAddr),
    /// The kernel dropped notices since they were not read fast enough: anything may have changed.
    Unknown,
}

impl ChangedPart {
    /// Whether this host may have got an address of its own by it.
    #[must_use]
    pub fn may_make_local(&self) -> bool {
        matches!(self, Self::Uplinks | Self::LocalRoute(_) | Self::Unknown)
    }
}

impl fmt::Display for ChangedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceRemoved => write!(f, "the tunnel device was removed"),
            Self::DeviceDown => write!(f, "the tunnel device was set down"),
            Self::DeviceChanged => write!(f, "the tunnel device was changed"),
            Self::Route(net) => write!(f, "the route to {net} in our table was changed"),
            Self::RuleRemoved(family) => write!(f, "the {family} rule was removed"),
            Self::MarkRule(family) => write!(f, "an {family} rule about marks was changed"),
            Self::Rules(what) => write!(f, "{what}"),
            Self::Programs => write!(f, "the programs of a link were detached"),
            Self::Uplinks => write!(f, "an address, route or setting of an uplink was changed"),
            Self::LocalRoute(address) => write!(f, "a route makes {address} this host's own"),
            Self::Unknown => write!(f, "notices were lost"),
        }
    }
}
