//! A whole cluster: control plane, workers, pods, and the laboratory's surroundings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use egret_lab::cloud::LabCloud;
use egret_lab::{LabJournal, LabNetwork, PodNet, wait_until};
use egret_netns::NetworkNamespace;
use tempfile::TempDir;

use crate::api_server::ApiServer;
use crate::image_store::ImageStore;
use crate::kubectl::{Kubectl, succeeded};
use crate::options::{ClusterOptions, Network};
use crate::worker::{Worker, WorkerSettings};
use crate::{image, leftovers};

mod cloud;
mod control;
mod egret;
mod measure;
mod pods;
mod test_bed;

use control::ControlPlane;
pub use egret::{NAMESPACE, egret_image};
pub use pods::POD_PATIENCE;

/// A cluster that is up. Dropping it removes all of it.
///
/// The workers have the names and addresses of the laboratory's nodes, the router and the outside
/// are the laboratory's; the control plane is a host of its own on the LAN, and no node. In a cloud
/// it is another instance, and EC2's API is there.
#[derive(Debug)]
pub struct TestCluster {
    // First to go: its router must not take the end of the control plane's host for a fault.
    cloud: Option<LabCloud>,
    workers: Vec<Worker>,
    control: ControlPlane,
    network: LabNetwork,
    journal: LabJournal,
    pods: BTreeMap<String, PodNet>,
    dir: TempDir,
}

