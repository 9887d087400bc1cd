//! Asking for an address: whose turn it is, pre-vote, vote, pauses (docs/leases.md rules 8, 9, 11).

use std::time::Duration;

use super::context::Context;
use super::{AddressView, BootTime, RequestKind};
use crate::model::NodeName;

/// How long standbys wait for a holder that restarts. Longer than an agent takes to come back, and
/// shorter than what a person would notice as an outage of a node that does not.
const RESTART: Duration = Duration::from_secs(6);

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum CandidateStage {
    /// Asks nobody.
    #[default]
    Idle,
    /// Asks without effect, in this round.
    PreVote(u64),
    /// Asks in earnest, in this round.
    Vote(u64),
}

/// This node as one that may come to ask for an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Candidate {
    pub stage: CandidateStage,
    /// The last sign of a holder, or the reading of the plan; `None`: ask at once.
    pub last_renewal: Option<BootTime>,
    /// The last renewal of a holder, or this node's own end as one that answered for it.
    pub heard: Option<BootTime>,
    /// Not asked for before this.
    pub pause: BootTime,
    /// The plan names this node as owner or standby.
    pub ranked: bool,
}

impl Candidate {
    /// Whether the plan lets this node ask. `known`: the last holder.
    fn may_ask(&self, cx: &Context<'_>, plan: &AddressView, known: Option<&NodeName>) -> bool {
        // A paused pool moves nothing: only the last holder may have it back, or the owner where
        // there never was one.
        let last = known.or(plan.owner.as_ref());
        !plan.revoked && self.ranked && (!plan.paused || last == Some(&cx.config.me))
    }

    /// When this node is to ask, where it does not already. `known`: the last holder.
    pub(super) fn due(
        &self,
        cx: &Context<'_>,
        plan: &AddressView,
        known: Option<&NodeName>,
    ) -> Option<BootTime> {
        if self.stage != CandidateStage::Idle || !self.may_ask(cx, plan, known) {
            return None;
        }
        let timing = &cx.config.timing;
        let unclaimed = known.is_none() && plan.owner.as_ref() == Some(&cx.config.me);
        let due = match self.last_renewal {
            Some(heard) if !unclaimed => {
                let silence = timing.ask(Duration::from_millis(plan.lease.0));
                heard + silence + timing.rank_step * rank(cx, plan, known)
            }
            _ => BootTime(0),
        };
        Some(due.max(self.pause).round_up(timing.ask_step))
    }

    /// A round of this kind asks for it.
    pub(super) fn begin(&mut self, kind: RequestKind, round: u64) {
        self.stage = match kind {
            RequestKind::PreVote => CandidateStage::PreVote(round),
            RequestKind::Vote | RequestKind::Renewal => CandidateStage::Vote(round),
        };
    }

    /// Asks for something that a majority may have granted already.
    pub(super) fn asks_in_earnest(&self) -> bool {
        matches!(self.stage, CandidateStage::Vote(_))
    }

    /// Asks no more, in whatever round it did.
    pub(super) fn stop(&mut self) {
        self.stage = CandidateStage::Idle;
    }

    /// The round has found no majority. Whether it asked in earnest; `None` where it did not ask
    /// in this round.
    pub(super) fn fail(&mut self, round: u64) -> Option<bool> {
        let earnest = self.stage == CandidateStage::Vote(round);
        if !earnest && self.stage != CandidateStage::PreVote(round) {
            return None;
        }
        self.stop();
        Some(earnest)
    }

    /// Rests after a round without a majority (rule 9). `wait`: until enough refusals have run
    /// out; `random`: one for all addresses of the round.
    pub(super) fn rest(
        &mut self,
        cx: &Context<'_>,
        plan: &AddressView,
        known: Option<&NodeName>,
        wait: Option<Duration>,
        random: Duration,
    ) {
        let timing = &cx.config.timing;
        let wait = wait.map_or(timing.pause, |wait| wait.min(timing.pause));
        self.pause = cx.now.boot + wait + timing.pause_rank * rank(cx, plan, known) + random;
    }

    /// Another node's renewal: waits, or stops asking (rules 8 and 9). True where what it may have
    /// got is to be released. `succeeds`: that node hands the address over to this one.
    pub(super) fn on_renewal(&mut self, cx: &Context<'_>, succeeds: bool) -> bool {
        // Who restarts is waited for, whatever of it is still on its way.
        self.last_renewal = self.last_renewal.max(Some(cx.now.boot));
        self.heard = Some(cx.now.boot);
        match self.stage {
            CandidateStage::Vote(_) => !succeeds,
            CandidateStage::PreVote(_) | CandidateStage::Idle => {
                self.stop();
                false
            }
        }
    }

    /// Whether a holder was heard so lately that nobody else can have taken the address for free since
    /// (docs/design.md decision 12). `lease`: T in milliseconds.
    pub(super) fn follows_closely(&self, cx: &Context<'_>, lease: u32) -> bool {
        let timing = &cx.config.timing;
        let lately = timing.ask(Duration::from_millis(u64::from(lease))) + timing.follow_within;
        self.heard.is_some_and(|heard| cx.now.boot.since(heard) <= lately)
    }

    /// The holder restarts, in a cloud: it is waited for. A hint, on which no lease rests.
    pub(super) fn wait_for_restart(&mut self, cx: &Context<'_>) {
        self.last_renewal = Some(cx.now.boot + RESTART);
    }

