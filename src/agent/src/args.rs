use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use egret_core::model::{NodeName, address_or_subnet};
use egret_datapath::HostSettings;
use egret_datapath::constants::BadSetting;
use ipnet::IpNet;

use crate::endpoint_flags::{EndpointFlags, EndpointSource, of_node};

/// Addresses in one text; none where it is empty, as a variable may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeAddresses(pub Vec<IpAddr>);

/// Options of the agent.
#[derive(Clone, Debug, Args)]
pub struct AgentArgs {
    /// This node's name; the host's name by default.
    #[arg(long, value_name = "NAME", env = "EGRET_NODE")]
    pub node: Option<String>,
    /// A link to the world that addresses may be carried on. May be repeated; by default every link
    /// with a default route, in whichever routing table, those that `--next-hop` names, and those by
    /// which a cloud delivers. Every other Ethernet link with a route out is guarded all the same: what
    /// a selected pod would send there with its own address is dropped (counter `bypassed`).
    #[arg(long, value_name = "LINK")]
    pub uplink: Vec<String>,
    /// The router by which addresses carried on a link leave, such as eth1=10.0.1.1. May be
    /// repeated; of several for one link the first in a subnet of that node's link counts. By
    /// default the main routing table decides where it has a default route out of the link; else
    /// the gateway of a default route in another table, or the one that all other routes out of
    /// the link name; else, in a cloud, the first address of the IPv4 subnet; else the routing
    /// tables, which drop what they know no way for. No route is added to the host.
    #[arg(long, value_name = "LINK=ADDRESS", value_parser = next_hop)]
    pub next_hop: Vec<(String, IpAddr)>,
    /// Underlay address of the tunnel and of messages between agents, one per family; or a subnet, such as
    /// 10.1.0.0/16, the same on every node: then this node's address in it, and the one that its link gets
    /// in its place. By default those of `--node-address`; else the first of the first uplink.
    #[arg(long, value_name = "ADDRESS|SUBNET", value_parser = address_or_subnet)]
    pub endpoint: Vec<IpNet>,
    /// The same for one node alone, such as worker-7=10.9.0.0/24; goes before `--endpoint`, and the annotation
    /// egret.dev/tunnel-endpoint of its Node before both. May be repeated. Where the node has no such address the
    /// tunnel ends where it would without this flag, and the agent says so.
    #[arg(long, value_name = "NODE=ADDRESS|SUBNET", value_parser = of_node)]
    pub endpoint_of: Vec<(NodeName, IpNet)>,
    /// Where the tunnel ends while nothing of the above says so. By default as InternalIP.
    #[arg(long, value_enum, env = "EGRET_ENDPOINTS_FROM")]
    pub endpoints_from: Option<EndpointSource>,
    /// The addresses by which Kubernetes knows this node, separated by commas: the tunnel ends at the link
    /// that has one. Those that no link has are left out.
    #[arg(long, value_name = "ADDRESSES", env = "EGRET_NODE_ADDRESSES", value_parser = addresses)]
    pub node_address: Option<NodeAddresses>,
    /// Where state lies that a restart keeps and a reboot loses.
    #[arg(long, value_name = "DIR", default_value = "/run/egret")]
    pub run_dir: PathBuf,
    /// Where the node's key and its guard lie; survives a reboot. The path is the same on the host.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/egret")]
    pub state_dir: PathBuf,
    /// Where the BPF file system is mounted.
    #[arg(long, value_name = "DIR", env = "EGRET_BPFFS", default_value = "/sys/fs/bpf")]
    pub bpffs: PathBuf,
    /// The socket of the host's system bus, where systemd says whether the host is being shut down.
    /// Then everything is handed over as by `egret drain`; where nobody answers there, an agent that is
    /// told to stop is taken to come back.
    #[arg(long, value_name = "FILE", default_value = "/run/dbus/system_bus_socket")]
    pub system_bus: PathBuf,
    /// UDP port of the tunnel; the same on every node.
    #[arg(long, value_name = "PORT", default_value_t = HostSettings::default().tunnel_port)]
    pub tunnel_port: u16,
    /// UDP port of messages between agents; the same on every node.
    #[arg(long, value_name = "PORT", default_value_t = HostSettings::default().peers_port)]
    pub peers_port: u16,
    /// The bit of the connection's mark (ct mark) that says it is steered. The mark that its packets carry
    /// into the tunnel each node chooses by itself.
    #[arg(long, value_name = "BIT", default_value = "0x1000", value_parser = bit)]
    pub mark: u32,
    /// Number of Egret's routing table.
    #[arg(long, value_name = "NUMBER", default_value_t = HostSettings::default().route_table)]
    pub route_table: u32,
    /// Priority of Egret's policy rule.
    #[arg(long, value_name = "NUMBER", default_value_t = HostSettings::default().rule_priority)]
    pub rule_priority: u32,
    /// Listen here to the chained CNI plugin, which tells a pod's addresses before its containers
    /// start. The path is the same on the host.
    #[arg(long, value_name = "FILE")]
    pub cni_socket: Option<PathBuf>,
    /// Install that plugin in this folder of the host (/opt/cni/bin on most).
    #[arg(long, value_name = "DIR", requires_all = ["cni_conf_dir", "cni_socket"])]
    pub cni_bin_dir: Option<PathBuf>,
    /// Chain it to the CNI configuration in this folder of the host (/etc/cni/net.d on most).
    #[arg(long, value_name = "DIR", requires = "cni_bin_dir")]
    pub cni_conf_dir: Option<PathBuf>,
    /// Leave the plugin's file when Egret is uninstalled: for CRI-O, which calls for the end of a
    /// pod what it called for its begin.
    #[arg(long, requires = "cni_bin_dir")]
    pub cni_keep_plugin: bool,
    /// No pod starts on this node where the plugin cannot load the guard that the agent keeps in
    /// `--state-dir` and that holds pods off after a boot until the agent runs.
    #[arg(long, requires = "cni_bin_dir")]
    pub cni_fail_closed: bool,
    /// Take that plugin off this host instead of installing it, and run without it.
    #[arg(long, requires = "cni_bin_dir")]
    pub cni_remove: bool,
}

