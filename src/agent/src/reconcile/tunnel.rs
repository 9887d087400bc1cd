//! Whether the holders of what pods here use are reached through the tunnel, and their standbys where the controller asks.

use std::collections::BTreeSet;
use std::time::Instant;

use egret_core::model::{NodeName, ReachAnswer};
use egret_core::node_config::granted_blocks;
use egret_core::reason::AgentReason;
use egret_datapath::tunnel_probe::{StandbyQuestion, TunnelProbe, TunnelQuestion};
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::PortError;
use tracing::{info, warn};

use super::{Completion, MainLoop};
use crate::reach_survey::{DirectorView, answer};
use crate::tunnel_watch::{self, HolderQuestion, TunnelAnswers};

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Asks the holders, where that is due; nobody waits for the answers.
    pub(super) fn ask_holders(&mut self) {
        let now = Instant::now();
        let Some(snapshot) = self.memory.snapshot.clone() else { return };
        let blocks = granted_blocks(&snapshot, &self.me);
        let (tunnel, surveys) = (&mut self.memory.tunnel, &mut self.memory.surveys);
        let in_use = tunnel.in_use().clone();
        let holders = tunnel_watch::questions(&snapshot, &self.me, &blocks, &in_use);
        let answered = &self.status.reach_answers;
        let view = DirectorView {
            snapshot: &snapshot,
            me: &self.me,
            blocks: &blocks,
            in_use: &in_use,
            answered,
        };
        let idle = surveys.follow(&view, &holders, now);
        let standbys = surveys.questions(&view);
        let due = tunnel.due(holders, &surveys.asked(), now);
        let (is_idle, unreached) = (tunnel.is_idle(), tunnel.unreached());
        answer(&mut self.status.reach_answers, idle, &snapshot);
        self.status.unreached_holders = unreached;
        if is_idle {
            self.memory.problems.remove(&AgentReason::TunnelUnanswered);
        }
        let Some(asked) = due else { return };
        let (probe, completions) = (self.kernel.tunnel_probe(), self.completions.clone());
        let standbys: Vec<_> = standbys.into_iter().collect();
        tokio::task::spawn_blocking(move || {
            // The loop is gone only when the process is ending.
            let _ = completions.send(Completion::HoldersAsked(ask(&probe, asked, standbys)));
        });
    }

    pub(super) fn on_holders_asked(&mut self, answers: Result<TunnelAnswers, PortError>) {
        let tunnel = &mut self.memory.tunnel;
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                tunnel.give_up();
                return warn!(%error, "cannot tell whether holders are reached through the tunnel");
            }
        };
        tunnel.note(&answers.holders);
        self.status.unreached_holders = tunnel.unreached();
        let said = self.memory.surveys.note(&answers, &self.status.unreached_holders);
        for (holder, ReachAnswer { holder: reach, standbys, .. }) in &said {
            let standbys: Vec<&str> = standbys.iter().map(NodeName::as_str).collect();
            info!(%holder, ?reach, ?standbys, "said whether the holder is reached, and which standbys are");
        }
        if let Some(snapshot) = &self.memory.snapshot {
            answer(&mut self.status.reach_answers, said, snapshot);
        }
        let problems = &mut self.memory.problems;
        match self.memory.tunnel.problem(self.settings.tunnel_port, answers.longest) {
            Some(message) => {
                if problems.insert(AgentReason::TunnelUnanswered, message.clone()).is_none() {
                    warn!(event = "tunnel_unanswered", "{message}");
                }
            }
            None => {
                problems.remove(&AgentReason::TunnelUnanswered);
            }
        }
    }
}

/// Blocks for three seconds at most.
fn ask(
    probe: &TunnelProbe,
    asked: Vec<HolderQuestion>,
    standbys: Vec<(NodeName, StandbyQuestion)>,
) -> Result<TunnelAnswers, PortError> {
    let questions: Vec<TunnelQuestion> = asked.iter().map(|(_, ask)| ask.clone()).collect();
    let (reaches, longest) = probe.ask(&questions)?;
    let holders = asked.into_iter().zip(reaches).collect();
    let (nodes, questions): (Vec<NodeName>, Vec<StandbyQuestion>) = standbys.into_iter().unzip();
    let answered = match questions.is_empty() {
        true => Vec::new(),
        false => probe.ask_standbys(&questions)?,
    };
    let standbys: BTreeSet<NodeName> = nodes
        .into_iter()
        .zip(answered)
        .filter(|(_, answers)| *answers)
        .map(|(node, _)| node)
        .collect();
    Ok(TunnelAnswers { holders, longest, standbys })
}
