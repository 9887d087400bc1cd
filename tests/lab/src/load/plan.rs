use std::net::SocketAddr;
use std::time::Duration;

use crate::address::{AddressFamily, OUTSIDE};

/// First source port of every pod: below what the kernel gives out by itself (`ip_local_port_range`
/// begins at 32768), since another connection of the pod could have one of those.
pub(super) const SOURCE_PORTS: u16 = 20_000;
/// A connection that has not come about by then counts as refused.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The ports of a load, from the first of its ten.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoadPorts(pub(super) u16);

impl LoadPorts {
    pub(super) const fn echo(self) -> u16 {
        self.0
    }
    pub(super) const fn drive(self) -> u16 {
        self.0 + 1
    }
    pub(super) const fn udp(self) -> u16 {
        self.0 + 2
    }
    pub(super) const fn probe(self) -> u16 {
        self.0 + 3
    }
}

/// What a load consists of.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// Names the load in reports and at the oracle.
    pub name: String,
    /// The pods that it comes from.
    pub pods: Vec<String>,
    /// Over which families.
    pub families: Vec<AddressFamily>,
    /// TCP connections per pod and family; half speak, half are driven.
    pub connections: u16,
    /// Pause between the operations of one connection.
    pub every: Duration,
    /// Whether there is a UDP stream per pod and family, with an echo.
    pub udp: bool,
    /// Whether every pod and family opens a new connection every `probe`.
    pub probe: Option<Duration>,
    /// Where every stream ends by itself.
    pub limit: Duration,
}

impl LoadPlan {
    /// Forty connections from two pods, ten operations a second each, UDP, a new connection every
    /// 100 ms; ten minutes at most.
    #[must_use]
    pub fn new(name: &str, pods: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            pods: pods.iter().map(|pod| (*pod).to_owned()).collect(),
            families: AddressFamily::BOTH.to_vec(),
            connections: 10,
            every: Duration::from_millis(50),
            udp: true,
            probe: None,
            limit: Duration::from_secs(600),
        }
    }

    /// The connections per pod and family.
    #[must_use]
    pub fn connections(mut self, count: u16) -> Self {
        self.connections = count;
        self
    }

    /// The pause between operations.
    #[must_use]
    pub fn every(mut self, pause: Duration) -> Self {
        self.every = pause;
        self
    }

    /// A new connection every so often (a port block takes about ports / 60 a second for good).
    #[must_use]
    pub fn probe(mut self, pause: Duration) -> Self {
        self.probe = Some(pause);
        self
    }

    /// Only these families.
    #[must_use]
    pub fn families(mut self, families: &[AddressFamily]) -> Self {
        self.families = families.to_vec();
        self
    }
}

/// Where the outside server listens.
pub(super) fn server_address(family: AddressFamily, port: u16) -> SocketAddr {
    SocketAddr::new(family.pick(OUTSIDE), port)
}
