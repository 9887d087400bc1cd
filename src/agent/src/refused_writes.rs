//! Statuses that the store refuses for certain: an admission policy, the rights of the agent, a limit, the
//! definition. The next turn would be refused as well, four times a second.

use std::collections::BTreeMap;
use std::sync::Arc;

use egret_core::model::{Holding, ResourceVersion, Snapshot};
use egret_ports::backoff::Backoff;
use egret_ports::cluster_state::Write;
use egret_ports::error::ErrorClass;
use tokio::time::Instant;

use crate::accepted_writes::StatusOf;

/// What the store answered to the writes of one turn.
#[derive(Debug)]
pub(crate) struct WriteAnswers {
    pub(crate) accepted: Vec<Write>,
    pub(crate) refused: Vec<(Write, ErrorClass)>,
    /// What they were decided by.
    pub(crate) snapshot: Arc<Snapshot>,
}

/// What was refused last of each object.
#[derive(Debug, Default)]
pub(crate) struct RefusedWrites {
    by_object: BTreeMap<StatusOf, RefusedWrite>,
}

#[derive(Debug)]
struct RefusedWrite {
    /// The object as the write was decided by: its plan is in it.
    version: Option<ResourceVersion>,
    /// The holder that was to be written.
    holding: Option<Holding>,
    backoff: Backoff,
    /// Not tried before this, while all of that is the same.
    again: Instant,
}

impl RefusedWrites {
    /// The store has not taken these. What may succeed as it is, or is decided anew, does not wait.
    pub(crate) fn note(&mut self, answers: &WriteAnswers, now: Instant) {
        for (write, class) in &answers.refused {
            let Some(of) = StatusOf::write(write) else { continue };
            if matches!(class, ErrorClass::Transient | ErrorClass::Conflict) {
                continue;
            }
            let mut backoff =
                self.by_object.get(&of).map(|before| before.backoff).unwrap_or_default();
            let again = now + backoff.failed(*class);
            let (version, holding) = (of.version(&answers.snapshot), holding(write));
            self.by_object.insert(of, RefusedWrite { version, holding, backoff, again });
        }
    }

    /// Which of this turn's writes, all of which the store lacks, are to be made: at once where the object
    /// or its holder has changed since.
    pub(crate) fn due(
        &mut self,
        mut writes: Vec<Write>,
        snapshot: &Snapshot,
        now: Instant,
    ) -> Vec<Write> {
        self.by_object.retain(|of, refused| {
            let write = writes.iter().find(|write| StatusOf::write(write).as_ref() == Some(of));
            write.is_some_and(|write| refused.is_same(of, write, snapshot))
        });
        writes.retain(|write| {
            let refused = StatusOf::write(write).and_then(|of| self.by_object.get(&of));
            refused.is_none_or(|refused| refused.again <= now)
        });
        writes
    }
}

impl RefusedWrite {
    fn is_same(&self, of: &StatusOf, write: &Write, snapshot: &Snapshot) -> bool {
        self.version == of.version(snapshot) && self.holding == holding(write)
    }
}

fn holding(write: &Write) -> Option<Holding> {
    match write {
        Write::AddressStatus { status, .. } => status.holding.clone(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use egret_core::model::{AddressStatus, EgressNodeStatus, Epoch};

    use super::*;
    use crate::testing::{put_address, put_node};

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 17));

    /// The store's objects, the address at this version.
    fn snapshot(version: &str) -> Snapshot {
        let mut snapshot = Snapshot::default();
        put_node(&mut snapshot, "me", EgressNodeStatus::default());
        put_address(&mut snapshot, ADDRESS, |_| {});
        let stored = snapshot.addresses.get_mut(&ADDRESS).unwrap();
        stored.version = ResourceVersion(version.to_owned());
        snapshot
    }

    /// `me` holds it, with this epoch.
    fn held(counter: u64) -> Write {
        let epoch = Epoch { counter, node: "me".into() };
        let holding = Some(Holding { node: "me".into(), epoch });
        let status = AddressStatus { holding, ..AddressStatus::default() };
        Write::AddressStatus { address: ADDRESS, expect: None, status }
    }

    fn of_node() -> Write {
        Write::NodeStatus { node: "me".into(), status: EgressNodeStatus::default() }
    }

    fn answers(refused: Vec<Write>, class: ErrorClass) -> WriteAnswers {
        let refused = refused.into_iter().map(|write| (write, class)).collect();
        WriteAnswers { accepted: Vec::new(), refused, snapshot: Arc::new(snapshot("1")) }
    }

    /// How many of the turns of a minute, four a second, write what is always answered with `class`.
    fn tries(class: ErrorClass) -> usize {
        let (mut refused, begun, mut tries) = (RefusedWrites::default(), Instant::now(), 0);
        for turn in 0..240 {
            let now = begun + turn * Duration::from_millis(250);
            let made = refused.due(vec![held(2)], &snapshot("1"), now);
            tries += made.len();
            refused.note(&answers(made, class), now);
        }
        tries
    }

    #[test]
    fn what_is_refused_for_certain_is_tried_more_and_more_seldom() {
        // At 0 s, after 5 to 10 s, and after 10 to 20 s and 20 to 40 s more.
        assert!((3..=4).contains(&tries(ErrorClass::Denied)), "{}", tries(ErrorClass::Denied));
        assert!((2..=3).contains(&tries(ErrorClass::Invalid)));
        for class in [ErrorClass::Transient, ErrorClass::Conflict] {
            assert_eq!(tries(class), 240, "it may succeed in the next turn");
        }
    }

    #[test]
    fn it_is_tried_at_once_when_the_object_or_the_holder_changes() {
        let (mut refused, now) = (RefusedWrites::default(), Instant::now());
        let deny = |refused: &mut RefusedWrites, write| {
            refused.note(&answers(vec![write], ErrorClass::Denied), now);
        };
        let due = |refused: &mut RefusedWrites, write: Write, version: &str| {
            refused.due(vec![write, of_node()], &snapshot(version), now).len() == 2
        };
        deny(&mut refused, held(2));
        assert!(!due(&mut refused, held(2), "1"));
        assert!(due(&mut refused, held(2), "2"), "the plan may rank it by now");
        deny(&mut refused, held(2));
        assert!(due(&mut refused, held(3), "1"), "a greater epoch");
        deny(&mut refused, held(2));
        assert_eq!(refused.due(Vec::new(), &snapshot("1"), now), [], "the store has it");
        assert!(due(&mut refused, held(2), "1"));
    }
}
