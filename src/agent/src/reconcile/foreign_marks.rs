//! What other programs of this host do with marks, looked at again and again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use egret_core::reason::AgentReason;
use egret_datapath::host::{self, HostFindings};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::{ErrorClass, PortError};
use tracing::warn;

use super::{Completion, MainLoop};

/// How many rules of others a message names.
const NAMED: usize = 5;

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Has nftables and iptables read in a thread of its own where they may have changed, and says what was found.
    pub(super) fn look_at_marks(&mut self) {
        let (tick, now) = (self.memory.ticks, Instant::now());
        if self.memory.firewalls.asks(tick, now) {
            let generation = host::firewall_generation();
            if let Err(error) = &generation {
                warn!(%error, "cannot tell whether others have changed nftables");
            }
            if self.memory.firewalls.begins(tick, generation.ok()) {
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
        self.memory.firewalls.ended(Instant::now(), took, found.is_err());
        match found {
            Ok(found) => {
                if self.kernel.note_firewalls(*found) {
                    let repaired = self.kernel.repair();
                    self.adopt_uplinks();
                    self.record(AgentReason::RulesNotApplied, repaired.map(drop));
                }
            }
            Err(error) => warn!(%error, "cannot read what others do with marks"),
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
                "others overwrite the whole mark of connections, or use Egret's bit of it: {}; what loses the bit is \
                 dropped (connection_mark_overwritten), what gets it is taken for steered: give these rules a mask \
                 without that bit",
                some_of(&who)
            );
            conflict("keep the mark of connections", message)
        };
        self.record(AgentReason::ConnectionMarkOverwritten, kept);
    }
}

fn some_of(who: &BTreeSet<&str>) -> String {
    let named: Vec<&str> = who.iter().take(NAMED).copied().collect();
    match who.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
