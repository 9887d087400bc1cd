//! What was read of EC2, as values, and how a change of ours shows in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// What one scan read. Identifiers are EC2's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ec2Snapshot {
    /// The instances of nodes, by id.
    pub instances: BTreeMap<String, Instance>,
    /// The interfaces of those instances, and those that statuses name, by id.
    pub interfaces: BTreeMap<String, Interface>,
    /// The account's Elastic IPs among the addresses that the scan was for.
    pub elastic: BTreeMap<Ipv4Addr, Elastic>,
    /// The subnets of the interfaces, by id.
    pub subnets: BTreeMap<String, Subnet>,
    /// Limits of the instance types, by name.
    pub limits: BTreeMap<String, InterfaceLimits>,
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Instance {
    /// Such as `m5.large`.
    pub kind: String,
    /// It is of an EKS cluster, by the tags of who launched it.
    pub eks: bool,
    /// It is of a Kubernetes cluster, by the tag that self-managed nodes have too.
    pub in_cluster: bool,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    pub subnet: String,
    pub zone: String,
    /// The instance that it is attached to.
    pub instance: Option<String>,
    /// 0 is the primary interface.
    pub device: i32,
    pub tags: BTreeMap<String, String>,
    pub description: String,
    pub mac: Option<String>,
    pub v4: BTreeMap<Ipv4Addr, Private>,
    pub v6: BTreeSet<Ipv6Addr>,
    /// Delegated /28 prefixes: each takes a slot of an address.
    pub v4_prefixes: u32,
    /// Delegated /80 prefixes.
    pub v6_prefixes: u32,
}

/// A private IPv4 address of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Private {
    pub primary: bool,
    /// The public address that maps to it.
    pub public: Option<Ipv4Addr>,
}

/// An Elastic IP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Elastic {
    pub allocation: String,
    /// The zones that it can be used in.
    pub border_group: String,
    pub association: Option<Association>,
    pub kind: ElasticKind,
}

/// What an allocated address is: not all of them can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ElasticKind {
    /// An Elastic IP: of the Region or of a Local Zone.
    #[default]
    Public,
    /// Of the carrier of a Wavelength Zone.
    Carrier,
    /// Customer-owned, of an Outpost.
    CustomerOwned,
}

impl ElasticKind {
    /// Why an address of this kind cannot be an egress address, with the remedy.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Public => None,
            Self::Carrier => Some(
                "it is a carrier IP address of a Wavelength Zone, which Egret does not move: take it \
                 out of the pool, or allocate an Elastic IP of the Region or a Local Zone",
            ),
            Self::CustomerOwned => Some(
                "it is a customer-owned IP address of an Outpost (CoIP), which Egret does not move: \
                 take it out of the pool, or allocate an Elastic IP of the Region",
            ),
        }
    }
}

/// An Elastic IP's association; each association has an id of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Association {
    pub id: String,
    pub interface: String,
    pub private: Ipv4Addr,
}

/// A subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subnet {
    pub v4: Option<Ipv4Net>,
    pub v6: Vec<Ipv6Net>,
}

/// Addresses that an interface of one instance type can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InterfaceLimits {
    pub v4: u32,
    pub v6: u32,
}

/// What a successful call has made so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallEffect {
    /// This interface has the private address, and no other.
    At { interface: String, address: IpAddr },
    /// No interface has the private address.
    Nowhere { address: IpAddr },
    /// The Elastic IP is associated so.
    Associated { public: Ipv4Addr, association: Association },
    /// The Elastic IP is associated with nothing.
    Disassociated { public: Ipv4Addr },
}

impl CallEffect {
    /// What it speaks of: a later effect on the same address makes an earlier one moot.
    pub fn address(&self) -> IpAddr {
        match self {
            Self::At { address, .. } | Self::Nowhere { address } => *address,
            Self::Associated { public, .. } | Self::Disassociated { public } => (*public).into(),
        }
    }

    /// Associations rest on private addresses: these come first.
    pub fn is_private(&self) -> bool {
        matches!(self, Self::At { .. } | Self::Nowhere { .. })
    }
}

impl Subnet {
    /// Whether an interface in it can have `address`. AWS keeps the first four addresses and the
    /// last of a subnet (VPC user guide, "Subnet sizing"), of IPv6 subnets likewise.
    pub fn serves(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.is_some_and(|net| {
                let offset = u32::from(address).wrapping_sub(net.network().into());
                net.contains(&address) && offset > 3 && address != net.broadcast()
            }),
            IpAddr::V6(address) => self.v6.iter().any(|net| {
                let offset = u128::from(address).wrapping_sub(net.network().into());
                net.contains(&address) && offset > 3 && address != net.broadcast()
            }),
        }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.is_some_and(|net| net.contains(&address)),
            IpAddr::V6(address) => self.v6.iter().any(|net| net.contains(&address)),
        }
    }
}

