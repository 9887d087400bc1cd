//! A worker: containerd, kubelet and kube-proxy on a machine of namespaces.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use egret_lab::address::{self, POD_RANGES};
use egret_lab::cloud::{self, LabInstance};
use egret_lab::{Daemon, LabNetwork, LabNodeRole, addressing, masquerading, prepare, wait_until};
use egret_netns::NetworkNamespace;

use crate::api_server::tail;
use crate::cgroup::Cgroup;
use crate::image_store::ImageStore;
use crate::kubectl::succeeded;
use crate::machine::WorkerMachine;
use crate::options::{Network, Proxy};

mod config;

/// What a worker shares with the others.
#[derive(Clone, Debug)]
pub(crate) struct WorkerSettings {
    pub(crate) network: Network,
    pub(crate) proxy: Proxy,
    pub(crate) dns: bool,
    /// Every worker's own IPv4 address, by its number.
    pub(crate) addresses: Vec<IpAddr>,
    /// The cluster's directory; its name is the cluster's control group.
    pub(crate) dir: PathBuf,
    /// The certificate authority and the kubeconfigs `NAME.kubeconfig`.
    pub(crate) server: PathBuf,
}

/// A worker: what it keeps when its power is off, and its machine while it is on.
#[derive(Debug)]
pub struct Worker {
    /// Such as `gateway-1`.
    pub name: String,
    /// From 1, over all workers: decides every address.
    pub number: u8,
    /// Labelled `egret.dev/gateway=true`, or not.
    pub role: LabNodeRole,
    /// What it is in the cloud, where there is one.
    pub instance: Option<LabInstance>,
    settings: WorkerSettings,
    dir: PathBuf,
    // Dropped in this order: what runs on the machine is reaped after the machine has killed it.
    machine: Option<WorkerMachine>,
    daemons: Vec<(&'static str, Daemon)>,
}

impl Worker {
    pub(crate) fn new(
        name: String,
        number: u8,
        (role, instance): (LabNodeRole, Option<LabInstance>),
        settings: WorkerSettings,
    ) -> Result<Self> {
        let dir = settings.dir.join(&name);
        std::fs::create_dir_all(&dir)?;
        Ok(Self { name, number, role, instance, settings, dir, machine: None, daemons: Vec::new() })
    }

    /// Its addresses on the LAN, IPv4 and IPv6.
    #[must_use]
    pub fn addresses(&self) -> [IpAddr; 2] {
        address::node(self.number)
    }

    /// What its Node lists: both on the LAN, an IPv4 address in a cloud.
    #[must_use]
    pub fn internal_addresses(&self) -> Vec<IpAddr> {
        match &self.instance {
            None => self.addresses().to_vec(),
            Some(instance) => vec![instance.zone.node(self.number)],
        }
    }

    /// The hardware address of its uplink.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.instance.as_ref().map_or(address::node_mac(self.number), |instance| instance.mac)
    }

