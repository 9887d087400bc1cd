//! What must never be so.

use egret_core::lease::AddressState;

use super::ModelWorld;

impl ModelWorld {
    pub(super) fn is_revoked(&self) -> bool {
        let newest = self.store.last();
        newest.is_some_and(|view| view.addresses.values().any(|plan| plan.revoked))
    }

    /// Whether the map entry lets `number` send to the world now, and how.
    pub fn open(&self, number: u8) -> Option<AddressState> {
        let entry = self.nodes.get(&number)?.entry.as_ref()?;
        let forwards = matches!(entry.state, AddressState::Held | AddressState::Coming);
        (forwards && entry.valid_until > self.clocks(number).boot).then_some(entry.state)
    }

    /// What must never be so.
    pub fn violation(&self) -> Option<String> {
        if let Some(node) = self.astray {
            return Some(format!("packets go astray: {node} was told to too early"));
        }
        if self.deserted {
            return Some("let go: nobody was coming".to_owned());
        }
        if self.fabric.is_some() {
            // The fabric is the fence: entries have no deadline, and are open at will.
            return None;
        }
        let open: Vec<(u8, AddressState)> =
            self.numbers().into_iter().filter_map(|n| Some((n, self.open(n)?))).collect();
        let held = open.iter().filter(|(_, state)| *state == AddressState::Held).count();
        if self.freed && !open.is_empty() {
            return Some(format!("open after it was freed: {open:?}"));
        }
        // A successor that is coming forwards beside the old holder, and beside nobody else.
        let beside_another = open.len() > 1
            && (open.iter().any(|(node, _)| *node > self.successors)
                || open.iter().all(|(node, _)| *node != 1));
        (held > 1 || open.len() > 2 || beside_another).then(|| format!("two holders: {open:?}"))
    }
}
