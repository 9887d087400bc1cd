//! Whether another host has an address: the life of a conflict (RFC 5227; docs/design.md decision 12).

use super::{BootTime, Timing};

/// So many rounds of probes must pass in silence before a conflict is over: the host may have been
/// away for one.
const SILENT_ROUNDS: u8 = 2;

/// What its holder knows of other hosts that have the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ProbeState {
    /// This node answers for the address: nobody else had it when it began to.
    cleared: bool,
    /// A node has answered for it before, with no end in between: one of the cluster that has it on an
    /// interface keeps nobody off. A host does that shows itself.
    was_held: bool,
    /// Another host was found to have it, and not yet found to have it no longer.
    conflict: bool,
    /// An earlier holder has found it: which host it was is not known here.
    inherited: bool,
    /// So many rounds of probes must still pass in silence; 0: nobody is looked for.
    rounds: u8,
    /// When the next one begins; `None` while one is under way.
    next: Option<BootTime>,
    /// A node of the cluster has it on an interface, as far as that was known when the last round ended
    /// or a conflict since.
    taken: bool,
}

/// What the end of a round, or a sign of another host, has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeOutcome {
    Unchanged,
    /// Another host has it.
    Found,
    /// Nobody has it, or has it any more.
    Silent,
}

impl ProbeState {
    /// Answered for at once. `conflict`: another host was known to have it.
    pub(super) fn cleared(conflict: bool, now: BootTime, timing: &Timing) -> Self {
        let rounds = if conflict { SILENT_ROUNDS } else { 0 };
        let next = conflict.then(|| now + timing.probe_again);
        let inherited = conflict;
        Self { cleared: true, was_held: true, conflict, inherited, rounds, next, taken: false }
    }

    /// Probed before it is answered for: the first round begins at once. `was_held`: a node has answered
    /// for it before, with no end in between.
    pub(super) fn probed_first(conflict: bool, was_held: bool) -> Self {
        let rounds = if conflict { SILENT_ROUNDS } else { 1 };
        let inherited = conflict;
        Self { cleared: false, was_held, conflict, inherited, rounds, next: None, taken: false }
    }

    pub(super) fn is_cleared(&self) -> bool {
        self.cleared
    }

    pub(super) fn is_conflict(&self) -> bool {
        self.conflict
    }

    /// A round is under way.
    pub(super) fn is_running(&self) -> bool {
        self.rounds > 0 && self.next.is_none()
    }

    /// Who has it keeps this node from using it at all.
    pub(super) fn is_kept_off(&self) -> bool {
        !self.cleared && (self.conflict || self.waits_for(self.taken))
    }

    /// Whether a node of the cluster that has it (`taken`) is waited for.
    fn waits_for(&self, taken: bool) -> bool {
        taken && !self.cleared && !self.was_held
    }

    /// When the next round begins.
    pub(super) fn next(&self) -> Option<BootTime> {
        self.next
    }

    /// Whether a round begins now. `taken`: a node of the cluster has it on an interface. Where that has
    /// ended the round need not wait longer, and is the last: it is known who had it.
    pub(super) fn begins(&mut self, taken: bool, now: BootTime) -> bool {
        let freed = self.taken && !taken;
        // Its answer may be heard before that node has said that it has it.
        self.taken = taken && (self.taken || self.conflict);
        if freed {
            self.rounds = self.rounds.min(1);
        }
        let due = self.next.is_some_and(|next| freed || next <= now);
        if due {
            self.next = None;
        }
        due
    }

    /// A round is over, or, with `conflict`, another host has shown itself meanwhile. Only what is not
    /// answered for yet waits for a node of the cluster that has it.
    pub(super) fn on_probed(
        &mut self,
        conflict: bool,
        taken: bool,
        again: BootTime,
    ) -> ProbeOutcome {
        self.taken = taken;
        if conflict {
            let known = std::mem::replace(&mut self.conflict, true);
            self.rounds = SILENT_ROUNDS;
            self.next.get_or_insert(again);
            return if known { ProbeOutcome::Unchanged } else { ProbeOutcome::Found };
        }
        if !self.is_running() {
            return ProbeOutcome::Unchanged;
        }
        if self.rounds > 1 || self.waits_for(taken) {
            self.rounds = self.rounds.saturating_sub(1).max(1);
            self.next = Some(again);
            return ProbeOutcome::Unchanged;
        }
        *self = Self {
            cleared: true,
            was_held: true,
            conflict: false,
            inherited: false,
            rounds: 0,
            next: None,
            taken: false,
        };
        ProbeOutcome::Silent
    }

