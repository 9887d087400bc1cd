//! The four namespaces.

use std::net::IpAddr;

use egret_core::node_config::SteeringConfig;
use egret_netns::{NetworkNamespace, veth};

use super::addresses::{BRIDGE, EGRESS, MTU, NEVER, NODE, OTHER, PEER, POD, ROUTER, SERVER};
use super::load::Server;
use super::oracle::Oracle;
use super::{Factory, Names};
use crate::steering::{Applied, Steering, SteeringDrop, SteeringWatcher};

/// Dropped in this order: first what runs inside, then the namespaces.
pub(super) struct SteeringFixture<F: Factory> {
    /// What left by the director's own uplink.
    pub(super) leaked: Oracle,
    /// What entered the tunnel.
    pub(super) tunnel: Oracle,
    servers: Vec<Server>,
    steering: F::Steering,
    pub(super) names: Names,
    pub(super) pod: NetworkNamespace,
    pub(super) director: NetworkNamespace,
    pub(super) outside: NetworkNamespace,
    pub(super) gateway: NetworkNamespace,
}

impl<F: Factory> SteeringFixture<F> {
    pub(super) fn new(factory: &F) -> Self {
        let names = factory.names();
        let (pod, director) = (NetworkNamespace::new("pod"), NetworkNamespace::new("director"));
        let (outside, gateway) =
            (NetworkNamespace::new("outside"), NetworkNamespace::new("gateway"));
        // Before there are devices: while a link-local address is tentative (1 to 2 s), a router
        // solicits no neighbour.
        for namespace in [&pod, &director, &outside, &gateway] {
            namespace.sysctl("net/ipv6/conf/all/accept_dad", "0");
            namespace.sysctl("net/ipv6/conf/default/accept_dad", "0");
        }
        veth(&director, "pod0", &pod, "eth0");
        veth(&director, "eth0", &outside, "eth0");
        veth(&director, &names.device, &gateway, "tun");
        ip(&pod, &pod_lines());
        ip(&outside, &outside_lines());
        ip(&gateway, &gateway_lines());
        // The larger of `all` and the device's own wins: 1 everywhere, 2 on the tunnel.
        director.sysctl("net/ipv4/conf/all/rp_filter", "1");
        // As wg-quick sets it: the strict check then looks sources up with the mark.
        director.sysctl("net/ipv4/conf/all/src_valid_mark", "1");
        for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            director.sysctl(key, "1");
        }
        ip(&director, &director_lines(&names));
        director.sysctl(&format!("net/ipv4/conf/{}/rp_filter", names.device), "2");
        director.nft(CNI);
        let steering = {
            let _inside = director.enter();
            factory.steering(MTU)
        };
        let servers = [&outside, &gateway].map(|namespace| {
            SERVER.each().into_iter().chain(NEVER.each()).map(|ip| Server::start(namespace, ip))
        });
        Self {
            leaked: Oracle::start(&outside),
            tunnel: Oracle::start(&gateway),
            servers: servers.into_iter().flatten().collect(),
            steering,
            names,
            pod,
            director,
            outside,
            gateway,
        }
    }

    /// One more server.
    pub(super) fn serve(&mut self, namespace: fn(&Self) -> &NetworkNamespace, address: IpAddr) {
        let server = Server::start(namespace(self), address);
        self.servers.push(server);
    }

    pub(super) fn apply(&mut self, config: &SteeringConfig) -> Applied {
        let _inside = self.director.enter();
        self.steering.apply(config).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) fn set_packet_mark(&mut self, mark: u32) {
        self.steering.set_packet_mark(mark);
    }

    pub(super) fn set_proxy(&mut self, is_there: bool) {
        self.steering.set_proxy(is_there);
    }

    pub(super) fn verify(&mut self, config: &SteeringConfig) -> bool {
        let _inside = self.director.enter();
        self.steering.verify(config).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) fn watch(&self) -> Box<dyn SteeringWatcher> {
        let _inside = self.director.enter();
        self.steering.watch().unwrap_or_else(|error| panic!("{error}"))
    }

    /// First packets of selected connections so far.
    pub(super) fn selected(&mut self) -> u64 {
        let _inside = self.director.enter();
        self.steering.counters().selected().unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) fn teardown(&mut self) {
        let _inside = self.director.enter();
        self.steering.teardown().unwrap_or_else(|error| panic!("{error}"));
    }

    /// How often a reason has dropped.
    pub(super) fn dropped(&mut self, reason: SteeringDrop) -> u64 {
        let _inside = self.director.enter();
        let drops = self.steering.counters().drops().unwrap_or_else(|error| panic!("{error}"));
        *drops.get(&reason).unwrap_or_else(|| panic!("{reason:?} is not counted: {drops:?}"))
    }

    /// Waits until what the pod has sent has come out of the director and was recorded: an
    /// unselected packet sent now was seen on the uplink, and then one that the gateway sent.
    pub(super) fn settle(&self) {
        self.settle_uplink();
        for (from, to) in SERVER.each().into_iter().zip(EGRESS.each()) {
            super::load::marker(&self.gateway, from, to, &self.tunnel);
        }
    }

    /// The same for the uplink alone, while there is no tunnel.
    pub(super) fn settle_uplink(&self) {
        for (from, to) in OTHER.each().into_iter().zip(SERVER.each()) {
            super::load::marker(&self.pod, from, to, &self.leaked);
        }
    }
}