impl AgentArgs {
    /// The name of this node: small letters and no space around it, as the kubelet registers a host
    /// whose name has capitals (GetHostname, kubernetes pkg/util/node).
    #[must_use]
    pub fn node(&self) -> NodeName {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        NodeName::new(self.node.clone().unwrap_or_else(host).trim().to_lowercase())
    }

    /// What the flags say of the end of the tunnel.
    pub(crate) fn endpoints(&self) -> EndpointFlags {
        let NodeAddresses(known_by) = self.node_address.clone().unwrap_or_default();
        let me = self.node();
        let own = self.endpoint_of.iter().filter(|(node, _)| *node == me).map(|(_, net)| *net);
        let (all, from) = (self.endpoint.clone(), self.endpoints_from);
        EndpointFlags { all, own: own.collect(), known_by, learnt: BTreeSet::new(), from }
    }

    /// What Egret calls and numbers its own things on this host.
    ///
    /// # Errors
    /// The first flag that cannot work, with the remedy.
    pub(crate) fn settings(&self) -> Result<HostSettings, BadSetting> {
        let settings = HostSettings {
            tunnel_port: self.tunnel_port,
            peers_port: self.peers_port,
            mark: self.mark,
            route_table: self.route_table,
            rule_priority: self.rule_priority,
            ..HostSettings::default()
        };
        settings.validate().map(|()| settings)
    }
}

