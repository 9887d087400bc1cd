use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};
use egret_netns::NetworkNamespace;

use crate::address::{self, POD_RANGES, ROUTER, SERVICE_RANGES};
use crate::cloud::gce::{self, VpcHost};
use crate::cloud::{Host, Site, Zone};
use crate::machine::NodeMachine;
use crate::network::LabNetwork;
use crate::pod::{LabPod, PodOptions};
use crate::process::Daemon;
use crate::role::LabNodeRole;
use crate::wire::Mac;

/// How many pods a node has room for; twice as many fit into an octet.
pub(crate) const PODS: u8 = 120;

/// A node: what it keeps when its power is off, and its machine while it is on.
#[derive(Debug)]
pub struct LabNode {
    /// Such as `gateway-1`.
    pub name: String,
    /// From 1, over all nodes: decides every address.
    pub number: u8,
    /// Gateway or only director.
    pub role: LabNodeRole,
    /// Where it is.
    pub site: Site,
    pub(crate) mac: Mac,
    pub(crate) second: Option<(Mac, Zone)>,
    pub(crate) machine: Option<NodeMachine>,
    pub(crate) agent: Option<Daemon>,
    pub(crate) pods: Vec<LabPod>,
    pub(crate) next_pod: u8,
    /// Not there when the store is made.
    pub(crate) late: bool,
    /// Known by its addresses on a private network.
    pub(crate) private: bool,
    /// Kubernetes knew its IPv6 address alone when its agent's pod began.
    pub(crate) ipv4_comes: bool,
    pub(crate) state: PathBuf,
    pub(crate) log: PathBuf,
}

/// The nodes' link to the private network.
pub const PRIVATE_LINK: &str = "eth1";
/// Its MTU in bytes.
pub const PRIVATE_MTU: u32 = 1400;

impl LabNode {
    pub(crate) fn new(
        name: String,
        number: u8,
        at: (LabNodeRole, Site),
        dir: &Path,
    ) -> Result<Self> {
        let (role, site) = at;
        let state = dir.join("state").join(&name);
        std::fs::create_dir_all(&state)?;
        let log = dir.join("logs").join(format!("{name}.log"));
        let (machine, agent, pods) = (None, None, Vec::new());
        let (next_pod, mac, second) = (0, address::node_mac(number), None);
        let (late, private, ipv4_comes) = (false, false, false);
        Ok(Self {
            name,
            number,
            role,
            site,
            mac,
            second,
            machine,
            agent,
            pods,
            next_pod,
            late,
            private,
            ipv4_comes,
            state,
            log,
        })
    }

    /// The node as an instance that EC2 is to have.
    pub(crate) fn host(&self) -> Option<Host> {
        let Site::Ec2(zone) = self.site else { return None };
        let gateway = self.role == LabNodeRole::Gateway;
        Some(Host { name: self.name.clone(), number: self.number, zone, gateway })
    }

    /// The same for Compute Engine.
    pub(crate) fn vpc_host(&self) -> Option<VpcHost> {
        let Site::Gce(zone) = self.site else { return None };
        let gateway = self.role == LabNodeRole::Gateway;
        Some(VpcHost { name: self.name.clone(), number: self.number, zone, gateway })
    }

    /// Its addresses on the LAN, IPv4 and IPv6.
    #[must_use]
    pub fn addresses(&self) -> [IpAddr; 2] {
        address::node(self.number)
    }

    /// What its Node object lists: both on the LAN or the private network, an IPv4 address in a cloud.
    #[must_use]
    pub fn internal_addresses(&self) -> Vec<IpAddr> {
        if self.private {
            return address::private_node(self.number).into();
        }
        self.site.addresses(self.number)
    }

    /// The hardware address of its uplink.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The switch port that it is plugged into.
    #[must_use]
    pub fn port(&self) -> String {
        format!("p-{}", self.name)
    }

