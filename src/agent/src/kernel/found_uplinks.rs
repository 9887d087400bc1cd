//! The links that this host has for its ways to the world and to the other nodes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_datapath::HostSettings;
use egret_datapath::host::{self, HostUplink};
use egret_ports::error::{ErrorClass, PortError};

use crate::uplink_selection;

/// What the arguments say of the uplinks.
#[derive(Clone, Debug)]
pub(super) struct WantedUplinks {
    pub(super) uplinks: Vec<String>,
    pub(super) next_hops: Vec<(String, IpAddr)>,
    /// The hardware addresses of those by which a cloud delivers.
    pub(super) named: BTreeSet<[u8; 6]>,
}

/// The links of a host, by what they are for.
pub(super) struct FoundLinks {
    /// Those that carry addresses, by the arguments and by what a cloud names.
    pub(super) uplinks: Result<Vec<HostUplink>, PortError>,
    /// The others.
    pub(super) others: Vec<HostUplink>,
}

pub(super) fn find_links(
    settings: &HostSettings,
    wanted: &WantedUplinks,
) -> Result<FoundLinks, PortError> {
    let mut all = host::links(settings)?;
    uplink_selection::give(&mut all, &wanted.next_hops);
    let (uplinks, others) = divide(all, wanted);
    Ok(FoundLinks { uplinks, others })
}

fn divide(
    all: Vec<HostUplink>,
    wanted: &WantedUplinks,
) -> (Result<Vec<HostUplink>, PortError>, Vec<HostUplink>) {
    let WantedUplinks { uplinks: names, named, .. } = wanted;
    let is_wanted = |uplink: &HostUplink| match names.as_slice() {
        [] => uplink.leads_to_the_world() || named.contains(&uplink.mac),
        names => names.contains(&uplink.name),
    };
    let known: Vec<&HostUplink> = all.iter().filter(|link| link.may_carry()).collect();
    let known: Vec<String> = known.into_iter().map(|link| link.name.clone()).collect();
    let (uplinks, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|link| link.may_carry() && is_wanted(link));
    if uplinks.is_empty() && !names.is_empty() {
        let remedy = format!(
            "no link {} that is up and has an address; links to the world here: {}",
            names.join(", "),
            known.join(", ")
        );
        return (Err(PortError::new(ErrorClass::Transient, "find --uplink", remedy)), others);
    }
    (Ok(uplinks), others)
}
