use std::path::PathBuf;

use anyhow::{Context, Result};
use egret_lab::cloud::Cloud;
use egret_lab::{Ground, Journal, PodNet, Stamp, Surroundings};

use super::Cluster;

impl Ground for Cluster {
    const LOST: &'static str = "The API server is stopped";
    const FOUND: &'static str = "The API server is back";

    fn around(&self) -> &Surroundings {
        &self.around
    }

    fn around_mut(&mut self) -> &mut Surroundings {
        &mut self.around
    }

    /// A pod that [`Cluster::add_pods`] has started.
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
    fn journal(&self) -> &Journal {
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

    fn cloud(&self) -> Result<&Cloud> {
        self.cloud.as_ref().context("this cluster has no cloud: ClusterOptions::cloud")
    }

    fn cut_power(&mut self, name: &str) -> Result<Stamp> {
        self.power_off(name)
    }

    fn boot_again(&mut self, name: &str) -> Result<()> {
        self.boot(name)
    }

    fn tell(&self, arguments: &[&str]) -> Result<String> {
        self.egret(arguments)
    }

    fn lose_store(&mut self) -> Result<Stamp> {
        Ok(self.stop_api())
    }

    fn find_store(&mut self) -> Result<()> {
        self.start_api()
    }
}
