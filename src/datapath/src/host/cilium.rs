//! Whether Cilium runs here behind another CNI plugin.

use std::collections::BTreeSet;

use egret_ports::error::PortError;

use crate::netlink::{RouteNetlink, refused};

/// Every agent of Cilium makes it.
const HOST: &str = "cilium_host";
/// What Cilium's own plugin calls the devices of pods, and of its health check.
const OWN: &str = "lxc";
/// What Google's plugin calls the devices of pods.
const GOOGLE: &str = "gke";

/// Whether Cilium's devices are here, and the pods' devices are another plugin's. So GKE's Dataplane
/// V2 has it, whose CNI configuration chains Cilium's plugin behind Google's own.
///
/// The names of devices are inferred from Cilium's source and GKE's CNI configuration, not documented.
///
/// # Errors
/// `Transient` where the links keep changing under the read.
pub fn cilium_is_chained() -> Result<bool, PortError> {
    let wrong = |error| refused("list the links", error);
    let links = RouteNetlink::route().and_then(|mut netlink| netlink.links()).map_err(wrong)?;
    Ok(is_chained(&links.iter().map(|link| link.name.as_str()).collect()))
}

/// A node may have no pods with a device of their own; Cilium alone has one for its health check.
fn is_chained(names: &BTreeSet<&str>) -> bool {
    let any = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
    names.contains(HOST) && (any(GOOGLE) || !any(OWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cilium_is_chained_where_pods_have_another_plugins_devices() {
        for (names, expected) in [
            (&["lo", "eth0"][..], false),
            (&["lo", "eth0", "gke52d3a1c0f4b"], false),
            (&["lo", "eth0", "cali0123456789a"], false),
            (&["lo", "eth0", "cilium_net", "cilium_host", "lxc_health", "lxc0a1b2c3d4e5f"], false),
            (&["lo", "eth0", "cilium_net", "cilium_host", "lxc_health"], false),
            (&["lo", "eth0", "cilium_net", "cilium_host", "gke52d3a1c0f4b"], true),
            (&["lo", "eth0", "cilium_net", "cilium_host", "gke52d3a1c0f4b", "lxc_health"], true),
            (&["lo", "eth0", "cilium_net", "cilium_host"], true),
        ] {
            assert_eq!(is_chained(&names.iter().copied().collect()), expected, "{names:?}");
        }
    }
}
