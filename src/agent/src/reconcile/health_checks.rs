//! What is looked at from time to time, since no notice tells of it.

use std::collections::{BTreeMap, BTreeSet};

use std::net::IpAddr;
use std::time::Instant;

use egret_core::ipam::ranges;
use egret_core::model::{NodeName, ObjectRef, Snapshot};
use egret_core::node_config::granted_blocks;
use egret_core::port_blocks;
use egret_core::reason::{AgentReason, EventReason};
use egret_datapath::host;
use egret_datapath::probe::Probe;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::PortError;
use egret_ports::steering::SteeredPackets;
use tracing::warn;

use super::{Completion, MainLoop};
use crate::blocks::pressure;
use crate::bypass_watch::PastNetfilter;
use crate::lease_thread::LeaseCommand;
use crate::node_status;
use crate::passage_watch::PassageReading;

/// The connection table is read every so many ticks: a dump of a large one takes a while.
const CONNECTIONS_EVERY: u64 = 2;

/// Addresses of the host are looked through every so many ticks: what comes back again and again is
/// left for a while, and nothing tells when that is over.
const LOCAL_EVERY: u64 = 5;

/// What the store has taken and does not show is written again every so many ticks: people may have
/// given the API server a newer definition.
const WRITE_AGAIN_EVERY: u64 = 600;

/// Whose devices and rules are here is looked at every so many ticks: Cilium may start after this agent.
const CILIUM_EVERY: u64 = 10;

/// Whether the programs are attached where they should be is looked at every so many ticks: of tcx no notice tells.
const PROGRAMS_EVERY: u64 = 60;

