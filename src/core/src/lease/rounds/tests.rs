use super::*;
use crate::lease::tests::{address, at, name, view, voter_set};
use crate::lease::{AddressAnswer, Effect, PersistedLease, PlanView};

struct Asker {
    config: LeaseConfig,
    view: PlanView,
    durable: DurableState,
    rounds: Rounds,
}

impl Asker {
    /// Voters are n1, n2 and n3; this is n1.
    fn new() -> Self {
        let (config, set) = (LeaseConfig::new(name(1), "boot"), Some(voter_set(1, &[1, 2, 3])));
        let kept = PersistedLease { cluster: Some("c".to_owned()), set, ..Default::default() };
        let rounds = Rounds::new(&config, at(0));
        Self { config, view: view(), durable: DurableState::new(kept), rounds }
    }

    fn start(&mut self, ms: u64, kind: RequestKind) -> (Request, Vec<Effect>) {
        let cx = Context::new(&self.config, Some(&self.view), at(ms));
        let asks = BTreeMap::from([(address(), cx.ask(address(), 1).unwrap())]);
        let mut out = Effects::default();
        let request = self.rounds.start(&cx, &self.durable, kind, asks, &mut out).unwrap();
        (request, out.0)
    }

    fn answer(&mut self, from: usize, round: RoundId, vote: Vote) -> Option<RoundResult> {
        let cx = Context::new(&self.config, Some(&self.view), at(2));
        let answers = vec![AddressAnswer { address: address(), vote, epoch: 4 }];
        self.rounds.on_answer(&cx, &name(from), &Answer { round, answers })
    }
}

#[test]
fn a_majority_grants_from_the_start_of_its_round() {
    let mut asker = Asker::new();
    let (request, sent) = asker.start(1, RequestKind::Vote);
    assert_eq!(sent.len(), 2, "nothing to itself");
    assert_eq!(asker.answer(2, request.round, Vote::Granted).unwrap().granted, []);
    assert_eq!(asker.answer(9, request.round, Vote::Granted), None, "no voter");
    let result = asker.answer(1, request.round, Vote::Granted).unwrap();
    assert_eq!(result.started, at(1).boot);
    assert_eq!(result.granted, [(request.asks[0].clone(), 4)]);
}

#[test]
fn two_refusals_of_three_end_a_vote_and_no_renewal() {
    let mut asker = Asker::new();
    for (kind, refused) in [(RequestKind::Vote, 1), (RequestKind::Renewal, 0)] {
        let (request, _) = asker.start(1, kind);
        asker.answer(2, request.round, Vote::Fenced);
        let result = asker.answer(3, request.round, Vote::Taken { remaining: 7 }).unwrap();
        assert_eq!(result.refused.len(), refused);
    }
}

#[test]
fn what_was_given_up_is_granted_to_nobody() {
    let mut asker = Asker::new();
    let (request, _) = asker.start(1, RequestKind::Vote);
    let cx = Context::new(&asker.config, Some(&asker.view), at(1));
    assert!(asker.rounds.asks_for(address()));
    assert_eq!(asker.rounds.abandon(&cx, address()), request.round);
    assert!(!asker.rounds.asks_for(address()));
    assert_eq!(asker.answer(2, request.round, Vote::Granted), None);
}

#[test]
fn who_has_not_answered_is_asked_twice_more_and_then_the_round_ends() {
    let mut asker = Asker::new();
    let (request, _) = asker.start(0, RequestKind::PreVote);
    asker.answer(2, request.round, Vote::Granted);
    let mut times = Vec::new();
    while let Some(due) = asker.rounds.deadline(&Context::new(&asker.config, None, at(0))) {
        let now = Now { boot: due, ..at(0) };
        let cx = Context::new(&asker.config, Some(&asker.view), now);
        let mut out = Effects::default();
        asker.rounds.repeat(&cx, &mut out);
        for counter in asker.rounds.over(&cx) {
            asker.rounds.close(counter);
        }
        times.push((due, out.0.len()));
    }
    assert_eq!(times, [(at(15).boot, 1), (at(45).boot, 1), (at(50).boot, 0)], "n3 alone");
}
