//! Whether the holders of what pods here use are reached through the tunnel.

use std::time::Instant;

use egret_core::node_config::granted_blocks;
use egret_core::reason::AgentReason;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use tracing::warn;

use super::{Completion, MainLoop};
use crate::tunnel_watch::{self, HolderAnswers};

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Asks the holders, where that is due; nobody waits for the answers.
    pub(super) fn ask_holders(&mut self) {
        let now = Instant::now();
        let Some(snapshot) = &self.memory.snapshot else { return };
        if self.memory.tunnel.rests(now) {
            return;
        }
        let (open, tunnel) = (granted_blocks(snapshot, &self.me), &mut self.memory.tunnel);
        let questions = tunnel_watch::questions(snapshot, &self.me, &open, tunnel.in_use());
        let due = tunnel.due(questions, now);
        if tunnel.is_idle() {
            self.memory.problems.remove(&AgentReason::TunnelUnanswered);
        }
        let Some(asked) = due else { return };
        let ask = self.kernel.tunnel_probe();
        let completions = self.completions.clone();
        tokio::task::spawn_blocking(move || {
            let questions: Vec<_> = asked.iter().map(|(_, question)| question.clone()).collect();
            let answers = ask(&questions)
                .map(|(reaches, longest)| (asked.into_iter().zip(reaches).collect(), longest));
            // The loop is gone only when the process is ending.
            let _ = completions.send(Completion::HoldersAsked(answers));
        });
    }

    pub(super) fn on_holders_asked(&mut self, answers: HolderAnswers) {
        let tunnel = &mut self.memory.tunnel;
        let longest = match answers {
            Ok((answers, longest)) => {
                tunnel.note(&answers);
                longest
            }
            Err(error) => {
                tunnel.give_up();
                return warn!(%error, "cannot tell whether holders are reached through the tunnel");
            }
        };
        let problems = &mut self.memory.problems;
        match tunnel.problem(self.settings.tunnel_port, longest) {
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
