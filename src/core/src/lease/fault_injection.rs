//! Rules broken on purpose (docs/leases.md, "What the checker shows").
//!
//! Compiled only with the cargo feature `fault-injection`, which no binary enables; without it
//! [`injected!`] is `false` at compile time.

/// Which rules a machine breaks. The default breaks none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct InjectedFaults(pub std::collections::BTreeSet<InjectedFault>);

impl InjectedFaults {
    /// Exactly one.
    pub fn one(mistake: InjectedFault) -> Self {
        Self(std::collections::BTreeSet::from([mistake]))
    }
}

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InjectedFault {
    /// A voter forgets at a reboot and answers at once (rule 13).
    NoSilence,
    /// The holder's deadline is counted from the answer (rule 1).
    DeadlineFromAnswer,
    /// A release is sent before the kernel entry is closed (rule 6).
    ReleaseBeforeClosing,
    /// A release leaves the asker's open rounds open (rule 6).
    RoundsOutliveRelease,
    /// Answers of an older round count from the present round's start (rule 4).
    OldAnswersCountNow,
    /// Round numbers begin anew at every start (rule 4).
    RoundNumbersRepeat,
    /// A renewal may shorten a grant (rule 2).
    RenewalShortens,
    /// The silence after a boot is one lease of the smallest T, not of T_max (rule 13).
    ShortSilence,
    /// A voter acknowledges a set while it has grants of an older one (rule 22).
    AcknowledgesSetAtOnce,
    /// A restart keeps the grants but not the set (rule 12).
    RestartLosesSet,
    /// A restart keeps the grants but not the fences (rule 12).
    RestartLosesFences,
    /// A higher epoch is let through in spite of a lower fence (rule 16).
    RevokedByEpoch,
    /// A fence and a set are acknowledged during the silence (rule 13).
    AcknowledgesInSilence,
    /// The fences read before the set was seen count for it (rule 22).
    ReadsIndependently,
    /// A release of a round ends newer grants too (rule 6).
    LateReleaseEndsAll,
    /// A grant that was released to a successor counts as ended for fences and sets (rule 17).
    SuccessionFreesAtOnce,
    /// A holder that has told a successor how long its lease still runs releases without naming it
    /// (rule 6, the promise).
    ReleasesBesideSuccessor,
    /// A holder that its plan ranks no longer lets go with nobody coming (rule 6).
    LeavesWithItsRank,
    /// A restart loses to whom the lease's end was told (rules 6 and 12).
    RestartLosesPromise,
    /// A voter answers before its grant is kept (rule 3).
    AnswersBeforeKeeping,
    /// Directors follow a planned move as soon as the cloud has accepted it (docs/leases.md, "In a
    /// cloud").
    FollowsMoveAtAccepted,
}
