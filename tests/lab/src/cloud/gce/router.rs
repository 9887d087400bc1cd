//! The network's router at work: one thread follows what Compute Engine says, one hears announcements.
//!
//! State: the rule set of the router's namespace, written under one lock, so that a version and an
//! announcement cannot undo each other.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use egret_netns::NetworkNamespace;
use serde_json::json;

use super::delivery::VpcDelivery;
use super::rules::{self, VpcPorts};
use super::state::{self, VpcState};
use crate::clock::WallTime;
use crate::cloud::double::DoubleApi;
use crate::cloud::ruleset::RuleSet;
use crate::tap::{Frame, FrameTap};
use crate::wire::{Body, decode};

/// How often it looks whether an announcement has ended.
const LOOK: Duration = Duration::from_millis(100);

/// An announcement that the network heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardAnnouncement {
    /// When.
    pub at: WallTime,
    /// Of which address.
    pub address: IpAddr,
    /// The instance that sent it.
    pub from: String,
    /// Whether the network follows it.
    pub followed: bool,
}

/// What both threads share.
#[derive(Debug)]
pub(super) struct VpcNetwork {
    pub delivery: VpcDelivery,
    pub state: VpcState,
    pub heard: Vec<HeardAnnouncement>,
    /// Where every address is delivered to, by the rules that are in force.
    pub delivered: BTreeMap<IpAddr, Option<String>>,
    rules: RuleSet,
    ports: VpcPorts,
    applied: String,
}

impl VpcNetwork {
    /// Takes in what Compute Engine says now.
    fn learn(&mut self, state: VpcState) -> Result<()> {
        self.delivery.update(state.services.clone());
        self.delivery.fix(state.fixed.clone());
        self.state = state;
        self.apply()
    }

    /// Puts what is known now in force.
    fn apply(&mut self) -> Result<()> {
        let targets = self.delivery.targets(WallTime::now());
        let script = rules::render(&self.state, (&self.delivery, &targets), &self.ports);
        if script != self.applied {
            self.rules.apply(&script)?;
            (self.applied, self.delivered) = (script, targets);
        }
        Ok(())
    }

    fn hear(&mut self, frame: &Frame<'_>) {
        if frame.outgoing {
            return;
        }
        let Some(packet) = decode(frame.bytes) else { return };
        // Another form is none: <https://cloud.google.com/load-balancing/docs/garp-ra-packet-spec>.
        let Body::Arp { operation: 2, sender_mac, sender, target } = packet.body else { return };
        let port = self.ports.iter().find(|(_, port)| port.mac == packet.source_mac);
        let Some((name, _)) = port else { return };
        if sender != target || sender_mac != packet.source_mac {
            return;
        }
        let (at, address, from) = (frame.at, IpAddr::V4(sender), name.clone());
        let followed = self.delivery.announce(address, &from, at);
        self.heard.push(HeardAnnouncement { at, address, from, followed });
    }
}

/// The threads.
#[derive(Debug)]
pub(super) struct VpcRouter {
    network: Arc<Mutex<VpcNetwork>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    rules: RuleSet,
}

impl VpcRouter {
    /// Starts with the present version in force.
    pub(super) fn start(
        api: &DoubleApi,
        router: &NetworkNamespace,
        (ports, delivery): (VpcPorts, VpcDelivery),
    ) -> Result<Self> {
        rules::prepare(router, &ports);
        let rules = RuleSet { net: router.path() };
        let mut network = VpcNetwork {
            delivery,
            state: VpcState::default(),
            heard: Vec::new(),
            delivered: BTreeMap::new(),
            rules: rules.clone(),
            ports,
            applied: String::new(),
        };
        network.learn(read(api, None)?)?;
        let network = Arc::new(Mutex::new(network));
        let stop = Arc::new(AtomicBool::new(false));
        let tap = {
            let _inside = router.enter();
            FrameTap::open(Some("lan0"))?
        };
        let (api, kept, ended) = (api.clone(), network.clone(), stop.clone());
        let follower = std::thread::spawn(move || follow(&api, &kept, &ended));
        let (kept, ended) = (network.clone(), stop.clone());
        let hearer = std::thread::spawn(move || hear(tap, &kept, &ended));
        Ok(Self { network, stop, threads: vec![follower, hearer], rules })
    }

    pub(super) fn network(&self) -> MutexGuard<'_, VpcNetwork> {
        lock(&self.network)
    }

    pub(super) fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// To be called before the double ends: then its end is no error.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for VpcRouter {
    fn drop(&mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn lock(network: &Mutex<VpcNetwork>) -> MutexGuard<'_, VpcNetwork> {
    network.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for another version than `seen`, for a second at most.
fn read(api: &DoubleApi, seen: Option<u64>) -> Result<VpcState> {
    let wait = seen.map_or(String::new(), |seen| format!("?after={seen}&timeout=1"));
    let answer = api.ask("GET", &format!("/egret/state{wait}"), &json!({}))?;
    state::parse(&answer).context("/egret/state")
}

fn follow(api: &DoubleApi, network: &Mutex<VpcNetwork>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let seen = lock(network).state.number;
        let next = read(api, Some(seen)).and_then(|next| lock(network).learn(next));
        match next {
            Err(_) if stop.load(Ordering::Relaxed) => return,
            Err(error) => panic!("the VPC's router: {error:#}"),
            Ok(()) => {}
        }
    }
}

fn hear(mut tap: FrameTap, network: &Mutex<VpcNetwork>, stop: &AtomicBool) {
    let mut looked = WallTime::now();
    while !stop.load(Ordering::Relaxed) {
        let arp = match tap.next(LOOK) {
            Ok(Some(frame)) if is_arp(&frame) => {
                lock(network).hear(&frame);
                true
            }
            Ok(_) => false,
            Err(_) => return,
        };
        let now = WallTime::now();
        if !arp && now.since(looked) < LOOK {
            continue;
        }
        looked = now;
        let applied = lock(network).apply();
        if let Err(error) = applied {
            assert!(stop.load(Ordering::Relaxed), "the VPC's router: {error:#}");
        }
    }
}

/// Most frames are of no concern here, and there are many.
fn is_arp(frame: &Frame<'_>) -> bool {
    frame.bytes.get(12..14) == Some(&[0x08, 0x06])
}
