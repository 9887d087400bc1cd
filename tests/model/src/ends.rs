//! The end of an address, and its taking back: the real planner, directors that read, steer, look
//! and answer when they like, and a claim that is deleted and made anew (docs/leases.md rule 18).

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use egret_core::memory::LeaderMemory;
use egret_core::model::{
    AddressEnd, Claim, ClaimRef, ClaimStatus, ControllerSettings, EgressNode, EgressNodeStatus,
    Failover, LabelSelector, Millis, Node, NodeName, PodSelection, Pool, PoolStatus, ProviderKind,
    ResourceVersion, Snapshot, Stored, Timestamp, Uid, WhenUnavailable,
};
use egret_core::planner::{apply, plan};
use egret_core::port_blocks;

use crate::hash::Quick;
use crate::search::Model;
use crate::world::{ADDRESS, name};

/// The length of a chain that shows the mistake, in steps.
pub const DEPTH: usize = 11;

/// How often the claim is deleted.
const DELETIONS: u64 = 2;

/// The model.
#[derive(Clone, Debug)]
pub struct Ends {
    directors: u8,
    /// The controller takes an answer to any release for one to the present release.
    any_answer: bool,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct EndsState {
    snapshot: Snapshot,
    directors: Vec<EndsDirector>,
    /// Deletions so far; the time in milliseconds is this too: no two releases have the same.
    deletions: u64,
    numbers: u64,
    cut: Option<u8>,
}

/// A node with pods of the claim.
#[derive(Clone, Debug, Hash)]
struct EndsDirector {
    /// What it has read of the address last.
    view: DirectorView,
    /// One of its pods has a connection with the address.
    connected: bool,
}

/// What a director knows of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum DirectorView {
    Live,
    Released(u64),
    Gone,
}

/// What may happen.
#[derive(Clone, Copy, Debug)]
pub enum EndsStep {
    /// The claim is deleted.
    Delete,
    /// It is applied again.
    Apply,
    /// The controller takes a turn.
    Plan,
    /// A director's watch brings it the address as it is.
    Read(u8),
    /// A pod connects.
    Connect(u8),
    /// Its connection ends.
    Close(u8),
    /// A director looks at its connections and says what it found.
    Answer(u8),
}

impl Ends {
    /// As it is meant.
    #[must_use]
    pub fn sound(directors: u8) -> Self {
        Self { directors, any_answer: false }
    }

    /// An answer to an earlier release counts for a later one.
    #[must_use]
    pub fn broken() -> Self {
        Self { directors: 1, any_answer: true }
    }
}

fn claim(deletions: u64) -> Claim {
    Claim {
        reference: reference(),
        uid: Uid::new(deletions.to_string()),
        generation: 1,
        created: Timestamp(0),
        pool: "pool".into(),
        addresses: vec![ADDRESS],
        count: 1,
        families: None,
        pods: PodSelection::Labels(LabelSelector::default()),
        namespaces: Some(LabelSelector::default()),
        destinations: None,
        when_unavailable: WhenUnavailable::Drop,
        further: Vec::new(),
    }
}

fn reference() -> ClaimRef {
    ClaimRef { namespace: None, name: "claim".to_owned() }
}

fn pool() -> Option<Pool> {
    let range = egret_core::model::AddressRange::new(ADDRESS, ADDRESS)?;
    Some(Pool {
        name: "pool".into(),
        uid: "pool".into(),
        generation: 1,
        created: Timestamp(0),
        provider: ProviderKind::L2,
        ranges: vec![range],
        discovery_tags: Default::default(),
        reserved: BTreeSet::new(),
        gateways: LabelSelector::default(),
        max_addresses_per_node: 1,
        rebalances: true,
        allowed_namespaces: None,
        ports_per_node: 1024,
        failover: Failover {
            lease: None,
            failback: Default::default(),
            release_after: Millis::from_secs(3600),
        },
        paused: false,
        accepts_unsupported_dataplane: false,
    })
}

/// Without a Node, its `EgressNode` would count as absent.
fn a_node(name: NodeName) -> Node {
    Node {
        name,
        labels: Default::default(),
        cordoned: false,
        addresses: BTreeSet::new(),
        pod_cidrs: Vec::new(),
        pod_cidrs_reading: Default::default(),
        zone: String::new(),
        provider_id: String::new(),
        awaits_agent: false,
        leaving: None,
        tunnel_endpoint: Default::default(),
    }
}

fn stored<T>(value: T) -> Stored<T> {
    Stored { version: ResourceVersion::default(), value }
}

impl EndsState {
    fn answers(&mut self, director: u8) -> Option<&mut EgressNodeStatus> {
        let node = self.snapshot.egress_nodes.get_mut(&name(director))?;
        Some(&mut node.value.status)
    }

    fn view(&self) -> DirectorView {
        let plan = self.snapshot.addresses.get(&ADDRESS).map(|stored| &stored.value.plan);
        let steered = port_blocks::bound(&self.snapshot).contains_key(&reference());
        match plan.map(|plan| plan.end) {
            Some(Some(AddressEnd::Released { since, .. })) => {
                DirectorView::Released(u64::try_from(since.0).unwrap_or_default())
            }
            Some(None) if steered => DirectorView::Live,
            _ => DirectorView::Gone,
        }
    }

    fn is_revoked(&self) -> bool {
        let stored = self.snapshot.addresses.get(&ADDRESS);
        stored.is_some_and(|stored| stored.value.plan.is_revoked())
    }

    fn apply_claim(&mut self) {
        let stored = stored((claim(self.deletions), ClaimStatus::default()));
        self.snapshot.claims.insert(reference(), stored);
    }

