//! The node's kernel, as the main loop sees it: one value, one order of writing.
//!
//! State: the uplinks as read last. Always: the device first, then programs, rule and routes, then
//! the rule set, whose guard stands before the first flow is steered.

mod endpoints;
mod found_uplinks;
mod node_path;
mod packet_mark;
mod steering_writer;
mod underlay;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use egret_core::node_config::SteeringConfig;
use egret_core::tunnel_network::ToldEndpoint;
use egret_datapath::bpf::{self, AddressTable, AttachMode, GatewayTables, LoadConfig};
use egret_datapath::conntrack::AddressUsage;
use egret_datapath::host::{self, HostFindings, HostUplink, ReroutedPods};
use egret_datapath::interface;
use egret_datapath::link_proof::{self, LinkProofs, LinkQuestion};
use egret_datapath::probe::Probe;
use egret_datapath::repair::KernelChange;
use egret_datapath::tunnel_probe::TunnelProbe;
use egret_datapath::{HostSettings, conntrack, link, probe, repair, rule};
use egret_ports::error::PortError;
use egret_ports::steering::{Applied, SteeredPackets, Steering};
use tokio::sync::mpsc::Receiver;
use tracing::warn;

use self::found_uplinks::{FoundLinks, WantedUplinks, find_links};
use self::node_path::{NodePath, node_links};
use self::packet_mark::PacketMark;
use self::steering_writer::SteeringWriter;
pub(crate) use self::underlay::FollowedEndpoints;
use self::underlay::{choose_endpoints, family, underlay_mtu};
use crate::AgentArgs;
use crate::connections::Connections;
use crate::endpoint_flags::EndpointFlags;
use crate::error::AgentError;
use crate::moving_endpoints::MovingEndpoints;
use crate::uplink_selection;

/// How long one probe watches.
const PROBE_WINDOW: Duration = Duration::from_secs(5);

pub(crate) struct Kernel {
    wanted: WantedUplinks,
    new_uplinks: bool,
    /// The last look has found uplinks; else they are those from before.
    knows_uplinks: bool,
    /// The programs and the tunnel may know other uplinks or endpoints than were found, or something else
    /// may be missing.
    behind: bool,
    /// Egress addresses, and what carries them here: no endpoints.
    egress: BTreeSet<IpAddr>,
    flags: EndpointFlags,
    path: NodePath,
    steering: SteeringWriter,
    /// First packets of selected connections that had reached our hook at the last probe.
    selected: Option<u64>,
}

impl Kernel {
    /// Adopts what the kernel has and makes what is missing; steers nothing yet. `egress`: addresses that are
    /// no node's own, as far as an earlier process knew; `told`: where it was told to end the tunnel.
    pub(crate) fn open(
        args: &AgentArgs,
        settings: HostSettings,
        mut steering: Box<dyn Steering>,
        (egress, told): (BTreeSet<IpAddr>, Option<&ToldEndpoint>),
    ) -> Result<Self, AgentError> {
        let mut findings = host::check(&settings)?;
        findings.collisions.extend(steering.collisions()?);
        let collisions = &findings.collisions;
        if !collisions.is_empty() {
            let all: Vec<String> = collisions.iter().map(ToString::to_string).collect();
            return Err(AgentError::Collision(all.join("; ")));
        }
        let wanted = WantedUplinks {
            uplinks: args.uplink.clone(),
            next_hops: args.next_hop.clone(),
            named: BTreeSet::new(),
        };
        let FoundLinks { uplinks, others } = find_links(&settings, &wanted)?;
        let (uplinks, knows_uplinks) = found_or_none(uplinks);
        uplink_selection::misfit(&uplinks, &wanted.uplinks, &wanted.next_hops)?;
        let flags = args.endpoints();
        let endpoints = choose_endpoints(&flags.wanted(told), (&uplinks, &others), &egress)?;
        let (own, outer) = (endpoints.current(), family(endpoints.current()));
        let mtu = underlay_mtu((&uplinks, &others), (own, outer));
        let tunnel = link::ensure(&settings, outer, mtu)?;
        steering.set_mtu(tunnel.mtu);
        let programs = bpf::load(LoadConfig {
            pin_dir: args.bpffs.join("egret"),
            layout: bpf::LAYOUT,
            attach: AttachMode::Auto,
            vni: settings.tunnel_vni,
            links: node_links(&settings, (&uplinks, &[]), own, mtu),
        })?;
        let guard = programs.uplink_guard()?;
        let connections = Connections::spawn(settings.clone())
            .map_err(|source| AgentError::Io { action: "start a thread", source })?;
        let mark = PacketMark::new(rule::current(&settings)?, findings);
        let mut path = NodePath {
            settings,
            uplinks,
            others,
            named: Vec::new(),
            routed: None,
            moving: MovingEndpoints::new(endpoints.current().to_vec()),
            crosses_to_ipv6: false,
            endpoints,
            programs,
            connections,
            mark,
            guard,
        };
        path.mark.ensure(&path.settings)?;
        let steering = SteeringWriter::new(steering);
        Ok(Self {
            wanted,
            new_uplinks: false,
            knows_uplinks,
            behind: !knows_uplinks,
            egress,
            flags,
            path,
            steering,
            selected: None,
        })
    }