    /// All that were found to have it keep nobody off, as is known only now: others are looked for at once,
    /// in one round. Whether that changes anything.
    pub(super) fn explain(&mut self, now: BootTime) -> bool {
        let explained = self.conflict && !self.inherited && !self.cleared;
        if explained {
            (self.conflict, self.rounds, self.next) = (false, 1, Some(now));
        }
        explained
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::tests::at;
    use ProbeOutcome::{Found, Silent, Unchanged};

    /// The next round begins when it is due; then it ends.
    fn round(state: &mut ProbeState, conflict: bool, ms: u64) -> ProbeOutcome {
        if let Some(next) = state.next() {
            assert!(!state.begins(false, BootTime(next.0 - 1)));
            assert!(state.begins(false, next));
        }
        assert!(state.is_running());
        state.on_probed(conflict, false, at(ms).boot)
    }

    #[test]
    fn one_silent_round_clears_what_nobody_was_known_to_have() {
        let mut state = ProbeState::probed_first(false, false);
        assert!(!state.is_cleared() && !state.is_kept_off());
        assert_eq!(round(&mut state, false, 5), Silent);
        assert!(state.is_cleared() && state.next().is_none() && !state.is_running());
        assert_eq!(state.on_probed(false, false, at(6).boot), Unchanged, "no round was under way");
    }

    #[test]
    fn a_node_that_was_heard_before_it_said_so_ends_the_conflict_when_it_has_it_no_more() {
        let mut state = ProbeState::probed_first(false, false);
        let again = at(60_000).boot;
        assert_eq!(state.on_probed(true, false, again), Found);
        assert!(!state.begins(true, at(1000).boot), "it says so now");
        assert!(state.begins(false, at(2000).boot), "it is gone there");
        assert_eq!(state.on_probed(false, false, again), Silent, "one round is enough");
    }

    #[test]
    fn a_conflict_ends_after_two_silent_rounds_and_any_sign_counts_anew() {
        let mut state = ProbeState::probed_first(false, false);
        assert_eq!(round(&mut state, true, 60), Found);
        assert!(state.is_kept_off());
        assert_eq!(round(&mut state, false, 120), Unchanged);
        assert_eq!(round(&mut state, true, 180), Unchanged, "it was known");
        assert_eq!(round(&mut state, false, 240), Unchanged);
        assert_eq!(round(&mut state, false, 300), Silent);
        assert!(state.is_cleared() && !state.is_conflict());
    }

    #[test]
    fn what_is_held_stays_answered_for_in_a_conflict() {
        let mut state = ProbeState::cleared(false, at(0).boot, &Timing::default());
        assert_eq!(state.on_probed(true, false, at(60).boot), Found);
        assert_eq!(state.on_probed(true, false, at(70).boot), Unchanged);
        assert_eq!(state.next(), Some(at(60).boot), "the round is not put off by more signs");
        assert!(state.is_cleared() && state.is_conflict() && !state.is_kept_off());
        assert_eq!(round(&mut state, false, 120), Unchanged);
        assert_eq!(round(&mut state, false, 180), Silent);
        assert!(!state.is_conflict());
        let inherited = ProbeState::cleared(true, at(0).boot, &Timing::default());
        assert_eq!(inherited.next(), Some(at(60_000).boot));
    }

    #[test]
    fn what_a_node_has_on_an_interface_is_not_cleared_before_that_ends() {
        let mut state = ProbeState::probed_first(false, false);
        assert_eq!(state.on_probed(false, true, at(60).boot), Unchanged);
        assert!(state.is_kept_off() && !state.is_conflict());
        assert!(!state.begins(true, at(59).boot) && state.begins(false, at(59).boot));
        assert_eq!(state.on_probed(false, false, at(119).boot), Silent);
        // Its node answers the probes too.
        let mut answered = ProbeState::probed_first(false, false);
        assert_eq!(answered.on_probed(true, true, at(60).boot), Found);
        assert!(answered.begins(false, at(9).boot), "at once");
        assert_eq!(
            answered.on_probed(false, false, at(69).boot),
            Silent,
            "and one round is enough"
        );
        // What is held stays held.
        assert_eq!(state.on_probed(true, true, at(200).boot), Found);
        assert!(state.begins(true, at(200).boot));
        assert_eq!(state.on_probed(false, true, at(260).boot), Unchanged);
        assert!(!state.is_kept_off() && state.begins(true, at(260).boot));
        assert_eq!(state.on_probed(false, true, at(320).boot), Silent);
    }

    #[test]
    fn what_was_held_waits_for_no_node_that_has_it_and_for_every_other_host() {
        let again = at(60_000).boot;
        let mut state = ProbeState::probed_first(false, true);
        assert_eq!(state.on_probed(false, true, again), Silent, "nobody but that node has it");
        assert!(state.is_cleared());
        let mut state = ProbeState::probed_first(false, true);
        assert_eq!(state.on_probed(true, true, again), Found);
        for (begins, outcome) in [(60_000, Unchanged), (120_000, Silent)] {
            assert!(state.is_kept_off() && !state.begins(true, at(begins - 1).boot));
            assert!(state.begins(true, at(begins).boot));
            assert_eq!(state.on_probed(false, true, at(begins + 60_000).boot), outcome);
        }
    }

    #[test]
    fn who_was_found_and_keeps_nobody_off_ends_the_conflict_and_is_followed_by_a_round_for_others()
    {
        let (now, again) = (at(9).boot, at(60_009).boot);
        for host in [false, true] {
            let mut state = ProbeState::probed_first(false, true);
            assert_eq!(state.on_probed(true, false, again), Found);
            assert!(state.explain(now) && !state.explain(now));
            assert!(!state.is_kept_off() && !state.is_cleared() && state.begins(true, now));
            let found = if host { Found } else { Silent };
            assert_eq!(state.on_probed(host, true, again), found);
            assert_eq!((state.is_cleared(), state.is_kept_off()), (!host, host));
        }
        // Whom an earlier holder has found may be another one.
        let mut state = ProbeState::probed_first(true, true);
        assert_eq!(state.on_probed(true, false, again), Unchanged);
        assert!(!state.explain(now) && state.is_kept_off() && state.next() == Some(again));
        // What is held is in conflict with a node too.
        let mut state = ProbeState::cleared(false, now, &Timing::default());
        assert_eq!(state.on_probed(true, true, again), Found);
        assert!(!state.explain(now) && state.is_conflict());
    }
}
