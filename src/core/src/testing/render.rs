use std::fmt::Write as _;

use crate::model::{AddressPlan, BlockGrant, Condition, Write};
use crate::planner::{Draws, Plan, PlannedWrite};

/// A plan as text, one line a write and one a note: for golden tests.
pub(crate) fn render(plan: &Plan) -> String {
    let mut text = String::new();
    for planned in &plan.writes {
        render_write(&mut text, planned);
        for note in &planned.notes {
            let kind = if note.warning { "warning" } else { "event" };
            writeln!(text, "  {kind} {} {}: {}", note.about, note.reason, note.message).unwrap();
        }
    }
    writeln!(text, "numbers: {}", plan.numbers).unwrap();
    for wait in &plan.waiting {
        writeln!(text, "waiting: {} {} for {}", wait.address, wait.ports, wait.gateway).unwrap();
    }
    for (node, address) in &plan.short_of_ports {
        writeln!(text, "short of ports: {node} {address}").unwrap();
    }
    text
}

fn render_write(text: &mut String, planned: &PlannedWrite) {
    match &planned.write {
        Write::AddressPlan { address, expect, plan } => {
            let verb = if expect.is_some() { "change" } else { "create" };
            let fence = match planned.draws {
                Draws::Fence(number) => format!("draw {number}"),
                _ => plan.fence.to_string(),
            };
            writeln!(text, "{verb} {address} {} fence={fence}", render_plan(plan)).unwrap();
        }
        Write::Cluster { cluster, .. } => {
            let set = cluster.set.as_ref().map(|set| {
                let members: Vec<&str> = set.members.iter().map(|v| v.node.as_str()).collect();
                format!("{} {}", set.number, members.join(","))
            });
            writeln!(text, "cluster set={}", set.unwrap_or("none".into())).unwrap();
        }
        Write::NodeSpec { node, spec, .. } => {
            let blocks: Vec<String> = spec.blocks.iter().map(render_grant).collect();
            let (blocks, draws) = (blocks.join("; "), draws(planned));
            writeln!(text, "spec {node} {:?} [{blocks}] draws {draws}", spec.roles).unwrap();
        }
        Write::DeleteAddress { address, .. } => writeln!(text, "delete {address}").unwrap(),
        Write::AdmitPods { node } => writeln!(text, "admit pods {node}").unwrap(),
        Write::DeleteNode { node, .. } => writeln!(text, "delete node {node}").unwrap(),
        Write::AddressStatus { address, status, .. } => {
            writeln!(text, "status {address}").unwrap();
            conditions(text, &status.conditions);
        }
        Write::AgentAbsent { node, condition } => {
            writeln!(text, "agent of {node} is absent").unwrap();
            conditions(text, condition.as_slice());
        }
        Write::ClusterStatus { status } => {
            writeln!(text, "status cluster").unwrap();
            conditions(text, &status.conditions);
        }
        Write::PoolStatus { pool, status } => {
            writeln!(text, "status pool {pool}").unwrap();
            conditions(text, &status.conditions);
        }
        Write::ClaimStatus { claim, status } => {
            writeln!(text, "status claim {claim} {:?} {:?}", status.addresses, status.gateways)
                .unwrap();
            conditions(text, &status.conditions);
        }
        Write::NodeStatus { .. } | Write::PoolPaused { .. } => unreachable!("never planned"),
    }
}

fn conditions(text: &mut String, conditions: &[Condition]) {
    for condition in conditions {
        let Condition { kind, status, reason, message, .. } = condition;
        writeln!(text, "  {kind}={status} {reason}: {message}").unwrap();
    }
}

fn render_plan(plan: &AddressPlan) -> String {
    let standbys: Vec<&str> = plan.standbys.iter().map(|node| node.as_str()).collect();
    let owner = plan.owner.as_ref().map_or("nobody", |node| node.as_str());
    let mut text = format!("{} owner={owner} standbys={}", plan.claim, standbys.join(","));
    if let Some(holding) = &plan.made_for {
        write!(text, " for={}", holding.epoch).unwrap();
    }
    write!(text, " lease={}", plan.lease).unwrap();
    if let Some(end) = &plan.end {
        write!(text, " end={end:?}").unwrap();
    }
    for (name, node) in [("preferred", &plan.preferred_node), ("home", &plan.home)] {
        if let Some(node) = node {
            write!(text, " {name}={node}").unwrap();
        }
    }
    if plan.paused {
        text.push_str(" paused");
    }
    text
}

fn render_grant(grant: &BlockGrant) -> String {
    let mut text = format!("{} {} e{}", grant.address, grant.ports, grant.epoch);
    if let Some(ended) = grant.ended {
        write!(text, " ended {ended}").unwrap();
    }
    if let Some(since) = grant.quarantined_since {
        write!(text, " resting since {}", since.0).unwrap();
    }
    text
}

/// How many drawn numbers a write still waits for.
fn draws(planned: &PlannedWrite) -> usize {
    match &planned.draws {
        Draws::None => 0,
        Draws::Fence(_) => 1,
        Draws::Blocks(draws) => draws.len(),
    }
}
