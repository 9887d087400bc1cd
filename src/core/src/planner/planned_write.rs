use crate::model::{EventDraft, Write};
use crate::port_blocks::BlockDraw;

/// One write of the controller, with the version that the decision was made from.
///
/// Guarantees: one that waits for drawn numbers is not ready to be written before
/// [`super::Plan::fill`] has put them in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedWrite {
    /// What to write. Numbers that `draws` names are 0.
    pub write: Write,
    /// Which drawn numbers go into it; the same once they are in.
    pub draws: Draws,
    /// What to tell people once it is written.
    pub notes: Vec<EventDraft>,
}

/// The drawn numbers that a write waits for, by their places in the plan, from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Draws {
    /// None.
    #[default]
    None,
    /// The fence of an address's plan.
    Fence(u64),
    /// Numbers of the port blocks of a node.
    Blocks(Vec<BlockDraw>),
}

impl From<Write> for PlannedWrite {
    /// A write that waits for nothing and of which nobody is told.
    fn from(write: Write) -> Self {
        Self { write, draws: Draws::None, notes: Vec::new() }
    }
}

impl PlannedWrite {
    /// Puts the drawn numbers in: number `n` of the plan becomes `first + n`.
    pub(super) fn fill(&mut self, first: u64) {
        match (&mut self.write, &self.draws) {
            (Write::AddressPlan { plan, .. }, Draws::Fence(number)) => plan.fence = first + number,
            (Write::NodeSpec { spec, .. }, Draws::Blocks(draws)) => {
                for draw in draws {
                    if let Some(grant) = spec.blocks.get_mut(draw.block) {
                        draw.field.put(grant, first + draw.number);
                    }
                }
            }
            _ => {}
        }
    }
}