/// The counters of frames that nobody is known to hold the address of, and of what leaves past netfilter.
const UNHELD: &str = "no_holder";
const BYPASSED: &str = "bypassed";
const OUTSIDE_TUNNEL: &str = "outside_tunnel";
/// The counters of what the tunnel brings for pods here, and of what of it is IPv6.
const TO_POD: &str = "to_pod";
const TO_POD_IPV6: &str = "to_pod_ipv6";

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Pods that cannot be served as their claims ask.
    pub(super) fn note_pods(&mut self, snapshot: &Snapshot) {
        match unknown_ranges(snapshot, &self.me) {
            None => {
                self.memory.problems.remove(&AgentReason::PodRangesUnknown);
            }
            Some((what, remedy)) => {
                let message = format!(
                    "{what}: what is outside the cluster cannot be told, and new connections of \
                     claims without destinations are dropped; {remedy}"
                );
                self.memory.problems.insert(AgentReason::PodRangesUnknown, message);
            }
        }
        let pods = node_status::host_network_pods(snapshot, &self.me);
        self.memory.host_network.retain(|pod| pods.contains_key(pod));
        for (pod, claim) in pods {
            let about = ObjectRef::pod(&pod.0, &pod.1);
            if self.memory.host_network.insert(pod) {
                let message = format!(
                    "claim {claim} selects this pod, which uses its node's network: it leaves with \
                     the node's address"
                );
                self.events.add(true, about, EventReason::HostNetwork, message, self.clock.now());
            }
        }
    }

    pub(super) fn on_tick(&mut self) {
        let now = Instant::now();
        let names = [UNHELD, BYPASSED, OUTSIDE_TUNNEL];
        if let Some([unheld, bypassed, outside_tunnel]) = self.kernel.counted(names) {
            self.ask_for_holders(unheld);
            self.memory.bypass.note_dropped(PastNetfilter { bypassed, outside_tunnel }, now);
        }
        let without = self.unavailable();
        if without != self.memory.unavailable_applied
            && let Some(snapshot) = self.memory.snapshot.clone()
        {
            self.apply_steering(&snapshot);
        }
        if self.memory.ticks.is_multiple_of(CONNECTIONS_EVERY) {
            self.read_connections();
        }
        if self.memory.local_changed || self.memory.ticks.is_multiple_of(LOCAL_EVERY) {
            self.take_back_local();
        }
        let every = self.memory.ticks.is_multiple_of(LOCAL_EVERY);
        let changed = self.tend_reaches();
        self.follow_endpoints(every);
        if changed || every || self.memory.interfaces.is_restless() {
            self.tend_interfaces();
        }
        if self.memory.ticks.is_multiple_of(CILIUM_EVERY) {
            self.look_for_cilium();
            self.look_for_rerouted();
        }
        if self.memory.ticks.is_multiple_of(WRITE_AGAIN_EVERY) {
            self.memory.accepted.forget();
        }
        if self.memory.ticks.is_multiple_of(PROGRAMS_EVERY) {
            self.put_programs_back();
        }
        self.memory.ticks += 1;
        self.watch_for_bypass(now);
        self.read_passage(now);
        self.prove_programs();
        self.ask_routers();
        self.ask_holders();
        self.look_at_marks();
    }

    fn look_for_cilium(&mut self) {
        match host::cilium_is_chained() {
            Ok(chained) => self.status.cilium_chained = chained,
            Err(error) => warn!(%error, "cannot tell whose devices are here"),
        }
    }

    /// Security groups for pods may be turned on at any time, and rules come with each pod.
    fn look_for_rerouted(&mut self) {
        match self.kernel.rerouted_pods() {
            Ok(rerouted) => {
                let result = node_status::rerouted(&rerouted);
                self.memory.rerouted = rerouted;
                self.record(AgentReason::PodsRerouted, result);
            }
            Err(error) => warn!(%error, "cannot tell whether another rule takes pods' traffic"),
        }
    }

    /// docs/leases.md rule 10: traffic for an address that nobody is known to hold.
    fn ask_for_holders(&mut self, drops: u64) {
        if drops > self.memory.unheld_drops {
            for address in self.kernel.steered_addresses() {
                self.lease.send(LeaseCommand::NeedHolder(address));
            }
        }
        self.memory.unheld_drops = drops;
    }

    /// Reads the connection table: which addresses are in use, and how full their blocks are.
    fn read_connections(&mut self) {
        let Some(snapshot) = self.memory.snapshot.clone() else { return };
        let granted = granted_blocks(&snapshot, &self.me);
        if granted.is_empty() {
            self.measures.note_usage(&BTreeMap::new());
            self.memory.tunnel.note_use(BTreeSet::new());
            self.status.idle_releases.clear();
            return self.status.idle_addresses.clear();
        }
        let usage = match self.kernel.usage() {
            Ok(usage) => usage,
            Err(error) => return warn!(%error, "cannot read the connection table"),
        };
        self.measures.note_usage(&usage);
        self.memory.tunnel.note_use(usage.keys().copied().collect());
        // docs/leases.md rule 10: there is traffic. Whether its holder has to be asked for a sign
        // of life the protocol knows.
        for address in usage.keys().filter(|address| granted.contains_key(address)) {
            self.lease.send(LeaseCommand::NeedHolder(*address));
        }
        // docs/leases.md rule 18: a director says once that it has no connection of it left, and
        // opens none: what it has read of may not be in the kernel yet.
        let ending = |address: &IpAddr| {
            snapshot.addresses.get(address).is_some_and(|stored| stored.value.plan.end.is_some())
        };
        self.status.idle_addresses = granted
            .keys()
            .filter(|address| ending(address) && !usage.contains_key(address))
            .filter(|address| !self.kernel.opens(**address))
            .copied()
            .collect();
        self.status.idle_releases = node_status::answers(&snapshot, &self.status.idle_addresses);
        self.memory.pressure = pressure(&usage, &granted, &self.memory.pressure);
        self.status.block_needs = port_blocks::needs(&snapshot, &self.me, &self.memory.pressure);
    }

    /// Whether pods' traffic passes our hooks, as far as it is known.
    fn watch_for_bypass(&mut self, now: Instant) {
        let is_bypassed = self.memory.bypass.problem(self.settings.mark).is_some();
        if self.memory.bypass.probe_is_due(now)
            && let Some(probe) = self.kernel.bypass_probe(is_bypassed)
        {
            let completions = self.completions.clone();
            tokio::task::spawn_blocking(move || {
                // The loop is gone only when the process is ending.
                let _ = completions.send(Completion::Probed(probe()));
            });
        }
        self.say_bypassed();
    }

    fn read_passage(&mut self, now: Instant) {
        if !self.memory.passage.is_due(now) {
            return;
        }
        let Some(reading) = self.kernel.passage_reading() else {
            self.memory.passage.forget();
            self.memory.problems.remove(&AgentReason::DroppedByOthers);
            return;
        };
        let completions = self.completions.clone();
        tokio::task::spawn_blocking(move || {
            // The loop is gone only when the process is ending.
            let _ = completions.send(Completion::PassageRead(reading()));
        });
    }

    pub(super) fn on_passage_read(&mut self, result: Result<SteeredPackets, PortError>) {
        // After the rules were read: what came in between counts as on its way.
        match (result, self.kernel.counted([TO_POD, TO_POD_IPV6])) {
            (Ok(steered), Some([to_pod, to_pod_ipv6])) => {
                let reading = PassageReading { steered, to_pod, to_pod_ipv6 };
                self.memory.passage.note(reading, Instant::now());
            }
            (Err(error), _) => warn!(%error, "cannot tell whether steered packets pass this host"),
            (Ok(_), None) => {}
        }
        let problems = &mut self.memory.problems;
        match self.memory.passage.problem() {
            Some(message) => {
                if problems.insert(AgentReason::DroppedByOthers, message.to_owned()).is_none() {
                    warn!(event = "dropped_by_others", "{message}");
                }
            }
            None => {
                problems.remove(&AgentReason::DroppedByOthers);
            }
        }
    }

    pub(super) fn on_probed(&mut self, result: Result<Probe, PortError>) {
        match result {
            Ok(probe) => {
                self.kernel.note_probe(&probe);
                self.memory.bypass.note_probe(probe.result);
                self.say_bypassed();
            }
            Err(error) => warn!(%error, "cannot tell whether pods' traffic passes netfilter"),
        }
    }

    fn say_bypassed(&mut self) {
        let problems = &mut self.memory.problems;
        match self.memory.bypass.problem(self.settings.mark) {
            Some(message) => {
                if !problems.contains_key(&AgentReason::DatapathBypassed) {
                    warn!(event = "datapath_bypassed", "{message}");
                }
                problems.insert(AgentReason::DatapathBypassed, message);
            }
            None => {
                problems.remove(&AgentReason::DatapathBypassed);
            }
        }
    }
}

/// Why it cannot be told what is outside the cluster, with the remedy.
fn unknown_ranges(snapshot: &Snapshot, me: &NodeName) -> Option<(String, &'static str)> {
    let outside = ranges::pods_outside(snapshot, me);
    if let Some(address) = outside.first() {
        let what = format!("pod address {address} is in no known range of pods");
        return Some((what, "name the ranges (--pod-cidr, cluster.podCIDRs in Helm)"));
    }
    let unread = ranges::written(snapshot).unread;
    let what = format!("the ranges of {} cannot be read", unread.first()?);
    Some((what, "an event of that object says which field to correct"))
}
