//! The provider.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, ConfigLoader};
use egret_core::model::{Attachment, Labels, NodeName};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{Capabilities, Inventory, NodeOffer, Observed, Prepared, Provider};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::drive::Aim;
use crate::ec2::Ec2;
use crate::journal::Journal;
use crate::locks::Locks;
use crate::metrics::Calls;
use crate::options::Options;
use crate::place::{Refusal, Rules, Scene};
use crate::plan;
use crate::scan::Scanner;
use crate::view::{Effect, View};

/// The provider of pools with `provider: AWS`. One for all of them: a node's interface is shared.
#[derive(Debug)]
pub struct Aws {
    pub(crate) options: Options,
    pub(crate) rules: Rules,
    pub(crate) ec2: Ec2,
    pub(crate) inventory: watch::Receiver<Arc<Inventory>>,
    pub(crate) scanner: Scanner,
    pub(crate) journal: Mutex<Journal>,
    pub(crate) locks: Locks,
    /// Every address that this process was ever asked about.
    pub(crate) asked: Mutex<BTreeSet<IpAddr>>,
}

impl Aws {
    /// Credentials come by the SDK's default chain: environment, profile, IRSA, Pod Identity,
    /// instance role. Nothing is called yet.
    pub async fn new(
        options: Options,
        inventory: watch::Receiver<Arc<Inventory>>,
        calls: Calls,
    ) -> Self {
        let loader = aws_config::defaults(BehaviorVersion::latest());
        Self::with(options, inventory, calls, loader).await
    }

    pub(crate) async fn with(
        options: Options,
        inventory: watch::Receiver<Arc<Inventory>>,
        calls: Calls,
        loader: ConfigLoader,
    ) -> Self {
        let (tags, managed) = (options.interface_tags.clone(), options.managed_interfaces);
        Self {
            rules: Rules { tags, managed },
            ec2: Ec2::connect(&options, calls, loader).await,
            inventory,
            scanner: Scanner::default(),
            journal: Mutex::new(Journal::new(options.horizon)),
            locks: Locks::default(),
            asked: Mutex::default(),
            options,
        }
    }

    /// The Elastic IPs of the account and region that have all of these tags: the addresses of a
    /// pool that names them so.
    ///
    /// # Errors
    /// As `ports::Provider`; `Invalid` without a tag.
    pub async fn elastic_ips(
        &self,
        tags: &BTreeMap<String, String>,
    ) -> Result<BTreeSet<IpAddr>, PortError> {
        let operation = "find Elastic IPs by tag";
        if tags.is_empty() {
            let all = "without a tag that would be all of the account's: name one";
            return Err(PortError::new(ErrorClass::Invalid, operation, all));
        }
        let found = self.ec2.tagged(tags).await;
        let found = found.map_err(|failure| PortError::new(failure.class, operation, failure))?;
        Ok(found.into_iter().map(IpAddr::V4).collect())
    }

    fn offer(scene: &Scene<'_>, node: &NodeName, asked: &BTreeSet<IpAddr>) -> Option<NodeOffer> {
        let (id, interface) = match scene.target(node) {
            Ok(found) => found,
            Err(refusal) if refusal.class == ErrorClass::NotFound => return None,
            Err(refusal) => {
                return Some(NodeOffer { refused: Some(refusal.message), ..NodeOffer::default() });
            }
        };
        let fits = |address: &&IpAddr| scene.fits(**address, id, interface).is_ok();
        let can_serve: BTreeSet<_> = asked.iter().filter(fits).copied().collect();
        let room = |v4: bool| {
            let any = asked.iter().any(|address| address.is_ipv4() == v4);
            any.then(|| scene.room(id, v4))
        };
        let free = [room(true), room(false)].into_iter().flatten().min();
        let free = free.unwrap_or_else(|| scene.room(id, true));
        Some(NodeOffer { free, can_serve, refused: None })
    }
}

impl Provider for Aws {
    fn capabilities(&self) -> Capabilities {
        Capabilities { fabric_is_fence: true, announces: false }
    }

