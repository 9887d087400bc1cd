//! Traffic with sequence numbers, and what became of it.
//!
//! A load is one port range of the outside server and connections from several pods, all of them
//! from the *same source ports*, over both families: half of the TCP connections speak from the
//! pod and wait for an echo, half are driven by the outside server while the pod only
//! acknowledges. That is the load that ordinary SNAT loses when its gateway dies; one pod that
//! speaks first survives by luck.
//!
//! State: threads inside the namespaces, one per pod and one outside, each of which alone writes
//! its series. Always: bounded by [`LoadPlan`]; dropping a load ends its threads and connections.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::runtime::Builder;
use tokio::sync::watch;

mod client;
mod oneway;
mod ping;
mod plan;
mod raw;
mod report;
mod series;
mod server;
mod udp;

pub use oneway::{OneWay, forged_frame};
pub use ping::Ping;
pub use plan::LoadPlan;
pub use raw::{RawShape, inject, knock, seen_by, source_seen};
pub use report::{LoadReport, LostConnection, TrafficTally};
pub use series::{LoadSeries, Sample, TrafficKind};

use crate::clock::wait_until;
use crate::oracle::{Expect, Sources};
use crate::test_bed::TestBed;
use plan::{LoadPorts, PATIENCE};
use series::LoadRecord;

/// A load that runs.
#[derive(Debug)]
pub struct Load {
    plan: LoadPlan,
    ports: LoadPorts,
    record: Arc<LoadRecord>,
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
        lab: &mut impl TestBed,
        plan: LoadPlan,
        oracle: Option<(&Sources, &[std::net::IpAddr])>,
    ) -> Result<Self> {
        let ports = LoadPorts(lab.network_mut().reserve_ports());
        if let Some((oracle, allowed)) = oracle {
            oracle.expect(Expect {
                name: plan.name.clone(),
                destinations: Vec::new(),
                ports: Some((ports.0, ports.0 + 9)),
                allowed: allowed.to_vec(),
            });
        }
        let record = Arc::new(LoadRecord::default());
        let (stop, stopped) = watch::channel(false);
        let mut load = Self { plan, ports, record, stop, threads: Vec::new() };
        load.start_server(lab, &stopped)?;
        load.start_clients(lab, &stopped)?;
        load.await_connections()?;
        Ok(load)
    }

    fn start_server(&mut self, lab: &impl TestBed, stopped: &watch::Receiver<bool>) -> Result<()> {
        let (record, ports, plan) = (self.record.clone(), self.ports, self.plan.clone());
        let (ready, up) = std::sync::mpsc::channel();
        let stopped = stopped.clone();
        self.threads.push(inside(lab.network().out.path(), stopped, async move {
            let bound = server::run(&record, ports, &plan).await;
            let _ = ready.send(bound.map_err(|error| error.to_string()));
            std::future::pending::<()>().await;
        }));
        up.recv()?.map_err(|error| anyhow::anyhow!("the outside server: {error}"))
    }

    fn start_clients(&mut self, lab: &impl TestBed, stopped: &watch::Receiver<bool>) -> Result<()> {
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
    pub fn report(&self, since: crate::WallTime) -> LoadReport {
        report::report(&self.record, since, crate::WallTime::now())
    }

    /// The datagrams that have had no answer up to now: series and sequence number.
    #[must_use]
    pub fn unanswered(&self) -> BTreeSet<(usize, u64)> {
        self.record.unanswered()
    }

    /// Every series up to now, for pictures.
    #[must_use]
    pub fn series(&self) -> Vec<LoadSeries> {
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
