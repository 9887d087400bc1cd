use std::time::{Duration, Instant};

use egret_core::node_config::{Flow, FlowAction};
use egret_datapath::repair::ChangedPart;
use egret_ports::error::ErrorClass;

use super::*;
use crate::testing::{Calls, InMemorySteering};

const MTU: u32 = 1450;

/// A way through the node that is there, or was taken away.
struct InMemoryPath {
    calls: Calls,
    missing: bool,
    has_tunnel: bool,
    mark: u32,
    has_proxy: bool,
    /// Whose connections were last to begin anew.
    anew: BTreeSet<IpNet>,
}

impl SteeredPath for InMemoryPath {
    fn ensure_tunnel(&mut self) -> Result<Tunnel, PortError> {
        self.calls.note("tunnel");
        if !self.has_tunnel {
            return Err(PortError::new(ErrorClass::Transient, "make the tunnel", "told to fail"));
        }
        Ok(Tunnel { index: 7, mtu: MTU, applied: Applied::AlreadySo })
    }

    fn ensure_routes(&mut self, _: &Tunnel, _: &BTreeSet<IpNet>) -> Result<bool, PortError> {
        self.calls.note("routes");
        Ok(std::mem::take(&mut self.missing))
    }

    fn packet_marks(&self) -> (u32, bool) {
        (self.mark, self.has_proxy)
    }

    fn settle(&mut self) -> Result<bool, PortError> {
        self.calls.note("settle");
        Ok(false)
    }

    fn loosen(&mut self, _: &SteeringConfig) -> Result<(), PortError> {
        self.calls.note("loosen");
        Ok(())
    }

    fn tighten(&mut self, _: &SteeringConfig) -> Result<(), PortError> {
        self.calls.note("tighten");
        Ok(())
    }

    fn begin_anew(&mut self, _: &SteeringConfig, sources: BTreeSet<IpNet>) {
        self.calls.note("begin anew");
        self.anew = sources;
    }
}

struct Fixture {
    calls: Calls,
    rules: InMemorySteering,
    path: InMemoryPath,
    writer: SteeringWriter,
}

impl Fixture {
    fn new() -> Self {
        let calls = Calls::default();
        let rules = InMemorySteering::new(calls.clone());
        let path = InMemoryPath {
            calls: calls.clone(),
            missing: true,
            has_tunnel: true,
            mark: 0x54,
            has_proxy: false,
            anew: BTreeSet::new(),
        };
        let writer = SteeringWriter::new(Box::new(rules.clone()));
        Self { calls, rules, path, writer }
    }

    fn apply(
        &mut self,
        config: &SteeringConfig,
    ) -> (Result<Applied, PortError>, Vec<&'static str>) {
        let applied = self.writer.apply(&mut self.path, config.clone());
        (applied, self.calls.take())
    }

    fn repair(&mut self) -> (Result<bool, PortError>, Vec<&'static str>) {
        let repaired = self.writer.repair(&mut self.path);
        (repaired, self.calls.take())
    }
}

fn address() -> IpAddr {
    "203.0.113.17".parse().unwrap()
}

/// One flow for each pod, to the whole world but one range.
fn config(pods: u8, never_steered: &str) -> SteeringConfig {
    let flow = |pod| Flow {
        source: IpNet::from(IpAddr::from([10, 244, 1, pod])),
        destination: "0.0.0.0/0".parse().unwrap(),
        action: FlowAction::Steer { address: address() },
    };
    SteeringConfig {
        never_steered: [never_steered.parse().unwrap()].into(),
        flows: (1..=pods).map(flow).collect(),
        ..SteeringConfig::default()
    }
}

#[test]
fn the_path_is_there_before_the_first_rule() {
    let mut node = Fixture::new();
    let (applied, calls) = node.apply(&config(1, "10.0.0.0/8"));
    assert_eq!(applied.unwrap(), Applied::Changed);
    assert_eq!(
        calls,
        [
            "loosen",
            "tunnel",
            "set mtu",
            "routes",
            "set mark",
            "verify",
            "apply",
            "settle",
            "begin anew",
            "tighten"
        ]
    );
    assert_eq!((node.rules.held(), node.rules.mtu()), (Some(config(1, "10.0.0.0/8")), MTU));
}

/// The pod with that last number.
fn pod(last: u8) -> IpNet {
    IpNet::from(IpAddr::from([10, 244, 1, last]))
}