    async fn observe(
        &self,
        addresses: &BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
    ) -> Result<Observed, PortError> {
        self.ask(addresses.iter().copied());
        let inventory = self.inventory.borrow().clone();
        let read = self
            .read(&inventory, Instant::now())
            .await
            .map_err(|failure| PortError::new(failure.class, "observe addresses", failure))?;
        let mut journal = self.journal();
        let view = journal.replay(&read);
        Ok(self.look(&journal, &inventory, &view, |scene| {
            let attached = addresses
                .iter()
                .filter_map(|address| Some((*address, scene.attachment(*address)?)))
                .map(|(address, attachment)| (address, scene.with_mac(attachment)));
            let offers = nodes
                .iter()
                .filter_map(|node| Some((node.clone(), Self::offer(scene, node, addresses)?)));
            Observed { attachments: attached.collect(), nodes: offers.collect() }
        }))
    }

    async fn discover(&self, tags: &Labels) -> Result<BTreeSet<IpAddr>, PortError> {
        self.elastic_ips(tags).await
    }

    async fn prepare(
        &self,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<Prepared, PortError> {
        let _alone = self.locks.lock(&format!("node {node}")).await;
        self.ask(addresses.iter().copied());
        let operation = format!("make {node} ready");
        let aim = Aim { operation: &operation, node };
        let decide = |scene: &Scene<'_>| {
            let with_mac = |ready: plan::Ready| {
                let with_mac = |at: Result<Attachment, Refusal>| at.map(|at| scene.with_mac(at));
                ready.into_iter().map(|(address, at)| (address, with_mac(at))).collect()
            };
            plan::prepare(scene, node, addresses).map(with_mac)
        };
        let claims = |ready: &plan::Ready, read: &View, journal: &mut Journal| {
            for (address, attachment) in ready {
                let Ok(attachment) = attachment else { continue };
                let id = attachment.interface.as_ref();
                let here = id.and_then(|id| read.interfaces.get(id));
                if let (IpAddr::V4(public), Some(IpAddr::V4(wire))) = (address, attachment.wire)
                    && here.is_some_and(|interface| interface.v4.contains_key(&wire))
                {
                    journal.claim(*public, node, wire);
                }
            }
        };
        let ready = self.drive(aim, decide, claims).await?;
        let operation = |address: &IpAddr| format!("make {node} ready for {address}");
        let ready = ready.into_iter().map(|(address, ready)| {
            let failed = |refusal: Refusal| {
                PortError::new(refusal.class, operation(&address), refusal.message)
            };
            (address, ready.map_err(failed))
        });
        Ok(ready.collect())
    }

    async fn attach(&self, address: IpAddr, node: &NodeName) -> Result<Attachment, PortError> {
        let _alone = self.locks.lock(&address.to_string()).await;
        self.ask([address]);
        let operation = format!("attach {address} to {node}");
        let aim = Aim { operation: &operation, node };
        let decide = |scene: &Scene<'_>| {
            plan::attach(scene, address, node).map(|attachment| scene.with_mac(attachment))
        };
        // An Elastic IP that has followed its private address was told by a read alone.
        let seen = |_: &Attachment, read: &View, journal: &mut Journal| {
            let IpAddr::V4(public) = address else { return };
            let Some(elastic) = read.elastic.get(&public) else { return };
            if let Some(association) = elastic.association.clone() {
                journal.claim(public, node, association.private);
                journal.note(Effect::Associated { public, association });
            }
        };
        self.drive(aim, decide, seen).await
    }

    async fn detach(&self, address: IpAddr, node: &NodeName) -> Result<(), PortError> {
        let _alone = self.locks.lock(&address.to_string()).await;
        self.ask([address]);
        let operation = format!("detach {address} from {node}");
        let aim = Aim { operation: &operation, node };
        let decide = |scene: &Scene<'_>| plan::detach(scene, address, node);
        self.drive(aim, decide, |(), _, _| {}).await
    }
}
