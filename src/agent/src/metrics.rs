//! What a scrape of an agent shows beyond the process itself: the kernel's own counters, and what
//! the agent measures while it runs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use egret_datapath::conntrack::AddressUsage;
use egret_datapath::constants::BadSetting;
use egret_datapath::{bpf, snat_backend};
use egret_peers::{Discarded, Endpoint, LastReceived};
use egret_ports::error::PortError;
use egret_ports::steering::SteeringCounters;
use egret_runtime::metrics::{counters, gauges};
use egret_runtime::prometheus_client::registry::Registry;
use tracing::warn;

use crate::AgentArgs;

/// What a running agent measures, for whoever serves its metrics: empty before it runs. A clone
/// reads the same.
#[derive(Clone, Debug, Default)]
pub struct AgentMetrics(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    peers: OnceLock<(Discarded, LastReceived)>,
    connections: Mutex<BTreeMap<IpAddr, u64>>,
}

impl AgentMetrics {
    pub(crate) fn attach(&self, endpoint: &Endpoint) {
        // One agent runs in a process.
        let _ = self.0.peers.set((endpoint.discarded(), endpoint.last_received()));
    }

    pub(crate) fn note_usage(&self, usage: &BTreeMap<IpAddr, AddressUsage>) {
        let connections = usage.iter().map(|(address, usage)| (*address, usage.connections));
        *self.0.connections.lock().unwrap_or_else(PoisonError::into_inner) = connections.collect();
    }

    fn datagrams(&self) -> Vec<(&'static str, u64)> {
        let all = self.0.peers.get().into_iter().flat_map(|(discarded, _)| discarded.all());
        all.map(|(reason, count)| (reason.name(), count)).collect()
    }

    fn peer_silences(&self) -> Vec<(String, f64)> {
        let all = self.0.peers.get().into_iter().flat_map(|(_, heard)| heard.silences());
        all.map(|(node, silence)| (node.to_string(), silence.as_secs_f64())).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "far fewer connections than 2^52")]
    fn connections(&self) -> Vec<(String, f64)> {
        let all = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(address, count)| (address.to_string(), *count as f64)).collect()
    }
}

/// Registers what is read at every scrape: counters of the kernel, absent while it is not
/// programmed, and `measures`.
///
/// # Errors
/// The first flag that cannot work, with the remedy.
pub fn register(
    args: &AgentArgs,
    measures: &AgentMetrics,
    registry: &mut Registry,
) -> Result<(), BadSetting> {
    let settings = args.settings()?;
    let pins = args.bpffs.join("egret");
    let drops = snat_backend::choose(&settings).counters();
    register_kernel(registry, move || bpf::counters(&pins).unwrap_or_default(), drops);
    let read = measures.clone();
    register_measured(registry, measures, move || read.peer_silences());
    Ok(())
}

/// What the kernel counts.
fn register_kernel(
    registry: &mut Registry,
    packets: impl Fn() -> BTreeMap<&'static str, u64> + Send + Sync + 'static,
    steering: Box<dyn SteeringCounters>,
) {
    let help = "Packets by what became of them in the BPF programs (see egret explain --live)";
    counters(registry, "packets", help, "reason", packets);
    let help = "Packets of selected pods that the director's rules dropped";
    let unread = Arc::new(Mutex::new(None));
    let note = unread.clone();
    counters(registry, "director_drops", help, "reason", move || {
        let drops = steering.drops();
        note_unread(&note, drops.as_ref().err());
        let drops = drops.unwrap_or_default();
        drops.into_iter().map(|(drop, packets)| (drop.describe().0, packets)).collect::<Vec<_>>()
    });
    // Behind those counters: it is about the same scrape.
    let help = "1 where this scrape lacks the counter, since it could not be read (see the log)";
    gauges(registry, "unread_counters", help, "counter", move || {
        let is_unread = unread.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        [("director_drops".to_owned(), f64::from(u8::from(is_unread)))]
    });
}

/// Says in the log why counters are missing, once for each reason.
fn note_unread(unread: &Mutex<Option<String>>, error: Option<&PortError>) {
    let mut unread = unread.lock().unwrap_or_else(PoisonError::into_inner);
    let why = error.map(ToString::to_string);
    if *unread != why
        && let Some(why) = &why
    {
        warn!(event = "counters_unread", %why, "this scrape lacks the counters of the director's rules");
    }
    *unread = why;
}

/// What the agent measures.
fn register_measured(
    registry: &mut Registry,
    measures: &AgentMetrics,
    silences: impl Fn() -> Vec<(String, f64)> + Send + Sync + 'static,
) {
    let help = "Datagrams of other agents that were not acted on";
    let read = measures.clone();
    counters(registry, "datagrams_dropped", help, "reason", move || read.datagrams());
    let help = "Seconds since another agent was last heard";
    gauges(registry, "peer_silence_seconds", help, "node", silences);
    let help = "Connections of this node's pods that leave with an egress address";
    let read = measures.clone();
    gauges(registry, "connections", help, "address", move || read.connections());
}

#[cfg(test)]
mod tests;