    /// Whether its power is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.machine.is_some()
    }

    /// Its directory: images, logs of its pods in `log`, its own logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn machine(&self) -> Result<&WorkerMachine> {
        self.machine.as_ref().with_context(|| format!("{} is powered off", self.name))
    }

    /// The network namespace.
    ///
    /// # Errors
    /// While the worker is off.
    pub fn net(&self) -> Result<&NetworkNamespace> {
        Ok(&self.machine()?.net)
    }

    /// A command that will run on the worker, in its network and mount namespace.
    ///
    /// # Errors
    /// While the worker is off.
    pub fn command(&self, program: &str) -> Result<Command> {
        Ok(self.machine()?.command(program))
    }

    /// Runs a shell line on the worker; returns how it ended.
    ///
    /// # Errors
    /// While the worker is off.
    pub fn output(&self, line: &str) -> Result<Output> {
        let mut command = self.command("sh")?;
        Ok(command.args(["-c", line]).stdin(Stdio::null()).output()?)
    }

    /// Runs a shell line on the worker, which has to succeed; returns what it printed.
    ///
    /// # Errors
    /// While the worker is off, and where the line fails, with what it printed.
    pub fn shell(&self, line: &str) -> Result<String> {
        succeeded(&self.name, &[line], &self.output(line)?)
    }

    /// The process `containerd`, `kubelet` or `kube-proxy`, to send it signals.
    ///
    /// # Errors
    /// While the worker is off.
    pub fn daemon(&self, name: &str) -> Result<&Daemon> {
        let found = self.daemons.iter().find(|(program, _)| *program == name);
        let found = found.with_context(|| format!("no {name} runs on {}", self.name))?;
        Ok(&found.1)
    }

    /// Imports an image from an archive (`docker save`'s or OCI's).
    ///
    /// # Errors
    /// Where containerd refuses it.
    pub fn import(&self, archive: &Path) -> Result<()> {
        let socket = self.dir.join("containerd.sock");
        let line =
            format!("ctr -a '{}' -n k8s.io image import '{}'", socket.display(), archive.display());
        self.shell(&line).map(drop)
    }

    /// Its containerd has these images from the start.
    pub(crate) fn begin_with(&self, images: &ImageStore) -> Result<()> {
        images.copy_to(&self.dir.join("containerd"))
    }

    /// Boots the machine, its network and containerd.
    pub(crate) fn boot(&mut self, network: &LabNetwork) -> Result<()> {
        // What lies in /run on a real machine does not survive either.
        let _ = std::fs::remove_dir_all(self.dir.join("state"));
        let cgroup = Cgroup::new(&self.settings.name(), &self.name);
        let config = config::WorkerConfig {
            number: self.number,
            dir: &self.dir,
            cgroup: &cgroup,
            network: self.settings.network,
            dns: self.settings.dns,
            ca: &self.settings.server.join("ca.crt"),
        };
        config.write()?;
        let machine = WorkerMachine::boot(&self.name, &self.dir, cgroup)?;
        prepare(&machine.net, self.number);
        let addressing = match &self.instance {
            None => {
                network.plug_in(&self.name, self.mac(), &machine.net);
                addressing(self.number)
            }
            Some(instance) => {
                let node = (self.name.as_str(), self.mac());
                cloud::plug_in(network, instance.zone, node, &machine.net);
                cloud::addressing(instance.zone, self.number)
            }
        };
        machine.net.batch(&(addressing + &self.routes()?));
        match self.settings.network {
            Network::Bridge => machine.net.nft(&masquerading()),
            Network::Overlay => {
                for other in self.others() {
                    let (mac, to) = (overlay_mac(other), self.settings.address(other)?);
                    machine.net.run(&format!("bridge fdb append {mac} dev overlay dst {to}"));
                }
                masquerade_with_iptables(&machine.net);
            }
        }
        self.machine = Some(machine);
        let config = self.dir.join("containerd.toml").display().to_string();
        let log = self.start("containerd", Path::new("containerd"), &["-c", &config])?;
        let socket = self.dir.join("containerd.sock");
        wait_until("containerd", Duration::from_secs(20), || UnixStream::connect(&socket).ok())
            .with_context(|| tail(&log))?;
        Ok(())
    }

    /// Starts the kubelet and kube-proxy.
    pub(crate) fn join(&mut self) -> Result<()> {
        let own: Vec<_> = self.internal_addresses().iter().map(IpAddr::to_string).collect();
        let dir = self.dir.display();
        let kubeconfig = |name: &str| {
            let path = self.settings.server.join(format!("{name}.kubeconfig"));
            format!("--kubeconfig={}", path.display())
        };
        let name = format!("--hostname-override={}", self.name);
        let kubelet = [
            format!("--config={dir}/kubelet.yaml"),
            kubeconfig(&self.name),
            format!("--root-dir={dir}/kubelet"),
            format!("--cert-dir={dir}/pki"),
            name.clone(),
            format!("--node-ip={}", own.join(",")),
        ];
        let proxy = [
            kubeconfig("kube-proxy"),
            name,
            format!("--proxy-mode={}", self.settings.proxy.name()),
            format!("--cluster-cidr={}", POD_RANGES.join(",")),
            // The limit of connections is the kernel's, not a namespace's.
            "--conntrack-max-per-core=0".to_owned(),
        ];
        for (program, arguments) in [("kubelet", &kubelet[..]), ("kube-proxy", &proxy[..])] {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            self.start(program, &crate::binary(program)?, &arguments)?;
        }
        Ok(())
    }

    /// Kills everything at once. The caller has cut the link.
    pub(crate) fn kill(&mut self) {
        self.machine = None;
        self.daemons.clear();
    }

    fn start(&mut self, name: &'static str, program: &Path, arguments: &[&str]) -> Result<PathBuf> {
        let log = self.dir.join(format!("{name}.log"));
        let mut command = self.machine()?.command(program);
        command.args(arguments);
        self.daemons.push((name, Daemon::start(command, &log)?));
        Ok(log)
    }

    fn others(&self) -> impl Iterator<Item = u8> {
        let own = self.number;
        (1..).zip(&self.settings.addresses).map(|(number, _)| number).filter(move |n| *n != own)
    }

    /// Lines of `ip -batch` that lead to every other worker's pods.
    fn routes(&self) -> Result<String> {
        let mut lines = String::new();
        match self.settings.network {
            Network::Bridge => {
                for other in self.others() {
                    let [pods4, pods6] = address::pod_cidrs(other);
                    let [via4, via6] = address::node(other);
                    let _ = write!(
                        lines,
                        "route add {pods4} via {via4}\nroute add {pods6} via {via6}\n"
                    );
                }
            }
            Network::Overlay => {
                let own = self.settings.address(self.number)?;
                let [first4, first6] = overlay(self.number);
                let mac = overlay_mac(self.number);
                let _ = write!(
                    lines,
                    "link add overlay address {mac} mtu 1450 type vxlan id 1 dstport 8472 \
                     local {own} dev eth0 nolearning\n\
                     addr add {first4}/32 dev overlay\naddr add {first6}/128 dev overlay nodad\n\
                     link set overlay up\n"
                );
                for other in self.others() {
                    let ([pods4, pods6], mac) = (address::pod_cidrs(other), overlay_mac(other));
                    let [via4, via6] = overlay(other);
                    let _ = write!(
                        lines,
                        "neigh add {via4} lladdr {mac} dev overlay nud permanent\n\
                         neigh add {via6} lladdr {mac} dev overlay nud permanent\n\
                         route add {pods4} via {via4} dev overlay onlink\n\
                         route add {pods6} via {via6} dev overlay onlink\n"
                    );
                }
            }
        }
        Ok(lines)
    }
}

impl WorkerSettings {
    /// The IPv4 address of a worker.
    fn address(&self, number: u8) -> Result<IpAddr> {
        let found = self.addresses.get(usize::from(number).wrapping_sub(1));
        found.copied().with_context(|| format!("no worker has the number {number}"))
    }

    /// The name of the cluster's directory and control group.
    pub(crate) fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Worker `number`'s own addresses in the overlay: the first of its pods' ranges, which no pod has.
fn overlay(number: u8) -> [String; 2] {
    address::pod_cidrs(number).map(|range| range.split('/').next().unwrap_or_default().to_owned())
}

fn overlay_mac(number: u8) -> String {
    address::mac_text([0x02, 0xe6, 0, 0, 2, number])
}

/// As network daemons of overlays do it: by iptables, all that leaves the pods' network.
fn masquerade_with_iptables(net: &NetworkNamespace) {
    for (program, pods) in ["iptables", "ip6tables"].into_iter().zip(POD_RANGES) {
        net.run(&format!(
            "{program} -w -t nat -A POSTROUTING -s {pods} ! -d {pods} ! -o overlay -j MASQUERADE \
             --random-fully"
        ));
    }
}
