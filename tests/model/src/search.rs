//! Depth-first search over the states that actions reach.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

/// Something with states to search.
pub trait Model {
    /// One state.
    type State: Clone;
    /// What leads from one to the next.
    type Action: Clone + std::fmt::Debug;

    /// Where it begins.
    fn start(&self) -> Self::State;
    /// What can happen, in the order to try.
    fn actions(&self, state: &Self::State) -> Vec<Self::Action>;
    /// The next state; `None` where nothing changes.
    fn next(&self, state: &Self::State, action: &Self::Action) -> Option<Self::State>;
    /// Tells states apart.
    fn fingerprint(&self, state: &Self::State) -> u64;
    /// What must never be so, and is.
    fn violation(&self, state: &Self::State) -> Option<String>;
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct SearchOutcome<A> {
    /// Different states seen.
    pub states: usize,
    /// Steps taken.
    pub transitions: usize,
    /// The longest chain of steps.
    pub depth: usize,
    /// Every state was seen: the search did not end at its limit.
    pub complete: bool,
    /// The first broken state: what is wrong, and the steps that lead to it.
    pub violation: Option<(String, Vec<A>)>,
}

/// The keys are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

struct Frame<S, A> {
    state: S,
    actions: Vec<A>,
    next: usize,
}

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub struct SearchLimits {
    /// Most states.
    pub states: usize,
    /// Longest chain of steps.
    pub depth: usize,
    /// Other than 0: tries the actions of every state in an order of its own, so that a search
    /// that cannot be complete sees other parts of the model.
    pub shuffle: u64,
}

/// Searches until a violation, the end, or a limit.
pub fn search<M: Model>(model: &M, limits: SearchLimits) -> SearchOutcome<M::Action> {
    // A state that is reached again by a shorter chain is gone on from again: otherwise a bound on
    // the depth would hide what lies behind it.
    let mut seen: HashMap<u64, usize, BuildHasherDefault<AsIs>> = HashMap::default();
    let mut outcome =
        SearchOutcome { states: 0, transitions: 0, depth: 0, complete: true, violation: None };
    let start = model.start();
    seen.insert(model.fingerprint(&start), 0);
    let mut chance = limits.shuffle;
    let actions = shuffled(model.actions(&start), &mut chance);
    let mut stack = vec![Frame { state: start, actions, next: 0 }];
    while let Some(frame) = stack.last_mut() {
        let Some(action) = frame.actions.get(frame.next).cloned() else {
            stack.pop();
            continue;
        };
        frame.next += 1;
        let Some(state) = model.next(&frame.state, &action) else { continue };
        outcome.transitions += 1;
        let depth = stack.len();
        match seen.entry(model.fingerprint(&state)) {
            Entry::Occupied(known) if *known.get() <= depth => continue,
            Entry::Occupied(mut known) => {
                known.insert(depth);
            }
            Entry::Vacant(new) => {
                new.insert(depth);
            }
        }
        outcome.depth = outcome.depth.max(depth);
        if let Some(what) = model.violation(&state) {
            outcome.violation = Some((what, stack.iter().map(taken).collect()));
            break;
        }
        if seen.len() >= limits.states {
            outcome.complete = false;
            break;
        }
        if depth >= limits.depth {
            outcome.complete = false;
            continue;
        }
        let actions = shuffled(model.actions(&state), &mut chance);
        stack.push(Frame { state, actions, next: 0 });
    }
    outcome.states = seen.len();
    outcome
}

fn taken<S, A: Clone>(frame: &Frame<S, A>) -> A {
    frame.actions[frame.next - 1].clone()
}

fn shuffled<A>(mut actions: Vec<A>, chance: &mut u64) -> Vec<A> {
    if *chance == 0 {
        return actions;
    }
    for last in (1..actions.len()).rev() {
        *chance ^= *chance << 13;
        *chance ^= *chance >> 7;
        *chance ^= *chance << 17;
        actions.swap(last, (*chance % (last as u64 + 1)) as usize);
    }
    actions
}