#[test]
fn what_is_treated_otherwise_begins_anew_and_nothing_else() {
    let mut node = Fixture::new();
    let plain = config(2, "10.0.0.0/8");
    node.apply(&plain).0.unwrap();
    assert_eq!(node.path.anew, [pod(1), pod(2)].into(), "what began before the agent");
    // Another claim's address, once there are ports of it.
    let mut other = plain.clone();
    let second: IpAddr = "203.0.113.18".parse().unwrap();
    other.flows[1].action = FlowAction::Steer { address: second };
    node.apply(&other).0.unwrap();
    assert_eq!(node.path.anew, [pod(2)].into());
    let block = egret_core::model::PortRange::new(1024, 1151).unwrap();
    other.blocks.insert(second, [block].into());
    node.path.anew.clear();
    node.apply(&other).0.unwrap();
    assert_eq!(node.path.anew, [pod(2)].into());
    // More ports of the same address.
    other.blocks.insert(second, [egret_core::model::PortRange::new(1024, 1279).unwrap()].into());
    node.path.anew.clear();
    node.apply(&other).0.unwrap();
    assert_eq!(node.path.anew, BTreeSet::new());
    // No claim any more.
    other.flows.pop();
    node.apply(&other).0.unwrap();
    assert_eq!(node.path.anew, [pod(2)].into());
}

/// What was refused and is put in place later has its effect later.
#[test]
fn what_a_repair_puts_in_place_begins_anew_too() {
    let mut node = Fixture::new();
    node.apply(&config(1, "10.0.0.0/8")).0.unwrap();
    node.rules.refuse(true);
    node.path.anew.clear();
    node.apply(&config(2, "10.0.0.0/8")).0.unwrap_err();
    assert_eq!(node.path.anew, BTreeSet::new());
    node.rules.refuse(false);
    node.repair().0.unwrap();
    assert_eq!(node.path.anew, [pod(2)].into());
}

#[test]
fn a_new_pod_waits_for_no_look_at_the_path_and_other_routes_do() {
    let mut node = Fixture::new();
    node.apply(&config(1, "10.0.0.0/8")).0.unwrap();
    let (applied, calls) = node.apply(&config(2, "10.0.0.0/8"));
    assert_eq!(
        (applied.unwrap(), calls),
        (Applied::Changed, vec!["loosen", "apply", "begin anew", "tighten"])
    );
    assert_eq!(node.rules.held(), Some(config(2, "10.0.0.0/8")));
    let (applied, calls) = node.apply(&config(2, "10.0.0.0/8"));
    assert_eq!((applied.unwrap(), calls), (Applied::AlreadySo, vec!["loosen", "apply", "tighten"]));
    // Blocks alone: connections are left alone.
    let more =
        SteeringConfig { blocks: [(address(), BTreeSet::new())].into(), ..config(2, "10.0.0.0/8") };
    let (applied, calls) = node.apply(&more);
    assert_eq!((applied.unwrap(), calls), (Applied::Changed, vec!["loosen", "apply", "tighten"]));
    let (_, calls) = node.apply(&config(2, "192.168.0.0/16"));
    let path = ["tunnel", "set mtu", "routes", "set mark", "verify", "apply", "settle"];
    assert_eq!(calls, [&["loosen"], path.as_slice(), &["tighten"]].concat());
}

/// Rules that are written for no tunnel have no MTU.
#[test]
fn no_rule_is_written_while_the_path_is_not_there() {
    let mut node = Fixture::new();
    node.path.has_tunnel = false;
    for pods in 1..3 {
        let (applied, calls) = node.apply(&config(pods, "10.0.0.0/8"));
        assert!(applied.is_err());
        assert_eq!((node.rules.held(), calls), (None, vec!["loosen", "tunnel"]));
    }
    node.path.has_tunnel = true;
    assert!(node.repair().0.unwrap());
    assert_eq!((node.rules.held(), node.rules.mtu()), (Some(config(2, "10.0.0.0/8")), MTU));
    node.path.has_tunnel = false;
    assert!(node.repair().0.is_err());
    let (applied, calls) = node.apply(&config(3, "10.0.0.0/8"));
    assert!(applied.is_err(), "the path is in doubt since the repair");
    assert_eq!(calls, ["loosen", "tunnel"]);
}

#[test]
fn nothing_is_repaired_before_the_first_config() {
    let mut node = Fixture::new();
    node.rules.set_held(Some(config(3, "10.0.0.0/8")));
    let (repaired, calls) = node.repair();
    assert!(!repaired.unwrap() && calls.is_empty(), "{calls:?}");
    assert_eq!(node.rules.held(), Some(config(3, "10.0.0.0/8")));
}

