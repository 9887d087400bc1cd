//! By which addresses the other nodes reach this one, as the main loop asks for it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::model::{NodeName, Snapshot};
use egret_core::reason::AgentReason;
use egret_core::tunnel_network::ToldEndpoint;
use egret_ports::error::PortError;
use ipnet::IpNet;

use super::Kernel;
use super::underlay::FollowedEndpoints;

impl Kernel {
    /// By which of its addresses this node sends, the tunnel's family first.
    pub(crate) fn endpoints(&self) -> &[IpAddr] {
        self.path.moving.in_use()
    }

    /// What the other nodes are to take for its own: those in use, and behind them those that it moves to.
    pub(crate) fn published_endpoints(&self) -> Vec<IpAddr> {
        self.path.moving.published()
    }

    /// Where it hears them: those, and behind them what it has just left.
    pub(crate) fn heard_endpoints(&self) -> Vec<IpAddr> {
        self.path.moving.heard()
    }

    /// Why others do not reach it there, with the remedy.
    pub(crate) fn endpoint_troubles(&self) -> BTreeMap<AgentReason, String> {
        self.path.endpoints.troubles(Instant::now())
    }

    /// When [`Self::follow_endpoints`] has to look, since one is missing or the next step of a move is due.
    pub(crate) fn endpoint_due(&self) -> Option<Duration> {
        let now = Instant::now();
        self.path.endpoints.due(now).into_iter().chain(self.path.moving.due(now)).min()
    }

    /// Takes note of addresses that pods on the host's network have on this node: as the node's become more, so do
    /// theirs. True where the tunnel may have to end elsewhere for it.
    pub(crate) fn learn_addresses(&mut self, snapshot: &Snapshot, me: &NodeName) -> bool {
        let pods = snapshot.pods.values().filter(|pod| pod.host_network && pod.node == *me);
        self.flags.learn(pods.flat_map(|pod| pod.sources.iter().map(IpNet::addr)))
    }

    /// Ends the tunnel where it is told to, in steps unless `at_once`; [`Self::follow_endpoints`] takes the first.
    ///
    /// # Errors
    /// Where the host's addresses cannot be read.
    pub(crate) fn want_endpoints(
        &mut self,
        told: &ToldEndpoint,
        at_once: bool,
    ) -> Result<(), PortError> {
        let before = self.path.moving.in_use().to_vec();
        self.path.want_endpoints(&self.flags.wanted(Some(told)), &self.egress, at_once)?;
        let changed = self.path.moving.in_use() != before;
        self.new_uplinks |= changed;
        self.behind |= changed;
        Ok(())
    }

    /// Whether some holder is reached by IPv6 alone.
    ///
    /// # Errors
    /// As [`Self::repair`](Kernel::repair).
    pub(crate) fn set_crosses_to_ipv6(&mut self, crosses: bool) -> Result<(), PortError> {
        if std::mem::replace(&mut self.path.crosses_to_ipv6, crosses) == crosses {
            return Ok(());
        }
        self.repair().map(drop)
    }

    /// Looks for this node's addresses where one was missing lately or it moves, since no notice tells that time
    /// has passed; `anyway` also elsewhere. Where something else than before was found, or the last repair has
    /// failed, the kernel is repaired.
    pub(crate) fn follow_endpoints(&mut self, anyway: bool) -> FollowedEndpoints {
        let now = Instant::now();
        let moves = self.path.moving.due(now).is_some();
        let due = anyway || moves || self.path.endpoints.is_restless(now);
        let looked = if due { self.look() } else { Ok(()) };
        let repaired = (looked.is_ok() && self.behind).then(|| self.repair().map(drop));
        FollowedEndpoints { looked, repaired }
    }
}