impl TestCluster {
    /// Brings a cluster up: returns when every worker is Ready and pods can be created.
    ///
    /// # Errors
    /// Without root, a tool or a binary, and where something does not come up, with its log.
    pub fn up(options: &ClusterOptions) -> Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "a cluster is made of namespaces: run it as root (sudo)"
        );
        leftovers::cleanup()?;
        ensure!(
            options.cloud.is_none() || options.network == Network::Overlay,
            "a VPC carries no addresses of pods: choose the network Overlay"
        );
        let dir = leftovers::directory()?;
        let network = match &options.cloud {
            None => LabNetwork::plug(),
            Some(region) => LabNetwork::plug_vpc(region.outside),
        };
        let names = options.names();
        // Declared before the cloud, whose router must end first, also where the rest fails.
        let host = Arc::new(control::boot());
        let cloud = options.cloud.as_ref().map(|region| {
            let hosts = cloud::hosts(region, &names);
            let log = dir.path().join("ec2.log");
            LabCloud::start(region, (&host, &network), &hosts, &log)
        });
        let cloud = cloud.transpose()?;
        let address = control::plug(&network, &host, cloud.as_ref())?;
        let boxed = dir.path().join("box.tar");
        image::write_box(&boxed)?;
        let images = [&[boxed], &options.images[..]].concat();
        let (control, images) = std::thread::scope(|scope| {
            let images = scope.spawn(|| ImageStore::import(&dir.path().join("images"), &images));
            let control = ControlPlane::start(Arc::clone(&host), address, &names);
            (control, images.join())
        });
        let control = control?;
        let images = images.map_err(|_| anyhow!("the thread of the images panicked"))??;
        let mut cluster = Self {
            cloud,
            workers: Vec::new(),
            control,
            network,
            journal: LabJournal::of_containers(dir.path().to_owned()),
            pods: BTreeMap::new(),
            dir,
        };
        cluster.make_workers(options, &images)?;
        cluster.wait_ready()?;
        Ok(cluster)
    }

    fn make_workers(&mut self, options: &ClusterOptions, images: &ImageStore) -> Result<()> {
        let settings = WorkerSettings {
            network: options.network,
            proxy: options.proxy,
            dns: options.dns,
            addresses: cloud::addresses(options.cloud.as_ref(), &options.names()),
            dir: self.dir.path().to_owned(),
            server: self.control.server.dir().to_owned(),
        };
        let mut nodes = String::new();
        for (number, (name, role)) in (1..).zip(options.names()) {
            let instance = self.cloud.as_ref().map(|cloud| cloud.instance(&name).cloned());
            let instance = instance.transpose()?;
            nodes += &control::node(&name, number, role, instance.as_ref());
            self.control.server.kubeconfig_of(&name, &control::token(&name))?;
            self.workers.push(Worker::new(name, number, (role, instance), settings.clone())?);
        }
        self.control.server.kubectl().apply(&nodes)?;
        let network = &self.network;
        all(self.workers.iter_mut(), |worker| {
            worker.begin_with(images)?;
            worker.boot(network)?;
            worker.join()
        })
    }

    /// Waits until every worker that is on is Ready, and namespaces have their ServiceAccount.
    ///
    /// # Errors
    /// Where that takes longer than a minute, with the kubelets' last words.
    pub fn wait_ready(&self) -> Result<()> {
        let on: Vec<_> = self.workers.iter().filter(|worker| worker.is_on()).collect();
        let mut arguments = vec!["wait", "--for=condition=Ready", "--timeout=180s"];
        let nodes: Vec<_> = on.iter().map(|worker| format!("node/{}", worker.name)).collect();
        arguments.extend(nodes.iter().map(String::as_str));
        let waited = self.kubectl().ask(&arguments);
        waited.with_context(|| {
            let logs = on.iter().map(|w| crate::api_server::tail(&w.dir().join("kubelet.log")));
            logs.collect::<Vec<_>>().join("\n")
        })?;
        wait_until("the ServiceAccount default", Duration::from_secs(20), || {
            self.kubectl().ask(&["get", "serviceaccount", "default"]).ok()
        })?;
        Ok(())
    }

    /// `kubectl` as `system:masters`, from the control plane's host.
    #[must_use]
    pub fn kubectl(&self) -> &Kubectl {
        self.control.server.kubectl()
    }

    /// The API server: to stop, freeze and restart it, and for other users' kubeconfigs.
    pub fn server(&mut self) -> &mut ApiServer {
        &mut self.control.server
    }

    /// Where the control plane runs.
    #[must_use]
    pub fn control_net(&self) -> &NetworkNamespace {
        &self.control.net
    }

    /// A command on the control plane's host, in the repository's directory, with `KUBECONFIG`.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = self.kubectl().command(program);
        for (name, folder) in [
            ("HELM_CACHE_HOME", "cache"),
            ("HELM_CONFIG_HOME", "config"),
            ("HELM_DATA_HOME", "data"),
        ] {
            command.env(name, self.dir.path().join("helm").join(folder));
        }
        command.current_dir(crate::repository());
        command
    }

    /// Runs `helm` in the repository's directory, which has to succeed; returns what it printed.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(&crate::binary("helm")?).args(arguments).output()?;
        succeeded("helm", arguments, &output)
    }

    /// Gives an image to every worker that is on, from an archive.
    ///
    /// # Errors
    /// Where a containerd refuses it.
    pub fn import_image(&mut self, archive: &Path) -> Result<()> {
        let on = self.workers.iter_mut().filter(|worker| worker.is_on());
        all(on, |worker| worker.import(archive))
    }

    /// Every worker, gateways first.
    #[must_use]
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// A worker by its name.
    ///
    /// # Errors
    /// Where the cluster has none of that name.
    pub fn worker(&self, name: &str) -> Result<&Worker> {
        let found = self.workers.iter().find(|worker| worker.name == name);
        found.with_context(|| format!("no worker {name}"))
    }

    /// The directory that holds the workers' logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Copies all logs into the directory that the environment variable `EGRET_LAB_KEEP` names,
    /// where it names one; returns where they are.
    pub fn keep(&self) -> Option<PathBuf> {
        let keep = PathBuf::from(std::env::var_os("EGRET_LAB_KEEP")?);
        let mut kept = None;
        for dir in [self.dir.path(), self.control.server.dir()] {
            let to = keep.join(dir.file_name()?);
            // Images and etcd's data are large, and nobody reads them.
            let script = "mkdir -p \"$2\" && cd \"$1\" && find . -name '*.log' -size -64M \
                          -not -path '*/containerd/*' -exec cp --parents -t \"$2\" {} +";
            let copied = Command::new("sh").args(["-c", script, "sh"]).arg(dir).arg(&to).status();
            if copied.is_ok_and(|status| status.success()) {
                kept.get_or_insert(to);
            }
        }
        kept
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        self.workers.clear();
        let name = self.dir.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let _ = crate::cgroup::remove(&name);
    }
}

/// Does something to several workers at once; the first error counts.
fn all<'a>(
    workers: impl Iterator<Item = &'a mut Worker>,
    work: impl Fn(&mut Worker) -> Result<()> + Sync,
) -> Result<()> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .map(|worker| {
                let name = worker.name.clone();
                (name, scope.spawn(move || work(worker)))
            })
            .collect();
        for (name, thread) in threads {
            let outcome = thread.join().map_err(|_| anyhow!("the thread of {name} panicked"))?;
            outcome.with_context(|| name)?;
        }
        Ok(())
    })
}
