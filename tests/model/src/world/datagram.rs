use std::hash::{Hash, Hasher};

use egret_core::quorum::{Message, Move};

/// A datagram under way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Datagram {
    /// Who sent it.
    pub from: u8,
    /// Who gets it.
    pub to: u8,
    /// What it says.
    pub message: Message,
    /// When it was sent, in true time.
    pub sent: u64,
}

/// No lease rests on the others.
pub(super) fn relevant(message: &Message) -> bool {
    matches!(
        message,
        Message::Request(_)
            | Message::Answer(_)
            | Message::Refusal(_)
            | Message::Release(_)
            | Message::Set(_)
            | Message::Move(_)
    )
}

pub(super) fn hash_message(message: &Message, epochs: bool, state: &mut impl Hasher) {
    match message {
        Message::Request(request) if !epochs => {
            (request.round, request.set, request.kind).hash(state);
            for ask in &request.asks {
                (ask.fence, ask.lease).hash(state);
            }
        }
        Message::Answer(answer) if !epochs => {
            answer.round.hash(state);
            for answer in &answer.answers {
                answer.verdict.hash(state);
            }
        }
        Message::Move(Move::Remaining { question, remaining, .. }) => {
            (question, remaining).hash(state);
        }
        other => other.hash(state),
    }
}
