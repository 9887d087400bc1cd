//! Depth-first search over the states that actions reach.

use std::collections::HashSet;
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
pub struct Outcome<A> {
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

/// Searches until a violation, the end, or `limit` states.
///
/// `shuffle` other than 0 tries the actions of every state in an order of its own: a search that
/// cannot be complete sees other parts of the model that way.
pub fn search<M: Model>(model: &M, limit: usize, shuffle: u64) -> Outcome<M::Action> {
    let mut seen: HashSet<u64, BuildHasherDefault<AsIs>> = HashSet::default();
    let mut outcome =
        Outcome { states: 0, transitions: 0, depth: 0, complete: true, violation: None };
    let start = model.start();
    seen.insert(model.fingerprint(&start));
    let mut chance = shuffle;
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
        if !seen.insert(model.fingerprint(&state)) {
            continue;
        }
        if let Some(what) = model.violation(&state) {
            let mut path: Vec<M::Action> = stack.iter().map(taken).collect();
            path.truncate(stack.len());
            outcome.violation = Some((what, path));
            break;
        }
        if seen.len() >= limit {
            outcome.complete = false;
            break;
        }
        let actions = shuffled(model.actions(&state), &mut chance);
        stack.push(Frame { state, actions, next: 0 });
        outcome.depth = outcome.depth.max(stack.len());
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
