use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use egret_core::model::PortRange;
use egret_datapath::bpf::{
    AddressTable, AttachMode, GatewayTables, LAYOUT, LoadConfig, Loaded, NodeLinks, load,
};
use egret_netns::{NetworkNamespace, veth};
use egret_ports::gateway::{
    AddressEntry, AddressMap as _, AddressState, BootTime, Director, GatewayMaps as _, HostPart,
    UplinkLink,
};
use nix::mount::{MsFlags, mount};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use nix::time::{ClockId, clock_gettime};

use super::packets::{Mac, PATIENCE, link_address};

pub const VNI: u32 = 5480;
pub const TUNNEL_PORT: u16 = 5480;

/// Which underlay the nodes' tunnel runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Underlay {
    V4,
    V6,
}

/// A switch with a world on it; nodes join. The egress addresses are of the same subnet.
pub struct Net {
    pub world: NetworkNamespace,
    switch: NetworkNamespace,
    pins: tempfile::TempDir,
    pub underlay: Underlay,
    /// Takes the datagrams to port 9 of the world, which would be answered with ICMP errors.
    _discard: UdpSocket,
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The egress address, the world's and a node's address, of one family.
pub fn egress(v4: bool) -> IpAddr {
    ip(if v4 { "192.0.2.200" } else { "2001:db8:1::200" })
}

pub fn world(v4: bool) -> IpAddr {
    ip(if v4 { "192.0.2.100" } else { "2001:db8:1::100" })
}

pub fn node_address(number: u8, v4: bool) -> IpAddr {
    ip(&if v4 { format!("192.0.2.{number}") } else { format!("2001:db8:1::{number}") })
}

impl Net {
    pub fn new(underlay: Underlay) -> Self {
        // A BPF file system of this test's own, which goes with its thread.
        unshare(CloneFlags::CLONE_NEWNS).expect("mount namespaces need root: run as root");
        let none: Option<&str> = None;
        let slave = MsFlags::MS_REC | MsFlags::MS_SLAVE;
        mount(none, "/", none, slave, none).unwrap();
        let pins = tempfile::tempdir().unwrap();
        mount(Some("bpf"), pins.path(), Some("bpf"), MsFlags::empty(), none).unwrap();
        let switch = NetworkNamespace::new("switch");
        switch.run("ip link add br0 type bridge mcast_snooping 0");
        switch.run("ip link set br0 up");
        let world = NetworkNamespace::new("world");
        let inside = world.enter();
        let discard = UdpSocket::bind("[::]:9").unwrap();
        drop(inside);
        let net = Self { world, switch, pins, underlay, _discard: discard };
        net.plug(&net.world, "eth0", 100);
        net
    }

    /// Joins a namespace to the switch, with the addresses of `number`.
    pub fn plug(&self, namespace: &NetworkNamespace, link: &str, number: u8) {
        let port = format!("port{number}");
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0");
        veth(namespace, link, &self.switch, &port);
        self.switch.run(&format!("ip link set {port} master br0"));
        namespace.run(&format!("ip addr add {}/24 dev {link}", node_address(number, true)));
        let v6 = node_address(number, false);
        namespace.run(&format!("ip addr add {v6}/64 dev {link} nodad"));
    }

    pub fn node(&self, label: &'static str, number: u8) -> Node {
        Node::new(self, label, number, AttachMode::Auto)
    }

    /// A gateway that holds both addresses and a director that knows so and has ports 1024–1151.
    pub fn gateway_and_director(&self) -> (Node, Node) {
        let (mut gateway, mut director) = (self.node("gateway", 11), self.node("director", 12));
        for v4 in [true, false] {
            gateway.holds(egress(v4));
            director.stands_by(egress(v4), &gateway);
        }
        gateway.knows_block_of(director.endpoint);
        director.knows_block_of(director.endpoint);
        (gateway, director)
    }

    pub fn pin_dir(&self, label: &str) -> PathBuf {
        self.pins.path().join(label)
    }

