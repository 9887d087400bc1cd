//! Noticing what others do, and putting it back. Needs root, iproute2, nftables.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::path::Path;
use std::time::{Duration, Instant};

use egret_core::model::{Family, PortRange};
use egret_core::node_config::{Flow, FlowAction, SteeringConfig};
use egret_datapath::nft::NftSteering;
use egret_datapath::repair::{self, ChangedPart, KernelChange};
use egret_datapath::{HostSettings, interface, link, packet_mark, route, rule, teardown};
use egret_netns::NetworkNamespace;
use egret_ports::steering::{Applied, Steering};
use tokio::sync::mpsc::Receiver;

/// A bound, not an expectation.
const PATIENCE: Duration = Duration::from_secs(5);

fn config() -> SteeringConfig {
    let address = "203.0.113.17".parse().unwrap();
    SteeringConfig {
        never_steered: ["10.0.0.0/8".parse().unwrap()].into(),
        peers: ["192.0.2.12".parse().unwrap()].into(),
        flows: vec![Flow {
            source: "10.244.1.2/32".parse().unwrap(),
            destination: "198.51.100.0/24".parse().unwrap(),
            action: FlowAction::Steer { address },
        }],
        blocks: [(address, [PortRange::new(1024, 1151).unwrap()].into())].into(),
        ..SteeringConfig::default()
    }
}

/// Everything that a director has in the kernel.
struct Director {
    settings: HostSettings,
    steering: NftSteering,
}

impl Director {
    fn new() -> Self {
        let settings = HostSettings::default();
        Self { steering: NftSteering::new(settings.clone(), 1450), settings }
    }

    fn ensure(&mut self) -> bool {
        let config = config();
        let mut changed = self.steering.apply(&config).unwrap() == Applied::Changed;
        let tunnel = link::ensure(&self.settings, Family::IPv4, 1500).unwrap();
        changed |= tunnel.applied == Applied::Changed;
        let routes = route::ensure(&self.settings, &config.never_steered, tunnel.index);
        changed |= routes.unwrap() == Applied::Changed;
        changed | (rule::ensure(&self.settings, packet_mark::DEFAULT).unwrap() == Applied::Changed)
    }
}

