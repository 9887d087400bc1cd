use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::cloud::CloudState;
use crate::ipam::{Bindings, former};
use crate::membership::departure::{self, DrainReason};
use crate::membership::liveness;
use crate::model::{
    AddressEnd, AddressPlan, ClaimRef, EgressNodeStatus, Millis, NodeName, Pool, PoolName,
    ProviderKind, Snapshot, Timestamp, Write,
};
use crate::placement::{self, Balance, MoveReason};
use crate::port_blocks::{END_AFTER, NodeBlocksDraft};

use super::{Draws, PlannedWrite};
use crate::memory::LeaderMemory;
use crate::model::{EventDraft, ObjectRef};
use crate::reason::EventReason;

/// Lease of a pool that does not say (docs/design.md decision 6).
const LEASE: Millis = Millis(450);

/// Lease in a cloud: a move costs API calls there.
const CLOUD_LEASE: Millis = Millis::from_secs(2);

/// Lease of a pool whose selector matches exactly one node: nobody could take over, and a restart
/// should cost nothing.
const LONE_LEASE: Millis = Millis::from_secs(10);

/// How long a claim's addresses serve open connections after its pool is gone too.
const RELEASE_AFTER: Millis = Millis::from_secs(3600);

/// The addresses while a plan is made.
#[derive(Default)]
pub(super) struct AddressPlans {
    /// Every address as the plan leaves it.
    pub(super) plans: BTreeMap<IpAddr, AddressPlan>,
    /// Those whose fence is to be drawn.
    fences: BTreeSet<IpAddr>,
    notes: BTreeMap<IpAddr, Vec<EventDraft>>,
    /// What moves to which node once the cloud has made it ready.
    pub(super) awaited: BTreeMap<IpAddr, NodeName>,
    /// What must leave an owner for a gateway that is not ready.
    pub(super) timed: BTreeSet<IpAddr>,
    /// How evenly the addresses of each pool lie that is rebalanced.
    pub(super) balances: BTreeMap<PoolName, Balance>,
}

impl AddressPlans {
    /// Decides every address: what ends, what is new, who carries it.
    pub(super) fn draft(
        snapshot: &Snapshot,
        memory: &LeaderMemory,
        now: Timestamp,
        t_max: Millis,
        bindings: &Bindings,
        wake: &mut dyn FnMut(Timestamp),
    ) -> Self {
        let mut draft = Self::default();
        for (address, stored) in &snapshot.addresses {
            draft.plans.insert(*address, stored.value.plan.clone());
        }
        draft.follow_pools(snapshot, t_max);
        draft.resume(snapshot, bindings);
        draft.end(snapshot, memory, now, bindings, wake);
        draft.begin(snapshot, t_max, bindings);
        let changes = placement::place(snapshot, memory, now, &mut draft.plans);
        draft.record_moves(snapshot, &changes.moved);
        (draft.awaited, draft.timed) = (changes.awaited, changes.timed);
        draft.balances = changes.balances;
        draft
    }

    /// The pool's pause and lease.
    fn follow_pools(&mut self, snapshot: &Snapshot, t_max: Millis) {
        let leases = leases(snapshot, t_max);
        for (address, plan) in &mut self.plans {
            let Some(stored) = snapshot.pools.get(&plan.pool) else { continue };
            let paused = stored.value.0.paused;
            if plan.paused != paused {
                plan.paused = paused;
                let message = match paused {
                    true => "its pool is paused: it is neither moved nor freed",
                    false => "its pool goes on",
                };
                let reason = if paused { EventReason::Paused } else { EventReason::Resumed };
                let note = EventDraft { warning: paused, ..note(*address, reason, message.into()) };
                self.notes.entry(*address).or_default().push(note);
            }
            if !paused && let Some(lease) = leases.get(&plan.pool) {
                plan.lease = *lease;
            }
        }
    }

