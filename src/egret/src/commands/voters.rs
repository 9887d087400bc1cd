use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use egret_core::membership::voter_set;
use egret_core::model::{NodeName, Snapshot, Voter};
use egret_ports::cluster_state::Write;
use serde::Serialize;

use super::output;
use crate::args::{VotersAction, VotersArgs};
use crate::error::UsageError;
use crate::table::Table;

pub(crate) fn run(args: VotersArgs) -> anyhow::Result<()> {
    let store = args.store.store()?;
    match args.action {
        None => output::print(args.output, &Answer::of(&store.read()?), show),
        Some(VotersAction::Reset { old_voters_are_stopped }) => {
            let stopped = old_voters_are_stopped.iter().map(|name| name.as_str().into()).collect();
            let snapshot = store.read()?;
            // Says what is wrong before the wait, not after it.
            reset(&snapshot, &stopped)?;
            let wait = longest_grant(&snapshot);
            let seconds = wait.as_secs_f64();
            println!("waiting {seconds:.1} s: what the old voters have granted runs out");
            std::thread::sleep(wait);
            store.change(|snapshot| reset(snapshot, &stopped))?;
            println!("a new set of voters is written; it grows as its members acknowledge it");
            Ok(())
        }
    }
}

/// The newest set of voters, and what its members say.
#[derive(Serialize)]
struct Answer {
    set: Option<u64>,
    voters: Vec<VoterAnswer>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VoterAnswer {
    node: NodeName,
    endpoint: Option<IpAddr>,
    may_vote: bool,
    acknowledged_set: Option<u64>,
    says_absent: BTreeSet<NodeName>,
}

impl Answer {
    fn of(snapshot: &Snapshot) -> Self {
        let set = snapshot.cluster.as_ref().and_then(|cluster| cluster.value.set.as_ref());
        let voter = |voter: &Voter| {
            let status = snapshot.egress_nodes.get(&voter.node).map(|node| &node.value.status);
            VoterAnswer {
                node: voter.node.clone(),
                endpoint: voter.endpoints.first().copied(),
                may_vote: status.is_some_and(|status| status.may_vote.is_some()),
                acknowledged_set: status.map(|status| status.acknowledged_set),
                says_absent: status.map(|status| status.absent.clone()).unwrap_or_default(),
            }
        };
        let voters = set.iter().flat_map(|set| &set.members).map(voter).collect();
        Self { set: set.map(|set| set.number), voters }
    }
}

fn show(answer: &Answer) {
    let Some(set) = answer.set else {
        return println!(
            "no voters yet: the first is chosen once an agent has been silent for 1.12 times the longest lease (11.2 s by default)"
        );
    };
    println!("set {set}");
    let mut table = Table::new(&["VOTER", "ENDPOINT", "MAY VOTE", "ACKNOWLEDGED", "SAYS ABSENT"]);
    let dash = || "-".to_owned();
    for voter in &answer.voters {
        let absent: Vec<&str> = voter.says_absent.iter().map(NodeName::as_str).collect();
        table.row([
            voter.node.to_string(),
            voter.endpoint.map_or_else(dash, |endpoint| endpoint.to_string()),
            if voter.may_vote { "yes" } else { "no" }.to_owned(),
            voter.acknowledged_set.map_or_else(dash, |set| set.to_string()),
            absent.join(","),
        ]);
    }
    table.print();
}

/// How long to wait before a new set is written: as long as the longest grant of an old voter lasts
/// (docs/leases.md rule 23). Whoever resets has said that the old voters were stopped before.
fn longest_grant(snapshot: &Snapshot) -> Duration {
    let t_max = snapshot.cluster.as_ref().map_or(0, |cluster| cluster.value.t_max.0);
    Duration::from_millis(t_max * 112 / 100)
}

/// docs/leases.md rule 23: one member that is not said to be stopped; the set grows by rule 20.
fn reset(snapshot: &Snapshot, stopped: &BTreeSet<NodeName>) -> anyhow::Result<Write> {
    let stored = snapshot.cluster.as_ref();
    let (Some(stored), Some(old)) = (stored, stored.and_then(|c| c.value.set.as_ref())) else {
        return Err(UsageError("there is no set of voters to replace".to_owned()).into());
    };
    let members: BTreeSet<&NodeName> = old.members.iter().map(|voter| &voter.node).collect();
    let living = members.iter().filter(|node| !stopped.contains(**node)).count();
    if living * 2 > members.len() {
        let text = "a majority of the voters is not named as stopped: nothing has to be replaced by \
                    hand, a single dead voter is replaced after 5 minutes by itself";
        return Err(UsageError(text.to_owned()).into());
    }
    let set = voter_set::reset(snapshot, stopped)
        .ok_or_else(|| UsageError("no other node's agent may vote: start one first".to_owned()))?;
    let mut cluster = stored.value.clone();
    cluster.set = Some(set);
    Ok(Write::Cluster { expect: Some(stored.version.clone()), cluster })
}
