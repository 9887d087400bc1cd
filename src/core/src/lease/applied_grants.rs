//! A gateway that says to directors when its kernel has their port-block grants.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Message;
use super::context::Context;
use super::effect::Effects;
use crate::model::NodeName;

/// The grants in this gateway's kernel, and who waits for more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct AppliedGrants {
    /// Up to this number.
    epoch: u64,
    waiting: BTreeMap<(NodeName, IpAddr), u64>,
}

impl AppliedGrants {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Answers when the kernel has the grants, which may be later.
    pub(super) fn on_question(
        &mut self,
        cx: &Context<'_>,
        from: &NodeName,
        address: IpAddr,
        epoch: u64,
        out: &mut Effects,
    ) {
        if self.epoch >= epoch {
            out.send(from, Message::GrantsApplied { address, epoch: self.epoch });
        } else if cx.view.is_some_and(|view| view.nodes.contains(from)) {
            self.waiting.insert((from.clone(), address), epoch);
        }
    }

    /// The kernel has everything up to `epoch`.
    pub(super) fn on_applied(&mut self, epoch: u64, out: &mut Effects) {
        self.epoch = self.epoch.max(epoch);
        let epoch = self.epoch;
        for ((node, address), _) in self.waiting.extract_if(.., |_, wanted| *wanted <= epoch) {
            out.send(&node, Message::GrantsApplied { address, epoch });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::tests::{address, at, name, view};
    use crate::lease::{Effect, LeaseConfig};

    #[test]
    fn a_question_is_answered_once_the_kernel_has_the_grants() {
        let (config, view) = (LeaseConfig::new(name(1), "boot"), view());
        let cx = Context::new(&config, Some(&view), at(0));
        let (mut grants, mut out) = (AppliedGrants::default(), Effects::default());
        grants.on_question(&cx, &name(4), address(), 3, &mut out);
        grants.on_question(&cx, &name(9), address(), 3, &mut out);
        grants.on_applied(2, &mut out);
        assert_eq!(out.0, []);
        grants.on_applied(4, &mut out);
        grants.on_applied(3, &mut out);
        let message = Message::GrantsApplied { address: address(), epoch: 4 };
        let answer = Effect::Send { to: name(4), message };
        assert_eq!(out.0, std::slice::from_ref(&answer), "and no stranger");
        grants.on_question(&cx, &name(4), address(), 4, &mut out);
        assert_eq!(out.0, [answer.clone(), answer]);
    }
}
