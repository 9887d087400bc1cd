use super::*;

/// A world, a leader's reconciler and the cloud behind it.
pub(super) struct IdealCloud {
    pub(super) kind: ProviderKind,
    pub(super) world: Fixture,
    pub(super) reconciler: Reconciler,
    /// Where the cloud has the addresses.
    pub(super) attached: BTreeMap<IpAddr, NodeName>,
    /// What has the pool's tags.
    pub(super) tagged: BTreeSet<IpAddr>,
    /// How many more addresses each gateway takes.
    pub(super) free: u32,
    /// Why no gateway can serve any address.
    pub(super) unserved: Option<&'static str>,
    /// The subnet of each gateway, where the cloud names it.
    pub(super) subnets: BTreeMap<NodeName, &'static str>,
    /// A read shows later what was accepted.
    pub(super) shows_late: bool,
    /// What the cloud answers instead of doing anything.
    pub(super) down: Option<&'static str>,
    pub(super) notes: Vec<EventDraft>,
    pub(super) done: Vec<CloudTask>,
}

impl IdealCloud {
    /// A pool of EC2 with one address that is held and attached.
    pub(super) fn up() -> Self {
        Self::up_in(ProviderKind::Aws)
    }

    /// The same in another cloud.
    pub(super) fn up_in(kind: ProviderKind) -> Self {
        let mut ideal = Self::empty_in(kind);
        ideal.world.claim(mk_explicit("ns/c", "cloud", &[ADDRESS]));
        ideal.settle();
        ideal
    }

    pub(super) fn empty() -> Self {
        Self::empty_in(ProviderKind::Aws)
    }

    fn empty_in(kind: ProviderKind) -> Self {
        let mut world = Fixture::small();
        world.pool(Pool { provider: kind, ..mk_pool("cloud", &[(ADDRESS, ADDRESS)]) });
        Self {
            kind,
            world,
            reconciler: Reconciler::new(kind, SCAN),
            attached: BTreeMap::new(),
            tagged: BTreeSet::from([ip("198.51.100.9")]),
            free: 10,
            unserved: None,
            subnets: BTreeMap::new(),
            shows_late: false,
            down: None,
            notes: Vec::new(),
            done: Vec::new(),
        }
    }

    pub(super) fn tasks(&mut self) -> Vec<CloudTask> {
        self.reconciler.tasks(&self.world.snapshot, self.world.now)
    }

    fn at(&self, node: &NodeName, offer: &NodeCapacity) -> NodeCapacity {
        let subnets = self.subnets.get(node).map(|name| (*name).to_owned()).into_iter().collect();
        NodeCapacity { subnets, ..offer.clone() }
    }

    pub(super) fn make(&mut self, task: &CloudTask) -> Result<TaskOutcome, TaskFailure> {
        if let Some(message) = self.down {
            return Err(TaskFailure { wait: Millis::from_secs(10), message: message.into() });
        }
        Ok(match task {
            CloudTask::Scan { addresses, nodes } => {
                let why = |_| self.unserved.map(ToOwned::to_owned);
                let offer = NodeCapacity::of(self.free, addresses, why);
                let at = |(address, node): (&IpAddr, &NodeName)| {
                    (*address, Attachment::at(node.clone()))
                };
                TaskOutcome::Seen {
                    attached: self.attached.iter().map(at).collect(),
                    capacities: nodes
                        .iter()
                        .map(|node| (node.clone(), self.at(node, &offer)))
                        .collect(),
                }
            }
            CloudTask::Discover { .. } => {
                TaskOutcome::Found { addresses: self.tagged.clone(), nothing: None }
            }
            CloudTask::Attach { address, node } => {
                self.attached.insert(*address, node.clone());
                match self.shows_late {
                    true => TaskOutcome::Accepted(Attachment::at(node.clone())),
                    false => TaskOutcome::Attached(Attachment::at(node.clone())),
                }
            }
            CloudTask::Observe { address, node } => match self.attached.get(address) {
                Some(at) if at == node => TaskOutcome::Attached(Attachment::at(node.clone())),
                _ => {
                    let message = "EC2 does not show it yet".to_owned();
                    return Err(TaskFailure { wait: Millis::from_secs(10), message });
                }
            },
            CloudTask::Detach { address, node } => {
                self.attached.retain(|at, by| at != address || by != node);
                TaskOutcome::Detached
            }
            CloudTask::Prepare { node, addresses } => {
                let ready = |address: &IpAddr| (*address, Ok(Attachment::at(node.clone())));
                TaskOutcome::Prepared(addresses.iter().map(ready).collect())
            }
        })
    }

    pub(super) fn finish(&mut self, task: CloudTask) {
        let result = self.make(&task);
        self.done.push(task.clone());
        self.notes.extend(self.reconciler.done(task, result, self.world.now));
        let cloud_state = self.reconciler.state().clone();
        self.world.memory.clouds.insert(self.kind, cloud_state);
    }

    /// The cloud's work alone, until there is none.
    pub(super) fn work(&mut self) {
        for _ in 0..30 {
            let tasks = self.tasks();
            if tasks.is_empty() {
                return;
            }
            for task in tasks {
                self.finish(task);
            }
        }
        panic!("never done: {:?}", self.done);
    }

    /// Cloud, leader and agents go on until nothing changes.
    pub(super) fn settle(&mut self) {
        for _ in 0..30 {
            self.work();
            let before = self.world.snapshot.clone();
            self.world.step();
            self.world.hold_all();
            self.world.acknowledge(&[]);
            if before == self.world.snapshot {
                return;
            }
        }
        panic!("never quiet");
    }

    pub(super) fn condition(&self, kind: &str) -> (bool, String, String) {
        let conditions = &self.world.address(ADDRESS).status.conditions;
        let found = conditions.iter().find(|condition| condition.kind.as_str() == kind).unwrap();
        (found.status, found.reason.clone(), found.message.clone())
    }

    pub(super) fn owner(&self) -> NodeName {
        self.world.address(ADDRESS).plan.owner.clone().unwrap()
    }

    /// A standby has taken the lease.
    pub(super) fn take_over(&mut self) -> NodeName {
        let standby = self.world.address(ADDRESS).plan.standbys[0].clone();
        self.world.hold(ip(ADDRESS), standby.as_str(), 9);
        standby
    }
}
