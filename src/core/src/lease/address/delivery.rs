//! What a holder waits for in a cloud, and who hears of it (docs/leases.md, In a cloud).

use std::time::Duration;

use super::super::BootTime;
use super::super::context::Context;
use super::AddressLease;

/// How long a holder that was handed the address waits for the cloud in silence.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(10);

impl AddressLease {
    /// Where the cloud does not deliver what this node holds: since when directors hear of it, and the
    /// epoch.
    pub(in crate::lease) fn undelivered(&self) -> Option<(BootTime, u64)> {
        Some((self.undelivered_from?, self.holder.as_ref()?.epoch))
    }

    /// Notes whether the cloud delivers what this node holds. After a takeover directors hear at once
    /// that it does not. Else the old path may be in use; but a move that takes so long, or a restart of
    /// this process meanwhile, is not told from an outage.
    pub(in crate::lease) fn note_delivery(&mut self, cx: &Context<'_>) {
        let waits = self.holder.is_some() && !self.may_announce(cx);
        let patience = if self.silent_predecessor { Duration::ZERO } else { DELIVERY_PATIENCE };
        let from = cx.now.boot + patience;
        self.undelivered_from =
            waits.then(|| self.undelivered_from.map_or(from, |before| before.min(from)));
    }

    /// Whether directors may be told that this node holds it.
    pub(in crate::lease) fn may_announce(&self, cx: &Context<'_>) -> bool {
        let (me, silent) = (&cx.config.me, self.silent_predecessor);
        cx.plan(self.address).is_none_or(|plan| plan.may_announce(me, silent))
    }

    /// Once the fabric delivers here, whatever comes later is no takeover's end: a drift's repair
    /// waits until that is seen.
    pub(in crate::lease) fn end_early_following(&mut self, cx: &Context<'_>) {
        let seen = cx.plan(self.address).is_some_and(|plan| plan.delivers_to(&cx.config.me));
        self.silent_predecessor &= !seen;
    }
}
