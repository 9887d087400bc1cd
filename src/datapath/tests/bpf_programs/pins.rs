//! What outlives the process: adoption, upgrade, repair, teardown.

use std::fs;
use std::time::{Duration, Instant};

use egret_datapath::HostSettings;
use egret_datapath::bpf::{AttachMode, BpfError, LAYOUT, LoadConfig, Loaded, load, teardown};
use egret_datapath::nft::NftSteering;
use egret_datapath::repair::{self, ChangedPart};
use egret_ports::gateway::AddressMap as _;

use super::net::{Net, Node, Underlay, egress, make_tunnel, socket, world};
use super::packets::{PATIENCE, Port, datagram, udp};

fn send(director: &Node) {
    let macs = ([0; 6], [0; 6]);
    let frame = udp(macs, socket(egress(true), 1100), socket(world(true), 9), b"x");
    Port::of(&director.namespace, "egret0", egress(true)).send(&frame);
}

fn pair(net: &Net, attach: AttachMode) -> (Node, Node) {
    let mut gateway = Node::new(net, "gateway", 11, attach);
    let mut director = Node::new(net, "director", 12, attach);
    gateway.holds(egress(true));
    director.stands_by(egress(true), &gateway);
    gateway.knows_block_of(director.endpoint);
    (gateway, director)
}

/// Loads again, as the next process would.
fn again(node: &mut Node, config: LoadConfig) -> Result<(), BpfError> {
    let inside = node.namespace.enter();
    let loaded: Loaded = load(config)?;
    drop(inside);
    node.addresses = loaded.addresses()?;
    node.tables = loaded.gateway_tables()?;
    node.loaded = loaded;
    Ok(())
}

fn survives(attach: AttachMode) {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = pair(&net, attach);
    send(&director);
    gateway.await_count("to_world", 1);
    let entries = gateway.addresses.entries().unwrap();
    // The agent dies: every handle is dropped.
    let Node { namespace, loaded, addresses, tables, config, endpoint, uplink, label } = gateway;
    drop((loaded, addresses, tables));
    send(&director);
    let inside = namespace.enter();
    let loaded = load(config.clone()).unwrap();
    drop(inside);
    let (addresses, tables) = (loaded.addresses().unwrap(), loaded.gateway_tables().unwrap());
    let mut gateway =
        Node { namespace, loaded, addresses, tables, config, endpoint, uplink, label };
    gateway.await_count("to_world", 2);
    assert_eq!(gateway.addresses.entries().unwrap(), entries);
    // Written by the new handles, read by the programs.
    gateway.knows_block_of(director.endpoint);
    send(&director);
    gateway.await_count("to_world", 3);
}

#[test]
fn a_dead_agent_changes_nothing() {
    survives(AttachMode::Tcx);
}

#[test]
fn a_dead_agent_changes_nothing_with_clsact() {
    survives(AttachMode::Clsact);
}

#[test]
fn a_new_layout_takes_everything_over_and_back() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = pair(&net, AttachMode::Auto);
    send(&director);
    gateway.await_count("to_world", 1);
    let entries = gateway.addresses.entries().unwrap();
    let next = LoadConfig { layout: LAYOUT + 1, ..gateway.config.clone() };
    for (number, (config, gone)) in
        (2..).zip([(next.clone(), LAYOUT), (gateway.config.clone(), LAYOUT + 1)])
    {
        // Killed in the middle of the last upgrade: half of a directory is there already.
        let half = config.pin_dir.join(format!("v{}", config.layout));
        fs::create_dir(&half).unwrap();
        again(&mut gateway, config.clone()).unwrap();
        assert_eq!(gateway.addresses.entries().unwrap(), entries);
        assert!(!config.pin_dir.join(format!("v{gone}")).exists());
        send(&director);
        assert_eq!(gateway.await_count("to_world", number), number, "counters go on");
        await_attached(&gateway, 2);
    }
}

