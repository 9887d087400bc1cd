use egret_netns::{NetworkNamespace, veth};

use crate::address::{self, AddressFamily, OUTSIDE_COUNT, ROUTER, WATCH};
use crate::cloud::{Outside, prepare_router};
use crate::wire::Mac;

/// Everything around the nodes: the switch, the router, the outside, and who watches.
#[derive(Debug)]
pub struct LabNetwork {
    /// The switch: bridge `br0`, one port `p-NODE` per node.
    pub lan: NetworkNamespace,
    /// The router between LAN and outside: `lan0`, `out0`.
    pub router: NetworkNamespace,
    /// The outside server.
    pub out: NetworkNamespace,
    /// The third host on the LAN, which asks who has an address.
    pub watch: NetworkNamespace,
    next_port: u16,
}

impl LabNetwork {
    /// Makes the namespaces and plugs them together; the switch has no node yet.
    #[must_use]
    pub fn plug() -> Self {
        let network = Self::bare();
        network.lan.batch("link set w-lan master br0\n");
        network.address_router();
        network.watch.batch(&format!(
            "addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\n",
            WATCH[0], WATCH[1]
        ));
        network
    }

    /// The same with the VPC of a cloud in the LAN's place: a switch `br0`, `br1`, `br2` for each
    /// subnet, whose only way is the router's `lan0`, `lan1`, `lan2`. Nobody watches there: a VPC has
    /// no broadcast.
    #[must_use]
    pub fn plug_vpc(outside: Outside) -> Self {
        let network = Self::bare();
        network.add_switch("br1", "r-lan1", "lan1");
        network.add_switch("br2", "r-lan2", "lan2");
        prepare_router(&network.router, outside);
        network
    }

    /// The same with a VPC of Google: one switch `br0` for the subnetwork of all zones, whose only
    /// way is the router's `lan0`.
    #[must_use]
    pub fn plug_google() -> Self {
        Self::bare()
    }

    /// Namespaces, cables, the outside: everything but the router's addresses on its LANs.
    fn bare() -> Self {
        let network = Self {
            lan: NetworkNamespace::new("lan"),
            router: NetworkNamespace::new("router"),
            out: NetworkNamespace::new("out"),
            watch: NetworkNamespace::new("watch"),
            next_port: 7000,
        };
        for net in [&network.lan, &network.router, &network.out, &network.watch] {
            net.sysctl("net/ipv6/conf/all/accept_dad", "0");
            net.sysctl("net/ipv6/conf/default/accept_dad", "0");
        }
        network.add_switch("br0", "r-lan", "lan0");
        veth(&network.lan, "w-lan", &network.watch, "eth0");
        veth(&network.router, "out0", &network.out, "eth0");
        network.address_outside();
        network
    }

    fn add_switch(&self, bridge: &str, port: &str, device: &str) {
        self.lan.batch(&format!("link add {bridge} type bridge\nlink set {bridge} up\n"));
        veth(&self.lan, port, &self.router, device);
        self.lan.batch(&format!("link set {port} master {bridge}\n"));
    }

    /// Plugs a namespace into the switch, as `p-NAME` there and `eth0` inside, with a hardware
    /// address of its own; returns before anything has an address.
    pub fn plug_in(&self, name: &str, mac: Mac, net: &NetworkNamespace) {
        self.plug_into("br0", name, mac, net);
    }

    /// The same at one switch of several.
    pub(crate) fn plug_into(&self, bridge: &str, name: &str, mac: Mac, net: &NetworkNamespace) {
        let mac = address::mac_text(mac);
        self.lan.batch(&format!(
            "link add p-{name} type veth peer name eth0 address {mac} netns {net}\n\
             link set p-{name} master {bridge} up\n",
            net = net.name()
        ));
    }

    /// The same, and whatever it sends reaches the router alone.
    pub(crate) fn plug_isolated(&self, bridge: &str, node: (&str, Mac), net: &NetworkNamespace) {
        let (name, mac) = node;
        self.plug_into(bridge, name, mac, net);
        self.lan.batch(&format!("link set p-{name} type bridge_slave isolated on\n"));
        // So that checksums are whole on the wire, and a wrong rewrite of one is a packet lost.
        net.run("ethtool -K eth0 tx off");
    }

    /// Plugs in a second interface of a namespace, `eth1` there and `q-NAME` at the switch; it is down,
    /// as one is that appears while the machine runs.
    pub(crate) fn plug_second(&self, bridge: &str, node: (&str, Mac), net: &NetworkNamespace) {
        let (name, mac) = (node.0, address::mac_text(node.1));
        self.lan.batch(&format!(
            "link add q-{name} type veth peer name eth1 address {mac} netns {net}\n\
             link set q-{name} master {bridge} up\n\
             link set q-{name} type bridge_slave isolated on\n",
            net = net.name()
        ));
        net.run("ethtool -K eth1 tx off");
    }

    /// A second switch, which no router is plugged into.
    pub(crate) fn add_private_switch(&self) {
        self.lan.batch("link add br-private type bridge\nlink set br-private up\n");
    }

    /// Plugs a namespace into the second switch, as `v-NAME` there and `device` inside.
    pub(crate) fn plug_private(&self, name: &str, device: &str, net: &NetworkNamespace) {
        self.lan.batch(&format!(
            "link add v-{name} type veth peer name {device} netns {net}\n\
             link set v-{name} master br-private up\n",
            net = net.name()
        ));
    }

    /// Ten ports of the outside server that no other load uses: what arrives there belongs to the
    /// load that asked.
    pub fn reserve_ports(&mut self) -> u16 {
        self.next_port += 10;
        self.next_port - 10
    }

    /// The first of the ports that the next [`LabNetwork::reserve_ports`] will return.
    #[must_use]
    pub fn next_port(&self) -> u16 {
        self.next_port
    }

    /// A router that filters nothing: a packet that leaks with a pod's own address must reach the
    /// outside to be seen there.
    fn address_router(&self) {
        self.router.batch(&format!(
            "addr add {}/24 dev lan0\naddr add {}/64 dev lan0 nodad\n",
            ROUTER[0], ROUTER[1]
        ));
    }

    fn address_outside(&self) {
        for scope in ["all", "default", "lan0", "out0"] {
            self.router.sysctl(&format!("net/ipv4/conf/{scope}/rp_filter"), "0");
        }
        self.router.sysctl("net/ipv4/ip_forward", "1");
        self.router.sysctl("net/ipv6/conf/all/forwarding", "1");
        self.router
            .batch("addr add 198.51.100.1/24 dev out0\naddr add 2001:db8:6::1/64 dev out0 nodad\n");
        let mut lines = String::new();
        for index in 0..OUTSIDE_COUNT {
            for (family, bits) in [(AddressFamily::V4, 24), (AddressFamily::V6, 64)] {
                // The first is the one that the server speaks from by itself.
                let nodad = match (bits, index) {
                    (64, 0) => " nodad",
                    (64, _) => " nodad preferred_lft 0",
                    _ => "",
                };
                let host = address::outside(family, index);
                lines += &format!("addr add {host}/{bits} dev eth0{nodad}\n");
            }
        }
        lines += "route add default via 198.51.100.1\nroute add ::/0 via 2001:db8:6::1\n";
        self.out.batch(&lines);
    }
}