    /// docs/leases.md rule 18: what a claim asks for again is not ended. A revoked address needs a new
    /// fence, since voters have acknowledged the one that ended it.
    fn resume(&mut self, snapshot: &Snapshot, bindings: &Bindings) {
        for (name, binding) in &bindings.claims {
            let Some(stored) = snapshot.claims.get(name) else { continue };
            for address in &binding.bound {
                let Some(plan) = self.plans.get_mut(address) else { continue };
                plan.claim_uid.clone_from(&stored.value.0.uid);
                let message = match plan.end.take() {
                    None => continue,
                    Some(AddressEnd::Released { .. }) => {
                        format!("{name} asks for it again: it stays, with its connections")
                    }
                    Some(AddressEnd::Revoked { .. }) => {
                        self.fences.insert(*address);
                        format!("{name} asks for it again: it is held anew")
                    }
                };
                let note = note(*address, EventReason::Bound, message);
                self.notes.entry(*address).or_default().push(note);
            }
        }
    }

    /// docs/leases.md rule 18: release, then revoke.
    fn end(
        &mut self,
        snapshot: &Snapshot,
        memory: &LeaderMemory,
        now: Timestamp,
        bindings: &Bindings,
        wake: &mut dyn FnMut(Timestamp),
    ) {
        let directors = directors(snapshot, memory, now);
        for (address, plan) in self.plans.iter_mut().filter(|(_, plan)| !plan.paused) {
            if let Some(why) = bindings.ends.get(address).filter(|_| plan.end.is_none()) {
                let after = release_after(snapshot, &plan.pool);
                plan.end = Some(AddressEnd::Released { since: now, until: now + after });
                let message = format!("{why}; open connections are served for up to {after}");
                self.notes.entry(*address).or_default().push(note(
                    *address,
                    EventReason::Released,
                    message,
                ));
            }
            let Some(AddressEnd::Released { since, until }) = plan.end else { continue };
            // An answer to an earlier release says nothing of the connections since then.
            let answered = |node: &EgressNodeStatus| {
                node.idle_releases.get(address).is_some_and(|answered| *answered == since)
            };
            let idle = directors.get(address).into_iter().flatten().all(|node| answered(node));
            if !idle && now < until {
                wake(until);
                continue;
            }
            plan.end = Some(AddressEnd::Revoked { since: now });
            self.fences.insert(*address);
            let why = if idle { "no connection is left" } else { "releaseAfter has passed" };
            let message = format!("{why}; the voters are asked to let go of it");
            self.notes.entry(*address).or_default().push(note(
                *address,
                EventReason::Revoked,
                message,
            ));
        }
    }

    /// New bindings.
    fn begin(&mut self, snapshot: &Snapshot, t_max: Millis, bindings: &Bindings) {
        let leases = leases(snapshot, t_max);
        for (name, binding) in &bindings.claims {
            let Some(stored) = snapshot.claims.get(name) else { continue };
            let claim = &stored.value.0;
            for address in &binding.new {
                let plan = AddressPlan {
                    claim: name.clone(),
                    claim_uid: claim.uid.clone(),
                    pool: claim.pool.clone(),
                    provider: provider(snapshot, &claim.pool),
                    owner: None,
                    standbys: Vec::new(),
                    fence: 0,
                    made_for: None,
                    lease: leases.get(&claim.pool).copied().unwrap_or(LEASE),
                    end: None,
                    preferred_node: None,
                    home: None,
                    paused: false,
                    rebalanced_at: None,
                    moved_off: None,
                };
                self.plans.insert(*address, plan);
                self.fences.insert(*address);
                let message = format!("{address} bound from pool {}", claim.pool);
                let mut note =
                    EventDraft::normal(ObjectRef::claim(name), EventReason::Bound, message);
                if let Some(missed) = former::missed(snapshot, bindings, name) {
                    note.warning = true;
                    note.message.push_str(&missed);
                }
                self.notes.entry(*address).or_default().push(note);
            }
        }
    }