    /// Whether its power is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.machine.is_some()
    }

    /// Its agent's process, while it has one.
    #[must_use]
    pub fn agent(&self) -> Option<&Daemon> {
        self.agent.as_ref()
    }

    /// The pods that run on it.
    #[must_use]
    pub fn pods(&self) -> &[LabPod] {
        &self.pods
    }

    pub(crate) fn machine(&self) -> Result<&NodeMachine> {
        self.machine.as_ref().with_context(|| format!("{} is powered off", self.name))
    }

    /// The network namespace.
    ///
    /// # Errors
    /// While the node is off.
    pub fn net(&self) -> Result<&NetworkNamespace> {
        Ok(&self.machine()?.net)
    }

    /// A command that will run on the node, in its network and mount namespace.
    ///
    /// # Errors
    /// While the node is off.
    pub fn command(&self, program: &str) -> Result<Command> {
        Ok(self.machine()?.command(program))
    }

    /// Runs a shell line on the node; returns what it printed.
    ///
    /// # Errors
    /// While the node is off, and where the line fails, with what it printed.
    pub fn shell(&self, line: &str) -> Result<String> {
        self.machine()?.shell(line)
    }

    /// Runs a shell line on the node; returns how it ended.
    ///
    /// # Errors
    /// While the node is off.
    pub fn output(&self, line: &str) -> Result<Output> {
        let mut command = self.machine()?.command("sh");
        Ok(command.args(["-c", line]).stdin(Stdio::null()).output()?)
    }

    /// Boots the machine and plugs it in: addresses, routes, forwarding, the CNI's masquerading.
    pub(crate) fn boot(&mut self, network: &LabNetwork, store: &Path, nodes: u8) -> Result<()> {
        let machine = NodeMachine::boot(&self.name, store, &self.state)?;
        prepare(&machine.net, self.number);
        let (name, mac) = (self.name.as_str(), self.mac());
        // No routes to other nodes' pods in a cloud: it carries only what has an instance's address.
        match self.site {
            Site::Lan => {
                network.plug_in(name, mac, &machine.net);
                machine.net.batch(&addressing(self.number));
                machine.net.batch(&self.routes(nodes));
            }
            Site::Ec2(zone) => {
                crate::cloud::plug_in(network, zone, (name, mac), &machine.net);
                machine.net.batch(&crate::cloud::addressing(zone, self.number));
                if let Some(second) = self.second {
                    crate::cloud::plug_second(network, second, name, &machine.net);
                }
            }
            Site::Gce(_) => {
                network.plug_isolated("br0", (name, mac), &machine.net);
                machine.net.batch(&gce::addressing(self.number));
            }
        }
        if self.private {
            plug_private(network, name, self.number, &machine.net);
        }
        machine.net.nft(&masquerading());
        self.machine = Some(machine);
        Ok(())
    }

    pub(crate) fn routes(&self, nodes: u8) -> String {
        let mut lines = String::new();
        for other in (1..=nodes).filter(|other| *other != self.number) {
            let [pods4, pods6] = address::pod_cidrs(other);
            let [via4, via6] = address::node(other);
            let _ = write!(lines, "route add {pods4} via {via4}\nroute add {pods6} via {via6}\n");
        }
        lines
    }

    /// Starts a pod: its namespace, its link, its routes. (Host routes to /32 and /128, a
    /// link-local next hop with a permanent neighbour entry: what Calico and the clouds' CNIs do.)
    pub(crate) fn add_pod(&mut self, spec: &PodOptions, index: u8) -> Result<()> {
        let pod = PreparedPod::new(self, spec, index)?;
        pod.link_up(self)?;
        self.pods.push(pod.pod);
        Ok(())
    }

    /// The next index whose address no living pod has.
    pub(crate) fn free_pod(&self) -> u8 {
        let taken = |index: &u8| {
            let addresses = address::pod(self.number, *index);
            self.pods.iter().any(|pod| pod.addresses == addresses)
        };
        let mut turn = (0..PODS).map(|step| (self.next_pod + step) % PODS);
        turn.find(|index| !taken(index)).unwrap_or(self.next_pod)
    }

    pub(crate) fn remove_pod(&mut self, name: &str) -> Result<()> {
        let at = self.pods.iter().position(|pod| pod.spec.name == name);
        let pod = self.pods.remove(at.with_context(|| format!("no pod {name} on {}", self.name))?);
        let device = host_device(&pod.addresses[0]);
        drop(pod);
        // The kernel removes the device with the namespace, but later, on a worker of its own.
        let _ = self.machine()?.net.output(&format!("ip link del {device}"));
        Ok(())
    }
}

