//! Devices, programs, rule and routes of this node, and what keeps pods from passing them by.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use egret_core::model::Family;
use egret_core::node_config::SteeringConfig;
use egret_datapath::bpf::{Loaded, NodeLinks, UplinkGuard};
use egret_datapath::host::{self, HostUplink, RoutedLinks};
use egret_datapath::link::Tunnel;
use egret_datapath::{HostSettings, link, route, rule};
use egret_ports::error::PortError;
use egret_ports::steering::Applied;
use ipnet::IpNet;
use tracing::{info, warn};

use super::packet_mark::PacketMark;
use super::steering_writer::SteeredPath;
use super::underlay::{family, present, underlay_mtu};
use crate::connections::Connections;
use crate::moving_endpoints::MovingEndpoints;
use crate::tunnel_endpoints::{HostAddresses, TunnelEndpoints, WantedEndpoints};

/// Devices, programs, rule and routes of this node.
pub(super) struct NodePath {
    pub(super) settings: HostSettings,
    pub(super) uplinks: Vec<HostUplink>,
    /// The host's other links.
    pub(super) others: Vec<HostUplink>,
    /// Those by which a cloud delivers, uplinks or not: they run the programs before they come up, so
    /// that the stack forwards nothing that arrives there.
    pub(super) named: Vec<String>,
    /// The links to the outside, whatever `--uplink` says; `None` before the first steering config.
    pub(super) routed: Option<RoutedLinks>,
    pub(super) endpoints: TunnelEndpoints,
    pub(super) moving: MovingEndpoints,
    /// Some holder is reached by IPv6 alone, whose longer headers the tunnel's MTU must leave room for.
    pub(super) crosses_to_ipv6: bool,
    pub(super) programs: Loaded,
    pub(super) connections: Connections,
    pub(super) mark: PacketMark,
    pub(super) guard: UplinkGuard,
}

impl NodePath {
    /// True where the endpoints are others than before, or what peers are told of them. Where the uplinks are not `known` there is none.
    pub(super) fn follow_endpoints(
        &mut self,
        egress: &BTreeSet<IpAddr>,
        known: bool,
    ) -> Result<bool, PortError> {
        let (uplinks, others) = (if known { &*self.uplinks } else { &[] }, &*self.others);
        let known = [self.endpoints.current(), self.moving.in_use()].concat();
        let present = present(&known, uplinks.iter().chain(others))?;
        let host = HostAddresses { uplinks, others, present: &present, egress };
        let now = Instant::now();
        self.endpoints.follow(&host, now);
        Ok(self.moving.step(self.endpoints.current(), &present, now))
    }

    /// Ends the tunnel where it is asked to by now; `at_once` where no peer knows of an end yet.
    pub(super) fn want_endpoints(
        &mut self,
        wanted: &WantedEndpoints,
        egress: &BTreeSet<IpAddr>,
        at_once: bool,
    ) -> Result<(), PortError> {
        let (uplinks, others) = (&*self.uplinks, &*self.others);
        let given = if let WantedEndpoints::Given(given) = wanted { given.as_slice() } else { &[] };
        let present = present(given, uplinks.iter().chain(others))?;
        let host = HostAddresses { uplinks, others, present: &present, egress };
        let now = Instant::now();
        self.endpoints.want(wanted, &host, now);
        if at_once {
            self.moving = MovingEndpoints::new(self.endpoints.current().to_vec());
        }
        Ok(())
    }

    /// The family whose headers the longest packets get.
    pub(super) fn outer_family(&self) -> Family {
        if self.crosses_to_ipv6 { Family::IPv6 } else { family(self.moving.in_use()) }
    }

    /// Has the programs on all links where they should be; how many attachments had to be changed. Which links are
    /// guarded follows from what is `never_steered`, where that is known.
    pub(super) fn ensure_programs(
        &mut self,
        never_steered: Option<&BTreeSet<IpNet>>,
    ) -> Result<u32, PortError> {
        if let Some(never_steered) = never_steered {
            self.find_routed(never_steered);
        }
        let mtu = self.underlay_mtu();
        let uplinks = (self.uplinks.as_slice(), self.named.as_slice());
        let mut links = node_links(&self.settings, uplinks, self.moving.in_use(), mtu);
        links.guarded = self.routed.as_ref().map(|routed| routed.guarded.clone());
        self.programs.ensure(&links).map_err(|error| error.into_port("attach BPF programs"))
    }

    fn find_routed(&mut self, never_steered: &BTreeSet<IpNet>) {
        match host::routed_links(&self.settings, never_steered) {
            Ok(routed) if self.routed.as_ref() != Some(&routed) => {
                let text = |names: &BTreeSet<String>| {
                    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
                };
                info!(
                    event = "guarded_links",
                    guarded = text(&routed.guarded),
                    not_guarded = text(&routed.others),
                    "links to the outside: those that are no Ethernet cannot be guarded"
                );
                self.routed = Some(routed);
            }
            Ok(_) => {}
            Err(error) => warn!(%error, "cannot tell by which links pods' packets could leave"),
        }
    }

    pub(super) fn underlay_mtu(&self) -> u32 {
        let endpoints = (self.moving.in_use(), self.outer_family());
        underlay_mtu((&self.uplinks, &self.others), endpoints)
    }
}

impl SteeredPath for NodePath {
    fn ensure_tunnel(&mut self) -> Result<Tunnel, PortError> {
        link::ensure(&self.settings, self.outer_family(), self.underlay_mtu())
    }

    fn ensure_routes(
        &mut self,
        tunnel: &Tunnel,
        never_steered: &BTreeSet<IpNet>,
    ) -> Result<bool, PortError> {
        let attached = self.ensure_programs(Some(never_steered))?;
        let rules = self.mark.ensure(&self.settings)?;
        let routes = route::ensure(&self.settings, never_steered, tunnel.index)?;
        Ok(attached > 0 || rules == Applied::Changed || routes == Applied::Changed)
    }

    fn packet_marks(&self) -> (u32, bool) {
        (self.mark.get(), self.mark.has_proxy())
    }

    fn settle(&mut self) -> Result<bool, PortError> {
        Ok(rule::settle(&self.settings, self.mark.get())? == Applied::Changed)
    }

    fn loosen(&mut self, config: &SteeringConfig) -> Result<(), PortError> {
        self.guard.loosen(config)
    }

    fn tighten(&mut self, config: &SteeringConfig) -> Result<(), PortError> {
        self.guard.tighten(config)?;
        // Last, so that it takes nothing away from the other family.
        if config.flows.iter().any(|flow| flow.source.addr().is_ipv6()) {
            link::require_ipv6(&self.settings)?;
        }
        Ok(())
    }

    fn begin_anew(&mut self, config: &SteeringConfig, sources: BTreeSet<IpNet>) {
        self.connections.begin_anew(config, sources);
    }
}

pub(super) fn node_links(
    settings: &HostSettings,
    (uplinks, named): (&[HostUplink], &[String]),
    endpoints: &[IpAddr],
    underlay_mtu: u32,
) -> NodeLinks {
    let names: BTreeSet<&String> = uplinks.iter().map(|uplink| &uplink.name).chain(named).collect();
    NodeLinks {
        tunnel: settings.device.clone(),
        uplinks: names.into_iter().cloned().collect(),
        guarded: None,
        endpoints: endpoints.to_vec(),
        underlay_mtu,
    }
}