    /// The address map, for the lease thread.
    pub(crate) fn addresses(&self) -> Result<AddressTable, AgentError> {
        Ok(self.path.programs.addresses()?)
    }

    /// Port blocks and gateways, for the feed of plans.
    pub(crate) fn gateway_tables(&self) -> Result<GatewayTables, AgentError> {
        Ok(self.path.programs.gateway_tables()?)
    }

    pub(crate) fn uplinks(&self) -> &[HostUplink] {
        &self.path.uplinks
    }

    /// Whether [`Self::uplinks`] are those that this host has by now.
    pub(crate) fn knows_uplinks(&self) -> bool {
        self.knows_uplinks
    }

    /// The links of `--uplink`; none where they are chosen here.
    pub(crate) fn chosen_uplinks(&self) -> &[String] {
        &self.wanted.uplinks
    }

    /// Takes note of addresses that are no node's own.
    pub(crate) fn set_egress(&mut self, egress: BTreeSet<IpAddr>) {
        self.egress = egress;
    }

    /// Has links with these hardware addresses carry addresses also where no default route leaves
    /// there, unless links were chosen by hand (`--uplink`): a cloud delivers by them.
    ///
    /// # Errors
    /// As [`Self::repair`].
    pub(crate) fn name_uplinks(&mut self, macs: BTreeSet<[u8; 6]>) -> Result<(), PortError> {
        if self.wanted.named == macs {
            return Ok(());
        }
        self.wanted.named = macs;
        self.repair().map(drop)
    }

    /// Pods here that another rule takes before ours.
    pub(crate) fn rerouted_pods(&self) -> Result<ReroutedPods, PortError> {
        host::rerouted_pods(&self.path.settings)
    }

    /// Why no mark is free for packets that go into the tunnel, since the rules were looked at last.
    pub(crate) fn mark_conflict(&self) -> Option<String> {
        self.path.mark.conflict().map(ToString::to_string)
    }

    /// Who overwrites whole marks of connections, or our bit of them, as read last.
    pub(crate) fn connection_overwriters(&self) -> BTreeSet<&str> {
        self.path.mark.overwriters()
    }

    /// Takes note of what was read so; true where that is news, and [`Self::repair`] is to choose the mark anew.
    pub(crate) fn note_firewalls(&mut self, firewalls: HostFindings) -> bool {
        self.path.mark.note(firewalls)
    }

    /// Whether [`Self::repair`] has found other uplinks or endpoints since the last call.
    pub(crate) fn take_new_uplinks(&mut self) -> bool {
        std::mem::take(&mut self.new_uplinks)
    }

    /// Listens to what others change, until the receiver is dropped.
    pub(crate) fn watch(&self) -> Result<Receiver<KernelChange>, PortError> {
        repair::watch(&self.path.settings, self.steering.back_end())
    }

    /// Makes the kernel hold `config`. Flows that begin with it are picked up at their next
    /// packet, also where nothing ever answers them.
    pub(crate) fn apply(&mut self, config: SteeringConfig) -> Result<Applied, PortError> {
        let applied = self.steering.apply(&mut self.path, config);
        // No notice may come when what was in the way has gone.
        self.behind |= applied.is_err();
        applied
    }

    /// Puts back what is missing; true where something was.
    pub(crate) fn repair(&mut self) -> Result<bool, PortError> {
        self.behind = true;
        self.look()?;
        self.path.named = interface::names(&self.wanted.named)?;
        let repaired = self.steering.repair(&mut self.path)?;
        self.behind = false;
        Ok(repaired)
    }

    /// Finds the uplinks and endpoints that this host has by now, and changes nothing of the kernel's.
    fn look(&mut self) -> Result<(), PortError> {
        let FoundLinks { uplinks, others } = find_links(&self.path.settings, &self.wanted)?;
        self.knows_uplinks = uplinks.is_ok();
        // Of these only those with an endpoint matter, and pods' come and go.
        let mtu = self.path.underlay_mtu();
        self.path.others = others;
        let mut changed = false;
        let lost = match uplinks {
            Ok(uplinks) if uplinks == self.path.uplinks => None,
            Ok(uplinks) => {
                let WantedUplinks { uplinks: names, next_hops, .. } = &self.wanted;
                if let Err(error) = uplink_selection::misfit(&uplinks, names, next_hops) {
                    warn!(%error, "a next hop that was given is left out");
                }
                changed = true;
                self.path.uplinks = uplinks;
                None
            }
            Err(error) => Some(error),
        };
        let followed = self.path.follow_endpoints(&self.egress, lost.is_none());
        changed |= followed.as_ref().is_ok_and(|moved| *moved);
        changed |= self.path.underlay_mtu() != mtu;
        self.new_uplinks |= changed;
        self.behind |= changed;
        lost.map_or(followed.map(drop), Err)
    }

