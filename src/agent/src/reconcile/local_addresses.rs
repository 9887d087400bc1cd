//! Egress addresses that this host has: what a cloud placed here is taken back, the others are told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use egret_core::conditions::on_interface_message;
use egret_core::lease::PlanView;
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
    /// Takes note of what this host must not have, and of all that never becomes its end of the tunnel.
    pub(super) fn set_egress(
        &mut self,
        addresses: impl Iterator<Item = IpAddr>,
        placed: PlacedAddresses,
    ) {
        self.kernel.set_egress(addresses.chain(placed.keys().copied()).collect());
        if self.memory.placed != placed {
            self.memory.placed = placed;
            self.take_back_local();
        }
    }

    /// This host may have got an address of its own. What is to be taken back is looked for at once; the
    /// rest once a second, since nodes with IPVS change thousands of addresses.
    pub(super) fn on_local_change(&mut self) {
        if !self.memory.placed.is_empty() {
            self.take_back_local();
        }
        self.memory.local_changed = true;
    }

    /// Looks for egress addresses that this host has, tells of them, and takes back what a tool has made
    /// so of those that a cloud placed here.
    pub(super) fn take_back_local(&mut self) {
        let now = Instant::now();
        self.memory.local_changed = false;
        self.memory.take_backs.forget(now);
        let mut result = self.take_back_found(now);
        if let (Ok(()), Some(contested)) = (&result, self.memory.take_backs.contested()) {
            result = Err(PortError::new(ErrorClass::Conflict, OPERATION, contested));
        }
        self.record(AgentReason::AddressIsLocal, result);
    }

    /// The addresses of an earlier process's plan that this host has of its own: what arrives for them
    /// goes on to reach it, with the store away too.
    pub(super) fn recall_local(&mut self, view: &PlanView) -> BTreeSet<IpAddr> {
        let placed = &self.memory.placed;
        let planned = view.addresses.keys().filter(|address| !placed.contains_key(address));
        match local_address::find(&planned.copied().collect()) {
            Ok(found) => {
                let own = found.into_iter().map(|found| (found.address, found.interface));
                self.status.local_addresses = own.collect();
            }
            Err(error) => warn!(%error, "cannot tell which addresses are this host's own"),
        }
        self.status.local_addresses.keys().copied().collect()
    }

    /// Goes on after a failure; the first one is returned.
    fn take_back_found(&mut self, now: Instant) -> Result<(), PortError> {
        let planned = self.memory.snapshot.iter().flat_map(|snapshot| snapshot.addresses.keys());
        let addresses: BTreeSet<IpAddr> =
            planned.chain(self.memory.placed.keys()).copied().collect();
        if addresses.is_empty() {
            return Ok(());
        }
        let mut result = Ok(());
        let mut local = BTreeMap::new();
        for found in local_address::find(&addresses)? {
            if !self.memory.placed.contains_key(&found.address) {
                local.entry(found.address).or_insert(found.interface);
            } else if self.memory.take_backs.is_due(&found, now) {
                result = result.and(self.take_back(&found, now));
            }
        }
        self.set_local(local);
        result
    }

    /// What people put on an interface stays there: it may be meant.
    fn set_local(&mut self, local: BTreeMap<IpAddr, String>) {
        if self.status.local_addresses == local {
            return;
        }
        for (address, interface) in &local {
            if !self.status.local_addresses.contains_key(address) {
                let message = on_interface_message(&self.me, interface);
                warn!(event = "address_on_interface", %address, %interface, "{message}");
                let about = ObjectRef::address(*address);
                self.events.add(true, about, EventReason::Conflict, message, self.clock.now());
            }
        }
        self.status.local_addresses = local;
        if self.memory.snapshot.is_some() {
            self.update_lease_thread();
        }
    }

    fn take_back(&mut self, found: &LocalAddress, now: Instant) -> Result<(), PortError> {
        let LocalAddress { address, interface, .. } = found;
        if self.kernel.endpoints().contains(address) {
            let remedy = format!(
                "{address} on {interface} was taken for this node's own when the agent began: name the \
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