    fn record_moves(&mut self, snapshot: &Snapshot, moves: &BTreeMap<IpAddr, MoveReason>) {
        for (address, why) in moves {
            let Some(plan) = self.plans.get(address) else { continue };
            let before = snapshot.addresses.get(address).and_then(|s| s.value.plan.owner.as_ref());
            let drain = before.and_then(|node| departure::drain_reason(snapshot, node));
            let why = (*why, drain);
            if let Some(note) = moved(*address, &plan.claim, before, plan.owner.as_ref(), why) {
                self.notes.entry(*address).or_default().push(note);
            }
        }
        for (address, plan) in &self.plans {
            // A cloud is asked who can serve an address when it is in use.
            let decided = !plan.facts().cloud_places();
            if decided && plan.owner.is_none() && !snapshot.addresses.contains_key(address) {
                let message = "no node may carry it: label a gateway with an uplink in its subnet";
                let note = EventDraft::warning(
                    ObjectRef::claim(&plan.claim),
                    EventReason::NoGateway,
                    format!("{address}: {message}"),
                );
                self.notes.entry(*address).or_default().push(note);
            }
        }
    }

    /// The writes of plans that differ from what is written; numbers are taken from `next` on.
    pub(super) fn writes(&mut self, snapshot: &Snapshot, next: &mut u64) -> Vec<PlannedWrite> {
        let mut writes = Vec::new();
        for (address, plan) in &self.plans {
            let stored = snapshot.addresses.get(address);
            let fence = self.fences.contains(address);
            if !fence && stored.is_some_and(|stored| stored.value.plan == *plan) {
                continue;
            }
            let mut plan = plan.clone();
            let mut draws = Draws::None;
            if fence {
                plan.fence = 0;
                draws = Draws::Fence(*next);
                *next += 1;
            }
            let expect = stored.map(|stored| stored.version.clone());
            let write = Write::AddressPlan { address: *address, expect, plan };
            let notes = self.notes.remove(address).unwrap_or_default();
            writes.push(PlannedWrite { write, draws, notes });
        }
        writes
    }

    /// The addresses that are free: a majority of the newest voter set has acknowledged the fence
    /// (rule 17), no block is left in any of the specs as the plan leaves them, and a cloud has
    /// taken it off every gateway.
    pub(super) fn free(
        &self,
        snapshot: &Snapshot,
        memory: &LeaderMemory,
        specs: &BTreeMap<NodeName, NodeBlocksDraft>,
    ) -> BTreeSet<IpAddr> {
        let grants = specs.values().flat_map(|spec| &spec.grants);
        let leased: BTreeSet<IpAddr> = grants.map(|draft| draft.grant.address).collect();
        self.plans
            .iter()
            .filter(|(address, plan)| {
                plan.is_revoked()
                    && !self.fences.contains(address)
                    && !leased.contains(address)
                    && is_detached(memory, **address, plan)
                    && is_acknowledged(snapshot, **address, plan.fence)
            })
            .map(|(address, _)| *address)
            .collect()
    }
}

fn is_detached(memory: &LeaderMemory, address: IpAddr, plan: &AddressPlan) -> bool {
    let gone = |fabric: &CloudState| fabric.gone.contains(&address);
    !plan.facts().cloud_places() || memory.cloud_of(plan).is_some_and(gone)
}

/// Whether a majority of the newest voter set has acknowledged a fence of an address.
pub fn is_acknowledged(snapshot: &Snapshot, address: IpAddr, fence: u64) -> bool {
    let Some(set) = snapshot.cluster.as_ref().and_then(|c| c.value.set.as_ref()) else {
        return false;
    };
    let acknowledged = set.members.iter().filter(|voter| {
        let node = snapshot.egress_nodes.get(&voter.node);
        node.and_then(|node| node.value.status.acknowledged_fences.get(&address))
            .is_some_and(|acknowledged| *acknowledged >= fence)
    });
    acknowledged.count() >= liveness::majority(set.members.len())
}

/// The deletions of what is free.
pub(super) fn deletions(snapshot: &Snapshot, free: &BTreeSet<IpAddr>) -> Vec<PlannedWrite> {
    free.iter()
        .filter_map(|address| {
            let stored = snapshot.addresses.get(address)?;
            let message = format!("{address} is free");
            let expect = Some(stored.version.clone());
            let write = Write::DeleteAddress { address: *address, expect };
            let notes = vec![note(*address, EventReason::Freed, message)];
            Some(PlannedWrite { notes, ..write.into() })
        })
        .collect()
}

