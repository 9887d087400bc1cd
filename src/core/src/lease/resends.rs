//! Messages that are said more than once, since their loss would cost a lease (docs/leases.md
//! rule 6).

use super::context::Context;
use super::effect::Effects;
use super::{BootTime, Message};
use crate::model::NodeName;

/// What is to be said again: when, to whom, what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Resends(Vec<(BootTime, NodeName, Message)>);

impl Resends {
    /// Sends it now and once more at each of the repetitions' moments.
    pub(super) fn send(
        &mut self,
        cx: &Context<'_>,
        to: &NodeName,
        message: Message,
        out: &mut Effects,
    ) {
        for after in cx.config.timing.repeats {
            self.0.push((cx.now.boot + after, to.clone(), message.clone()));
        }
        out.send(to, message);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn deadline(&self) -> Option<BootTime> {
        self.0.iter().map(|(at, ..)| *at).min()
    }

    pub(super) fn advance(&mut self, cx: &Context<'_>, out: &mut Effects) {
        for (_, to, message) in self.0.extract_if(.., |(at, ..)| *at <= cx.now.boot) {
            out.send(&to, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::LeaseConfig;
    use crate::lease::tests::{at, name};

    #[test]
    fn a_message_is_said_at_once_and_twice_more() {
        let config = LeaseConfig::new(name(1), "boot");
        let mut resends = Resends::default();
        let mut sent = Vec::new();
        for ms in 0..60 {
            let cx = Context::new(&config, None, at(ms));
            let mut out = Effects::default();
            if ms == 0 {
                resends.send(&cx, &name(2), Message::Heartbeat, &mut out);
            }
            assert_eq!(
                resends.deadline().is_some_and(|due| due <= cx.now.boot),
                [15, 45].contains(&ms)
            );
            resends.advance(&cx, &mut out);
            sent.extend(out.0.iter().map(|_| ms));
        }
        assert_eq!(sent, [0, 15, 45]);
        assert!(resends.is_empty());
    }
}
