use serde::Serialize;

use crate::model::BlockGrant;

/// A drawn number that belongs into a block grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDraw {
    /// Position in `spec.blocks`.
    pub block: usize,
    /// Into which field.
    pub field: BlockField,
    /// Which of the plan's drawn numbers, from 0.
    pub number: u64,
}

/// The fields of a grant that carry drawn numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BlockField {
    /// `epoch`: a new grant.
    Epoch,
    /// `ended`: the end of one.
    Ended,
}

impl BlockField {
    /// Puts a drawn number into this field of a grant.
    pub fn put(self, grant: &mut BlockGrant, number: u64) {
        match self {
            Self::Epoch => grant.epoch = number,
            Self::Ended => grant.ended = Some(number),
        }
    }
}