/// The directors with a live block of each address, whose word ends it.
fn directors<'a>(
    snapshot: &'a Snapshot,
    memory: &LeaderMemory,
    now: Timestamp,
) -> BTreeMap<IpAddr, Vec<&'a EgressNodeStatus>> {
    let mut directors: BTreeMap<IpAddr, Vec<&EgressNodeStatus>> = BTreeMap::new();
    for (name, node) in &snapshot.egress_nodes {
        // The blocks of a node that is long absent end now: it has no say.
        if memory.absent_for(name, END_AFTER, now) {
            continue;
        }
        let live = node.value.spec.blocks.iter().filter(|grant| grant.ended.is_none());
        for grant in live {
            directors.entry(grant.address).or_default().push(&node.value.status);
        }
    }
    directors
}

fn provider(snapshot: &Snapshot, pool: &PoolName) -> ProviderKind {
    snapshot.pools.get(pool).map(|stored| stored.value.0.provider).unwrap_or_default()
}

fn release_after(snapshot: &Snapshot, pool: &PoolName) -> Millis {
    let pool = snapshot.pools.get(pool);
    pool.map_or(RELEASE_AFTER, |stored| stored.value.0.failover.release_after)
}

/// T of every pool's leases.
fn leases(snapshot: &Snapshot, t_max: Millis) -> BTreeMap<PoolName, Millis> {
    let lease = |pool: &Pool| {
        let selected = |pool: &Pool| {
            snapshot
                .nodes
                .values()
                .filter(|node| pool.gateways.matches(&node.labels))
                .take(2)
                .count()
        };
        let default = || match () {
            () if selected(pool) == 1 => LONE_LEASE,
            () if pool.facts().fabric_fences() => CLOUD_LEASE,
            () => LEASE,
        };
        pool.failover.lease.unwrap_or_else(default).min(t_max)
    };
    snapshot.pools.iter().map(|(name, stored)| (name.clone(), lease(&stored.value.0))).collect()
}

fn note(address: IpAddr, reason: EventReason, message: String) -> EventDraft {
    EventDraft::normal(ObjectRef::address(address), reason, message)
}

fn moved(
    address: IpAddr,
    claim: &ClaimRef,
    from: Option<&NodeName>,
    to: Option<&NodeName>,
    (why, drain): (MoveReason, Option<DrainReason>),
) -> Option<EventDraft> {
    let to = to?;
    let name = from.map_or("its owner", NodeName::as_str);
    let message = match why {
        MoveReason::First => return None,
        MoveReason::Adopted => format!("{address} is with {to} since it took over from {name}"),
        MoveReason::Preferred => format!("{address} moves from {name} to {to}, as asked"),
        MoveReason::Failback => format!("{address} goes back from {name} to {to}"),
        MoveReason::Rebalanced => {
            format!("{address} moves from {name} to {to}, which has fewer addresses of its pool")
        }
        MoveReason::Unreached => {
            let message = format!(
                "{address} moves from {name} to {to}: most of the nodes with pods that use it do not reach \
                 {name} through the tunnel; they say so in their condition Ready (TunnelUnanswered)"
            );
            return Some(EventDraft::warning(ObjectRef::claim(claim), EventReason::Moved, message));
        }
        MoveReason::Drained => {
            let why = drain.unwrap_or(DrainReason::ByHand);
            format!("{address} moves from {name} to {to}: {name} {why}")
        }
        MoveReason::Absent => match drain {
            Some(why @ DrainReason::Leaves(_)) => {
                format!("{address} goes from {name} to {to}: {name} {why}")
            }
            _ => format!("{address} goes from {name} to {to}: {name} is absent"),
        },
        MoveReason::Ineligible => {
            format!("{address} moves from {name} to {to}: {name} may not carry it any more")
        }
    };
    Some(EventDraft::normal(ObjectRef::claim(claim), EventReason::Moved, message))
}