    pub fn world_mac(&self) -> Mac {
        let _inside = self.world.enter();
        link_address("eth0").addr().unwrap()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = nix::mount::umount(self.pins.path());
    }
}

/// A node with an uplink, a tunnel device and the programs.
pub struct Node {
    pub namespace: NetworkNamespace,
    pub loaded: Loaded,
    pub addresses: AddressTable,
    pub tables: GatewayTables,
    pub config: LoadConfig,
    pub endpoint: IpAddr,
    pub uplink: UplinkLink,
    pub label: &'static str,
}

impl Node {
    pub fn new(net: &Net, label: &'static str, number: u8, attach: AttachMode) -> Self {
        let namespace = NetworkNamespace::new(label);
        net.plug(&namespace, "up0", number);
        make_tunnel(&namespace);
        let endpoint = node_address(number, net.underlay == Underlay::V4);
        let config = LoadConfig {
            pin_dir: net.pin_dir(label),
            layout: LAYOUT,
            attach,
            vni: VNI,
            links: NodeLinks {
                tunnel: "egret0".to_owned(),
                uplinks: BTreeSet::from(["up0".to_owned()]),
                guarded: Some(BTreeSet::new()),
                endpoints: vec![endpoint],
                underlay_mtu: 1500,
            },
        };
        let inside = namespace.enter();
        let loaded = load(config.clone()).unwrap();
        let uplink = UplinkLink {
            index: if_nametoindex("up0").unwrap(),
            mac: link_address("up0").addr().unwrap(),
            next_hop: None,
            on_link_bits: 0,
        };
        drop(inside);
        let addresses = loaded.addresses().unwrap();
        let tables = loaded.gateway_tables().unwrap();
        Self { namespace, loaded, addresses, tables, config, endpoint, uplink, label }
    }

    /// An entry of this node, with a deadline `left` from now.
    pub fn entry(&self, state: AddressState, holder: &Node, left: Duration) -> AddressEntry {
        let left = u64::try_from(left.as_nanos()).unwrap();
        AddressEntry {
            state,
            holder: Some(holder.endpoint),
            valid_until: Some(BootTime(now().0 + left)),
            wire: None,
            uplink: Some(self.uplink),
            host: HostPart::Nothing,
        }
    }

    pub fn holds(&mut self, address: IpAddr) {
        let mut entry = self.entry(AddressState::Held, self, Duration::from_secs(600));
        entry.holder = Some(self.endpoint);
        self.addresses.put(address, &entry).unwrap();
    }

    pub fn stands_by(&mut self, address: IpAddr, holder: &Node) {
        let entry = self.entry(AddressState::Standby, holder, Duration::ZERO);
        self.addresses.put(address, &AddressEntry { valid_until: None, ..entry }).unwrap();
    }

    /// Ports 1024–1151 of both egress addresses are `director`'s.
    pub fn knows_block_of(&mut self, director: IpAddr) {
        let ports = PortRange::new(1024, 1151).unwrap();
        let director = Director { endpoints: vec![director] };
        let blocks = BTreeMap::from([
            ((egress(true), ports), director.clone()),
            ((egress(false), ports), director),
        ]);
        self.tables.set_blocks(&blocks).unwrap();
    }

    pub fn count(&mut self, name: &'static str) -> u64 {
        self.tables.counters().unwrap()[name]
    }

    /// Waits until the counter has reached `least`; returns it.
    pub fn await_count(&mut self, name: &'static str, least: u64) -> u64 {
        let end = Instant::now() + PATIENCE;
        loop {
            let count = self.count(name);
            if count >= least {
                return count;
            }
            assert!(
                Instant::now() < end,
                "{}: {name} is {count}, not {least}; all: {:?}",
                self.label,
                self.tables.counters().unwrap().iter().filter(|(_, n)| **n > 0).collect::<Vec<_>>()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// 70 bytes less than the uplink: fits over IPv6 too.
pub fn make_tunnel(namespace: &NetworkNamespace) {
    namespace.run(&format!("ip link add egret0 type vxlan external dstport {TUNNEL_PORT}"));
    namespace.run("ip link set egret0 mtu 1430 arp off up");
    namespace.run("ip addr add 169.254.54.80/32 dev egret0");
    namespace.sysctl("net/ipv4/conf/egret0/rp_filter", "2");
}

pub fn now() -> BootTime {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap();
    BootTime(
        u64::try_from(now.tv_sec()).unwrap() * 1_000_000_000
            + u64::try_from(now.tv_nsec()).unwrap(),
    )
}

pub fn socket(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}
