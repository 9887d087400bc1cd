//! What other programs of this host do with marks, looked at again and again.

use std::time::{Duration, Instant};

use egret_core::reason::AgentReason;
use egret_datapath::host::{self, HostFindings};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::{ErrorClass, PortError};
use tracing::warn;

use super::{Completion, MainLoop};

/// Whether nftables has changed is asked every so many ticks.
const GENERATION_EVERY: u64 = 10;

/// iptables' own rules have no generation: they are read anyway every so many ticks.
const READ_EVERY: u64 = 600;

/// A reading takes one part in so many of the time at most, where rules change all the time.
const REST: u32 = 100;

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Has nftables and iptables read in a thread of its own where they may have changed, and says what was found.
    pub(super) fn look_at_marks(&mut self) {
        let ticks = self.memory.ticks;
        let reading = &mut self.memory.firewalls;
        let rests = reading.rests_until.is_some_and(|until| Instant::now() < until);
        if ticks.is_multiple_of(GENERATION_EVERY) && !reading.is_under_way && !rests {
            let now = host::firewall_generation();
            if let Err(error) = &now {
                warn!(%error, "cannot tell whether others have changed nftables");
            }
            let now = now.ok();
            if now != reading.generation || ticks.is_multiple_of(READ_EVERY) {
                reading.generation = now;
                reading.is_under_way = true;
                let settings = self.settings.clone();
                let completions = self.completions.clone();
                tokio::task::spawn_blocking(move || {
                    let began = Instant::now();
                    let found = host::firewalls(&settings).map(Box::new);
                    // The loop is gone only when the process is ending.
                    let _ = completions.send(Completion::FirewallsRead(found, began.elapsed()));
                });
            }
        }
        self.note_marks();
    }

    pub(super) fn on_firewalls_read(
        &mut self,
        found: Result<Box<HostFindings>, PortError>,
        took: Duration,
    ) {
        self.memory.firewalls.is_under_way = false;
        self.memory.firewalls.rests_until = Some(Instant::now() + took * REST);
        match found {
            Ok(found) => {
                if self.kernel.note_firewalls(*found) {
                    let repaired = self.kernel.repair();
                    self.adopt_uplinks();
                    self.record(AgentReason::RulesNotApplied, repaired.map(drop));
                }
            }
            Err(error) => {
                // Asked again.
                self.memory.firewalls.generation = None;
                warn!(%error, "cannot read what others do with marks");
            }
        }
        self.note_marks();
    }

    fn note_marks(&mut self) {
        let conflict = |operation, message: String| {
            Err(PortError::new(ErrorClass::Conflict, operation, message))
        };
        let free = self.kernel.mark_conflict();
        let free = free.map_or(Ok(()), |none| conflict("choose a mark for packets", none));
        self.record(AgentReason::NoFreeMark, free);
        let who = self.kernel.connection_overwriters();
        let kept = if who.is_empty() {
            Ok(())
        } else {
            let message = format!(
                "others overwrite the whole mark of connections, and Egret's bit with it: {}; what they meet of a \
                 steered connection is dropped (connection_mark_overwritten): give these rules a mask without that bit",
                who.into_iter().collect::<Vec<_>>().join(", ")
            );
            conflict("keep the mark of connections", message)
        };
        self.record(AgentReason::ConnectionMarkOverwritten, kept);
    }
}
