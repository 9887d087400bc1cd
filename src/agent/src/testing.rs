//! A SNAT back end without a kernel, and objects of a snapshot, for the agent's own tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use egret_core::model::{
    AddressStatus, ClaimRef, EgressAddress, EgressNode, EgressNodeSpec, EgressNodeStatus,
    ResourceVersion, Snapshot, Stored,
};
use egret_core::node_config::SteeringConfig;
use egret_datapath::host::HostUplink;
use egret_ports::contract::objects::bare_plan;
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::steering::{
    Applied, Collision, SteeredPackets, Steering, SteeringChange, SteeringCounters, SteeringDrop,
    SteeringWatcher,
};
use ipnet::IpNet;

/// Puts an address of the claim `bank` on a LAN into a snapshot; it has no owner unless `change` gives one.
pub(crate) fn put_address(
    snapshot: &mut Snapshot,
    address: IpAddr,
    change: impl FnOnce(&mut EgressAddress),
) {
    let plan = bare_plan(ClaimRef { namespace: None, name: "bank".to_owned() }, 1);
    let mut value =
        EgressAddress { address, plan, status: AddressStatus::default(), deleting: false };
    change(&mut value);
    let version = ResourceVersion("1".to_owned());
    snapshot.addresses.insert(address, Stored { version, value });
}

/// Puts a node's object into a snapshot.
pub(crate) fn put_node(snapshot: &mut Snapshot, name: &str, status: EgressNodeStatus) {
    let spec = EgressNodeSpec::default();
    let value = EgressNode { name: name.into(), spec, status, deleting: false };
    let version = ResourceVersion("1".to_owned());
    snapshot.egress_nodes.insert(name.into(), Stored { version, value });
}

/// An uplink with a carrier and no route; its MAC address ends in the index.
pub(crate) fn uplink(index: u32, addresses: &[&str]) -> HostUplink {
    let addresses: Vec<IpNet> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    HostUplink {
        name: format!("eth{index}"),
        index,
        mac: [2, 0, 0, 0, 0, u8::try_from(index).unwrap()],
        mtu: 1500,
        carrier: true,
        lasting: addresses.iter().map(IpNet::addr).collect(),
        addresses,
        defaults: Vec::new(),
        next_hops: BTreeMap::new(),
    }
}

/// What was called, in order. A clone notes into the same list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<&'static str>>>);

impl Calls {
    pub(crate) fn note(&self, call: &'static str) {
        locked(&self.0).push(call);
    }

    /// What was called since this was called last.
    pub(crate) fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *locked(&self.0))
    }
}

/// Holds one steering config, as a kernel would. A clone is another hand on the same rules: the
/// test's, while the code under test has the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct InMemorySteering {
    calls: Calls,
    rules: Arc<Mutex<InMemoryRules>>,
}

#[derive(Debug, Default)]
struct InMemoryRules {
    held: Option<SteeringConfig>,
    mtu: u32,
    mark: u32,
    has_proxy: bool,
    refuses: bool,
    drops: BTreeMap<SteeringDrop, u64>,
    changes: Vec<SteeringChange>,
}

impl InMemorySteering {
    pub(crate) fn new(calls: Calls) -> Self {
        Self { calls, rules: Arc::default() }
    }

    pub(crate) fn held(&self) -> Option<SteeringConfig> {
        locked(&self.rules).held.clone()
    }

    pub(crate) fn mtu(&self) -> u32 {
        locked(&self.rules).mtu
    }

    /// The mark of packets, and 0 before it was told.
    pub(crate) fn packet_mark(&self) -> u32 {
        locked(&self.rules).mark
    }

    /// Whether a proxy takes packets by its own mark.
    pub(crate) fn has_proxy(&self) -> bool {
        locked(&self.rules).has_proxy
    }

    /// Writes as somebody else does, who is noticed.
    pub(crate) fn set_held(&self, config: Option<SteeringConfig>) {
        let mut rules = locked(&self.rules);
        rules.held = config;
        let what = "the rules in memory were changed".to_owned();
        rules.changes.push(SteeringChange::Rules { what, by: Some("test (1)".to_owned()) });
    }

    /// From now on every call fails, or none does.
    pub(crate) fn refuse(&self, refuses: bool) {
        locked(&self.rules).refuses = refuses;
    }

    pub(crate) fn count_drops(&self, reason: SteeringDrop, packets: u64) {
        *locked(&self.rules).drops.entry(reason).or_default() += packets;
    }

    fn willing(&self, call: &'static str) -> Result<MutexGuard<'_, InMemoryRules>, PortError> {
        self.calls.note(call);
        let rules = locked(&self.rules);
        match rules.refuses {
            true => Err(PortError::new(ErrorClass::Transient, call, "told to refuse")),
            false => Ok(rules),
        }
    }
}

impl Steering for InMemorySteering {
    fn apply(&mut self, config: &SteeringConfig) -> Result<Applied, PortError> {
        let before = self.willing("apply")?.held.replace(config.clone());
        Ok(if before.as_ref() == Some(config) { Applied::AlreadySo } else { Applied::Changed })
    }

    fn verify(&mut self, config: &SteeringConfig) -> Result<bool, PortError> {
        Ok(self.willing("verify")?.held.as_ref() == Some(config))
    }

    fn set_mtu(&mut self, mtu: u32) {
        self.calls.note("set mtu");
        locked(&self.rules).mtu = mtu;
    }

    fn set_packet_mark(&mut self, mark: u32) {
        self.calls.note("set mark");
        locked(&self.rules).mark = mark;
    }

    fn set_proxy(&mut self, is_there: bool) {
        locked(&self.rules).has_proxy = is_there;
    }

    fn counters(&self) -> Box<dyn SteeringCounters> {
        Box::new(self.clone())
    }

    fn collisions(&self) -> Result<BTreeSet<Collision>, PortError> {
        Ok(BTreeSet::new())
    }

    fn watch(&self) -> Result<Box<dyn SteeringWatcher>, PortError> {
        Ok(Box::new(self.clone()))
    }

    fn teardown(&mut self) -> Result<(), PortError> {
        self.willing("teardown")?.held = None;
        Ok(())
    }
}

impl SteeringCounters for InMemorySteering {
    fn steered(&self) -> Result<SteeredPackets, PortError> {
        self.willing("steered").map(|_| SteeredPackets::default())
    }

    fn drops(&self) -> Result<BTreeMap<SteeringDrop, u64>, PortError> {
        Ok(self.willing("drops")?.drops.clone())
    }
}

impl SteeringWatcher for InMemorySteering {
    fn wait(&mut self) -> Result<Vec<SteeringChange>, PortError> {
        std::thread::sleep(Duration::from_millis(1));
        Ok(std::mem::take(&mut locked(&self.rules).changes))
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