fn next_hop(text: &str) -> Result<(String, IpAddr), String> {
    let (link, address) = text
        .split_once('=')
        .filter(|(link, _)| !link.is_empty())
        .ok_or("use LINK=ADDRESS, such as eth1=10.0.1.1")?;
    let address: IpAddr =
        address.parse().map_err(|_| format!("{address} is no IP address, such as 10.0.1.1"))?;
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
        return Err(format!("{address} is the address of no router"));
    }
    Ok((link.to_owned(), address))
}

fn addresses(text: &str) -> Result<NodeAddresses, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let parse =
        |part: &str| part.parse().map_err(|_| format!("{part} is no IP address, such as 10.1.0.5"));
    parts.map(parse).collect::<Result<_, _>>().map(NodeAddresses)
}

fn bit(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    match parsed {
        Ok(bit) if bit.is_power_of_two() => Ok(bit),
        _ => Err("use exactly one bit, such as 0x1000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    fn parse(line: &[&str]) -> AgentArgs {
        let command = AgentArgs::augment_args(clap::Command::new("agent"));
        AgentArgs::from_arg_matches(&command.try_get_matches_from(line).unwrap()).unwrap()
    }

    #[test]
    fn a_node_has_the_name_that_the_kubelet_would_register() {
        for given in ["node-1.example", "Node-1.EXAMPLE", " node-1.example\n"] {
            assert_eq!(parse(&["agent", "--node", given]).node().as_str(), "node-1.example");
        }
        let host = parse(&["agent"]).node();
        assert_eq!(host.as_str(), host.as_str().to_lowercase());
    }

    #[test]
    fn next_hops_are_taken_in_their_order() {
        let args = parse(&["agent", "--next-hop=eth1=10.0.1.1", "--next-hop", "eth1=10.0.2.1"]);
        let routers = ["10.0.1.1", "10.0.2.1"].map(|router| router.parse().unwrap());
        assert_eq!(args.next_hop, routers.map(|router| ("eth1".to_owned(), router)));
    }

    #[test]
    fn endpoints_are_addresses_or_subnets_or_what_kubernetes_says() {
        let flags = |line: &[&str]| parse(line).endpoints();
        let given = flags(&["agent", "--endpoint=10.1.0.5", "--node-address=10.2.0.5,fd00::5"]);
        assert_eq!(given.all, ["10.1.0.5/32".parse().unwrap()]);
        assert_eq!(
            given.known_by,
            ["10.2.0.5", "fd00::5"].map(|text| text.parse::<IpAddr>().unwrap())
        );
        let own = flags(&[
            "agent",
            "--node=worker-7",
            "--endpoint-of=worker-7=10.9.0.0/24",
            "--endpoint-of=worker-8=10.9.1.0/24",
            "--endpoints-from=Cluster",
        ]);
        assert_eq!(own.own, ["10.9.0.0/24".parse().unwrap()]);
        assert_eq!(own.from, Some(EndpointSource::Cluster));
        assert!(flags(&["agent", "--node-address="]).known_by.is_empty());
        assert_eq!(
            addresses(" 10.2.0.5, "),
            Ok(NodeAddresses(["10.2.0.5".parse().unwrap()].into()))
        );
        assert!(addresses("10.2.0.5,eth0").unwrap_err().starts_with("eth0 "));
        let both = address_or_subnet("10.1.0.5/16").unwrap_err();
        assert!(both.contains("10.1.0.5 ") && both.ends_with("10.1.0.0/16"), "{both}");
        assert!(address_or_subnet("eth0").unwrap_err().contains("neither"));
    }

    #[test]
    fn a_next_hop_names_a_link_and_the_address_of_a_router() {
        assert_eq!(next_hop("eth1=fe80::1"), Ok(("eth1".to_owned(), "fe80::1".parse().unwrap())));
        for text in
            ["10.0.1.1", "=10.0.1.1", "eth1=", "eth1=10.0.1.1/24", "eth1=0.0.0.0", "eth1=::1"]
        {
            assert!(next_hop(text).is_err(), "{text}");
        }
    }
}