#[test]
fn an_upgrade_and_a_way_back_lose_no_packet() {
    const PACKETS: usize = 1000;
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = pair(&net, AttachMode::Auto);
    let outside = Port::of(&net.world, "eth0", egress(true));
    let tunnel = Port::of(&director.namespace, "egret0", egress(true));
    let macs = ([0; 6], [0; 6]);
    let frame = udp(macs, socket(egress(true), 1100), socket(world(true), 9), b"x");
    let is_it = |frame: &[u8]| datagram(frame).is_some_and(|seen| seen.from.port() == 1100);
    // The first waits for neighbours to be resolved.
    tunnel.send(&frame);
    outside.expect("the first packet", |frame| is_it(frame).then_some(()));
    let sending = std::thread::spawn(move || {
        for _ in 0..PACKETS {
            tunnel.send(&frame);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let receiving = std::thread::spawn(move || {
        let mut seen = 0;
        let mut last = Instant::now();
        while seen < PACKETS && last.elapsed() < PATIENCE {
            let more = outside.arrived(is_it);
            if more > 0 {
                last = Instant::now();
            }
            seen += more;
            std::thread::sleep(Duration::from_millis(5));
        }
        seen
    });
    let (old, next) =
        (gateway.config.clone(), LoadConfig { layout: LAYOUT + 1, ..gateway.config.clone() });
    let mut turns = 0;
    while !sending.is_finished() {
        again(&mut gateway, if turns % 2 == 0 { next.clone() } else { old.clone() }).unwrap();
        turns += 1;
    }
    sending.join().unwrap();
    assert!(turns >= 2, "the packets were sent before two upgrades were through");
    assert_eq!(receiving.join().unwrap(), PACKETS);
}

/// tcx programs on the uplink.
fn attached(node: &Node) -> usize {
    let _inside = node.namespace.enter();
    [aya::programs::TcAttachType::Ingress, aya::programs::TcAttachType::Egress]
        .map(|way| aya::programs::SchedClassifier::query_tcx("up0", way).unwrap().1.len())
        .iter()
        .sum()
}

/// The kernel detaches when the last reference is gone: in a work queue where that was a pin, and
/// another test's child process may hold a descriptor until it has begun its program.
fn await_attached(node: &Node, number: usize) {
    let end = Instant::now() + PATIENCE;
    while attached(node) != number {
        assert!(Instant::now() < end, "{} programs, not {number}", attached(node));
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_is_detached_is_repaired() {
    for attach in [AttachMode::Tcx, AttachMode::Clsact] {
        let net = Net::new(Underlay::V4);
        let (mut gateway, director) = pair(&net, attach);
        let links = gateway.config.links.clone();
        let inside = gateway.namespace.enter();
        assert_eq!(gateway.loaded.ensure(&links).unwrap(), 0);
        // The tunnel device is made anew: with another index, and no programs.
        gateway.namespace.run("ip link del egret0");
        assert!(matches!(gateway.loaded.ensure(&links), Err(BpfError::NoLink(_))));
        make_tunnel(&gateway.namespace);
        assert_eq!(gateway.loaded.ensure(&links).unwrap_or_default() % 2, 0);
        assert_eq!(gateway.loaded.ensure(&links).unwrap(), 0);
        if attach == AttachMode::Clsact {
            gateway.namespace.run("tc qdisc del dev up0 clsact");
            assert_eq!(gateway.loaded.ensure(&links).unwrap(), 2);
        } else {
            for name in fs::read_dir(gateway.config.pin_dir.join(format!("v{LAYOUT}"))).unwrap() {
                let path = name.unwrap().path();
                if path.to_string_lossy().contains("egret_up_in_") {
                    fs::remove_file(path).unwrap();
                }
            }
            await_attached(&gateway, 1);
            assert_eq!(gateway.loaded.ensure(&links).unwrap(), 1);
        }
        drop(inside);
        send(&director);
        gateway.await_count("to_world", 1);
    }
}

/// By whoever cleans up a link: the kernel says so, and what has listened asks for nothing else.
#[test]
fn what_is_detached_is_noticed() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = pair(&net, AttachMode::Clsact);
    let links = gateway.config.links.clone();
    let settings = HostSettings::default();
    let inside = gateway.namespace.enter();
    let mut changes = repair::watch(&settings, &NftSteering::new(settings.clone(), 1430)).unwrap();
    // Another's filter and a link of others are none of ours.
    gateway.namespace.run("ip link add other0 type bridge");
    gateway.namespace.run("tc qdisc add dev other0 clsact");
    gateway.namespace.run("tc qdisc del dev other0 clsact");
    gateway.namespace.run("tc filter add dev up0 ingress prio 1 protocol all u32 match u32 0 0");
    gateway.namespace.run("tc filter del dev up0 ingress prio 1");
    for (fault, missing) in [
        ("tc qdisc del dev up0 clsact", 2),
        ("tc qdisc del dev egret0 clsact", 2),
        ("tc filter del dev up0 egress prio 490", 1),
        ("tc filter del dev egret0 ingress", 1),
    ] {
        while let Ok(change) = changes.try_recv() {
            assert_ne!(change.what, ChangedPart::Programs, "before {fault}");
        }
        gateway.namespace.run(fault);
        let end = Instant::now() + PATIENCE;
        while changes.try_recv().map(|change| change.what) != Ok(ChangedPart::Programs) {
            assert!(Instant::now() < end, "not noticed: {fault}");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(gateway.loaded.ensure(&links).unwrap(), missing, "{fault}");
    }
    drop(inside);
    send(&director);
    gateway.await_count("to_world", 1);
}

#[test]
fn an_uplink_that_is_none_any_more_is_left_alone() {
    for attach in [AttachMode::Tcx, AttachMode::Clsact] {
        let net = Net::new(Underlay::V4);
        let (mut gateway, _director) = pair(&net, attach);
        let mut links = gateway.config.links.clone();
        links.uplinks.clear();
        let inside = gateway.namespace.enter();
        gateway.loaded.ensure(&links).unwrap();
        drop(inside);
        await_attached(&gateway, 0);
        assert_eq!(gateway.namespace.run("tc filter show dev up0 ingress"), "");
    }
}

#[test]
fn teardown_leaves_nothing() {
    for attach in [AttachMode::Tcx, AttachMode::Clsact] {
        let net = Net::new(Underlay::V4);
        let (gateway, _director) = pair(&net, attach);
        let inside = gateway.namespace.enter();
        teardown(&gateway.config.pin_dir).unwrap();
        assert!(!gateway.config.pin_dir.exists());
        teardown(&gateway.config.pin_dir).unwrap();
        drop(inside);
        await_attached(&gateway, 0);
        for way in ["ingress", "egress"] {
            assert_eq!(gateway.namespace.run(&format!("tc filter show dev up0 {way}")), "");
            assert_eq!(gateway.namespace.run(&format!("tc filter show dev egret0 {way}")), "");
        }
    }
}

#[test]
fn what_cannot_work_is_named() {
    let net = Net::new(Underlay::V4);
    let gateway = net.node("gateway", 11);
    let _inside = gateway.namespace.enter();
    let plain = tempfile::tempdir().unwrap();
    let not_bpffs = LoadConfig { pin_dir: plain.path().join("egret"), ..gateway.config.clone() };
    assert!(matches!(load(not_bpffs), Err(BpfError::NotBpfFs(_))));
    let mut loopback = gateway.config.clone();
    loopback.links.uplinks.insert("lo".to_owned());
    assert!(matches!(load(loopback), Err(BpfError::NotEthernet(link)) if link == "lo"));
    let mut missing = gateway.config.clone();
    missing.links.uplinks.insert("up9".to_owned());
    assert!(matches!(load(missing), Err(BpfError::NoLink(link)) if link == "up9"));
}