/// A pod before its link comes up.
struct PreparedPod {
    pod: LabPod,
    device: String,
}

impl PreparedPod {
    fn new(node: &LabNode, spec: &PodOptions, index: u8) -> Result<Self> {
        node.machine()?;
        let net = NetworkNamespace::new(&spec.name.chars().take(20).collect::<String>());
        net.sysctl("net/ipv6/conf/all/accept_dad", "0");
        net.sysctl("net/ipv6/conf/default/accept_dad", "0");
        let addresses = address::pod(node.number, index);
        let device = host_device(&addresses[0]);
        Ok(Self { pod: LabPod { spec: spec.clone(), addresses, net }, device })
    }

    fn link_up(&self, node: &LabNode) -> Result<()> {
        let [v4, v6] = self.pod.addresses;
        let (device, host) = (&self.device, &node.machine()?.net);
        host.batch(&format!(
            "link add {device} address 02:e6:ff:ff:ff:fe type veth peer name eth0 netns {pod}\n\
             link set {device} up\nroute add {v4}/32 dev {device}\nroute add {v6}/128 dev {device}\n",
            pod = self.pod.net.name()
        ));
        self.pod.net.batch(&format!(
            "addr add {v4}/32 dev eth0\naddr add {v6}/128 dev eth0 nodad\nlink set eth0 up\n\
             neigh replace 169.254.1.1 lladdr 02:e6:ff:ff:ff:fe dev eth0 nud permanent\n\
             neigh replace fe80::1 lladdr 02:e6:ff:ff:ff:fe dev eth0 nud permanent\n\
             route add 169.254.1.1 dev eth0 scope link\n\
             route add default via 169.254.1.1 dev eth0\n\
             route add ::/0 via fe80::1 dev eth0\n"
        ));
        Ok(())
    }
}

fn host_device(v4: &IpAddr) -> String {
    let text = v4.to_string();
    format!("pod{}", text.rsplit('.').next().unwrap_or_default())
}

/// Lines of `ip -batch` that give node `number` its addresses and its way out.
#[must_use]
pub fn addressing(number: u8) -> String {
    let ([v4, v6], [via4, via6]) = (address::node(number), ROUTER);
    format!(
        "addr add {v4}/24 dev eth0\naddr add {v6}/64 dev eth0 nodad\nlink set eth0 up\n\
         route add default via {via4}\nroute add ::/0 via {via6}\n"
    )
}

/// The same for the private network: another MTU, and no way to the world.
fn private_addressing(number: u8) -> String {
    let [v4, v6] = address::private_node(number);
    format!(
        "addr add {v4}/24 dev {PRIVATE_LINK}\naddr add {v6}/64 dev {PRIVATE_LINK} nodad\n\
         link set {PRIVATE_LINK} mtu {PRIVATE_MTU} up\n"
    )
}

pub(crate) fn plug_private(network: &LabNetwork, name: &str, number: u8, net: &NetworkNamespace) {
    network.plug_private(name, PRIVATE_LINK, net);
    net.batch(&private_addressing(number));
}

/// Sets what a distribution sets on node `number`, before it has a link.
pub fn prepare(net: &NetworkNamespace, number: u8) {
    // Distributions differ (Debian and Ubuntu 2, RHEL 1): odd nodes are strict, even ones loose.
    let filter = if number % 2 == 1 { "1" } else { "2" };
    for scope in ["all", "default"] {
        net.sysctl(&format!("net/ipv4/conf/{scope}/rp_filter"), filter);
        net.sysctl(&format!("net/ipv6/conf/{scope}/accept_dad"), "0");
        net.sysctl(&format!("net/ipv6/conf/{scope}/forwarding"), "1");
    }
    net.sysctl("net/ipv4/ip_forward", "1");
}

/// The masquerading of an ordinary CNI, in a table of its own.
#[must_use]
pub fn masquerading() -> String {
    let [pods4, pods6] = POD_RANGES;
    let [services4, services6] = SERVICE_RANGES;
    format!(
        "table inet lab-cni {{
  chain post {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {pods4} ip daddr != {{ {pods4}, {services4} }} oifname \"eth0\" masquerade
    ip6 saddr {pods6} ip6 daddr != {{ {pods6}, {services6} }} oifname \"eth0\" masquerade
  }}
}}\n"
    )
}
