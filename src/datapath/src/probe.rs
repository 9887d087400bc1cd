//! Proof that pods' traffic passes our hooks on this node.
//!
//! What pods send is seen twice. A packet socket taps every device before tc and before any eBPF
//! program of a CNI (net/core/dev.c: taps come first in `__netif_receive_skb_core`), so it sees a
//! pod's SYN whatever happens to it then. The hook in prerouting counts first packets of selected
//! connections. SYNs at the devices and none in the hook, nor in conntrack: the CNI forwards past
//! netfilter, and nothing that Egret installs can hold.

mod tap;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use egret_core::node_config::SteeringConfig;
use egret_ports::error::PortError;
use egret_ports::steering::SteeringCounters;

use self::tap::ProbeTap;
use crate::conntrack::{self, FlowIndex};
use crate::netlink::refused;

/// So many different connections make a bypass: one could be a packet that its pod's device or the
/// kernel dropped for reasons of its own.
const ENOUGH: usize = 3;

/// How long the hook may lag behind the tap: a packet waits in a backlog queue at most.
const LAG: Duration = Duration::from_millis(200);

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// A selected pod's connection reached the hook.
    Passed,
    /// Selected pods opened connections, and none reached the hook.
    Bypassed {
        /// A sentence with numbers and an example, for the condition.
        evidence: String,
    },
    /// Too few connections were opened to tell.
    NoTraffic,
}

/// A probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What it found.
    pub result: ProbeResult,
    /// First packets of selected connections that had reached the hook at its end, since the rules were made.
    pub selected: u64,
}

/// Where first packets have reached the hook since the last probe (`last`: as it said), traffic passes. Else watches
/// for `window` at most, and ends at once when a connection has passed. Sends nothing, changes nothing. TCP only: a first UDP packet cannot be told from a later one on the wire.
///
/// # Errors
/// `Denied` without CAP_NET_RAW; `NotFound` where no steering config was applied.
pub fn run(
    counters: &dyn SteeringCounters,
    config: &SteeringConfig,
    last: Option<u64>,
    window: Duration,
) -> Result<Probe, PortError> {
    let before = counters.selected()?;
    if last.is_some_and(|last| before > last) {
        return Ok(Probe { result: ProbeResult::Passed, selected: before });
    }
    let result = watch(counters, config, before, window)?;
    Ok(Probe { result, selected: counters.selected()? })
}

fn watch(
    counters: &dyn SteeringCounters,
    config: &SteeringConfig,
    before: u64,
    window: Duration,
) -> Result<ProbeResult, PortError> {
    let index = FlowIndex::new(config);
    let operation = || "tap the node's devices";
    let tap = ProbeTap::open().map_err(|e| refused(operation(), e))?;
    let end = Instant::now() + window;
    let mut seen: BTreeSet<(SocketAddr, SocketAddr)> = BTreeSet::new();
    while Instant::now() < end {
        let Some((source, destination)) = tap.next(LAG).map_err(|e| refused(operation(), e))?
        else {
            // Nothing came for LAG: what was seen before has reached the hook by now.
            if !seen.is_empty() && counters.selected()? > before {
                return Ok(ProbeResult::Passed);
            }
            continue;
        };
        if index.selects(source.ip(), destination.ip()) {
            seen.insert((source, destination));
            if seen.len() >= ENOUGH && counters.selected()? > before {
                return Ok(ProbeResult::Passed);
            }
        }
    }
    if !seen.is_empty() {
        std::thread::sleep(LAG);
    }
    let counted = counters.selected()?.saturating_sub(before);
    // A destination that DNAT turned to the inside is not counted, but conntrack knows it.
    let passed = counted > 0 || (!seen.is_empty() && conntrack::knows(&seen)?);
    Ok(judge(&seen, passed))
}

fn judge(seen: &BTreeSet<(SocketAddr, SocketAddr)>, passed: bool) -> ProbeResult {
    match seen.first() {
        Some(_) if passed => ProbeResult::Passed,
        Some((source, destination)) if seen.len() >= ENOUGH => ProbeResult::Bypassed {
            evidence: format!(
                "selected pods opened {} connections (such as {source} to {destination}) and none \
                 of them passed the node's netfilter: the CNI forwards past it (eBPF host \
                 routing?), so that Egret cannot steer; switch the CNI to the host's stack",
                seen.len()
            ),
        },
        _ => ProbeResult::NoTraffic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: u16) -> BTreeSet<(SocketAddr, SocketAddr)> {
        let destination = "198.51.100.7:443".parse().unwrap();
        (0..number)
            .map(|n| (SocketAddr::new("10.244.1.2".parse().unwrap(), 40_000 + n), destination))
            .collect()
    }

    #[test]
    fn three_connections_that_nobody_counted_are_a_bypass() {
        assert_eq!(judge(&seen(0), false), ProbeResult::NoTraffic);
        assert_eq!(judge(&seen(2), false), ProbeResult::NoTraffic);
        assert_eq!(judge(&seen(1), true), ProbeResult::Passed);
        let ProbeResult::Bypassed { evidence } = judge(&seen(3), false) else { panic!() };
        assert!(evidence.contains("10.244.1.2:40000 to 198.51.100.7:443"), "{evidence}");
    }
}
