//! What survives a restart of the process, and whether it has to be written (docs/leases.md rules 3
//! and 12).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::config::injected;
use super::context::Context;
use super::effect::Effects;
use super::{
    ClusterView, Effect, Holds, KnownFence, LeaseConfig, Message, Now, PersistedLease, PlanView,
    SetId, Successor, VoterGrant, encoding,
};
use crate::model::NodeName;

/// The kept state of one agent. Whoever changes `kept` sets `dirty`, so that it is written before
/// any effect that rests on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct DurableState {
    pub kept: PersistedLease,
    /// `kept` has changed in this call.
    pub dirty: bool,
}

impl DurableState {
    pub(super) fn new(kept: PersistedLease) -> Self {
        Self { kept, dirty: false }
    }

    /// At the start of a process: what an earlier one of this boot has kept, or the beginning of the
    /// silence (rule 13).
    pub(super) fn at_start(config: &LeaseConfig, kept: Option<PersistedLease>, now: Now) -> Self {
        let kept = kept.filter(|kept| kept.boot_id == config.boot_id);
        let mut kept = kept.unwrap_or_else(|| silent(config, now));
        kept.grants.retain(|_, grant| grant.until > now.raw);
        kept.promised.retain(|_, (_, until)| *until > now.boot);
        if injected!(config, RestartLosesSet) {
            kept.set = None;
        }
        if injected!(config, RestartLosesPromise) {
            kept.promised.clear();
        }
        if injected!(config, RestartLosesFences) {
            kept.fences.clear();
        }
        Self::new(kept)
    }

    /// Takes in the cluster. True where all that was kept is of another one: it is worth nothing
    /// here, and the silence begins anew (rule 13).
    pub(super) fn read_cluster(
        &mut self,
        config: &LeaseConfig,
        now: Now,
        cluster: &ClusterView,
    ) -> bool {
        let other = self.kept.cluster.as_ref().is_some_and(|known| *known != cluster.id);
        if other {
            (self.kept, self.dirty) = (silent(config, now), true);
        }
        if self.kept.cluster.is_none() || self.kept.t_max != cluster.t_max.0 {
            self.kept.cluster = Some(cluster.id.clone());
            self.kept.t_max = cluster.t_max.0;
            self.dirty = true;
        }
        other
    }

    /// Takes in the fences of all plans, and which are gone.
    pub(super) fn read_fences(&mut self, view: &PlanView) {
        let before = self.kept.fences.clone();
        for (address, known) in &mut self.kept.fences {
            known.gone |= !view.addresses.contains_key(address);
        }
        for (address, plan) in &view.addresses {
            let new = KnownFence { fence: plan.fence, gone: false };
            let known = self.kept.fences.entry(*address).or_insert(new);
            // A plan below the fence known is an old one: it does not bring the address back.
            if plan.fence >= known.fence {
                *known = new;
            }
        }
        self.dirty |= before != self.kept.fences;
    }

    /// This node holds the address, with this epoch.
    pub(super) fn hold(&mut self, address: IpAddr, epoch: u64) {
        self.know_epoch(address, epoch);
        self.kept.held.insert(address, epoch);
        self.dirty = true;
    }

    /// This node does not hold the address any more.
    pub(super) fn let_go(&mut self, address: IpAddr) {
        self.kept.held.remove(&address);
        self.dirty = true;
    }

    /// Forgets what an earlier process held and this one does not know: no plan gives it to this
    /// node any more.
    pub(super) fn forget_held(&mut self, known: impl Fn(IpAddr) -> bool, out: &mut Effects) {
        let held = std::mem::take(&mut self.kept.held);
        let (held, gone) = held.into_iter().partition(|(address, _)| known(*address));
        self.kept.held = held;
        let gone: BTreeMap<IpAddr, u64> = gone;
        self.dirty |= !gone.is_empty();
        for address in gone.into_keys() {
            out.push(Effect::Forget { address });
        }
    }

    /// A node that this one has told how long its lease still runs forwards until then: a release
    /// that does not name it would let the voters give the address, or free it, beside it. The
    /// grants run out by themselves instead. `to`: whom the release names.
    pub(super) fn others_may_forward(
        &mut self,
        cx: &Context<'_>,
        address: IpAddr,
        to: Option<&Successor>,
    ) -> bool {
        let promised = self.kept.promised.remove(&address);
        let Some((node, until)) = promised.filter(|(_, until)| *until > cx.now.boot) else {
            return false;
        };
        let named = to.is_some_and(|to| to.node == node);
        if !named {
            self.kept.promised.insert(address, (node, until));
        }
        !named && !injected!(cx.config, ReleasesBesideSuccessor)
    }

