//! Traffic with sequence numbers, and what became of it.
//!
//! A load is one port range of the outside server and connections from several pods, all of them
//! from the *same source ports*, over both families: half of the TCP connections speak from the
//! pod and wait for an echo, half are driven by the outside server while the pod only
//! acknowledges. That is the load that ordinary SNAT loses when its gateway dies; one pod that
//! speaks first survives by luck.
//!
//! State: threads inside the namespaces, one per pod and one outside, each of which alone writes
//! its series. Always: bounded by [`Plan`]; dropping a load ends its threads and connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::runtime::Builder;
use tokio::sync::watch;

mod client;
mod oneway;
mod ping;
mod raw;
mod report;
mod series;
mod server;
mod udp;

pub use oneway::{OneWay, forged_frame};
pub use ping::Ping;
pub use raw::{Shape, inject, seen_by, source_seen};
pub use report::{LoadReport, Lost, Tally};
pub use series::{Kind, Sample, Series};

use crate::address::{Family, OUTSIDE};
use crate::clock::wait_until;
use crate::ground::Ground;
use crate::oracle::{Expect, Sources};
use series::Record;

/// First source port of every pod.
const SOURCE_PORTS: u16 = 40_000;
/// A connection that has not come about by then counts as refused.
const PATIENCE: Duration = Duration::from_secs(10);

/// The ports of a load, from the first of its ten.
#[derive(Clone, Copy, Debug)]
struct Ports(u16);

impl Ports {
    const fn echo(self) -> u16 {
        self.0
    }
    const fn drive(self) -> u16 {
        self.0 + 1
    }
    const fn udp(self) -> u16 {
        self.0 + 2
    }
    const fn probe(self) -> u16 {
        self.0 + 3
    }
}

/// What a load consists of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Names the load in reports and at the oracle.
    pub name: String,
    /// The pods that it comes from.
    pub pods: Vec<String>,
    /// Over which families.
    pub families: Vec<Family>,
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

impl Plan {
    /// Forty connections from two pods, ten operations a second each, UDP, a new connection every
    /// 100 ms; ten minutes at most.
    #[must_use]
    pub fn new(name: &str, pods: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            pods: pods.iter().map(|pod| (*pod).to_owned()).collect(),
            families: Family::BOTH.to_vec(),
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
    pub fn families(mut self, families: &[Family]) -> Self {
        self.families = families.to_vec();
        self
    }
}

/// A load that runs.
#[derive(Debug)]
pub struct Load {
    plan: Plan,
    ports: Ports,
    record: Arc<Record>,
    stop: watch::Sender<bool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    /// Starts a load and waits until every connection is there. Where `oracle` is given, the load
    /// is announced to it first, with the sources that it may have.
    ///
    /// # Errors
    /// Where a pod does not run, or a connection does not come about within 15 s.
    pub fn start(
        lab: &mut impl Ground,
        plan: Plan,
        oracle: Option<(&Sources, &[std::net::IpAddr])>,
    ) -> Result<Self> {
        let ports = Ports(lab.around_mut().reserve_ports());
        if let Some((oracle, allowed)) = oracle {
            oracle.expect(Expect {
                name: plan.name.clone(),
                destinations: Vec::new(),
                ports: Some((ports.0, ports.0 + 9)),
                allowed: allowed.to_vec(),
            });
        }
        let record = Arc::new(Record::default());
        let (stop, stopped) = watch::channel(false);
        let mut load = Self { plan, ports, record, stop, threads: Vec::new() };
        load.start_server(lab, &stopped)?;
        load.start_clients(lab, &stopped)?;
        load.await_connections()?;
        Ok(load)
    }

    fn start_server(&mut self, lab: &impl Ground, stopped: &watch::Receiver<bool>) -> Result<()> {
        let (record, ports, plan) = (self.record.clone(), self.ports, self.plan.clone());
        let (ready, up) = std::sync::mpsc::channel();
        let stopped = stopped.clone();
        self.threads.push(inside(lab.around().out.path(), stopped, async move {
            let bound = server::run(&record, ports, &plan).await;
            let _ = ready.send(bound.map_err(|error| error.to_string()));
            std::future::pending::<()>().await;
        }));
        up.recv()?.map_err(|error| anyhow::anyhow!("the outside server: {error}"))
    }

    fn start_clients(&mut self, lab: &impl Ground, stopped: &watch::Receiver<bool>) -> Result<()> {
        for name in &self.plan.pods {
            let pod = lab.pod_net(name)?;
            let (record, ports, plan) = (self.record.clone(), self.ports, self.plan.clone());
            let (name, addresses) = (name.clone(), pod.addresses);
            self.threads.push(inside(pod.path, stopped.clone(), async move {
                client::run(&record, ports, &plan, &name, addresses).await;
                std::future::pending::<()>().await;
            }));
        }
        Ok(())
    }

    fn await_connections(&self) -> Result<()> {
        let wanted = self.plan.pods.len()
            * self.plan.families.len()
            * (usize::from(self.plan.connections) + usize::from(self.plan.udp));
        let limit = PATIENCE + Duration::from_secs(5);
        let counted = wait_until("every connection of the load", limit, || {
            let (settled, failed) = self.record.settled();
            (settled + failed >= wanted).then_some(failed)
        });
        let (settled, failed) = self.record.settled();
        ensure!(
            matches!(counted, Ok(0)),
            "load {}: {settled} of {wanted} connections came about, {failed} failed: {}",
            self.plan.name,
            self.record.first_failure().unwrap_or_else(|| "no answer".to_owned())
        );
        Ok(())
    }

    /// What was measured since `since` up to now.
    #[must_use]
    pub fn report(&self, since: crate::Stamp) -> LoadReport {
        report::report(&self.record, since, crate::Stamp::now())
    }

    /// Every series up to now, for pictures.
    #[must_use]
    pub fn series(&self) -> Vec<Series> {
        self.record.snapshot()
    }

    /// The first of the load's ten ports outside.
    #[must_use]
    pub fn first_port(&self) -> u16 {
        self.ports.0
    }

    /// The name that it was announced to the oracle under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plan.name
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A thread inside a namespace that drives `work` until `stopped` is true. The sockets are made on
/// that thread and so belong to the namespace.
fn inside(
    path: String,
    mut stopped: watch::Receiver<bool>,
    work: impl Future<Output = ()> + Send + 'static,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let _inside = egret_netns::enter(&path);
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async move {
            tokio::select! {
                () = work => {}
                _ = stopped.wait_for(|stop| *stop) => {}
            }
        });
        runtime.shutdown_background();
    })
}

fn server_address(family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(family.pick(OUTSIDE), port)
}
