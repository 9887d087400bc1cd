use anyhow::{Context, Result};
use egret_lab::{Ground, Journal, PodNet, Surroundings};

use super::Cluster;

impl Ground for Cluster {
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

    /// Empty also where the API server cannot be asked.
    fn objects(&self, kind: &str) -> Vec<serde_json::Value> {
        let listed = self.kubectl().get(&[&format!("{kind}.egret.dev"), "--all-namespaces"]);
        match listed {
            Ok(mut list) => list["items"].as_array_mut().map(std::mem::take).unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }
}
