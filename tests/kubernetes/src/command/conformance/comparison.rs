//! Whose a failure is.

use super::report::SpecOutcome;

/// What is to be said of a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SpecComparison {
    /// It passed with every pod selected.
    Passed,
    /// It failed beside others, with what it said, and passed alone.
    PassedAlone(String),
    /// It fails with Egret and does not without: Egret's fault.
    EgretOnly(String),
    /// It fails without Egret, too, with what it says there.
    FailsAnyway(String),
    /// It did not run, and says why.
    NotRun(String),
}

impl SpecComparison {
    /// From what it gave beside others, again alone, and again alone on a cluster without Egret. What has not been seen
    /// to fail without Egret counts as Egret's.
    pub(super) fn of(
        first: &SpecOutcome,
        alone: Option<&SpecOutcome>,
        bare: Option<&SpecOutcome>,
    ) -> Self {
        match (first, alone, bare) {
            (SpecOutcome::Passed, _, _) => Self::Passed,
            (SpecOutcome::Skipped(why), _, _) => Self::NotRun(why.clone()),
            (SpecOutcome::Failed(said), Some(SpecOutcome::Passed), _) => {
                Self::PassedAlone(said.clone())
            }
            (SpecOutcome::Failed(_), _, Some(SpecOutcome::Failed(said))) => {
                Self::FailsAnyway(said.clone())
            }
            (SpecOutcome::Failed(said), _, _) => Self::EgretOnly(said.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_without_egret_excuses_one_with_it() {
        let (passed, skipped) = (SpecOutcome::Passed, SpecOutcome::Skipped("why".to_owned()));
        let failed = SpecOutcome::Failed("with".to_owned());
        let bare = SpecOutcome::Failed("without".to_owned());
        let fault = SpecComparison::EgretOnly("with".to_owned());
        for (first, alone, without, comparison) in [
            (&passed, None, None, SpecComparison::Passed),
            (&skipped, None, None, SpecComparison::NotRun("why".to_owned())),
            (&failed, Some(&passed), None, SpecComparison::PassedAlone("with".to_owned())),
            (
                &failed,
                Some(&failed),
                Some(&bare),
                SpecComparison::FailsAnyway("without".to_owned()),
            ),
            (&failed, Some(&failed), Some(&passed), fault.clone()),
            (&failed, Some(&failed), Some(&skipped), fault.clone()),
            (&failed, Some(&failed), None, fault.clone()),
            (&failed, None, None, fault),
        ] {
            assert_eq!(
                SpecComparison::of(first, alone, without),
                comparison,
                "{first:?} {alone:?} {without:?}"
            );
        }
    }
}
