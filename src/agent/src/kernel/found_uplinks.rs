//! The links and addresses that this host has for its ways to the world.

use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_datapath::host::{self, HostUplink};
use egret_datapath::{HostSettings, local_address};
use egret_ports::error::{ErrorClass, PortError};
use ipnet::IpNet;

use crate::uplink_selection;

/// What the arguments say of the uplinks.
#[derive(Clone, Debug)]
pub(super) struct WantedUplinks {
    pub(super) uplinks: Vec<String>,
    pub(super) next_hops: Vec<(String, IpAddr)>,
    /// The hardware addresses of those by which a cloud delivers.
    pub(super) named: BTreeSet<[u8; 6]>,
}

/// Those that carry addresses, by the arguments and by what a cloud names.
pub(super) fn choose_uplinks(
    settings: &HostSettings,
    wanted: &WantedUplinks,
) -> Result<Vec<HostUplink>, PortError> {
    let mut all = host::uplinks(settings)?;
    uplink_selection::give(&mut all, &wanted.next_hops);
    let named = &wanted.named;
    let wanted = &wanted.uplinks;
    if wanted.is_empty() {
        let carries =
            |uplink: &HostUplink| uplink.leads_to_the_world() || named.contains(&uplink.mac);
        return Ok(all.into_iter().filter(carries).collect());
    }
    let known: Vec<String> = all.iter().map(|uplink| uplink.name.clone()).collect();
    let chosen: Vec<HostUplink> =
        all.into_iter().filter(|uplink| wanted.contains(&uplink.name)).collect();
    if chosen.is_empty() {
        let remedy = format!(
            "no link {} that is up and has an address; links to the world here: {}",
            wanted.join(", "),
            known.join(", ")
        );
        return Err(PortError::new(ErrorClass::Transient, "find --uplink", remedy));
    }
    Ok(chosen)
}

/// The addresses of the uplinks, and which of `wanted` are this host's elsewhere.
pub(super) fn present(
    wanted: &[IpAddr],
    uplinks: &[HostUplink],
) -> Result<BTreeSet<IpAddr>, PortError> {
    let on_uplinks = uplinks.iter().flat_map(|uplink| &uplink.addresses);
    let mut present: BTreeSet<IpAddr> = on_uplinks.map(IpNet::addr).collect();
    for address in wanted {
        if !present.contains(address) && local_address::is_own(*address)? {
            present.insert(*address);
        }
    }
    Ok(present)
}