    /// This voter's word on who holds these addresses; nothing where it is none, or silent.
    pub(super) fn holds(&self, cx: &Context<'_>, addresses: &[IpAddr]) -> Vec<Holds> {
        if !self.is_voter(&cx.config.me) || !self.kept.may_grant {
            return Vec::new();
        }
        let one = |address: &IpAddr| {
            let grant = self.live_grant(cx.now, *address);
            let holder = grant.map(|grant| (grant.node.clone(), self.greatest_epoch(*address)));
            Holds { address: *address, holder }
        };
        addresses.iter().map(one).collect()
    }

    /// Says who holds these addresses, as far as this voter knows.
    pub(super) fn answer_who_holds(
        &self,
        cx: &Context<'_>,
        asker: &NodeName,
        addresses: &[IpAddr],
        out: &mut Effects,
    ) {
        for piece in encoding::pieces(self.holds(cx, addresses)) {
            out.send(asker, Message::Holds(piece));
        }
    }

    /// Remembers the greatest epoch of an address.
    pub(super) fn know_epoch(&mut self, address: IpAddr, epoch: u64) {
        let known = self.kept.epochs.entry(address).or_default();
        if epoch > *known {
            *known = epoch;
            self.dirty = true;
        }
    }

    /// The greatest epoch known of an address; 0: none.
    pub(super) fn greatest_epoch(&self, address: IpAddr) -> u64 {
        self.kept.epochs.get(&address).copied().unwrap_or(0)
    }

    /// The newest set known.
    pub(super) fn set_id(&self) -> Option<SetId> {
        let set = self.kept.set.as_ref()?;
        Some(SetId::of(self.kept.cluster.as_deref()?, set))
    }

    /// The number of the newest set known; 0: none.
    pub(super) fn set_number(&self) -> u64 {
        self.kept.set.as_ref().map_or(0, |set| set.number)
    }

    /// The voters of the newest set.
    pub(super) fn voters(&self) -> Vec<NodeName> {
        self.kept.set.iter().flat_map(|set| &set.members).map(|m| m.node.clone()).collect()
    }

    /// Whether `node` is a member of the newest set.
    pub(super) fn is_voter(&self, node: &NodeName) -> bool {
        let members = self.kept.set.iter().flat_map(|set| &set.members);
        members.into_iter().any(|member| member.node == *node)
    }

    /// What of it can still change who holds an address.
    #[cfg(feature = "fault-injection")]
    pub(super) fn hash_part(&self, epochs: bool, state: &mut impl std::hash::Hasher) {
        use std::hash::Hash as _;
        let kept = &self.kept;
        (kept.boot_grace_since, kept.may_grant, &kept.set, kept.acknowledged_set).hash(state);
        (kept.fences_read_for, &kept.grants, &kept.fences, &kept.promised).hash(state);
        if epochs {
            (&kept.epochs, &kept.held).hash(state);
        }
    }

    /// This voter's grant of an address, where it has not run out.
    pub(super) fn live_grant(&self, now: Now, address: IpAddr) -> Option<&VoterGrant> {
        self.kept.grants.get(&address).filter(|grant| grant.until > now.raw)
    }
}

