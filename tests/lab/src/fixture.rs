//! A laboratory with its oracles, and the example claim on it.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::{WallTime, wait_until};
use crate::lab::Lab;
use crate::oracle::{Answers, GatewayOracle, Sources};
use crate::test_bed::TestBed;
use crate::timeline::Passage;

/// The default lease of a pool: within it no two gateways may send for one address.
pub const LEASE: Duration = Duration::from_millis(450);

/// A laboratory with every oracle running.
#[derive(Debug)]
pub struct LabFixture<G = Lab> {
    /// Who sends for an egress address.
    pub gateways: GatewayOracle,
    /// Which sources the outside sees.
    pub sources: Sources,
    /// Who answers for an egress address.
    pub answers: Answers,
    /// The addresses of the claim.
    pub addresses: Vec<IpAddr>,
    /// The laboratory.
    pub lab: G,
}

impl<G: TestBed> LabFixture<G> {
    /// Sets the oracles up around `addresses`.
    ///
    /// # Errors
    /// Where a tap cannot be opened.
    pub fn new(lab: G, addresses: &[IpAddr]) -> Result<Self> {
        Ok(Self {
            gateways: GatewayOracle::start(&lab)?,
            sources: Sources::start(&lab)?,
            answers: Answers::start(&lab, addresses)?,
            addresses: addresses.to_vec(),
            lab,
        })
    }

    /// Which node has an address now: the one that answers for it, or, in a cloud, the one that it
    /// is delivered to.
    #[must_use]
    pub fn holder(&self, address: IpAddr) -> Option<String> {
        self.lab.delivered_to(address).or_else(|| {
            let mac = self.answers.holder(address)?;
            self.lab.name_of(mac)
        })
    }

    /// Waits until every address has a holder that answers.
    ///
    /// # Errors
    /// Where one has none within `limit`, with the agents' last words.
    pub fn await_held(&self, limit: Duration) -> Result<()> {
        let held = || {
            let all = self.addresses.iter().all(|address| self.holder(*address).is_some());
            all.then_some(())
        };
        wait_until("a holder that answers, for every address", limit, held)
    }

    /// Waits until another node than `old` answers for an address; returns its name.
    ///
    /// # Errors
    /// Where none does within `limit`.
    pub fn await_successor(&self, address: IpAddr, old: &str, limit: Duration) -> Result<String> {
        let what = format!("another holder of {address} than {old}");
        wait_until(&what, limit, || self.holder(address).filter(|name| name != old))
    }

    /// Waits until every address's plan names `node`, as owner or standby.
    ///
    /// # Errors
    /// Where one does not within `limit`.
    pub fn await_planned(&self, node: &str, limit: Duration) -> Result<()> {
        wait_until(&format!("a plan of every address with {node}"), limit, || {
            let objects = self.lab.objects("EgressAddress").ok()?;
            let named = |address: &IpAddr| {
                let quoted = format!("\"{address}\"");
                let mut of =
                    objects.iter().filter(|object| object["spec"].to_string().contains(&quoted));
                of.any(|object| {
                    object["spec"]["owner"] == node
                        || object["spec"]["standbys"].to_string().contains(&format!("\"{node}\""))
                })
            };
            self.addresses.iter().all(named).then_some(())
        })
    }

    /// The addresses that a node answers for.
    #[must_use]
    pub fn held_by(&self, node: &str) -> Vec<IpAddr> {
        let held = self.addresses.iter().copied();
        held.filter(|address| self.holder(*address).as_deref() == Some(node)).collect()
    }

    /// What is known of the way of `address` from `from` since `begun`.
    #[must_use]
    pub fn passage(&self, address: IpAddr, from: &str, begun: WallTime) -> Passage {
        let oracles = (&self.gateways, &self.answers);
        Passage::observe(&self.lab, oracles, address, from, begun)
    }

    /// The longest that a lease thread was scheduled too late since `since`, in milliseconds, and
    /// whose. (An agent says so from 100 ms on.)
    #[must_use]
    pub fn stall(&self, since: WallTime) -> Option<(f64, String)> {
        let events = self.lab.journal().events("stall", since).into_iter();
        let late = events.filter_map(|entry| Some((entry.number("late_ms")?, entry.from)));
        late.max_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Nothing happened since `since` that must never happen: no wrong source, no question that
    /// two answered, no address that two gateways sent for within a lease, where nothing else keeps one of them
    /// from sending.
    ///
    /// # Errors
    /// With what happened.
    pub fn check_invariants(&self, since: WallTime) -> Result<()> {
        self.check_invariants_within(since, LEASE)
    }

    /// The same, with the time within which two gateways must not both send.
    ///
    /// # Errors
    /// With what happened.
    pub fn check_invariants_within(&self, since: WallTime, window: Duration) -> Result<()> {
        let wrong = self.sources.wrong();
        ensure!(wrong == 0, "{wrong} packets with a wrong source: {:?}", self.sources.examples());
        let doubles = self.answers.doubles(since);
        ensure!(doubles.is_empty(), "two answered one question: {:?}", doubles.first());
        let mut twice = self.gateways.twice(since, window);
        twice.retain(|found| !self.lab.fabric_fences(found.address));
        ensure!(twice.is_empty(), "two gateways sent for one address: {:?}", twice.first());
        ensure!(self.answers.asked() > 0, "the asking oracle asked nothing");
        let double = self.lab.double_grant()?;
        ensure!(double.is_none(), "a port block is granted twice: {double:?}");
        Ok(())
    }
}

impl Lab {
    /// Copies a manifest file into the store.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn apply(&self, path: &Path) -> Result<()> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let name = path.file_name().context("a file has a name")?.to_string_lossy().into_owned();
        self.write_manifest(&name, &text)
    }
}
