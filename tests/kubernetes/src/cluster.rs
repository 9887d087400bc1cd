//! A whole cluster: control plane, workers, pods, and the laboratory's surroundings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use egret_lab::cloud::{Cloud, Region};
use egret_lab::{Daemon, Journal, PodNet, Role, Stamp, Surroundings, wait_until};
use egret_netns::Namespace;
use tempfile::TempDir;

use crate::api_server::{ApiServer, ApiServerOptions, Place};
use crate::kubectl::{Kubectl, succeeded};
use crate::worker::{Common, Worker};
use crate::{image, leftovers};

mod cloud;
mod control;
mod egret;
mod faults;
mod ground;
mod measure;
mod pods;

pub use egret::{NAMESPACE, egret_image};

/// How pods of different workers reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The CNI plugin `bridge`, routes over the LAN, masquerading by nftables.
    #[default]
    Bridge,
    /// The CNI plugin `ptp`, a VXLAN with static entries, masquerading by iptables.
    Overlay,
}

/// How kube-proxy works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// By nftables.
    #[default]
    Nftables,
    /// By iptables.
    Iptables,
}

impl Proxy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

/// What a cluster will consist of.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// How many workers are labelled `egret.dev/gateway=true` (`gateway-1` …).
    pub gateways: u8,
    /// How many are not (`director-1` …).
    pub directors: u8,
    /// How pods of different workers reach each other.
    pub network: Network,
    /// How kube-proxy works.
    pub proxy: Proxy,
    /// Archives of images that every worker has besides [`crate::BOX`].
    pub images: Vec<PathBuf>,
    /// A cloud in the LAN's place, which needs [`Network::Overlay`]: a VPC carries no addresses of
    /// pods.
    pub cloud: Option<Region>,
}

impl Default for ClusterOptions {
    /// Three gateways and two directors, as the laboratory has them.
    fn default() -> Self {
        Self {
            gateways: 3,
            directors: 2,
            network: Network::default(),
            proxy: Proxy::default(),
            images: Vec::new(),
            cloud: None,
        }
    }
}

/// A cluster that is up. Dropping it removes all of it.
///
/// The workers have the names and addresses of the laboratory's nodes, the router and the outside
/// are the laboratory's; the control plane is a host of its own on the LAN, and no node. In a cloud
/// it is another instance, and EC2's API is there.
#[derive(Debug)]
pub struct Cluster {
    // First to go: its router must not take the end of the control plane's host for a fault.
    cloud: Option<Cloud>,
    workers: Vec<Worker>,
    control: Vec<Daemon>,
    server: ApiServer,
    around: Surroundings,
    /// Where the control plane runs.
    pub control_net: Namespace,
    journal: Journal,
    pods: BTreeMap<String, PodNet>,
    images: Vec<PathBuf>,
    dir: TempDir,
}

impl Cluster {
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
        let around = match &options.cloud {
            None => Surroundings::plug(),
            Some(region) => Surroundings::plug_vpc(region.outside),
        };
        let control_net = control::boot();
        let cloud = options.cloud.as_ref().map(|region| {
            let hosts = cloud::hosts(region, &names(options));
            let log = dir.path().join("ec2.log");
            Cloud::start(region, (&control_net, &around), &hosts, &log)
        });
        let cloud = cloud.transpose()?;
        let address = control::plug(&around, &control_net, cloud.as_ref())?;
        let server = ApiServer::start_with(ApiServerOptions {
            place: Place::Namespace { path: control_net.path(), address },
            users: control::users(&names(options)),
            service_accounts: true,
            ..ApiServerOptions::default()
        })?;
        let boxed = dir.path().join("box.tar");
        image::write_box(&boxed)?;
        let mut cluster = Self {
            cloud,
            workers: Vec::new(),
            control: Vec::new(),
            server,
            around,
            control_net,
            journal: Journal::of_containers(dir.path().to_owned()),
            pods: BTreeMap::new(),
            images: [&[boxed], &options.images[..]].concat(),
            dir,
        };
        cluster.start_control()?;
        cluster.make_workers(options)?;
        cluster.wait_ready()?;
        Ok(cluster)
    }

    fn make_workers(&mut self, options: &ClusterOptions) -> Result<()> {
        let common = Common {
            network: options.network,
            proxy: options.proxy,
            addresses: cloud::addresses(options.cloud.as_ref(), &names(options)),
            dir: self.dir.path().to_owned(),
            server: self.server.dir().to_owned(),
        };
        let mut nodes = String::new();
        for (number, (name, role)) in (1..).zip(names(options)) {
            let instance = self.cloud.as_ref().map(|cloud| cloud.instance(&name).cloned());
            let instance = instance.transpose()?;
            nodes += &control::node(&name, number, role, instance.as_ref());
            self.server.kubeconfig_of(&name, &control::token(&name))?;
            self.workers.push(Worker::new(name, number, (role, instance), common.clone())?);
        }
        self.server.kubectl().apply(&nodes)?;
        let (around, images) = (&self.around, &self.images);
        all(self.workers.iter_mut(), |worker| {
            worker.boot(around)?;
            images.iter().try_for_each(|image| worker.import(image))?;
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
        self.server.kubectl()
    }

    /// The API server: to stop, freeze and restart it, and for other users' kubeconfigs.
    pub fn server(&mut self) -> &mut ApiServer {
        &mut self.server
    }

    /// Stops the API server: as a power-off, etcd's data stay. Returns the moment.
    pub fn stop_api(&mut self) -> Stamp {
        let at = Stamp::now();
        self.server.stop();
        at
    }

    /// Starts the API server again; returns when it is ready.
    ///
    /// # Errors
    /// Where it is not ready within a minute, or its controllers cannot be started.
    pub fn start_api(&mut self) -> Result<()> {
        self.server.resume()?;
        // With several of them they elect a leader, who ends when the API server is gone for 10 s.
        // One that goes on instead watches again after up to a minute only.
        self.restart_control()
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

    /// Runs a person's `egret` command (the binary under test) on the control plane's host.
    ///
    /// # Errors
    /// Where the binary is missing.
    pub fn egret_command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(&egret_lab::binary(None)?);
        Ok(command.args(arguments).stdin(Stdio::null()).output()?)
    }

    /// The same, and it has to succeed; returns what it printed.
    ///
    /// # Errors
    /// Where it fails, with what it printed.
    pub fn egret(&self, arguments: &[&str]) -> Result<String> {
        succeeded("egret", arguments, &self.egret_command(arguments)?)
    }

    /// Gives an image to every worker that is on, from an archive.
    ///
    /// # Errors
    /// Where a containerd refuses it.
    pub fn import_image(&mut self, archive: &Path) -> Result<()> {
        let on = self.workers.iter_mut().filter(|worker| worker.is_on());
        all(on, |worker| worker.import(archive))?;
        self.images.push(archive.to_owned());
        Ok(())
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
        for dir in [self.dir.path(), self.server.dir()] {
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

impl Drop for Cluster {
    fn drop(&mut self) {
        self.workers.clear();
        let name = self.dir.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let _ = crate::cgroup::remove(&name);
    }
}

/// The workers' names, gateways first.
fn names(options: &ClusterOptions) -> Vec<(String, Role)> {
    let gateways = (1..=options.gateways).map(|n| (format!("gateway-{n}"), Role::Gateway));
    let directors = (1..=options.directors).map(|n| (format!("director-{n}"), Role::Director));
    gateways.chain(directors).collect()
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