impl Interface {
    pub fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains_key(&address),
            IpAddr::V6(address) => self.v6.contains(&address),
        }
    }

    pub fn is_primary_address(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else { return false };
        self.v4.get(&address).is_some_and(|private| private.primary)
    }

    /// Slots in use, of one family.
    pub fn used(&self, v4: bool) -> u32 {
        let (addresses, prefixes) =
            if v4 { (self.v4.len(), self.v4_prefixes) } else { (self.v6.len(), self.v6_prefixes) };
        u32::try_from(addresses).unwrap_or(u32::MAX).saturating_add(prefixes)
    }

    /// Secondary addresses that no public address maps to.
    pub fn idle(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let idle = self.v4.iter().filter(|(_, private)| !private.primary);
        idle.filter(|(_, private)| private.public.is_none()).map(|(address, _)| *address)
    }
}

impl Ec2Snapshot {
    /// The interface that has a private address.
    pub fn holder(&self, address: IpAddr) -> Option<(&String, &Interface)> {
        self.interfaces.iter().find(|(_, interface)| interface.has(address))
    }

    /// Whether some subnet of a node contains the address: then it is a private one.
    pub fn in_a_subnet(&self, address: IpAddr) -> bool {
        self.subnets.values().any(|subnet| subnet.contains(address))
    }

    /// Makes it so, whatever was read: the answer to a call is newer than any read that does not
    /// show it.
    pub fn apply(&mut self, effect: &CallEffect) {
        match effect {
            CallEffect::At { interface, address } => self.place(interface, *address),
            CallEffect::Nowhere { address } => self.remove(*address, None),
            CallEffect::Associated { public, association } => self.associate(*public, association),
            CallEffect::Disassociated { public } => self.disassociate(*public),
        }
    }

    fn place(&mut self, id: &str, address: IpAddr) {
        let along = self.mapped(address);
        self.remove(address, Some(id));
        let Some(interface) = self.interfaces.get_mut(id) else { return };
        match address {
            IpAddr::V4(address) => {
                let private = interface.v4.entry(address).or_default();
                // EC2 takes the Elastic IP along, which a read from before the move shows elsewhere.
                if let Some(public) = along {
                    private.public = Some(public);
                    let elastic = self.elastic.get_mut(&public);
                    if let Some(at) = elastic.and_then(|elastic| elastic.association.as_mut()) {
                        id.clone_into(&mut at.interface);
                    }
                }
            }
            IpAddr::V6(address) => drop(interface.v6.insert(address)),
        }
    }

    /// The public address that maps to a private one, wherever that is.
    fn mapped(&self, address: IpAddr) -> Option<Ipv4Addr> {
        let IpAddr::V4(address) = address else { return None };
        let mut all = self.interfaces.values();
        all.find_map(|interface| interface.v4.get(&address)?.public)
    }

    fn remove(&mut self, address: IpAddr, except: Option<&str>) {
        for (_, interface) in self.interfaces.iter_mut().filter(|(id, _)| Some(&***id) != except) {
            match address {
                IpAddr::V4(address) => drop(interface.v4.remove(&address)),
                IpAddr::V6(address) => drop(interface.v6.remove(&address)),
            }
        }
    }

    fn associate(&mut self, public: Ipv4Addr, association: &Association) {
        self.disassociate(public);
        let displaced = |elastic: &&mut Elastic| {
            elastic.association.as_ref().is_some_and(|other| {
                (&other.interface, other.private) == (&association.interface, association.private)
            })
        };
        for elastic in self.elastic.values_mut().filter(displaced) {
            elastic.association = None;
        }
        if let Some(elastic) = self.elastic.get_mut(&public) {
            elastic.association = Some(association.clone());
        }
        let interface = self.interfaces.get_mut(&association.interface);
        if let Some(private) = interface.and_then(|at| at.v4.get_mut(&association.private)) {
            private.public = Some(public);
        }
    }

    fn disassociate(&mut self, public: Ipv4Addr) {
        let privates = self.interfaces.values_mut().flat_map(|interface| interface.v4.values_mut());
        for private in privates.filter(|private| private.public == Some(public)) {
            private.public = None;
        }
        if let Some(elastic) = self.elastic.get_mut(&public) {
            elastic.association = None;
        }
    }
}