/// Nothing is known, and nothing granted before the silence is over.
fn silent(config: &LeaseConfig, now: Now) -> PersistedLease {
    let (boot_id, boot_grace_since) = (config.boot_id.clone(), now.raw);
    PersistedLease { boot_id, boot_grace_since, ..PersistedLease::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::tests::{address, at, name, view, voter_set};
    use crate::lease::{RawTime, RoundId};

    #[test]
    fn only_a_greater_epoch_is_worth_writing() {
        let mut durable = DurableState::new(PersistedLease::default());
        durable.know_epoch(address(), 3);
        assert!(std::mem::take(&mut durable.dirty));
        durable.know_epoch(address(), 2);
        assert!(!durable.dirty);
        assert_eq!(durable.greatest_epoch(address()), 3);
    }

    #[test]
    fn a_set_has_a_name_once_its_cluster_is_known() {
        let mut durable = DurableState::new(PersistedLease::default());
        durable.kept.set = Some(voter_set(4, &[1, 2, 3]));
        assert_eq!((durable.set_id(), durable.set_number()), (None, 4));
        durable.kept.cluster = Some("c".to_owned());
        assert_eq!(durable.set_id(), Some(SetId::of("c", &voter_set(4, &[1, 2, 3]))));
        assert_eq!(durable.voters(), [1, 2, 3].map(name));
        assert!(durable.is_voter(&name(2)) && !durable.is_voter(&name(4)));
    }

    #[test]
    fn a_grant_lives_until_its_end() {
        let mut durable = DurableState::new(PersistedLease::default());
        let grant = VoterGrant {
            node: name(1),
            round: RoundId::default(),
            until: at(5).raw,
            fence: 0,
            lower_fence_until: RawTime(0),
            set: 0,
            older_set_until: RawTime(0),
        };
        durable.kept.grants.insert(address(), grant);
        assert!(durable.live_grant(at(4), address()).is_some());
        assert!(durable.live_grant(at(5), address()).is_none());
    }

    #[test]
    fn what_another_boot_or_another_cluster_kept_is_worth_nothing() {
        let config = LeaseConfig::new(name(1), "boot");
        let cluster = view().cluster.unwrap();
        let kept = |boot_id: &str| PersistedLease {
            boot_id: boot_id.to_owned(),
            cluster: Some("c".to_owned()),
            t_max: 1000,
            may_grant: true,
            ..PersistedLease::default()
        };
        let earlier = DurableState::at_start(&config, Some(kept("earlier")), at(5));
        assert_eq!((earlier.kept.may_grant, earlier.kept.boot_grace_since), (false, at(5).raw));
        let mut same = DurableState::at_start(&config, Some(kept("boot")), at(5));
        assert!(!same.read_cluster(&config, at(6), &cluster));
        assert!(same.kept.may_grant && !same.dirty);
        let other = ClusterView { id: "d".to_owned(), ..cluster };
        assert!(same.read_cluster(&config, at(6), &other));
        assert_eq!((same.kept.may_grant, same.kept.boot_grace_since), (false, at(6).raw));
        assert_eq!((same.kept.cluster.as_deref(), same.dirty), (Some("d"), true));
    }

    #[test]
    fn an_old_plan_does_not_bring_back_a_fence() {
        let mut durable = DurableState::new(PersistedLease::default());
        let mut view = view();
        let mut fence = |durable: &mut DurableState, fence| {
            view.addresses.get_mut(&address()).unwrap().fence = fence;
            durable.read_fences(&view);
            durable.kept.fences[&address()]
        };
        assert_eq!(fence(&mut durable, 7), KnownFence { fence: 7, gone: false });
        durable.read_fences(&PlanView::default());
        assert_eq!(fence(&mut durable, 6), KnownFence { fence: 7, gone: true });
        assert_eq!(fence(&mut durable, 8), KnownFence { fence: 8, gone: false });
    }

    #[test]
    fn only_the_node_that_was_promised_the_rest_of_a_lease_may_be_named_before_its_end() {
        let config = LeaseConfig::new(name(1), "boot");
        let mut durable = DurableState::new(PersistedLease::default());
        durable.kept.promised.insert(address(), (name(2), at(9).boot));
        let to = |node| Successor { node: name(node), round: RoundId::default() };
        let mut asks = |ms, to: Option<Successor>| {
            let cx = Context::new(&config, None, at(ms));
            durable.others_may_forward(&cx, address(), to.as_ref())
        };
        assert!(asks(8, None) && asks(8, Some(to(3))));
        assert!(!asks(8, Some(to(2))));
        assert!(!asks(8, None), "it has been released to whom it was promised");
        durable.kept.promised.insert(address(), (name(2), at(9).boot));
        let cx = Context::new(&config, None, at(9));
        assert!(!durable.others_may_forward(&cx, address(), None), "that lease has ended");
    }

    #[test]
    fn what_no_plan_gives_this_node_any_more_is_forgotten() {
        let mut durable = DurableState::new(PersistedLease::default());
        durable.hold(address(), 3);
        durable.dirty = false;
        let mut out = Effects::default();
        durable.forget_held(|_| true, &mut out);
        assert_eq!((out.0.len(), durable.dirty), (0, false));
        durable.forget_held(|_| false, &mut out);
        assert_eq!((out.0.len(), durable.dirty, durable.kept.held.len()), (1, true, 0));
        assert_eq!(durable.greatest_epoch(address()), 3);
    }
}
