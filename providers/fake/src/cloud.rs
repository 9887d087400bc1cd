//! The cloud: what it has, and how its API behaves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use egret_core::model::{Attachment, NodeName};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{NodeCapacity, Observation};

/// A call of the cloud's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FakeCall {
    /// Reads attachments and nodes.
    Describe,
    /// Attaches an address, taking it from another node.
    Assign,
    /// Detaches an address from the node that is named.
    Unassign,
}

/// Something that goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FakeFault {
    /// The next call of this kind.
    pub call: FakeCall,
    /// What it answers.
    pub class: ErrorClass,
    /// It has done its work all the same: the answer was lost, as in a timeout.
    pub done: bool,
}

/// A cloud. A clone is the same cloud.
#[derive(Clone, Debug, Default)]
pub struct FakeCloud(Arc<Mutex<Model>>);

#[derive(Debug, Default)]
struct Model {
    nodes: BTreeMap<NodeName, Node>,
    addresses: BTreeMap<IpAddr, Address>,
    attached: BTreeMap<IpAddr, NodeName>,
    /// What readers see while `unseen` is above zero.
    seen: BTreeMap<IpAddr, NodeName>,
    unseen: u32,
    lag: u32,
    latency: Duration,
    faults: VecDeque<FakeFault>,
    calls: Vec<FakeCall>,
}

#[derive(Debug)]
struct Node {
    zone: String,
    room: u32,
}

#[derive(Debug)]
struct Address {
    zone: Option<String>,
    wires: BTreeMap<NodeName, IpAddr>,
}

impl FakeCloud {
    /// Adds a node with room for `room` addresses, or changes it.
    pub fn add_node(&self, name: &str, zone: &str, room: u32) {
        self.model().nodes.insert(name.into(), Node { zone: zone.into(), room });
    }

    /// Removes a node, with what is attached to it.
    pub fn remove_node(&self, name: &NodeName) {
        let mut model = self.model();
        model.nodes.remove(name);
        model.change(|attached| attached.retain(|_, node| node != name));
    }

    /// Adds an address that the nodes of `zone` can have; all nodes where it is `None`.
    pub fn add_address(&self, address: IpAddr, zone: Option<&str>) {
        let address_of = Address { zone: zone.map(Into::into), wires: BTreeMap::new() };
        self.model().addresses.insert(address, address_of);
    }

    /// Packets of `address` carry `wire` on the uplink of `node`, as behind a 1:1 mapping.
    pub fn map(&self, address: IpAddr, node: &str, wire: IpAddr) {
        if let Some(known) = self.model().addresses.get_mut(&address) {
            known.wires.insert(node.into(), wire);
        }
    }