#[test]
fn only_what_is_missing_is_put_back() {
    let mut node = Fixture::new();
    node.apply(&config(1, "10.0.0.0/8")).0.unwrap();
    let looked = ["tunnel", "set mtu", "routes", "set mark", "verify", "settle", "tighten"];
    let (repaired, calls) = node.repair();
    assert_eq!((repaired.unwrap(), calls.as_slice()), (false, looked.as_slice()));

    node.path.missing = true;
    let (repaired, calls) = node.repair();
    assert_eq!((repaired.unwrap(), calls.as_slice()), (true, looked.as_slice()));

    node.rules.set_held(None);
    let (repaired, calls) = node.repair();
    assert!(repaired.unwrap());
    assert_eq!(
        calls,
        ["tunnel", "set mtu", "routes", "set mark", "verify", "apply", "settle", "tighten"]
    );
    assert_eq!(node.rules.held(), Some(config(1, "10.0.0.0/8")));
}

/// No root is needed to listen, and no other back end has a part in it.
#[test]
fn what_the_back_end_tells_comes_as_a_change_of_the_kernel() {
    let node = Fixture::new();
    let settings = egret_datapath::HostSettings::default();
    let mut changes = egret_datapath::repair::watch(&settings, node.writer.back_end()).unwrap();
    node.rules.set_held(None);
    let end = Instant::now() + Duration::from_secs(5);
    let change = loop {
        // Links of this host may change meanwhile.
        match changes.try_recv() {
            Ok(change) if matches!(change.what, ChangedPart::Rules(_)) => break change,
            _ => assert!(Instant::now() < end, "not noticed"),
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert_eq!(change.what.to_string(), "the rules in memory were changed");
    assert_eq!(change.by.as_deref(), Some("test (1)"));
}

/// The former mark leads into the tunnel until the rules give packets the new one, also where they cannot
/// be written yet.
#[test]
fn a_former_mark_is_good_until_packets_carry_the_new_one() {
    let mut node = Fixture::new();
    node.apply(&config(1, "10.0.0.0/8")).0.unwrap();
    assert_eq!(node.rules.packet_mark(), 0x54);
    node.path.mark = 0x55;
    node.rules.refuse(true);
    let (repaired, calls) = node.repair();
    assert!(repaired.is_err() && !calls.contains(&"settle"), "{calls:?}");
    node.rules.refuse(false);
    let (repaired, calls) = node.repair();
    assert!(repaired.is_ok() && calls.ends_with(&["settle", "tighten"]), "{calls:?}");
    assert_eq!(node.rules.packet_mark(), 0x55);
}

/// Its rule comes and goes under a running agent.
#[test]
fn a_proxys_packets_are_left_to_it_while_it_is_there() {
    let mut node = Fixture::new();
    node.apply(&config(1, "10.0.0.0/8")).0.unwrap();
    assert!(!node.rules.has_proxy());
    for is_there in [true, false] {
        node.path.has_proxy = is_there;
        node.repair().0.unwrap();
        assert_eq!(node.rules.has_proxy(), is_there);
    }
}

#[test]
fn what_the_back_end_refused_is_applied_by_the_next_repair() {
    let mut node = Fixture::new();
    node.apply(&config(1, "10.0.0.0/8")).0.unwrap();
    node.rules.refuse(true);
    assert!(node.apply(&config(2, "10.0.0.0/8")).0.is_err());
    assert_eq!(node.rules.held(), Some(config(1, "10.0.0.0/8")));
    assert!(node.repair().0.is_err());
    node.rules.refuse(false);
    assert!(node.repair().0.unwrap());
    assert_eq!(node.rules.held(), Some(config(2, "10.0.0.0/8")));
}

/// docs/leases.md rule 18: an address without a connection is idle only where nothing opens one.
#[test]
fn an_address_is_opened_until_rules_without_it_are_written() {
    let mut node = Fixture::new();
    assert!(node.writer.opens(address()), "an earlier process may have left rules");
    node.path.has_tunnel = false;
    node.apply(&SteeringConfig::default()).0.unwrap_err();
    assert!(node.writer.opens(address()), "none are written yet");
    node.path.has_tunnel = true;
    node.apply(&config(1, "10.0.0.0/8")).0.unwrap();
    assert!(node.writer.opens(address()));
    // The back end refuses the rules, or the way for them cannot be made.
    let without = config(0, "10.0.0.0/8");
    node.rules.refuse(true);
    node.apply(&without).0.unwrap_err();
    assert!(node.writer.opens(address()), "the kernel has the former rules");
    node.path.has_tunnel = false;
    node.apply(&config(0, "192.168.0.0/16")).0.unwrap_err();
    assert!(node.writer.opens(address()), "the kernel has the former rules");
    node.path.has_tunnel = true;
    node.rules.refuse(false);
    node.repair().0.unwrap();
    assert!(!node.writer.opens(address()));
    // Rules that are to be written count too.
    node.rules.refuse(true);
    node.apply(&config(1, "192.168.0.0/16")).0.unwrap_err();
    assert!(node.writer.opens(address()));
}
