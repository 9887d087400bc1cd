//! `check` and `simulate`.
use egret_core::quorum::Mistake as M;
use egret_model::{
    models::{self, Broken},
    scenario::Scenario,
    search::search,
};
type Make = fn(&Broken, u64) -> Scenario;
fn main() {
    let a: Vec<String> = std::env::args().skip(1).collect();
    let h = |i: usize, d: u64| a.get(i).map_or(d, |x| x.parse().unwrap());
    let all: Vec<(&str, Make, Vec<Broken>)> = vec![
        (
            "leases",
            models::leases,
            vec![
                Broken::by(M::DeadlineFromAnswer),
                Broken::by(M::OldAnswersCountNow),
                Broken::by(M::LateReleaseEndsAll),
            ],
        ),
        (
            "releases",
            models::releases,
            vec![Broken::by(M::ReleaseBeforeClosing), Broken::by(M::RoundsOutliveRelease)],
        ),
        ("lengths", models::lengths, vec![Broken::by(M::RenewalShortens)]),
        (
            "restarts",
            models::restarts,
            vec![Broken::by(M::AnswersBeforeKeeping), Broken::by(M::RoundNumbersRepeat)],
        ),
        ("reboots", models::reboots, vec![Broken::by(M::NoSilence), Broken::by(M::ShortSilence)]),
        ("clocks", models::clocks, vec![Broken::world()]),
        ("sets", models::sets, vec![Broken::world(), Broken::by(M::AcknowledgesSetAtOnce)]),
        ("set_restarts", models::set_restarts, vec![Broken::by(M::RestartLosesSet)]),
        ("fences", models::fences, vec![Broken::world(), Broken::by(M::RevokedByEpoch)]),
        ("fence_reboots", models::fence_reboots, vec![Broken::by(M::AcknowledgesInSilence)]),
        ("fence_restarts", models::fence_restarts, vec![Broken::by(M::RestartLosesFences)]),
        ("fences_and_sets", models::fences_and_sets, vec![Broken::by(M::ReadsIndependently)]),
        ("moves", models::moves, vec![Broken::by(M::SuccessionFreesAtOnce)]),
        ("moves3", models::moves_of_three, vec![]),
    ];
    let limit = h(2, 300_000) as usize;
    for (name, make, broken) in all {
        if a[0] != "all" && a[0] != name {
            continue;
        }
        let mut bs = broken;
        bs.push(Broken::default());
        for b in bs {
            let t = std::time::Instant::now();
            let o = search(&make(&b, h(1, 1)), limit, h(3, 0));
            println!(
                "{name} {:?} {}: {} states {} transitions depth {} complete {} {:?} {:?}",
                b.mistake,
                b.world,
                o.states,
                o.transitions,
                o.depth,
                o.complete,
                o.violation.as_ref().map(|v| (&v.0, v.1.len())),
                t.elapsed()
            );
            if (b.mistake.is_none() && !b.world) || a.len() > 4 {
                if let Some((_, path)) = o.violation {
                    for p in path {
                        println!("   {p:?}");
                    }
                }
            }
        }
    }
}