    /// Every call takes this long from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.model().latency = latency;
    }

    /// After every change, so many reads show what was before it.
    pub fn set_lag(&self, reads: u32) {
        self.model().lag = reads;
    }

    /// Adds faults, met in this order by the calls that they name.
    pub fn script(&self, faults: impl IntoIterator<Item = FakeFault>) {
        self.model().faults.extend(faults);
    }

    /// Faults that no call has met yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.model().faults.len()
    }

    /// What is attached where, without latency, lag or faults: the truth.
    #[must_use]
    pub fn attached(&self) -> BTreeMap<IpAddr, NodeName> {
        self.model().attached.clone()
    }

    /// Attaches behind everybody's back, as a person at the cloud's console does.
    pub fn attach_by_hand(&self, address: IpAddr, node: Option<&str>) {
        self.model().change(|attached| match node {
            Some(node) => drop(attached.insert(address, node.into())),
            None => drop(attached.remove(&address)),
        });
    }

    /// The calls made since the last time this was asked, in order.
    #[must_use]
    pub fn take_calls(&self) -> Vec<FakeCall> {
        std::mem::take(&mut self.model().calls)
    }

    pub(crate) async fn describe(
        &self,
        addresses: &BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
    ) -> Result<Observation, PortError> {
        let read = |model: &mut Model| Ok(model.read(addresses, nodes));
        self.call(FakeCall::Describe, "describe addresses".into(), read).await
    }

    pub(crate) async fn assign(
        &self,
        address: IpAddr,
        node: &NodeName,
    ) -> Result<Attachment, PortError> {
        let operation = format!("assign {address} to {node}");
        self.call(FakeCall::Assign, operation, |model| {
            model.assign(address, node)?;
            Ok(model.attachment(address, node))
        })
        .await
    }

    /// What an attachment there would be. Nothing is ever made ready: a mapping is there always.
    pub(crate) async fn ready(
        &self,
        address: IpAddr,
        node: &NodeName,
    ) -> Result<Attachment, PortError> {
        let operation = format!("see whether {node} can serve {address}");
        self.call(FakeCall::Describe, operation, |model| {
            model.serves(address, node)?;
            Ok(model.attachment(address, node))
        })
        .await
    }

    pub(crate) async fn unassign(&self, address: IpAddr, node: &NodeName) -> Result<(), PortError> {
        let operation = format!("unassign {address} from {node}");
        self.call(FakeCall::Unassign, operation, |model| model.unassign(address, node)).await
    }

    /// Half of the latency lies before the work and half behind it, so that a caller can go away
    /// on either side.
    async fn call<T>(
        &self,
        call: FakeCall,
        operation: String,
        work: impl FnOnce(&mut Model) -> Result<T, (ErrorClass, &'static str)>,
    ) -> Result<T, PortError> {
        let latency = {
            let mut model = self.model();
            model.calls.push(call);
            model.latency
        };
        tokio::time::sleep(latency / 2).await;
        let result = {
            let mut model = self.model();
            let place = model.faults.iter().position(|fault| fault.call == call);
            match place.and_then(|place| model.faults.remove(place)) {
                None => work(&mut model),
                Some(fault) => {
                    if fault.done {
                        // What it would have answered is lost with the answer.
                        let _ = work(&mut model);
                    }
                    Err((fault.class, "a fault of the script"))
                }
            }
        };
        tokio::time::sleep(latency / 2).await;
        result.map_err(|(class, cause)| PortError::new(class, operation, cause))
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model {
    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<IpAddr, NodeName>)) {
        let before = self.attached.clone();
        change(&mut self.attached);
        if self.attached != before {
            self.seen = before;
            self.unseen = self.lag;
        }
    }

    fn read(&mut self, addresses: &BTreeSet<IpAddr>, nodes: &BTreeSet<NodeName>) -> Observation {
        let stale = self.unseen > 0;
        self.unseen = self.unseen.saturating_sub(1);
        let attached = if stale { &self.seen } else { &self.attached };
        let attachments = attached.iter().filter(|(address, _)| addresses.contains(address));
        let attachments =
            attachments.map(|(address, node)| (*address, self.attachment(*address, node)));
        let offers = nodes.iter().filter_map(|name| {
            let node = self.nodes.get(name)?;
            let used = attached.values().filter(|holder| *holder == name).count();
            let used = u32::try_from(used).unwrap_or(u32::MAX);
            let why = |address| self.serves(address, name).err().map(|(_, why)| why.to_owned());
            let free = node.room.saturating_sub(used);
            Some((name.clone(), NodeCapacity::of(free, addresses, why)))
        });
        Observation { attachments: attachments.collect(), nodes: offers.collect() }
    }

    fn attachment(&self, address: IpAddr, node: &NodeName) -> Attachment {
        let wires = self.addresses.get(&address).map(|known| &known.wires);
        let wire = wires.and_then(|wires| wires.get(node)).copied();
        Attachment { wire, ..Attachment::at(node.clone()) }
    }

    fn serves(
        &self,
        address: IpAddr,
        name: &NodeName,
    ) -> Result<&Node, (ErrorClass, &'static str)> {
        let known = self.addresses.get(&address);
        let known = known.ok_or((ErrorClass::NotFound, "no such address"))?;
        let node = self.nodes.get(name).ok_or((ErrorClass::NotFound, "no such node"))?;
        known.fits(node).then_some(node).ok_or((ErrorClass::Invalid, "it is of another zone"))
    }

    fn assign(
        &mut self,
        address: IpAddr,
        name: &NodeName,
    ) -> Result<(), (ErrorClass, &'static str)> {
        let room = self.serves(address, name)?.room as usize;
        let others = self.attached.iter().filter(|(held, _)| **held != address);
        let used = others.filter(|(_, holder)| *holder == name).count();
        if used >= room {
            return Err((ErrorClass::Quota, "the node has no room"));
        }
        self.change(|attached| drop(attached.insert(address, name.clone())));
        Ok(())
    }

    fn unassign(
        &mut self,
        address: IpAddr,
        name: &NodeName,
    ) -> Result<(), (ErrorClass, &'static str)> {
        if self.attached.get(&address) != Some(name) {
            return Err((ErrorClass::NotFound, "the node does not have it"));
        }
        self.change(|attached| drop(attached.remove(&address)));
        Ok(())
    }
}

impl Address {
    fn fits(&self, node: &Node) -> bool {
        self.zone.as_ref().is_none_or(|zone| *zone == node.zone)
    }
}