    /// Asks, or has asked in vain since `recent`.
    pub(super) fn is_asking(&self, recent: BootTime) -> bool {
        self.stage != CandidateStage::Idle || (self.pause > BootTime(0) && self.pause >= recent)
    }
}

/// This node's place among those that may ask: the holder that has fallen silent is none. Who does not
/// reach the address's network comes after all who may.
fn rank(cx: &Context<'_>, plan: &AddressView, known: Option<&NodeName>) -> u32 {
    let me = &cx.config.me;
    let silent = known.filter(|node| *node != me);
    let last = !plan.is_reached();
    let before = plan.ranks().take_while(|node| *node != me);
    let rank = before.filter(|node| Some(*node) != silent).map(|_| 1).sum::<u32>();
    let others = plan.ranks().filter(|_| last).map(|_| 1).sum::<u32>();
    rank + others
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::tests::{address, at, name, view};
    use crate::lease::{LeaseConfig, PlanView, UplinkReach};

    fn candidate() -> Candidate {
        Candidate { ranked: true, last_renewal: Some(at(0).boot), ..Candidate::default() }
    }

    /// When `node` asks for an address that `known` held last, in milliseconds.
    fn due(node: usize, view: &PlanView, known: Option<usize>) -> Option<u64> {
        let (config, known) = (LeaseConfig::new(name(node), "boot"), known.map(name));
        let cx = Context::new(&config, Some(view), at(0));
        let due = candidate().due(&cx, &view.addresses[&address()], known.as_ref());
        due.map(|at| at.0 / 1_000_000)
    }

    #[test]
    fn the_owner_asks_at_once_and_standbys_in_turn_after_the_silent_holder() {
        let view = view();
        assert_eq!([1, 2, 3].map(|node| due(node, &view, None)), [0, 560, 612].map(Some));
        // T × 1.13 is 508.5 ms, and n1, which is silent, has no rank.
        assert_eq!([2, 3].map(|node| due(node, &view, Some(1))), [512, 560].map(Some));
        assert_eq!(due(1, &view, Some(3)), Some(512));
    }

    #[test]
    fn who_does_not_reach_the_network_asks_after_all_others() {
        let mut view = view();
        for reach in [UplinkReach::Unsteady, UplinkReach::Lost] {
            view.addresses.get_mut(&address()).unwrap().reach = reach;
            // Three ranks of 50 ms later than it would.
            assert_eq!([2, 3].map(|node| due(node, &view, Some(1))), [660, 712].map(Some));
        }
    }

    #[test]
    fn nobody_asks_for_a_revoked_address_and_only_the_last_holder_for_a_paused_one() {
        let mut view = view();
        view.addresses.get_mut(&address()).unwrap().paused = true;
        assert_eq!([1, 2].map(|node| due(node, &view, None).is_some()), [true, false]);
        assert_eq!([1, 2].map(|node| due(node, &view, Some(2)).is_some()), [false, true]);
        view.addresses.get_mut(&address()).unwrap().revoked = true;
        assert_eq!(due(2, &view, Some(2)), None);
    }

    #[test]
    fn only_its_own_round_ends_it_and_a_pause_follows() {
        let (config, view) = (LeaseConfig::new(name(3), "boot"), view());
        let cx = Context::new(&config, Some(&view), at(1000));
        let mut candidate = candidate();
        candidate.begin(RequestKind::Vote, 5);
        assert_eq!(candidate.due(&cx, &view.addresses[&address()], None), None, "it asks already");
        assert_eq!((candidate.fail(4), candidate.fail(5)), (None, Some(true)));
        let wait = Some(Duration::from_millis(20));
        candidate.rest(&cx, &view.addresses[&address()], Some(&name(1)), wait, Duration::ZERO);
        assert_eq!(candidate.pause, at(1032).boot, "n2 is before it");
        assert!(candidate.is_asking(at(900).boot) && !candidate.is_asking(at(1100).boot));
    }

    #[test]
    fn only_a_holder_that_was_heard_just_now_is_followed_closely() {
        let config = LeaseConfig::new(name(2), "boot");
        let cx = |ms| Context::new(&config, None, at(ms));
        let mut candidate = candidate();
        assert!(!candidate.follows_closely(&cx(1), 450), "it has read the plan, and heard nobody");
        candidate.on_renewal(&cx(1000), false);
        // T × 1.13 + 2 s.
        assert!(candidate.follows_closely(&cx(3508), 450));
        assert!(!candidate.follows_closely(&cx(3509), 450));
    }

    #[test]
    fn a_renewal_of_another_stops_it() {
        let config = LeaseConfig::new(name(2), "boot");
        let cx = Context::new(&config, None, at(7));
        let mut candidate = candidate();
        candidate.begin(RequestKind::PreVote, 1);
        assert!(!candidate.on_renewal(&cx, false));
        assert_eq!(
            (candidate.stage, candidate.last_renewal),
            (CandidateStage::Idle, Some(at(7).boot))
        );
        candidate.begin(RequestKind::Vote, 2);
        assert!(candidate.on_renewal(&cx, false), "what it got is to be released");
        assert!(!candidate.on_renewal(&cx, true), "but for the successor");
        candidate.wait_for_restart(&cx);
        assert_eq!(candidate.heard, Some(at(7).boot));
        candidate.on_renewal(&cx, true);
        assert_eq!(candidate.last_renewal, Some(at(6007).boot), "it is waited for all the same");
    }
}
