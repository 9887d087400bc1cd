//! What loads, oracles and rows need of a laboratory, whatever its nodes are made of.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Result, bail};
use egret_netns::{Namespace, veth};

use crate::address::{self, Family, OUTSIDE_COUNT, ROUTER, WATCH};
use crate::clock::Stamp;
use crate::cloud::{Cloud, Outside};
use crate::journal::Journal;
use crate::wire::Mac;

/// Everything around the nodes: the switch, the router, the outside, and who watches.
#[derive(Debug)]
pub struct Surroundings {
    /// The switch: bridge `br0`, one port `p-NODE` per node.
    pub lan: Namespace,
    /// The router between LAN and outside: `lan0`, `out0`.
    pub router: Namespace,
    /// The outside server.
    pub out: Namespace,
    /// The third host on the LAN, which asks who has an address.
    pub watch: Namespace,
    next_port: u16,
}

/// A port block: node, address, first and last port.
pub type Grant = (String, IpAddr, u16, u16);

/// Where a pod's packets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodNet {
    /// The file that names its network namespace.
    pub path: String,
    /// IPv4 and IPv6.
    pub addresses: [IpAddr; 2],
}

/// A laboratory: of [`crate::Lab`]'s nodes, or of workers of a real Kubernetes cluster.
pub trait Ground {
    /// What [`Ground::lose_store`] does, as a heading.
    const LOST: &'static str;
    /// What [`Ground::find_store`] does, as a heading.
    const FOUND: &'static str;

    /// What surrounds its nodes.
    fn around(&self) -> &Surroundings;

    /// The same, to reserve ports.
    fn around_mut(&mut self) -> &mut Surroundings;

    /// A pod by its name, on whichever node.
    ///
    /// # Errors
    /// Where no such pod runs.
    fn pod_net(&self, name: &str) -> Result<PodNet>;

    /// The names of all nodes, gateways first.
    fn names(&self) -> Vec<String>;

    /// The hardware address of a node's uplink.
    fn mac_of(&self, name: &str) -> Option<Mac>;

    /// What Egret's processes have said.
    fn journal(&self) -> &Journal;

    /// Every object of one of Egret's kinds, parsed.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    fn objects(&self, kind: &str) -> Result<Vec<serde_json::Value>>;

    /// Copies logs to the directory that the environment variable `EGRET_LAB_KEEP` names, where it
    /// names one; returns where they are.
    fn keep(&self) -> Option<PathBuf>;

    /// What a person would look at first after a failure, in lines.
    fn diagnose(&self) -> Vec<String>;

    /// Takes a node's power away; returns the moment.
    ///
    /// # Errors
    /// Where the node is off.
    fn cut_power(&mut self, name: &str) -> Result<Stamp>;

    /// Boots a node that is off, with Egret on it.
    ///
    /// # Errors
    /// Where it does not come up.
    fn boot_again(&mut self, name: &str) -> Result<()>;

    /// Runs a person's `egret` command against the store, which has to succeed; returns what it
    /// printed.
    ///
    /// # Errors
    /// Where it fails, with what it printed.
    fn tell(&self, arguments: &[&str]) -> Result<String>;

    /// Makes the store unreachable for all, people and controllers too; returns the moment.
    ///
    /// # Errors
    /// Where that fails.
    fn lose_store(&mut self) -> Result<Stamp>;

    /// Makes it reachable again, and starts what had to end for it.
    ///
    /// # Errors
    /// Where that fails.
    fn find_store(&mut self) -> Result<()>;

    /// The cloud around the nodes.
    ///
    /// # Errors
    /// On a LAN.
    fn cloud(&self) -> Result<&Cloud> {
        bail!("this laboratory has no cloud")
    }

    /// The node that the fabric delivers an address to; `None` on a LAN, where whoever answers for
    /// an address has it.
    fn delivered_to(&self, address: IpAddr) -> Option<String> {
        self.cloud().ok()?.attached_to(address)
    }

    /// The name of the node whose uplink has this hardware address.
    fn name_of(&self, mac: Mac) -> Option<String> {
        self.names().into_iter().find(|name| self.mac_of(name) == Some(mac))
    }

