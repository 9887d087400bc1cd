//! Whether the addresses of the API servers are known, which are never steered.

use crate::model::{ApiServerReading, ClusterStatus, ConditionType};
use crate::reason::Reason;

use super::evaluation::{ConditionInputs, Evaluation};

/// The status of the cluster object, where it differs from what is written. Nothing is said while all is
/// well, and nothing changes where nobody asks.
pub fn cluster_status(view: &ConditionInputs<'_>) -> Option<ClusterStatus> {
    let before = &view.snapshot.cluster_status;
    let (reason, what) = match &view.snapshot.discovered.api_servers {
        ApiServerReading::NotAsked => return None,
        ApiServerReading::Read(_) => (None, ""),
        ApiServerReading::NotAllowed => (
            Some(Reason::NotAllowed),
            "the controller may not read the EndpointSlice kubernetes in the namespace default; give \
             it the Role egret-controller-api-servers (controller.readAPIServers in Helm)",
        ),
        ApiServerReading::Missing => (
            Some(Reason::NotThere),
            "the namespace default has no EndpointSlice kubernetes that can be read, into which API \
             servers write their addresses; see what --endpoint-reconciler-type they have",
        ),
    };
    let mut conditions = before.conditions.clone();
    conditions.retain(|known| known.kind != ConditionType::ApiServersUnread);
    if let Some(reason) = reason {
        let message = format!(
            "{what}. Addresses that were read before are never steered; any other API server outside \
             the cluster's ranges is, where a claim selects it: put it into an except of the claim's \
             destinations"
        );
        let evaluation = Evaluation::new(ConditionType::ApiServersUnread, true, reason, message);
        conditions.push(evaluation.date(&before.conditions, 0, view.now));
    }
    let status = ClusterStatus { conditions };
    (status != *before).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    fn said(world: &Fixture) -> Vec<(String, String)> {
        let conditions = &world.snapshot.cluster_status.conditions;
        let spelled = |one: &crate::model::Condition| {
            assert!(one.status && one.message.contains("except of the claim's"), "{one:?}");
            (one.kind.to_string(), one.reason.clone())
        };
        conditions.iter().map(spelled).collect()
    }

    #[test]
    fn the_cluster_says_that_nobody_can_tell_until_somebody_can() {
        let mut world = Fixture::small();
        world.settle();
        assert_eq!(said(&world), [], "nobody asks");
        let unread = |reason: &str| vec![("ApiServersUnread".to_owned(), reason.to_owned())];
        for (reading, expected) in [
            (ApiServerReading::NotAllowed, unread("NotAllowed")),
            (ApiServerReading::Missing, unread("NotThere")),
            (ApiServerReading::NotAsked, unread("NotThere")),
            (ApiServerReading::Read([ip("198.51.100.44")].into()), vec![]),
            (ApiServerReading::NotAllowed, unread("NotAllowed")),
        ] {
            world.snapshot.discovered.api_servers = reading;
            world.settle();
            assert_eq!(said(&world), expected);
        }
    }
}
