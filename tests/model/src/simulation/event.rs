use egret_core::quorum::{Effect, Input, Report};

use super::Fault;

/// Something that is to happen.
#[derive(Debug)]
pub(super) enum Event {
    Input {
        node: usize,
        boot: u32,
        input: Box<Input>,
    },
    /// A tick; void where a later one has been planned since.
    Wake {
        node: usize,
        generation: u64,
    },
    /// Effects that a stall has put off.
    Effects {
        node: usize,
        boot: u32,
        process: u32,
        effects: Vec<Effect>,
    },
    Start {
        node: usize,
    },
    Stall {
        node: usize,
    },
    Written {
        report: Report,
    },
    Published,
    Fault(Fault),
}

/// True time in nanoseconds, then the order of planning.
pub(super) struct Planned(pub u64, pub u64, pub Event);

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.1 == other.1
    }
}
impl Eq for Planned {}
impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}