    /// The port blocks that have not ended.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    fn blocks(&self) -> Result<Vec<Grant>> {
        let mut found = Vec::new();
        for object in self.objects("EgressNode")? {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            for block in object["spec"]["blocks"].as_array().into_iter().flatten() {
                let port = |end: &str| u16::try_from(block["ports"][end].as_u64()?).ok();
                let address = block["address"].as_str().and_then(|text| text.parse().ok());
                if let (Some(address), Some(first), Some(last), true) =
                    (address, port("first"), port("last"), block["ended"].is_null())
                {
                    found.push((name.to_owned(), address, first, last));
                }
            }
        }
        Ok(found)
    }

    /// Two nodes that have the same port of the same address.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    fn double_grant(&self) -> Result<Option<[Grant; 2]>> {
        let blocks = self.blocks()?;
        Ok(blocks.iter().enumerate().find_map(|(at, a)| {
            let overlaps = |b: &&Grant| a.1 == b.1 && a.2 <= b.3 && b.2 <= a.3;
            blocks[at + 1..].iter().find(overlaps).map(|b| [a.clone(), b.clone()])
        }))
    }

    /// The holder of an address as the store has it.
    fn recorded_holder(&self, address: IpAddr) -> Option<String> {
        let objects = self.objects("EgressAddress").ok()?;
        let of = |object: &serde_json::Value| {
            let text = object["spec"]["address"].as_str()?;
            (text.parse::<IpAddr>().ok()? == address).then_some(())
        };
        let own = objects.iter().find(|object| of(object).is_some())?;
        own["status"]["holding"]["node"].as_str().map(str::to_owned)
    }
}

impl Surroundings {
    /// Makes the namespaces and plugs them together; the switch has no node yet.
    #[must_use]
    pub fn plug() -> Self {
        let around = Self::bare();
        around.lan.batch("link set w-lan master br0\n");
        around.address_router();
        around.watch.batch(&format!(
            "addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\n",
            WATCH[0], WATCH[1]
        ));
        around
    }

    /// The same with the VPC of a cloud in the LAN's place: a switch `br0` and `br1` for the subnet
    /// of each zone, whose only way is the router's `lan0` and `lan1`. Nobody watches there: a VPC
    /// has no broadcast.
    #[must_use]
    pub fn plug_vpc(outside: Outside) -> Self {
        let around = Self::bare();
        around.add_switch("br1", "r-lan1", "lan1");
        crate::cloud::prepare_router(&around.router, outside);
        around
    }

    /// Namespaces, cables, the outside: everything but the router's addresses on its LANs.
    fn bare() -> Self {
        let around = Self {
            lan: Namespace::new("lan"),
            router: Namespace::new("router"),
            out: Namespace::new("out"),
            watch: Namespace::new("watch"),
            next_port: 7000,
        };
        for net in [&around.lan, &around.router, &around.out, &around.watch] {
            net.sysctl("net/ipv6/conf/all/accept_dad", "0");
            net.sysctl("net/ipv6/conf/default/accept_dad", "0");
        }
        around.add_switch("br0", "r-lan", "lan0");
        veth(&around.lan, "w-lan", &around.watch, "eth0");
        veth(&around.router, "out0", &around.out, "eth0");
        around.address_outside();
        around
    }

    fn add_switch(&self, bridge: &str, port: &str, device: &str) {
        self.lan.batch(&format!("link add {bridge} type bridge\nlink set {bridge} up\n"));
        veth(&self.lan, port, &self.router, device);
        self.lan.batch(&format!("link set {port} master {bridge}\n"));
    }

    /// Plugs a namespace into the switch, as `p-NAME` there and `eth0` inside, with a hardware
    /// address of its own; returns before anything has an address.
    pub fn plug_in(&self, name: &str, mac: Mac, net: &Namespace) {
        self.plug_into("br0", name, mac, net);
    }

    /// The same at one switch of several.
    pub(crate) fn plug_into(&self, bridge: &str, name: &str, mac: Mac, net: &Namespace) {
        let mac = address::mac_text(mac);
        self.lan.batch(&format!(
            "link add p-{name} type veth peer name eth0 address {mac} netns {net}\n\
             link set p-{name} master {bridge} up\n",
            net = net.name()
        ));
    }

    /// Ten ports of the outside server that no other load uses: what arrives there belongs to the
    /// load that asked.
    pub fn reserve_ports(&mut self) -> u16 {
        self.next_port += 10;
        self.next_port - 10
    }

    /// The first of the ports that the next [`Surroundings::reserve_ports`] will return.
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
            for (family, bits) in [(Family::V4, 24), (Family::V6, 64)] {
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
