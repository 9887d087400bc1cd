//! Every model, and every mistake that one of them must refuse.

use egret_core::lease::InjectedFault;

use crate::models::{self, BrokenRules};
use crate::scenario::ModelScenario;

/// Makes a scenario of so many steps of time.
pub type Make = fn(&BrokenRules, u64) -> ModelScenario;

/// A model as it is meant.
#[derive(Clone, Copy, Debug)]
pub struct Sound {
    /// Makes it.
    pub make: Make,
    /// Steps of time of the short run.
    pub short: u64,
    /// Steps of time of the long run.
    pub long: u64,
}

/// A model with one mistake.
#[derive(Clone, Debug)]
pub struct Refused {
    /// What is wrong; docs/leases.md has the list.
    pub what: &'static str,
    /// Makes the model.
    pub make: Make,
    /// How it is broken.
    pub broken: BrokenRules,
    /// Steps of time.
    pub horizon: u64,
    /// The length of a chain that shows it, in steps: a shorter search misses it, or nearly.
    pub depth: usize,
}

/// All models.
pub const SOUND: [Sound; 20] = [
    Sound { make: models::leases, short: 1, long: 2 },
    Sound { make: models::releases, short: 0, long: 1 },
    Sound { make: models::lengths, short: 1, long: 2 },
    Sound { make: models::restarts, short: 0, long: 1 },
    Sound { make: models::reboots, short: 0, long: 1 },
    Sound { make: models::clocks, short: 1, long: 2 },
    Sound { make: models::sets, short: 0, long: 1 },
    Sound { make: models::set_restarts, short: 0, long: 1 },
    Sound { make: models::fences, short: 0, long: 1 },
    Sound { make: models::fence_reboots, short: 0, long: 1 },
    Sound { make: models::fence_restarts, short: 0, long: 1 },
    Sound { make: models::fences_and_sets, short: 0, long: 1 },
    Sound { make: models::moves, short: 0, long: 1 },
    Sound { make: models::moves_of_three, short: 0, long: 1 },
    Sound { make: models::move_restarts, short: 0, long: 1 },
    Sound { make: models::cut_offs, short: 0, long: 1 },
    Sound { make: models::drains, short: 0, long: 1 },
    Sound { make: models::stops, short: 0, long: 1 },
    Sound { make: models::cloud_moves, short: 1, long: 2 },
    Sound { make: models::resumptions, short: 0, long: 1 },
];

/// All mistakes.
pub fn refused() -> Vec<Refused> {
    let machine = |what, make: Make, mistake, horizon, depth| Refused {
        what,
        make,
        broken: BrokenRules::by(mistake),
        horizon,
        depth,
    };
    let world = |what, make: Make, horizon, depth| Refused {
        what,
        make,
        broken: BrokenRules::world(),
        horizon,
        depth,
    };
    use InjectedFault as M;
    vec![
        machine("a voter forgets at a reboot", models::reboots, M::NoSilence, 0, 4),
        machine("deadline from the answer", models::leases, M::DeadlineFromAnswer, 1, 6),
        machine("release before closing", models::releases, M::ReleaseBeforeClosing, 0, 6),
        machine("rounds outlive a release", models::releases, M::RoundsOutliveRelease, 1, 10),
        machine("old answers count now", models::leases, M::OldAnswersCountNow, 1, 4),
        machine("round numbers repeat", models::restarts, M::RoundNumbersRepeat, 1, 8),
        machine("a renewal shortens", models::lengths, M::RenewalShortens, 2, 8),
        world("clocks beyond the margin", models::clocks, 2, 6),
        machine("too short a silence", models::reboots, M::ShortSilence, 1, 8),
        world("a voter replaced in one step", models::sets, 0, 6),
        machine("two set changes at once", models::sets, M::AcknowledgesSetAtOnce, 0, 12),
        machine("a restart loses the set", models::set_restarts, M::RestartLosesSet, 0, 6),
        machine("a restart loses the fences", models::fence_restarts, M::RestartLosesFences, 0, 8),
        machine("revocation by epoch", models::fences, M::RevokedByEpoch, 1, 14),
        world("freed on the holder's word", models::fences, 0, 8),
        machine(
            "acknowledged in the silence",
            models::fence_reboots,
            M::AcknowledgesInSilence,
            0,
            4,
        ),
        machine("set and fences read apart", models::fences_and_sets, M::ReadsIndependently, 0, 12),
        machine("a late release ends all", models::leases, M::LateReleaseEndsAll, 1, 10),
        machine("a succession frees at once", models::moves, M::SuccessionFreesAtOnce, 0, 12),
        machine("a hand-over frees at once", models::cut_offs, M::SuccessionFreesAtOnce, 0, 12),
        machine("left with its rank", models::drains, M::LeavesWithItsRank, 0, 6),
        machine("released beside a successor", models::moves, M::ReleasesBesideSuccessor, 0, 10),
        machine("answered before it is kept", models::restarts, M::AnswersBeforeKeeping, 0, 6),
        machine("a restart loses a promise", models::move_restarts, M::RestartLosesPromise, 0, 12),
        machine("a move follows at accepted", models::cloud_moves, M::FollowsMoveAtAccepted, 0, 10),
        world("taken back under the old fence", models::resumptions, 1, 12),
    ]
}