    fn plan(&mut self, any_answer: bool) {
        if let (true, DirectorView::Released(since)) = (any_answer, self.view()) {
            for node in self.snapshot.egress_nodes.values_mut() {
                let answered = node.value.status.idle_releases.values_mut();
                answered.for_each(|answer| *answer = moment(since));
            }
        }
        let before = self.is_revoked();
        let (memory, settings) = (LeaderMemory::default(), ControllerSettings::new("cluster"));
        let plan = plan(&self.snapshot, &memory, &settings, moment(self.deletions));
        let first = self.numbers;
        self.numbers += plan.numbers;
        for planned in plan.fill(first) {
            apply(&mut self.snapshot, &planned.write);
        }
        if self.is_revoked() && !before {
            let mut directors = (1..).zip(&self.directors);
            self.cut = directors.find(|(_, director)| director.connected).map(|(number, _)| number);
        }
    }

    /// Whether the director has ports of the address that no other has.
    fn has_block(&self, director: u8) -> bool {
        let node: Option<&Stored<EgressNode>> = self.snapshot.egress_nodes.get(&name(director));
        let mut blocks = node.into_iter().flat_map(|node| &node.value.spec.blocks);
        blocks.any(|grant| grant.address == ADDRESS && grant.ended.is_none())
    }
}

fn moment(number: u64) -> Timestamp {
    Timestamp(i64::try_from(number).unwrap_or(i64::MAX))
}

impl Model for Ends {
    type State = EndsState;
    type Action = EndsStep;

    fn start(&self) -> EndsState {
        let mut snapshot = Snapshot::default();
        snapshot
            .pools
            .extend(pool().map(|pool| (pool.name.clone(), stored((pool, PoolStatus::default())))));
        for number in 1..=self.directors {
            let node: NodeName = name(number);
            snapshot.nodes.insert(node.clone(), a_node(node.clone()));
            let endpoint = IpAddr::from([192, 0, 2, number]);
            let status = EgressNodeStatus { endpoints: vec![endpoint], ..Default::default() };
            let value = EgressNode {
                name: node.clone(),
                spec: Default::default(),
                status,
                deleting: false,
            };
            snapshot.egress_nodes.insert(node, stored(value));
        }
        let live = EndsDirector { view: DirectorView::Live, connected: false };
        let directors = vec![live; usize::from(self.directors)];
        let mut state = EndsState { snapshot, directors, deletions: 0, numbers: 1, cut: None };
        state.apply_claim();
        for _ in 0..3 {
            state.plan(false);
        }
        state
    }

    fn actions(&self, state: &EndsState) -> Vec<EndsStep> {
        let mut actions = vec![EndsStep::Plan];
        match state.snapshot.claims.is_empty() {
            true => actions.push(EndsStep::Apply),
            false if state.deletions < DELETIONS => actions.push(EndsStep::Delete),
            false => {}
        }
        for (number, director) in (1..).zip(&state.directors) {
            actions.extend([EndsStep::Read(number), EndsStep::Answer(number)]);
            if director.connected {
                actions.push(EndsStep::Close(number));
            } else if director.view == DirectorView::Live && state.has_block(number) {
                actions.push(EndsStep::Connect(number));
            }
        }
        actions
    }

    fn next(&self, state: &EndsState, action: &EndsStep) -> Option<EndsState> {
        let mut next = state.clone();
        let at = |number: u8| usize::from(number) - 1;
        match *action {
            EndsStep::Delete => {
                next.snapshot.claims.clear();
                next.deletions += 1;
            }
            EndsStep::Apply => next.apply_claim(),
            EndsStep::Plan => next.plan(self.any_answer),
            EndsStep::Read(number) => {
                let view = next.view();
                next.directors.get_mut(at(number))?.view = view;
            }
            EndsStep::Connect(number) => next.directors.get_mut(at(number))?.connected = true,
            EndsStep::Close(number) => next.directors.get_mut(at(number))?.connected = false,
            EndsStep::Answer(number) => {
                let director = next.directors.get(at(number))?.clone();
                let answers = &mut next.answers(number)?.idle_releases;
                answers.clear();
                if let (DirectorView::Released(since), false) = (director.view, director.connected)
                {
                    answers.insert(ADDRESS, moment(since));
                }
            }
        }
        Some(next)
    }

    fn fingerprint(&self, state: &EndsState) -> u64 {
        let mut hash = Quick::default();
        let claim = state.snapshot.claims.values().next();
        claim.map(|stored| stored.value.0.uid.as_str().to_owned()).hash(&mut hash);
        let stored = state.snapshot.addresses.get(&ADDRESS);
        let plan = stored.map(|stored| &stored.value.plan);
        plan.map(|plan| (plan.claim_uid.as_str(), plan.is_revoked())).hash(&mut hash);
        (state.view(), &state.directors, state.deletions, state.cut).hash(&mut hash);
        for (name, node) in &state.snapshot.egress_nodes {
            let live = node.value.spec.blocks.iter().filter(|grant| grant.ended.is_none()).count();
            let answered = node.value.status.idle_releases.get(&ADDRESS).map(|since| since.0);
            (name.as_str(), live, answered).hash(&mut hash);
        }
        hash.finish()
    }

    /// Its last connections end an address, or `releaseAfter`, which never passes here; and what a
    /// claim asks for again after all turns is held for it.
    fn violation(&self, state: &EndsState) -> Option<String> {
        state.cut.map(|director| format!("revoked: {director} has a connection"))
    }
}
