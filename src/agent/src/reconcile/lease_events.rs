use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_core::lease::Report;
use egret_core::model::{Holding, NodeName, ObjectRef};
use egret_core::reason::{AgentReason, EventReason};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use tracing::{error, info, warn};

use super::{LONGEST_BLOCK_WAIT, MainLoop};
use crate::address_status::{
    ForeignHost, HeldAddress, conflict_message, mac_text, written_conflict,
};
use crate::error::AgentError;
use crate::lease_thread::LeaseEvent;
use crate::node_status;

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    pub(super) fn on_lease_event(&mut self, event: LeaseEvent) -> Result<(), AgentError> {
        match event {
            LeaseEvent::Report(report) => self.on_report(report),
            LeaseEvent::ReadConsistently => self.feed.read_consistently(),
            LeaseEvent::Conflict { address, mac } => self.on_conflict(address, mac),
            LeaseEvent::Listening(result) => self.on_listening(result),
            LeaseEvent::Failed(error) => return Err(AgentError::LeaseThread(error)),
        }
        Ok(())
    }

    fn on_report(&mut self, report: Report) {
        node_status::note(&mut self.status, &report);
        match report {
            Report::TookOver { address, previous, silent_for } => {
                self.on_takeover(address, previous.as_ref(), silent_for);
            }
            Report::Held { address, holding, fence, probed, conflict } => {
                self.on_held(address, (holding, fence), probed, conflict);
            }
            Report::Lost { address } => {
                warn!(event = "lost", %address, "the lease has ended");
                self.memory.held.remove(&address);
                self.record_event(
                    true,
                    address,
                    EventReason::LeaseLost,
                    format!("{} has lost {address}", self.me),
                );
            }
            Report::Left { address, successor } => {
                let to = successor.map_or_else(|| "nobody".to_owned(), |node| node.to_string());
                info!(event = "left", %address, successor = to, "released");
                self.memory.held.remove(&address);
                let message = format!("{} has released {address} to {to}", self.me);
                self.record_event(false, address, EventReason::Released, message);
            }
            Report::HolderKnown { address, holding } => {
                info!(event = "holder_known", %address, holder = %holding.node,
                    epoch = holding.epoch.counter, "steering to the holder");
            }
            Report::NewSet(set) => self.on_new_set(set),
            Report::GrantAcknowledged { address, epoch } => self.on_grant(address, epoch),
            Report::Unavailable { address } => self.on_available(address, false),
            Report::AvailableAgain { address } => self.on_available(address, true),
            Report::Undelivered { addresses } => self.on_undelivered(addresses),
            Report::Stopped => self.memory.stopped = true,
            other => self.on_protocol(&other),
        }
    }

    /// Reports that become a line in the log and a condition of the node.
    fn on_protocol(&mut self, report: &Report) {
        match report {
            Report::MajorityLost { silent } => {
                let names: Vec<&str> = silent.iter().map(NodeName::as_str).collect();
                let message = format!(
                    "no majority of the voters answers (silent: {}): addresses held here stop; \
                     bring one of them back, or see `egret voters reset`",
                    names.join(", ")
                );
                warn!(event = "majority_lost", "{message}");
                self.memory.problems.insert(AgentReason::NoMajority, message);
            }
            Report::MajorityBack => {
                info!(event = "majority_back", "a majority of the voters answers again");
                self.memory.problems.remove(&AgentReason::NoMajority);
            }
            Report::SetConflict { number, from } => {
                let message = format!(
                    "{from} knows another voter set of number {number} (a restored backup?): see \
                     `egret voters reset`"
                );
                error!(event = "set_conflict", "{message}");
                self.memory.problems.insert(AgentReason::VoterSetConflict, message);
            }
            Report::MayVote { .. } => {
                info!(event = "may_vote", "past the silence: may vote");
                self.note_silence();
            }
            other => info!(event = "lease", "{other:?}"),
        }
    }

    /// Another voter may go only when this one may vote: who rolls agents out waits until each is ready.
    pub(super) fn note_silence(&self) {
        let Some(snapshot) = &self.memory.snapshot else { return };
        let silence = node_status::silence(snapshot, &self.me, &self.status);
        self.health.set_missing("vote", silence);
    }

    fn on_takeover(&mut self, address: IpAddr, previous: Option<&NodeName>, silent: Option<u64>) {
        let silent_ms = silent.map_or(0, |ns| ns / 1_000_000);
        info!(event = "took_over", %address, silent_ms,
            previous = previous.map_or("", NodeName::as_str), "took over");
        let (Some(previous), Some(silent)) = (previous, silent) else { return };
        let seconds = silent as f64 / 1e9;
        let message = format!("{previous} has been silent for {seconds:.2} s");
        self.record_event(true, address, EventReason::HolderLost, message);
    }

    fn on_held(
        &mut self,
        address: IpAddr,
        (holding, fence): (Holding, u64),
        probed: bool,
        conflict: bool,
    ) {
        info!(event = "lease_held", %address, epoch = holding.epoch.counter, probed, "held");
        let now = self.clock.now();
        let before = self.memory.held.get(&address);
        let is_new = probed && before.is_none_or(|held| !held.probed || held.holding != holding);
        let renewed = before.is_some_and(|held| held.holding == holding);
        let held = HeldAddress {
            since: before.filter(|_| renewed).map_or(now, |held| held.since),
            conflict: conflict.then(|| self.known_conflict(address)),
            holding,
            fence,
            probed,
        };
        self.memory.held.insert(address, held);
        if !conflict {
            self.memory.foreign_hosts.remove(&address);
        }
        if is_new {
            self.record_event(
                false,
                address,
                EventReason::Held,
                format!("{} holds {address}", self.me),
            );
        }
    }

    fn on_conflict(&mut self, address: IpAddr, mac: [u8; 6]) {
        let named = self.memory.foreign_hosts.get(&address).copied();
        let host = ForeignHost::heard(named, mac, self.clock.now());
        self.memory.foreign_hosts.insert(address, host);
        let mac = host.mac();
        let message = conflict_message(self.memory.snapshot.as_deref(), mac);
        let Some(held) = self.memory.held.get_mut(&address) else { return };
        if held.conflict.replace(message.clone()).as_ref() != Some(&message) {
            warn!(event = "conflict", %address, mac = mac_text(mac), "{message}");
            self.record_event(true, address, EventReason::Conflict, message);
        }
    }

    /// What is known of the host that has the address too: what was heard here, else what the holder
    /// before has written.
    fn known_conflict(&self, address: IpAddr) -> String {
        let heard = self.memory.held.get(&address).and_then(|held| held.conflict.clone());
        let written = || written_conflict(self.memory.snapshot.as_deref()?, address);
        heard.or_else(written).unwrap_or_else(|| "another host claims the address too".to_owned())
    }

    fn on_new_set(&mut self, set: egret_core::model::VoterSet) {
        info!(event = "new_set", number = set.number, "a voter knows a newer set of voters");
        self.feed.note_set(set);
    }

    fn on_grant(&mut self, address: IpAddr, epoch: u64) {
        match self.acknowledged.note(address, epoch) {
            Ok(true) => {
                info!(event = "blocks_open", %address, epoch, "the holder has our port blocks");
                if let Some(snapshot) = self.memory.snapshot.clone() {
                    self.apply_steering(&snapshot);
                }
            }
            Ok(false) => {}
            Err(error) => warn!(%error, "cannot keep which blocks are open"),
        }
    }

    fn on_available(&mut self, address: IpAddr, available: bool) {
        let changed = if available {
            self.memory.unavailable.remove(&address)
        } else {
            self.memory.unavailable.insert(address)
        };
        if changed && let Some(snapshot) = self.memory.snapshot.clone() {
            info!(event = "available", %address, available, "availability has changed");
            self.apply_steering(&snapshot);
        }
    }

    fn on_undelivered(&mut self, addresses: BTreeSet<IpAddr>) {
        let list: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        info!(
            event = "undelivered",
            addresses = list.join(" "),
            "what waits for the cloud after a takeover has changed: new connections use another \
             address of the claim, where there is one"
        );
        self.memory.undelivered = addresses;
        if let Some(snapshot) = self.memory.snapshot.clone() {
            self.apply_steering(&snapshot);
        }
    }

    /// The addresses that new connections do without, where the claim has another one or says
    /// `whenUnavailable: Node`: nobody holds them, or this node has had no block of them for 5 s.
    pub(super) fn unavailable(&self) -> BTreeSet<IpAddr> {
        let without_block = self.memory.without_block.iter();
        let without_block =
            without_block.filter(|(_, since)| since.elapsed() >= LONGEST_BLOCK_WAIT);
        self.memory
            .unavailable
            .iter()
            .chain(without_block.map(|(address, _)| address))
            .copied()
            .collect()
    }

    fn record_event(
        &mut self,
        warning: bool,
        address: IpAddr,
        reason: EventReason,
        message: String,
    ) {
        let about = ObjectRef::address(address);
        self.events.add(warning, about, reason, message, self.clock.now());
    }
}
