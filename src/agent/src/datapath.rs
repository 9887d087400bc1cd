//! The node's kernel, as the main loop sees it: one value, one order of writing.
//!
//! State: the programme applied last. Always: the device first, then programs, rule and routes,
//! then the rule set, whose guard stands before the first flow is steered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use egret_core::model::{Family, NodeName, Snapshot};
use egret_core::programme::{SteeringProgramme, gateway_blocks};
use egret_datapath::bpf::{
    self, AddressTable, AttachMode, GatewayTables, LoadConfig, Loaded, NodeLinks,
};
use egret_datapath::conntrack::Usage;
use egret_datapath::host::{self, Uplink};
use egret_datapath::nft::NftSteering;
use egret_datapath::probe::Verdict;
use egret_datapath::{Settings, conntrack, link, probe, route, rule};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::gateway::{Director, GatewayMaps as _};
use egret_ports::steering::{Applied, Steering as _};
use tracing::warn;

use crate::AgentArgs;
use crate::error::AgentError;
use crate::links;

/// The counter of frames that nobody is known to hold the address of.
const UNHELD: &str = "no_holder";
/// How long one probe watches.
const PROBE_WINDOW: Duration = Duration::from_secs(5);

/// What the arguments say of the uplinks.
#[derive(Clone, Debug)]
struct Wanted {
    uplinks: Vec<String>,
    next_hops: Vec<(String, IpAddr)>,
}

pub(crate) struct Datapath {
    settings: Settings,
    wanted: Wanted,
    uplinks: Vec<Uplink>,
    new_uplinks: bool,
    endpoints: Vec<IpAddr>,
    programs: Loaded,
    tables: GatewayTables,
    steering: NftSteering,
    programme: Option<SteeringProgramme>,
}

impl Datapath {
    /// Adopts what the kernel has and makes what is missing; steers nothing yet.
    pub(crate) fn open(args: &AgentArgs, settings: Settings) -> Result<Self, AgentError> {
        let collisions = host::check(&settings)?;
        if !collisions.is_empty() {
            let all: Vec<String> = collisions.iter().map(ToString::to_string).collect();
            return Err(AgentError::Collision(all.join("; ")));
        }
        let wanted = Wanted { uplinks: args.uplink.clone(), next_hops: args.next_hop.clone() };
        let uplinks = choose_uplinks(&settings, &wanted)?;
        links::misfit(&uplinks, &wanted.uplinks, &wanted.next_hops)?;
        let endpoints = endpoints(&args.endpoint, &uplinks)?;
        let mtu = underlay_mtu(&uplinks, &endpoints);
        let tunnel = link::ensure(&settings, family(&endpoints), mtu)?;
        let programs = bpf::load(LoadConfig {
            pin_dir: args.bpffs.join("egret"),
            layout: bpf::LAYOUT,
            attach: AttachMode::Auto,
            vni: settings.tunnel_vni,
            links: node_links(&settings, &uplinks, &endpoints, mtu),
        })?;
        let tables = programs.gateway_tables()?;
        rule::ensure(&settings)?;
        let steering = NftSteering::new(settings.clone(), tunnel.mtu);
        Ok(Self {
            settings,
            wanted,
            uplinks,
            new_uplinks: false,
            endpoints,
            programs,
            tables,
            steering,
            programme: None,
        })
    }

    /// The address map, for the lease thread.
    pub(crate) fn addresses(&self) -> Result<AddressTable, AgentError> {
        Ok(self.programs.addresses()?)
    }

    pub(crate) fn uplinks(&self) -> &[Uplink] {
        &self.uplinks
    }

    pub(crate) fn endpoints(&self) -> &[IpAddr] {
        &self.endpoints
    }

    /// Whether [`Self::repair`] has found other uplinks since the last call.
    pub(crate) fn take_new_uplinks(&mut self) -> bool {
        std::mem::take(&mut self.new_uplinks)
    }

    /// Makes the kernel hold `programme`. Flows that begin with it are picked up at their next
    /// packet, also where nothing ever answers them.
    pub(crate) fn apply(&mut self, programme: SteeringProgramme) -> Result<Applied, PortError> {
        let before = self.programme.replace(programme.clone());
        // A new pod changes flows alone, and its first packet does not wait for a look at devices,
        // rules and routes: notices tell when those have changed.
        let same_routes =
            before.as_ref().is_some_and(|before| before.never_steered == programme.never_steered);
        let applied =
            if same_routes { self.steering.apply(&programme)? } else { self.ensure(&programme)?.1 };
        if applied == Applied::Changed
            && before.is_none_or(|before| before.flows != programme.flows)
        {
            conntrack::forget_unreplied(&self.settings, &programme)?;
        }
        Ok(applied)
    }

    /// Puts back what is missing; true where something was.
    pub(crate) fn repair(&mut self) -> Result<bool, PortError> {
        let uplinks = choose_uplinks(&self.settings, &self.wanted)?;
        if uplinks != self.uplinks {
            let Wanted { uplinks: names, next_hops } = &self.wanted;
            if let Err(error) = links::misfit(&uplinks, names, next_hops) {
                warn!(%error, "a next hop that was given is left out");
            }
            self.new_uplinks = true;
            self.uplinks = uplinks;
        }
        // Before the first programme nobody knows what is missing: what an earlier process left
        // stays as it is.
        let Some(programme) = self.programme.clone() else { return Ok(false) };
        let (kernel, rules) = self.ensure(&programme)?;
        Ok(kernel || rules == Applied::Changed)
    }

