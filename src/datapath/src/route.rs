//! Our routing table: `throw` for what is never steered, `default` into the tunnel, and behind it
//! `unreachable default`, which stands while the device is down or gone.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use egret_core::model::Family;
use egret_ports::error::PortError;
use egret_ports::steering::Applied;
use ipnet::IpNet;

use crate::constants::HostSettings;
use crate::netlink::route::{LAST_METRIC, RouteRecord, RouteTarget};
use crate::netlink::{RouteNetlink, no_such_family, refused};

/// Metric of the route into the tunnel and of the `throw` routes: what the kernel gives an IPv6
/// route that names none (IP6_RT_PRIO_USER), so that both families look alike.
const METRIC: u32 = 1024;

/// One route of our table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct WantedRoute {
    // The order of this type is the order of writing: the guard first.
    order: u8,
    destination: IpNet,
    target: RouteTarget,
    metric: u32,
}

/// Makes our table hold exactly these routes, in both families; writes only differences, the guard
/// (`unreachable`) first and the way into the tunnel last.
///
/// The `throw` routes keep strict `rp_filter` with `src_valid_mark` (wg-quick sets it) from looking
/// a pod's address up in the tunnel. A family that the kernel does not have is left out.
///
/// # Errors
/// `NotFound` where the device is gone; `Denied` without CAP_NET_ADMIN; `Transient` where the
/// device is down (`ENETDOWN`).
pub fn ensure(
    settings: &HostSettings,
    never_steered: &BTreeSet<IpNet>,
    device: u32,
) -> Result<Applied, PortError> {
    let mut applied = Applied::AlreadySo;
    for family in [Family::IPv4, Family::IPv6] {
        let wanted = wanted(family, never_steered, device);
        match ensure_family(settings.route_table, family, &wanted) {
            Ok(Applied::Changed) => applied = Applied::Changed,
            Ok(Applied::AlreadySo) => {}
            Err(error) if family == Family::IPv6 && no_such_family(&error) => {}
            Err(error) => {
                let operation = format!("write {family} routes, table {}", settings.route_table);
                return Err(refused(operation, error));
            }
        }
    }
    Ok(applied)
}

/// Empties our table, the way into the tunnel first; absent is success.
///
/// # Errors
/// `Denied` without CAP_NET_ADMIN.
pub fn remove(settings: &HostSettings) -> Result<(), PortError> {
    for family in [Family::IPv4, Family::IPv6] {
        match remove_family(settings.route_table, family) {
            Err(error) if family == Family::IPv6 && no_such_family(&error) => {}
            Err(error) => {
                let operation = format!("remove {family} routes, table {}", settings.route_table);
                return Err(refused(operation, error));
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

fn wanted(family: Family, never_steered: &BTreeSet<IpNet>, device: u32) -> BTreeSet<WantedRoute> {
    let default = match family {
        Family::IPv4 => IpNet::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Family::IPv6 => IpNet::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    let default = IpNet::new(default.addr(), 0).unwrap_or(default);
    let mut routes: BTreeSet<WantedRoute> = never_steered
        .iter()
        .filter(|net| Family::of(net.addr()) == family)
        .map(|net| WantedRoute {
            order: 1,
            destination: net.trunc(),
            target: RouteTarget::Throw,
            metric: METRIC,
        })
        .collect();
    routes.insert(WantedRoute {
        order: 0,
        destination: default,
        target: RouteTarget::Unreachable,
        metric: LAST_METRIC,
    });
    routes.insert(WantedRoute {
        order: 2,
        destination: default,
        target: RouteTarget::Device(device),
        metric: METRIC,
    });
    routes
}

fn ensure_family(
    table: u32,
    family: Family,
    wanted: &BTreeSet<WantedRoute>,
) -> io::Result<Applied> {
    let mut netlink = RouteNetlink::route()?;
    let present = netlink.routes(family, table)?;
    let is_wanted = |route: &RouteRecord| wanted.iter().any(|want| matches(route, want));
    let foreign: Vec<&RouteRecord> = present.iter().filter(|route| !is_wanted(route)).collect();
    let missing: Vec<&WantedRoute> =
        wanted.iter().filter(|want| !present.iter().any(|route| matches(route, want))).collect();
    if foreign.is_empty() && missing.is_empty() {
        return Ok(Applied::AlreadySo);
    }
    // A route of another kind at the same destination and metric would make the add an EEXIST.
    let blocking = |route: &&&RouteRecord| {
        missing.iter().any(|w| w.destination == route.destination && w.metric == route.metric)
    };
    for route in foreign.iter().filter(blocking) {
        netlink.delete_route(route)?;
    }
    for want in &missing {
        netlink.add_route(table, want.destination, want.target, want.metric)?;
    }
    for route in foreign.iter().filter(|route| !blocking(route)) {
        netlink.delete_route(route)?;
    }
    Ok(Applied::Changed)
}

fn remove_family(table: u32, family: Family) -> io::Result<()> {
    let mut netlink = RouteNetlink::route()?;
    let mut present = netlink.routes(family, table)?;
    present.sort_by_key(|route| match route.target {
        RouteTarget::Device(_) | RouteTarget::Other => 0_u8,
        RouteTarget::Throw => 1,
        RouteTarget::Unreachable => 2,
    });
    for route in &present {
        netlink.delete_route(route)?;
    }
    Ok(())
}

fn matches(route: &RouteRecord, want: &WantedRoute) -> bool {
    route.destination == want.destination
        && route.target == want.target
        && route.metric == want.metric
        && route.kernel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_comes_first_and_the_tunnel_last() {
        let never = ["10.0.0.0/8", "fd00::/8"].map(|n| n.parse().unwrap()).into();
        let order: Vec<_> =
            wanted(Family::IPv4, &never, 7).iter().map(|w| (w.target, w.destination)).collect();
        let default: IpNet = "0.0.0.0/0".parse().unwrap();
        assert_eq!(
            order,
            [
                (RouteTarget::Unreachable, default),
                (RouteTarget::Throw, "10.0.0.0/8".parse().unwrap()),
                (RouteTarget::Device(7), default),
            ]
        );
    }
}
