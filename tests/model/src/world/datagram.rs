use std::hash::{Hash, Hasher};

use egret_core::lease::{HandoverStep, Message};

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

/// Whether a lease can rest on such a datagram; the others are not sent.
pub(super) fn relevant(message: &Message) -> bool {
    match message {
        Message::Request(_)
        | Message::Answer(_)
        | Message::Refusal(_)
        | Message::Set(_)
        | Message::Release(_)
        | Message::Move(_) => true,
        Message::Heartbeat
        | Message::Notice(_)
        | Message::NoticeAnswer(_)
        | Message::WhoHolds(_)
        | Message::Holds(_)
        | Message::Ping(_)
        | Message::Pong(..)
        | Message::AskGrants { .. }
        | Message::GrantsApplied { .. }
        | Message::Wait(_)
        | Message::Undelivered(_) => false,
    }
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
                answer.vote.hash(state);
            }
        }
        Message::Move(HandoverStep::Remaining { question, remaining, .. }) => {
            (question, remaining).hash(state);
        }
        other => other.hash(state),
    }
}
