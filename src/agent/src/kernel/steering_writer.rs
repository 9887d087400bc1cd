//! When the SNAT back end writes, and what is put in place before.
//!
//! State: the steering config applied last, and for which routes the way was found whole. Always: the
//! way that steered packets take is there before the rules that send them on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::node_config::{FlowAction, SteeringConfig};
use egret_datapath::link::Tunnel;
use egret_ports::error::PortError;
use egret_ports::steering::{Applied, Steering};
use ipnet::IpNet;

/// The way that steered packets take through this node (device, programs, rule, routes), and the
/// connections that it has.
pub(crate) trait SteeredPath {
    /// Puts back what is missing of the tunnel device.
    fn ensure_tunnel(&mut self) -> Result<Tunnel, PortError>;

    /// Puts back what is missing of what leads into it; true where something was.
    fn ensure_routes(
        &mut self,
        tunnel: &Tunnel,
        never_steered: &BTreeSet<IpNet>,
    ) -> Result<bool, PortError>;

    /// The mark that leads into the tunnel, and whether a proxy of Cilium's takes packets by a policy rule, since
    /// [`Self::ensure_routes`].
    fn packet_marks(&self) -> (u32, bool);

    /// The rules for that mark are there: removes what led others into the tunnel; true where something did.
    fn settle(&mut self) -> Result<bool, PortError>;

    /// The rules of `config` are about to be written: lets what they may let pass leave by the uplinks.
    fn loosen(&mut self, config: &SteeringConfig) -> Result<(), PortError>;

    /// The rules of `config` are there: what they select leaves by no uplink past them.
    fn tighten(&mut self, config: &SteeringConfig) -> Result<(), PortError>;

    /// The rules of `config` are there, which treat these sources otherwise than those before: what of
    /// theirs leaves otherwise, and nothing has answered, begins anew at its next packet.
    fn begin_anew(&mut self, config: &SteeringConfig, sources: BTreeSet<IpNet>);
}

/// Where a source's flows go and what happens to them, and whether there are ports for it.
type SourceTreatment = Vec<(IpNet, FlowAction, bool)>;
type Treatments = BTreeMap<IpNet, SourceTreatment>;

fn treatments(config: &SteeringConfig) -> Treatments {
    let mut treatments = Treatments::new();
    for flow in &config.flows {
        let has_ports = match flow.action {
            FlowAction::Steer { address } => {
                config.blocks.get(&address).is_some_and(|blocks| !blocks.is_empty())
            }
            _ => false,
        };
        let of = treatments.entry(flow.source).or_default();
        of.push((flow.destination, flow.action, has_ports));
    }
    treatments
}

pub(crate) struct SteeringWriter {
    back_end: Box<dyn Steering>,
    applied: Option<SteeringConfig>,
    /// How the rules that were written last treat each source; `None` before the first were.
    treatments: Option<Treatments>,
    /// The `never_steered` of the routes that the last look found whole; `None` where it failed.
    path_for: Option<BTreeSet<IpNet>>,
}

impl SteeringWriter {
    /// Steers nothing yet.
    pub(crate) fn new(back_end: Box<dyn Steering>) -> Self {
        Self { back_end, applied: None, treatments: None, path_for: None }
    }

    pub(crate) fn back_end(&self) -> &dyn Steering {
        &*self.back_end
    }

    /// The steering config that the kernel has, or should have.
    pub(crate) fn applied(&self) -> Option<&SteeringConfig> {
        self.applied.as_ref()
    }

    /// Whether new connections may be steered to `address`: by the rules that were written last, or by
    /// those that the kernel should have. What an earlier process left may steer to any.
    pub(crate) fn opens(&self, address: IpAddr) -> bool {
        let action = FlowAction::Steer { address };
        let Some(written) = &self.treatments else { return true };
        let wanted = self.applied.iter().flat_map(|config| &config.flows).map(|flow| flow.action);
        let written = written.values().flatten().map(|(_, action, _)| *action);
        wanted.chain(written).any(|one| one == action)
    }

    /// Makes the kernel hold `config`. Flows that begin with it are picked up at their next
    /// packet, also where nothing ever answers them.
    pub(crate) fn apply(
        &mut self,
        path: &mut impl SteeredPath,
        config: SteeringConfig,
    ) -> Result<Applied, PortError> {
        self.applied = Some(config.clone());
        let loosened = path.loosen(&config);
        // A new pod changes flows alone, and its first packet does not wait for a look at devices,
        // rules and routes: notices tell when those have changed.
        let path_is_there = self.path_for.as_ref() == Some(&config.never_steered);
        let applied = if path_is_there {
            self.back_end.apply(&config)?
        } else {
            self.ensure(path, &config)?.1
        };
        self.note_treatments(path, &config);
        loosened.and(path.tighten(&config))?;
        Ok(applied)
    }

    /// Puts back what is missing; true where something was. Before the first steering config nobody
    /// knows what is missing: what an earlier process left stays as it is.
    pub(crate) fn repair(&mut self, path: &mut impl SteeredPath) -> Result<bool, PortError> {
        let Some(config) = self.applied.clone() else { return Ok(false) };
        let (path_changed, rules) = self.ensure(path, &config)?;
        self.note_treatments(path, &config);
        path.tighten(&config)?;
        Ok(path_changed || rules == Applied::Changed)
    }

    /// The rules of `config` are there.
    fn note_treatments(&mut self, path: &mut impl SteeredPath, config: &SteeringConfig) {
        let treatments = treatments(config);
        let differs = |(source, of): (&IpNet, &SourceTreatment), others: &Treatments| {
            (others.get(source) != Some(of)).then_some(*source)
        };
        let former = self.treatments.take().unwrap_or_default();
        let mut sources: BTreeSet<IpNet> =
            treatments.iter().filter_map(|new| differs(new, &former)).collect();
        sources.extend(former.iter().filter_map(|old| differs(old, &treatments)));
        if !sources.is_empty() {
            path.begin_anew(config, sources);
        }
        self.treatments = Some(treatments);
    }

    fn ensure(
        &mut self,
        path: &mut impl SteeredPath,
        config: &SteeringConfig,
    ) -> Result<(bool, Applied), PortError> {
        self.path_for = None;
        let tunnel = path.ensure_tunnel()?;
        self.back_end.set_mtu(tunnel.mtu);
        let routes_changed = path.ensure_routes(&tunnel, &config.never_steered)?;
        let (mark, has_proxy) = path.packet_marks();
        self.back_end.set_packet_mark(mark);
        self.back_end.set_proxy(has_proxy);
        // Whatever else it is that `verify` cannot say, `apply` mends or names.
        let applied = match self.back_end.verify(config) {
            Ok(true) => Applied::AlreadySo,
            _ => self.back_end.apply(config)?,
        };
        // Not earlier: until then packets carry the former mark.
        let settled = path.settle()?;
        self.path_for = Some(config.never_steered.clone());
        let path_changed = routes_changed || settled || tunnel.applied == Applied::Changed;
        Ok((path_changed, applied))
    }
}

#[cfg(test)]
mod tests;
