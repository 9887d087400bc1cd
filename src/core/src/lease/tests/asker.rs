//! What asks for leases without the rest of a machine.

use super::*;
use crate::lease::context::Context;
use crate::lease::durable::DurableState;
use crate::lease::effect::Effects;
use crate::lease::invocation::Invocation;
use crate::lease::moves::Moves;
use crate::lease::proposer::Proposer;
use crate::lease::voter::VoterState;

pub(in crate::lease) struct AskingNode {
    config: LeaseConfig,
    pub view: PlanView,
    pub durable: DurableState,
    voter: VoterState,
    pub proposer: Proposer,
    pub moves: Moves,
}

impl AskingNode {
    /// One that has read the plans at 0; it is the only voter, or none, and then nobody is.
    pub fn new(number: usize, votes: bool) -> Self {
        let kept = PersistedLease {
            cluster: Some("c".to_owned()),
            set: votes.then(|| voter_set(1, &[number])),
            t_max: 1000,
            may_grant: true,
            ..PersistedLease::default()
        };
        let config = LeaseConfig::new(name(number), "boot");
        let mut node = Self {
            proposer: Proposer::new(&config, at(0), 1),
            config,
            view: view(),
            durable: DurableState::new(kept),
            voter: VoterState::default(),
            moves: Moves::default(),
        };
        node.durable.read_fences(&node.view);
        node.at(0, |call, proposer, _| proposer.read_plans(call, true));
        node
    }

    /// Calls at a moment; what it does.
    pub fn at(
        &mut self,
        ms: u64,
        call: impl FnOnce(&mut Invocation<'_>, &mut Proposer, &mut Moves),
    ) -> Vec<Effect> {
        let mut out = Effects::default();
        let cx = Context::new(&self.config, Some(&self.view), at(ms));
        let (durable, voter) = (&mut self.durable, &mut self.voter);
        let mut invocation = Invocation { cx, durable, voter, out: &mut out };
        call(&mut invocation, &mut self.proposer, &mut self.moves);
        out.0
    }

    pub fn holds(&self) -> bool {
        self.proposer.addresses.held_epoch(address()).is_some()
    }
}

/// What was sent, and to whom.
pub(in crate::lease) fn sent(effects: &[Effect]) -> Vec<(NodeName, Message)> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send { to, message } => Some((to.clone(), message.clone())),
        _ => None,
    });
    sent.collect()
}
