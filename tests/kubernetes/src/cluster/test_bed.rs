use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::checks::PATIENCE;
use egret_lab::cloud::LabCloud;
use egret_lab::{LabJournal, LabNetwork, PodNet, TestBed, WallTime};
use nix::sys::signal::Signal;

use super::{NAMESPACE, TestCluster};
use crate::kubectl::succeeded;

impl TestBed for TestCluster {
    const STOPPED: &'static str = "The API server is stopped";
    const STARTED: &'static str = "The API server is back";
    /// Its agent is a pod, which the kubelet has to start.
    const BOOT_LIMIT: Duration = Duration::from_secs(60);

    fn network(&self) -> &LabNetwork {
        &self.network
    }

    fn network_mut(&mut self) -> &mut LabNetwork {
        &mut self.network
    }

    /// A pod that [`TestCluster::add_pods`] has started.
    fn pod_net(&self, name: &str) -> Result<PodNet> {
        self.pods.get(name).cloned().with_context(|| format!("no pod {name}"))
    }

    fn names(&self) -> Vec<String> {
        self.workers.iter().map(|worker| worker.name.clone()).collect()
    }

    fn mac_of(&self, name: &str) -> Option<[u8; 6]> {
        self.worker(name).ok().map(super::Worker::mac)
    }

    /// What the containers of pods have printed; `controller` and nodes' names as in the
    /// laboratory.
    fn journal(&self) -> &LabJournal {
        &self.journal
    }

    fn objects(&self, kind: &str) -> Result<Vec<serde_json::Value>> {
        let mut list = self.kubectl().get(&[&format!("{kind}.egret.dev"), "--all-namespaces"])?;
        list["items"].as_array_mut().map(std::mem::take).context("kubectl get gives a list")
    }

    fn keep(&self) -> Option<PathBuf> {
        Self::keep(self)
    }

    fn diagnose(&self) -> Vec<String> {
        let mut lines = self.describe();
        let Ok(egret) = egret_lab::binary(None) else { return lines };
        for worker in self.workers.iter().filter(|worker| worker.is_on()) {
            let said = worker.output(&format!("'{}' explain --live", egret.display()));
            let text = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            let text = text.unwrap_or_default();
            lines.extend(text.lines().take(20).map(|line| format!("{} {line}", worker.name)));
        }
        lines
    }

    fn cloud(&self) -> Result<&LabCloud> {
        self.cloud.as_ref().context("this cluster has no cloud: ClusterOptions::cloud")
    }

    fn power_off(&mut self, node: &str) -> Result<WallTime> {
        self.worker(node)?.net()?;
        let at = WallTime::now();
        self.network.lan.run(&format!("ip link set p-{node} down"));
        for worker in self.workers.iter_mut().filter(|worker| worker.name == node) {
            worker.kill();
        }
        let _ = self.network.lan.output(&format!("ip link del p-{node}"));
        Ok(at)
    }

    /// Returns when its kubelet has been started.
    fn boot(&mut self, node: &str) -> Result<()> {
        ensure!(!self.worker(node)?.is_on(), "{node} is on");
        for worker in self.workers.iter_mut().filter(|worker| worker.name == node) {
            worker.boot(&self.network)?;
            worker.join()?;
        }
        Ok(())
    }

    fn kill_agent(&mut self, node: &str) -> Result<WallTime> {
        self.signal_agent(node, Signal::SIGKILL)
    }

    /// The kubelet does it.
    fn start_agent(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    fn await_agent(&self, node: &str, since: WallTime) -> Result<()> {
        self.journal.wait("agent_started", since, PATIENCE, |entry| entry.from == node)?;
        self.await_egret()
    }

    fn freeze_agent(&self, node: &str) -> Result<WallTime> {
        self.signal_agent(node, Signal::SIGSTOP)
    }

    fn thaw_agent(&self, node: &str) -> Result<WallTime> {
        self.signal_agent(node, Signal::SIGCONT)
    }

    fn apply_claim(&self, _: &str, manifest: &str) -> Result<()> {
        self.kubectl().apply(manifest).map(drop)
    }

    fn delete_claim(&self, name: &str) -> Result<()> {
        let delete = ["delete", "seip", "-n", "payments", name, "--wait=true"];
        self.kubectl().ask(&delete).map(drop)
    }

    /// As a power-off: etcd's data stay.
    fn cut_store(&mut self) -> Result<WallTime> {
        let at = WallTime::now();
        self.control.server.stop();
        Ok(at)
    }

    fn restore_store(&mut self) -> Result<()> {
        self.control.server.resume()?;
        // With several of them they elect a leader, who ends when the API server is gone for 10 s.
        // One that goes on instead watches again after up to a minute only.
        self.control.restart_components()
    }

    fn cut_from_store(&self, node: &str) -> Result<WallTime> {
        self.cut(node, "p-control")
    }

    fn cut_from_nodes(&self, node: &str) -> Result<WallTime> {
        self.cut(node, "p-*")
    }

    fn reconnect(&self, node: &str) -> Result<()> {
        let line = format!("nft delete table bridge cut-{node}");
        succeeded("lan", &[&line], &self.network.lan.output(&line)).map(drop)
    }

    /// Controllers end without the API server.
    fn stop_control_plane(&mut self) -> Result<()> {
        self.cut_store().map(drop)
    }

    fn start_control_plane(&mut self) -> Result<()> {
        self.restore_store()
    }

    fn await_nodes(&self) -> Result<()> {
        self.wait_ready()
    }

    fn await_egret(&self) -> Result<()> {
        Self::await_egret(self)
    }

    fn run_egret(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(&egret_lab::binary(None)?);
        let output = command.args(arguments).stdin(Stdio::null()).output()?;
        succeeded("egret", arguments, &output)
    }
}

impl TestCluster {
    fn signal_agent(&self, node: &str, signal: Signal) -> Result<WallTime> {
        self.signal(NAMESPACE, &self.agent_pod(node)?, "agent", signal)
    }

    /// Cuts a worker off from the switch's ports that `peers` names; the router and the watching host
    /// still reach it. Returns the moment.
    fn cut(&self, name: &str, peers: &str) -> Result<WallTime> {
        self.worker(name)?;
        let at = WallTime::now();
        self.network.lan.nft(&format!(
            "table bridge cut-{name} {{ chain forward {{ type filter hook forward priority 0;
  iifname \"p-{name}\" oifname \"{peers}\" drop
  iifname \"{peers}\" oifname \"p-{name}\" drop
}}
}}\n"
        ));
        Ok(at)
    }
}