fn wait(
    changes: &mut Receiver<KernelChange>,
    wanted: impl Fn(&ChangedPart) -> bool,
) -> KernelChange {
    let end = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while Instant::now() < end {
        match changes.try_recv() {
            Ok(change) if wanted(&change.what) => return change,
            Ok(change) => seen.push(change.what),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    panic!("not noticed; seen: {seen:?}");
}

#[test]
fn every_fault_is_noticed_and_put_back() {
    let ns = NetworkNamespace::new("repair");
    let _inside = ns.enter();
    let mut director = Director::new();
    assert!(director.ensure());
    assert!(!director.ensure(), "a second round wrote something");
    let mut changes = repair::watch(&director.settings, &director.steering).unwrap();
    type Wanted = fn(&ChangedPart) -> bool;
    let faults: [(&str, Wanted); 11] = [
        (
            "nft flush ruleset",
            |w| matches!(w, ChangedPart::Rules(r) if r == "the nft table was removed"),
        ),
        (
            "nft delete table inet egret",
            |w| matches!(w, ChangedPart::Rules(r) if r == "the nft table was removed"),
        ),
        (
            "nft flush chain inet egret guard",
            |w| matches!(w, ChangedPart::Rules(r) if r.contains("changed") && r.contains("rule")),
        ),
        (
            "nft flush set inet egret selected4",
            |w| matches!(w, ChangedPart::Rules(r) if r.contains("changed") && r.contains("element")),
        ),
        (
            "nft add rule inet egret select accept",
            |w| matches!(w, ChangedPart::Rules(r) if r.contains("changed")),
        ),
        ("ip rule del priority 490", |w| matches!(w, ChangedPart::RuleRemoved(Family::IPv4))),
        ("ip route del throw 10.0.0.0/8 table 5480", |w| matches!(w, ChangedPart::Route(_))),
        ("ip link set egret0 down", |w| matches!(w, ChangedPart::DeviceDown)),
        ("sysctl -q -w net.ipv4.conf.egret0.rp_filter=1", |w| {
            matches!(w, ChangedPart::DeviceChanged)
        }),
        ("ip addr flush dev egret0", |w| matches!(w, ChangedPart::DeviceChanged)),
        ("ip link del egret0", |w| matches!(w, ChangedPart::DeviceRemoved)),
    ];
    for (fault, wanted) in faults {
        ns.run(fault);
        let change = wait(&mut changes, wanted);
        assert!(director.ensure(), "nothing was missing after {fault}");
        println!("{fault}: put back {:?} after the notice ({})", change.at.elapsed(), change.what);
        assert!(director.steering.verify(&config()).unwrap(), "after {fault}");
        assert!(!director.ensure(), "the repair of {fault} was not complete");
    }
}

#[test]
fn who_did_it_is_named() {
    let ns = NetworkNamespace::new("repair");
    let _inside = ns.enter();
    let mut director = Director::new();
    director.ensure();
    let mut changes = repair::watch(&director.settings, &director.steering).unwrap();
    ns.run("nft flush ruleset");
    let change = wait(
        &mut changes,
        |what| matches!(what, ChangedPart::Rules(r) if r == "the nft table was removed"),
    );
    let by = change.by.unwrap_or_default();
    assert!(by.starts_with("nft ("), "{by}");
}

/// Our own mark is looked at again then.
#[test]
fn rules_about_marks_are_noticed() {
    let ns = NetworkNamespace::new("repair");
    let _inside = ns.enter();
    let mut director = Director::new();
    director.ensure();
    let mut changes = repair::watch(&director.settings, &director.steering).unwrap();
    for verb in ["add", "del"] {
        ns.run(&format!("ip -6 rule {verb} fwmark 0x50/0xf0 table 77 priority 80"));
        wait(&mut changes, |what| *what == ChangedPart::MarkRule(Family::IPv6));
    }
}

#[test]
fn foreign_tables_make_no_notice() {
    let ns = NetworkNamespace::new("repair");
    let _inside = ns.enter();
    let mut director = Director::new();
    director.ensure();
    let mut changes = repair::watch(&director.settings, &director.steering).unwrap();
    ns.nft("table inet egret2 { chain c { }\n }\ntable ip egret { chain c { }\n }");
    ns.run("ip route add 10.1.0.0/16 dev lo table 5481");
    ns.run("ip rule add from 10.2.0.0/16 table 5481 priority 491");
    ns.run("ip rule del priority 491");
    // Afterwards something of ours: what comes first is what was noticed.
    ns.run("ip rule del priority 490");
    let first = wait(&mut changes, |what| {
        !matches!(what, ChangedPart::Uplinks | ChangedPart::DeviceChanged)
    });
    assert_eq!(first.what, ChangedPart::RuleRemoved(Family::IPv4));
    // A foreign transaction in between costs a reading, no writing.
    director.ensure();
    ns.nft("table inet egret2 { chain d { }\n }");
    assert!(!director.ensure());
}

#[test]
fn a_rule_replaced_under_its_comment_is_noticed() {
    let ns = NetworkNamespace::new("repair");
    let _inside = ns.enter();
    let mut director = Director::new();
    director.ensure();
    let shown = ns.run("nft -a list chain inet egret guard");
    let line = shown.lines().find(|line| line.contains("pods never speak")).unwrap();
    let handle = line.rsplit(' ').next().unwrap();
    ns.nft(&format!(
        "replace rule inet egret guard handle {handle} udp dport 1 accept comment \
         \"pods never speak the tunnel\""
    ));
    assert!(!director.steering.verify(&config()).unwrap());
    assert!(director.ensure());
    assert!(director.steering.verify(&config()).unwrap());
}

#[test]
fn teardown_leaves_the_host_as_it_was() {
    let ns = NetworkNamespace::new("teardown");
    let _inside = ns.enter();
    ns.nft(
        "table inet other { chain c { type filter hook forward priority 0; policy accept; }\n }",
    );
    ns.run("ip rule add from 10.2.0.0/16 table 5481 priority 491");
    let state = || {
        let parts = ["nft list ruleset", "ip rule", "ip -6 rule", "ip route show table all"];
        let links = ["ip -d -o link", "ip -o addr"];
        parts.iter().chain(&links).map(|line| ns.run(line)).collect::<String>()
    };
    ns.run("ip link add eth1 address 02:00:00:00:00:03 type veth peer name peer1");
    // A link that was up once has another queue.
    ns.run("ip link set eth1 up");
    ns.run("ip link set eth1 down");
    let before = state();
    let mut director = Director::new();
    director.ensure();
    let found = interface::find(|mac| mac == [2, 0, 0, 0, 0, 3], Path::new("/nowhere")).unwrap();
    interface::configure(&found[0], "10.0.1.201/24".parse().unwrap()).unwrap();
    assert!(ns.run("ip addr").contains("eth1:egret-up"));
    assert_ne!(state(), before);
    teardown::all(&director.settings).unwrap();
    teardown::all(&director.settings).unwrap();
    assert_eq!(state(), before);
    // A foreign device of our name stays, and the rest goes all the same.
    ns.run("ip link add egret0 type bridge");
    rule::ensure(&director.settings, packet_mark::DEFAULT).unwrap();
    director.steering.apply(&config()).unwrap();
    let failed = teardown::all(&director.settings).unwrap_err();
    assert_eq!(failed.failures.len(), 1, "{failed}");
    ns.run("ip link del egret0");
    assert_eq!(state(), before);
}