    /// What forgets the connections of pods.
    pub(crate) fn connections(&self) -> &Connections {
        &self.path.connections
    }

    /// Packets that the programs have counted under these names. `None` where the counters cannot be read: asked
    /// again a second later.
    pub(crate) fn counted<const N: usize>(&self, reasons: [&'static str; N]) -> Option<[u64; N]> {
        let counters = bpf::counters(self.path.programs.pin_dir()).ok()?;
        Some(reasons.map(|reason| counters.get(reason).copied().unwrap_or(0)))
    }

    /// Whether rules that the kernel has, or should have, may steer new connections to `address`.
    pub(crate) fn opens(&self, address: IpAddr) -> bool {
        self.steering.opens(address)
    }

    /// The addresses that this node has open blocks of.
    pub(crate) fn steered_addresses(&self) -> Vec<IpAddr> {
        self.steering
            .applied()
            .into_iter()
            .flat_map(|config| config.blocks.keys())
            .copied()
            .collect()
    }

    /// The egress addresses that a connection of this node leaves with, and how many share one
    /// destination.
    pub(crate) fn usage(&self) -> Result<BTreeMap<IpAddr, AddressUsage>, PortError> {
        conntrack::usage(&self.path.settings)
    }

    /// A probe of whether pods' traffic passes our hooks; blocks for the window that it watches, so
    /// it is for a thread of its own. `None` where nothing is steered.
    pub(crate) fn bypass_probe(
        &self,
        is_bypassed: bool,
    ) -> Option<impl FnOnce() -> Result<Probe, PortError> + Send + 'static> {
        let config = self.steering.applied().filter(|config| !config.flows.is_empty())?.clone();
        let counters = self.steering.back_end().counters();
        // What has passed meanwhile says nothing against what was seen to pass by.
        let selected = self.selected.filter(|_| !is_bypassed);
        Some(move || probe::run(&*counters, &config, selected, PROBE_WINDOW))
    }

    /// Reads how far packets of steered connections came: for a thread of its own, since it runs a tool. `None` where
    /// nothing is steered.
    pub(crate) fn passage_reading(
        &self,
    ) -> Option<impl FnOnce() -> Result<SteeredPackets, PortError> + Send + 'static> {
        self.steering.applied().filter(|config| !config.flows.is_empty())?;
        let counters = self.steering.back_end().counters();
        Some(move || counters.steered())
    }

    /// Whether the programs were attached to the link of this name.
    pub(crate) fn runs_on(&self, link: &str) -> bool {
        self.path.programs.runs_on(link)
    }

    /// Puts back programs that somebody has taken from a link, the tunnel's device too; true where some were missing.
    /// It costs some system calls for each link.
    pub(crate) fn put_programs_back(&mut self) -> Result<bool, PortError> {
        let never_steered = self.steering.applied().map(|config| &config.never_steered);
        let changed = self.path.ensure_programs(never_steered);
        self.behind |= changed.is_err();
        Ok(changed? > 0)
    }

    /// Asks on a link whether the programs run there; blocks for a second at most, so it is for a thread of its own.
    pub(crate) fn program_proof(
        &self,
    ) -> impl Fn(&LinkQuestion) -> Result<LinkProofs, PortError> + Send + 'static {
        let pin_dir = self.path.programs.pin_dir().to_owned();
        move |question| link_proof::prove(&pin_dir, question)
    }

    /// Who asks through the tunnel.
    pub(crate) fn tunnel_probe(&self) -> TunnelProbe {
        let pin_dir = self.path.programs.pin_dir().to_owned();
        TunnelProbe::new(pin_dir, self.path.settings.device.clone())
    }

    /// The next probe goes on from there.
    pub(crate) fn note_probe(&mut self, probe: &Probe) {
        self.selected = Some(probe.selected);
    }
}

/// A link that is down may come up, and what else this node does needs none. Whether they are those of now.
fn found_or_none(uplinks: Result<Vec<HostUplink>, PortError>) -> (Vec<HostUplink>, bool) {
    match uplinks {
        Ok(uplinks) => (uplinks, true),
        Err(error) => {
            warn!(%error, "this node carries no addresses yet");
            (Vec::new(), false)
        }
    }
}