/// Runs lines of `ip` arguments, those that begin with `-6` for that family: a batch takes no
/// options.
pub(super) fn ip(namespace: &NetworkNamespace, lines: &str) {
    let (six, rest): (Vec<&str>, Vec<&str>) = lines.lines().partition(|l| l.starts_with("-6 "));
    let rest: Vec<&str> = rest.into_iter().map(|l| l.strip_prefix("-4 ").unwrap_or(l)).collect();
    namespace.batch(&(rest.join("\n") + "\n"));
    for line in six {
        namespace.run(&format!("ip {line}"));
    }
}

fn pod_lines() -> String {
    format!(
        "addr add {}/24 dev eth0\naddr add {}/24 dev eth0\n\
         addr add {}/64 dev eth0 nodad\naddr add {}/64 dev eth0 nodad\n\
         route add default via {}\n-6 route add default via {}\n",
        POD.v4, OTHER.v4, POD.v6, OTHER.v6, BRIDGE.v4, BRIDGE.v6
    )
}

fn director_lines(names: &Names) -> String {
    let Names { device, packet_mark: mark, route_table: table, rule_priority: priority, .. } =
        names;
    let mut lines = format!(
        "addr add {}/24 dev pod0\naddr add {}/64 dev pod0 nodad\n\
         addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\n\
         route add default via {}\n-6 route add default via {}\n\
         link set {device} address 02:00:00:00:00:01 arp off addrgenmode none mtu {MTU}\n\
         addr add 169.254.54.80/32 dev {device}\n",
        BRIDGE.v4, BRIDGE.v6, NODE.v4, NODE.v6, ROUTER.v4, ROUTER.v6
    );
    lines += &throws(*table);
    for family in ["-4", "-6"] {
        lines += &format!(
            "{family} rule add fwmark {mark:#x} table {table} priority {priority}\n\
             {family} route add unreachable default metric 4000000000 table {table}\n\
             {family} route add default dev {device} table {table}\n"
        );
    }
    lines
}

/// Without them `src_valid_mark` makes the strict `rp_filter` drop what pods send.
pub(super) fn throws(table: u32) -> String {
    format!(
        "-4 route add throw 10.244.0.0/16 table {table}\n\
         -6 route add throw fd00:244::/48 table {table}\n"
    )
}

fn outside_lines() -> String {
    let mut lines = format!(
        "addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\n\
         addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\n\
         route add 10.244.0.0/16 via {}\n-6 route add fd00:244::/48 via {}\n",
        ROUTER.v4, ROUTER.v6, PEER.v4, PEER.v6, NODE.v4, NODE.v6
    );
    lines += &server_lines();
    lines
}

/// `arp off` sends every frame to the device's own MAC address: both ends have the same.
fn gateway_lines() -> String {
    let mut lines = format!(
        "link set tun address 02:00:00:00:00:01 arp off addrgenmode none mtu {MTU}\n\
         route add {} dev tun\n-6 route add {} dev tun\n",
        EGRESS.v4, EGRESS.v6
    );
    lines += &server_lines();
    lines
}

fn server_lines() -> String {
    [SERVER, NEVER]
        .map(|server| {
            format!("addr add {}/32 dev lo\naddr add {}/128 dev lo nodad\n", server.v4, server.v6)
        })
        .concat()
}

/// What a CNI does: pods leave with the node's address, and may be reached from outside.
const CNI: &str = "table inet cni {
    chain post {
        type nat hook postrouting priority 100; policy accept;
        ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 oifname eth0 masquerade
        ip6 saddr fd00:244::/48 ip6 daddr != fd00:244::/48 oifname eth0 masquerade
    }
}
";