    fn ensure(&mut self, programme: &SteeringProgramme) -> Result<(bool, Applied), PortError> {
        let mtu = underlay_mtu(&self.uplinks, &self.endpoints);
        let tunnel = link::ensure(&self.settings, family(&self.endpoints), mtu)?;
        self.steering.set_mtu(tunnel.mtu);
        let links = node_links(&self.settings, &self.uplinks, &self.endpoints, mtu);
        let attached =
            self.programs.ensure(&links).map_err(|error| error.into_port("attach BPF programs"))?;
        let rules = rule::ensure(&self.settings)?;
        let routes = route::ensure(&self.settings, &programme.never_steered, tunnel.index)?;
        let changed = Applied::Changed;
        let kernel =
            tunnel.applied == changed || attached > 0 || rules == changed || routes == changed;
        Ok((kernel, self.steering.apply(programme)?))
    }

    /// The blocks that this node must know: of the addresses that it may carry, and its own.
    pub(crate) fn set_blocks(
        &mut self,
        snapshot: &Snapshot,
        me: &NodeName,
        planned: &BTreeSet<IpAddr>,
    ) -> Result<(), PortError> {
        let blocks: BTreeMap<_, _> = gateway_blocks(snapshot)
            .into_iter()
            .filter(|((address, _), holder)| planned.contains(address) || holder.node == *me)
            .map(|(block, holder)| (block, Director { endpoints: holder.endpoints }))
            .collect();
        self.tables.set_blocks(&blocks)
    }

    pub(crate) fn set_gateways(&mut self, gateways: &BTreeSet<IpAddr>) -> Result<(), PortError> {
        self.tables.set_gateways(gateways)
    }

    /// Packets dropped since nobody is known to hold their address. 0 where the counters cannot be
    /// read: asked again a second later.
    pub(crate) fn unheld_drops(&mut self) -> u64 {
        self.tables.counters().ok().and_then(|all| all.get(UNHELD).copied()).unwrap_or(0)
    }

    /// The addresses that this node has open blocks of.
    pub(crate) fn directed(&self) -> Vec<IpAddr> {
        self.programme.iter().flat_map(|programme| programme.blocks.keys()).copied().collect()
    }

    /// The egress addresses that a connection of this node leaves with, and how many share one
    /// destination.
    pub(crate) fn usage(&self) -> Result<BTreeMap<IpAddr, Usage>, PortError> {
        conntrack::usage(&self.settings)
    }

    /// A probe of whether pods' traffic passes our hooks; blocks for the window that it watches, so
    /// it is for a thread of its own. `None` where nothing is steered.
    pub(crate) fn bypass_probe(
        &self,
    ) -> Option<impl FnOnce() -> Result<Verdict, PortError> + Send + 'static> {
        let programme = self.programme.clone().filter(|programme| !programme.flows.is_empty())?;
        let settings = self.settings.clone();
        Some(move || probe::run(&settings, &programme, PROBE_WINDOW))
    }
}

fn choose_uplinks(settings: &Settings, wanted: &Wanted) -> Result<Vec<Uplink>, PortError> {
    let mut all = host::uplinks(settings)?;
    links::give(&mut all, &wanted.next_hops);
    let wanted = &wanted.uplinks;
    if wanted.is_empty() {
        return Ok(all.into_iter().filter(Uplink::leads_to_the_world).collect());
    }
    let known: Vec<String> = all.iter().map(|uplink| uplink.name.clone()).collect();
    let chosen: Vec<Uplink> =
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

fn endpoints(wanted: &[IpAddr], uplinks: &[Uplink]) -> Result<Vec<IpAddr>, AgentError> {
    if !wanted.is_empty() {
        return Ok(wanted.to_vec());
    }
    let first = |family| uplinks.iter().find_map(|uplink| uplink.address(family));
    let found: Vec<IpAddr> = [Family::IPv4, Family::IPv6].into_iter().filter_map(first).collect();
    if found.is_empty() { Err(AgentError::NoEndpoint) } else { Ok(found) }
}

/// Both ends of the tunnel use the family of the node's first endpoint.
fn family(endpoints: &[IpAddr]) -> Family {
    endpoints.first().map_or(Family::IPv4, |endpoint| Family::of(*endpoint))
}

/// The MTU of the link that the tunnel's endpoint is on.
fn underlay_mtu(uplinks: &[Uplink], endpoints: &[IpAddr]) -> u32 {
    let on = |uplink: &&Uplink| uplink.addresses.iter().any(|net| endpoints.contains(&net.addr()));
    uplinks.iter().find(on).or(uplinks.first()).map_or(1500, |uplink| uplink.mtu)
}

fn node_links(
    settings: &Settings,
    uplinks: &[Uplink],
    endpoints: &[IpAddr],
    underlay_mtu: u32,
) -> NodeLinks {
    NodeLinks {
        tunnel: settings.device.clone(),
        uplinks: uplinks.iter().map(|uplink| uplink.name.clone()).collect(),
        endpoints: endpoints.to_vec(),
        underlay_mtu,
    }
}
