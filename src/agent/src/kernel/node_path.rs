//! Devices, programs, rule and routes of this node, and what keeps pods from passing them by.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use egret_core::node_config::SteeringConfig;
use egret_datapath::bpf::{Loaded, NodeLinks, UplinkGuard};
use egret_datapath::host::HostUplink;
use egret_datapath::link::Tunnel;
use egret_datapath::{HostSettings, link, route, rule};
use egret_ports::error::PortError;
use egret_ports::steering::Applied;
use ipnet::IpNet;

use super::packet_mark::PacketMark;
use super::steering_writer::SteeredPath;
use super::underlay::{family, present, underlay_mtu};
use crate::connections::Connections;
use crate::tunnel_endpoints::{HostAddresses, TunnelEndpoints};

/// Devices, programs, rule and routes of this node.
pub(super) struct NodePath {
    pub(super) settings: HostSettings,
    pub(super) uplinks: Vec<HostUplink>,
    /// The host's other links.
    pub(super) others: Vec<HostUplink>,
    /// Those by which a cloud delivers, uplinks or not: they run the programs before they come up, so
    /// that the stack forwards nothing that arrives there.
    pub(super) named: Vec<String>,
    pub(super) endpoints: TunnelEndpoints,
    pub(super) programs: Loaded,
    pub(super) connections: Connections,
    pub(super) mark: PacketMark,
    pub(super) guard: UplinkGuard,
}

impl NodePath {
    /// True where the endpoints are others than before. Where the uplinks are not `known` there is none.
    pub(super) fn follow_endpoints(
        &mut self,
        egress: &BTreeSet<IpAddr>,
        known: bool,
    ) -> Result<bool, PortError> {
        let (uplinks, others) = (if known { &*self.uplinks } else { &[] }, &*self.others);
        let present = present(self.endpoints.current(), uplinks.iter().chain(others))?;
        let host = HostAddresses { uplinks, others, present: &present, egress };
        Ok(self.endpoints.follow(&host, Instant::now()))
    }

    pub(super) fn underlay_mtu(&self) -> u32 {
        underlay_mtu((&self.uplinks, &self.others), self.endpoints.current())
    }
}

impl SteeredPath for NodePath {
    fn ensure_tunnel(&mut self) -> Result<Tunnel, PortError> {
        link::ensure(&self.settings, family(self.endpoints.current()), self.underlay_mtu())
    }

    fn ensure_routes(
        &mut self,
        tunnel: &Tunnel,
        never_steered: &BTreeSet<IpNet>,
    ) -> Result<bool, PortError> {
        let own = self.endpoints.current();
        let mtu = self.underlay_mtu();
        let uplinks = (self.uplinks.as_slice(), self.named.as_slice());
        let links = node_links(&self.settings, uplinks, own, mtu);
        let attached =
            self.programs.ensure(&links).map_err(|error| error.into_port("attach BPF programs"))?;
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
        endpoints: endpoints.to_vec(),
        underlay_mtu,
    }
}
