//! Values in, values out.

use std::collections::BTreeMap;

use egret_ports::provider::Inventory;

use super::*;
use crate::place::{InterfaceRules, Wires};
use crate::snapshot::{
    CallEffect, Ec2Snapshot, ElasticKind, Instance, InterfaceLimits, Private, Subnet,
};

mod elastic;
mod interfaces;
mod laws;
mod private;

/// An account with gateways `a`, `b` in one subnet and `c` in another zone, and what is known.
#[derive(Clone)]
pub(super) struct Account {
    pub view: Ec2Snapshot,
    pub inventory: Inventory,
    pub wires: Wires,
    pub doubts: BTreeMap<IpAddr, Doubt>,
    pub full: BTreeSet<String>,
    pub pending: BTreeSet<String>,
    pub in_flight: BTreeSet<String>,
    pub reserved: BTreeMap<String, u32>,
    pub rules: InterfaceRules,
}

pub(super) const PUBLIC: &str = "203.0.113.1";

pub(super) fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

impl Account {
    pub fn new() -> Self {
        let mut account = Self {
            view: Ec2Snapshot::default(),
            inventory: Inventory::default(),
            wires: Wires::new(),
            doubts: BTreeMap::new(),
            full: BTreeSet::new(),
            pending: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            reserved: BTreeMap::new(),
            rules: InterfaceRules { tags: tags(&[("egret.dev/gateway", "true")]), managed: false },
        };
        for (subnet, v4, v6) in [
            ("subnet-1", "10.0.1.0/24", "2001:db8:0:1::/64"),
            ("subnet-2", "10.0.2.0/24", "2001:db8:0:2::/64"),
        ] {
            let v4 = Some(v4.parse().unwrap());
            let v6 = vec![v6.parse().unwrap()];
            account.view.subnets.insert(subnet.into(), Subnet { v4, v6 });
        }
        account.view.limits.insert("m5.large".into(), InterfaceLimits { v4: 10, v6: 10 });
        account.gateway("a", "subnet-1", "10.0.1.10");
        account.gateway("b", "subnet-1", "10.0.1.11");
        account.gateway("c", "subnet-2", "10.0.2.10");
        account.elastic(PUBLIC, None);
        account
    }

    pub fn gateway(&mut self, name: &str, subnet: &str, primary: &str) {
        let number = u32::from(ip(primary));
        let instance = format!("i-{number:x}");
        self.inventory.nodes.insert(name.into(), format!("aws:///zone/{instance}"));
        let kind = Instance { kind: "m5.large".into(), eks: false, in_cluster: false };
        self.view.instances.insert(instance.clone(), kind);
        let private = Private { primary: true, public: None };
        let interface = Interface {
            subnet: subnet.into(),
            zone: if subnet == "subnet-1" { "eu-central-1a" } else { "eu-central-1b" }.into(),
            instance: Some(instance),
            tags: tags(&[("egret.dev/gateway", "true")]),
            v4: [(ip(primary), private)].into(),
            ..Interface::default()
        };
        self.view.interfaces.insert(format!("eni-{name}"), interface);
    }

    /// An Elastic IP, associated with an interface's secondary address.
    pub fn elastic(&mut self, public: &str, at: Option<(&str, &str)>) {
        let association = at.map(|(interface, private)| Association {
            id: format!("eipassoc-{public}"),
            interface: interface.into(),
            private: ip(private),
        });
        if let Some((interface, private)) = at {
            self.secondary(interface, private);
            let private = self.interface(interface).v4.get_mut(&ip(private)).unwrap();
            private.public = Some(ip(public));
        }
        let allocation = format!("eipalloc-{public}");
        let border_group = "eu-central-1".into();
        let elastic = Elastic { allocation, border_group, association, ..Elastic::default() };
        self.view.elastic.insert(ip(public), elastic);
    }

    pub fn secondary(&mut self, interface: &str, address: &str) {
        self.interface(interface).v4.entry(ip(address)).or_default();
    }

    pub fn interface(&mut self, id: &str) -> &mut Interface {
        self.view.interfaces.get_mut(id).unwrap()
    }

    pub fn look<T>(&self, decide: impl FnOnce(&PlacementInputs<'_>) -> T) -> T {
        decide(&PlacementInputs {
            view: &self.view,
            inventory: &self.inventory,
            wires: &self.wires,
            doubts: &self.doubts,
            full: &self.full,
            pending: &self.pending,
            in_flight: &self.in_flight,
            reserved: &self.reserved,
            asked: &BTreeSet::new(),
            rules: &self.rules,
        })
    }

    pub fn attach(&self, address: &str, node: &str) -> Step<Attachment> {
        self.look(|scene| attach(scene, address.parse().unwrap(), &node.into()))
    }

    pub fn detach(&self, address: &str, node: &str) -> Step<()> {
        self.look(|scene| detach(scene, address.parse().unwrap(), &node.into()))
    }

    pub fn prepare(&self, node: &str, addresses: &[&str]) -> Step<prepare::Ready> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.look(|scene| prepare(scene, &node.into(), &addresses))
    }

    /// How an attempt is refused.
    pub fn refused(&self, address: &str, node: &str) -> Unplaceable {
        match self.attach(address, node) {
            Step::Refuse(refusal) => refusal,
            other => panic!("{address} at {node}: {other:?}"),
        }
    }
}

pub(super) fn tags(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}
