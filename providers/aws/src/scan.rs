//! One read of everything, shared by all who ask meanwhile.
//!
//! A scan that began after somebody asked is as good for him as one of his own: a failover of many
//! addresses costs as many reads as one of one address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use egret_ports::provider::Inventory;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::ec2::Ec2;
use crate::errors::CallFailure;
use crate::place::instance_id;
use crate::snapshot::{Ec2Snapshot, Instance, InterfaceLimits, Subnet};

/// How long an instance that was not there is believed not to be.
const MISSING: Duration = Duration::from_secs(10);

/// Reads, and what it remembers of them. Written by the reader that holds the lock.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// How long a read waits for others who need it.
    collect: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    latest: Option<Arc<Scan>>,
    instances: BTreeMap<String, (Instant, Option<Instance>)>,
    subnets: BTreeMap<String, (Instant, Subnet)>,
    limits: BTreeMap<String, InterfaceLimits>,
}

/// What one scan has read.
#[derive(Debug)]
pub(crate) struct Scan {
    /// What was changed after it may be missing.
    pub began: Instant,
    scope: ScanScope,
    pub view: Ec2Snapshot,
}

/// What is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScanScope {
    addresses: BTreeSet<IpAddr>,
    instances: BTreeSet<String>,
    interfaces: BTreeSet<String>,
}

impl ScanScope {
    /// The inventory's nodes and addresses, and `asked`.
    pub fn new(inventory: &Inventory, asked: &BTreeSet<IpAddr>) -> Self {
        let instances = inventory.nodes.values().filter_map(|id| instance_id(id));
        let recorded = inventory.addresses.values().flat_map(BTreeMap::values);
        let interfaces = recorded.filter_map(|attachment| attachment.interface.clone());
        Self {
            addresses: inventory.addresses.keys().chain(asked).copied().collect(),
            instances: instances.map(ToOwned::to_owned).collect(),
            interfaces: interfaces.collect(),
        }
    }

    fn within(&self, other: &Self) -> bool {
        self.addresses.is_subset(&other.addresses)
            && self.instances.is_subset(&other.instances)
            && self.interfaces.is_subset(&other.interfaces)
    }
}

impl Scanner {
    pub fn new(collect: Duration) -> Self {
        Self { collect, state: Mutex::default() }
    }

    /// What a scan that began at `since` or later read of `scope`.
    pub async fn read(
        &self,
        ec2: &Ec2,
        scope: &ScanScope,
        since: Instant,
        cache: Duration,
    ) -> Result<Arc<Scan>, CallFailure> {
        let mut state = self.state.lock().await;
        if let Some(scan) = &state.latest
            && scan.began >= since
            && scope.within(&scan.scope)
        {
            return Ok(scan.clone());
        }
        // Who asks within this time shares the read: the tasks of a failover begin together.
        tokio::time::sleep(self.collect).await;
        let began = Instant::now();
        let view = state.scan(ec2, scope, cache).await?;
        let scan = Arc::new(Scan { began, scope: scope.clone(), view });
        state.latest = Some(scan.clone());
        Ok(scan)
    }
}

impl State {
    async fn scan(
        &mut self,
        ec2: &Ec2,
        scope: &ScanScope,
        cache: Duration,
    ) -> Result<Ec2Snapshot, CallFailure> {
        let mut view = Ec2Snapshot::default();
        // Beside each other, where it is known already which addresses are public.
        let public = self.public(scope);
        let beside = if self.subnets.is_empty() { BTreeSet::new() } else { public };
        // The SDK's futures are large: not on the stack of whoever waits.
        let (interfaces, elastic) = tokio::try_join!(
            Box::pin(ec2.interfaces("attachment.instance-id", &scope.instances)),
            Box::pin(ec2.elastic(&beside)),
        )?;
        view.interfaces = interfaces;
        let known = |id: &&String| !view.interfaces.contains_key(*id);
        let lost: BTreeSet<_> = scope.interfaces.iter().filter(known).cloned().collect();
        if !lost.is_empty() {
            view.interfaces.extend(ec2.interfaces("network-interface-id", &lost).await?);
        }
        let attached = view.interfaces.values().filter_map(|interface| interface.instance.clone());
        self.learn_instances(ec2, &attached.collect(), cache).await?;
        let subnets = view.interfaces.values().map(|interface| interface.subnet.clone());
        self.learn_subnets(ec2, &subnets.collect(), cache).await?;
        let instances = self.instances.iter();
        view.instances = instances
            .filter_map(|(id, (_, instance))| Some((id.clone(), instance.clone()?)))
            .collect();
        view.subnets = self.subnets.iter().map(|(id, (_, it))| (id.clone(), it.clone())).collect();
        view.limits = self.limits.clone();
        let public = self.public(scope);
        view.elastic = elastic;
        view.elastic.retain(|address, _| public.contains(address));
        let missing: BTreeSet<Ipv4Addr> = public.difference(&beside).copied().collect();
        if !missing.is_empty() {
            view.elastic.extend(ec2.elastic(&missing).await?);
        }
        Ok(view)
    }

    /// The addresses of a scope that lie in no subnet that is known.
    fn public(&self, scope: &ScanScope) -> BTreeSet<Ipv4Addr> {
        let private = |address| self.subnets.values().any(|(_, subnet)| subnet.contains(address));
        let public = scope.addresses.iter().filter_map(|address| match address {
            IpAddr::V4(public) if !private(*address) => Some(*public),
            _ => None,
        });
        public.collect()
    }

    async fn learn_instances(
        &mut self,
        ec2: &Ec2,
        wanted: &BTreeSet<String>,
        cache: Duration,
    ) -> Result<(), CallFailure> {
        self.instances.retain(|id, (at, instance)| {
            let most = if instance.is_some() { cache } else { MISSING };
            wanted.contains(id) && at.elapsed() < most
        });
        if wanted.iter().all(|id| self.instances.contains_key(id)) {
            return Ok(());
        }
        let mut found = ec2.instances(wanted).await?;
        let now = Instant::now();
        for id in wanted {
            self.instances.insert(id.clone(), (now, found.remove(id)));
        }
        let kinds = self.instances.values().filter_map(|(_, instance)| instance.as_ref());
        let kinds: BTreeSet<_> = kinds.map(|instance| instance.kind.clone()).collect();
        if !kinds.iter().all(|kind| self.limits.contains_key(kind)) {
            self.limits = ec2.limits(&kinds).await?;
        }
        Ok(())
    }

    async fn learn_subnets(
        &mut self,
        ec2: &Ec2,
        wanted: &BTreeSet<String>,
        cache: Duration,
    ) -> Result<(), CallFailure> {
        self.subnets.retain(|id, (at, _)| wanted.contains(id) && at.elapsed() < cache);
        if wanted.iter().any(|id| !self.subnets.contains_key(id)) {
            let now = Instant::now();
            let found = ec2.subnets(wanted).await?;
            self.subnets.extend(found.into_iter().map(|(id, subnet)| (id, (now, subnet))));
        }
        Ok(())
    }
}
