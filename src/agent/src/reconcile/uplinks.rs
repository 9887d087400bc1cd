//! Uplinks that no cloud names: whether each reaches its network.

use std::collections::BTreeSet;
use std::time::Instant;

use egret_datapath::host;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use tracing::{info, warn};

use super::MainLoop;
use crate::interface_memory::InterfaceMemory;
use crate::plan_update::HostState;
use crate::uplink_reach::SeenUplink;

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// What the lease thread is told of this host.
    pub(super) fn host_state(&self) -> HostState<'_> {
        HostState {
            uplinks: self.kernel.uplinks(),
            reaches: &self.memory.interfaces.reaches,
            local: &self.status.local_addresses,
        }
    }

    /// Looks which of the uplinks reach their networks; true where that is something else than before.
    pub(super) fn note_reaches(&mut self) -> bool {
        let uplinks = self.kernel.uplinks();
        let reaches = &mut self.memory.interfaces.reaches;
        let missing = reaches.missing(uplinks);
        let down = if missing.is_empty() { Ok(BTreeSet::new()) } else { host::down(&missing) };
        let down = down.unwrap_or_else(|error| {
            warn!(%error, "cannot tell whether an uplink is down or gone");
            missing
        });
        let changed = reaches.note(uplinks, &down, Instant::now());
        if changed {
            let all: Vec<String> = reaches.all().map(SeenUplink::to_string).collect();
            info!(event = "uplinks", uplinks = all.join(", "), "an uplink's reach has changed");
        }
        changed
    }

    /// Time alone makes an uplink steady again.
    pub(super) fn tend_reaches(&mut self) {
        if self.note_reaches()
            && let Some(snapshot) = self.memory.snapshot.clone()
        {
            self.update_lease_thread(&snapshot);
        }
    }

    /// Takes note of what the others are to know, and returns what keeps an address of this node's plans
    /// from its network, with the remedy.
    pub(super) fn judge_uplinks(&mut self, now: Instant) -> Vec<String> {
        let cut_off = self.memory.update.cut_off(&self.me);
        let InterfaceMemory { named, reaches, uplink_health, .. } = &mut self.memory.interfaces;
        let mut troubles = Vec::new();
        let others = |uplink: &&SeenUplink| !named.contains_key(&uplink.mac);
        for uplink in reaches.all().filter(others) {
            let why = uplink.trouble();
            uplink_health.note(uplink.mac, why.as_deref(), now);
            troubles.extend(why.filter(|_| uplink.would_carry(&cut_off)));
        }
        uplink_health.keep(|mac| reaches.all().any(|uplink| uplink.mac == *mac));
        troubles
    }
}
