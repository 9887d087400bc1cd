use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;

use super::Watcher;
use crate::test_bed::TestBed;
use crate::wire::{Body, decode};

/// Where the inner packet begins: Ethernet, IPv4, UDP, VXLAN, Ethernet.
const INNER: usize = 14 + 20 + 8 + 8 + 14;
/// Of what a director asks a holder through the tunnel.
const PROBE: u8 = 253;

/// On the switch: counts the UDP datagrams to one port, but for what directors ask holders of their own accord.
#[derive(Debug)]
pub struct Datagrams {
    count: Arc<AtomicU64>,
    _watcher: Watcher,
}

impl Datagrams {
    /// Starts to count.
    ///
    /// # Errors
    /// Where the tap cannot be opened.
    pub fn start(lab: &impl TestBed, port: u16) -> Result<Self> {
        let count = Arc::new(AtomicU64::new(0));
        let counter = count.clone();
        // The tap sees a frame where it enters a port, where the bridge delivers it to itself, and
        // where it leaves: only frames that enter a node's port count.
        let ports = node_ports(lab);
        let watcher = Watcher::start(lab.network().lan.path(), None, move |frame| {
            if frame.outgoing || !ports.contains(&frame.device) {
                return;
            }
            if let Some(packet) = decode(frame.bytes)
                && let Body::Ip { protocol: 17, destination_port, .. } = packet.body
                && destination_port == port
                && (port == crate::PEERS_PORT || !is_probe(frame.bytes))
            {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        Ok(Self { count, _watcher: watcher })
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

fn is_probe(frame: &[u8]) -> bool {
    let protocol = match frame.get(INNER).map(|first| first >> 4) {
        Some(4) => frame.get(INNER + 9),
        Some(6) => frame.get(INNER + 6),
        _ => None,
    };
    protocol == Some(&PROBE)
}

fn node_ports(lab: &impl TestBed) -> Vec<usize> {
    let _inside = lab.network().lan.enter();
    let ports = lab.names().into_iter().map(|name| crate::tap::link_address(&format!("p-{name}")));
    ports.filter_map(|link| Some(link.ok()?.ifindex())).collect()
}
