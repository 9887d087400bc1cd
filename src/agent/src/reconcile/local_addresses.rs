//! Egress addresses that this host's tools make its own are taken back.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use egret_core::model::ObjectRef;
use egret_core::reason::{AgentReason, EventReason};
use egret_datapath::local_address::{self, LocalAddress};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::{ErrorClass, PortError};
use tracing::warn;

use super::MainLoop;
use crate::local_addresses::{PlacedAddresses, message};

/// What a failure says was attempted.
const OPERATION: &str = "keep egress addresses from being this host's own";

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Takes note of what this host must not have.
    pub(super) fn set_placed(&mut self, placed: PlacedAddresses) {
        if self.memory.placed != placed {
            self.memory.placed = placed;
            self.take_back_local();
        }
    }

    /// Looks for what a tool of the host has made its own, and takes it back.
    pub(super) fn take_back_local(&mut self) {
        let now = Instant::now();
        self.memory.take_backs.forget(now);
        let mut result = self.take_back_found(now);
        if let (Ok(()), Some(contested)) = (&result, self.memory.take_backs.contested()) {
            result = Err(PortError::new(ErrorClass::Conflict, OPERATION, contested));
        }
        self.record(AgentReason::AddressIsLocal, result);
    }

    /// Goes on after a failure; the first one is returned.
    fn take_back_found(&mut self, now: Instant) -> Result<(), PortError> {
        if self.memory.placed.is_empty() {
            return Ok(());
        }
        let addresses: BTreeSet<IpAddr> = self.memory.placed.keys().copied().collect();
        let mut result = Ok(());
        for found in local_address::find(&addresses)? {
            if self.memory.take_backs.is_due(&found, now) {
                result = result.and(self.take_back(&found, now));
            }
        }
        result
    }

    fn take_back(&mut self, found: &LocalAddress, now: Instant) -> Result<(), PortError> {
        let LocalAddress { address, interface, .. } = found;
        if self.kernel.endpoints().contains(address) {
            let remedy = format!(
                "{address} on {interface} was this agent's own endpoint when it began: name the \
                 node's own address with --endpoint, and restart the agent"
            );
            return Err(PortError::new(ErrorClass::Conflict, OPERATION, remedy));
        }
        local_address::remove(found)?;
        self.memory.take_backs.note(found, now);
        let Some(egress) = self.memory.placed.get(address) else { return Ok(()) };
        let message = message(found, *egress, &self.me);
        warn!(event = "taken_back", %address, %interface, "{message}");
        let about = ObjectRef::address(*egress);
        self.events.add(true, about, EventReason::TakenBack, message, self.clock.now());
        Ok(())
    }
}
