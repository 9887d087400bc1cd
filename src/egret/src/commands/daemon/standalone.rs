use egret_agent::{AgentMetrics, register_metrics};
use egret_controller::{CloudMetrics, Dependencies};
use egret_runtime::clock::SystemClock;
use egret_runtime::health::Health;
use egret_runtime::shutdown::Shutdown;

use super::{block_on, open, registry};
use crate::args::StandaloneCommand;
use crate::cloud;
use crate::error::UsageError;

/// Controller and agent over one store, in one process. Where the agent ends, so does the other.
pub(crate) fn standalone(args: StandaloneCommand) -> anyhow::Result<()> {
    let agent_metrics = AgentMetrics::default();
    let mut registry = registry();
    register_metrics(&args.agent, &agent_metrics, &mut registry)
        .map_err(|bad| UsageError(bad.to_string()))?;
    let cloud_metrics = CloudMetrics::default();
    cloud_metrics.register(&mut registry);
    let clouds = cloud::connect(&args.cloud, &mut registry)?;
    let run = async |health: Health, shutdown: Shutdown| {
        let state = open(&args.store.manifests)?;
        let dependencies = Dependencies {
            health: health.clone(),
            shutdown: shutdown.clone(),
            clouds,
            measures: cloud_metrics,
        };
        let controller = egret_controller::run(
            args.controller.clone(),
            state.clone(),
            SystemClock,
            dependencies,
        );
        let (args, agent_metrics) = (args.agent.clone(), agent_metrics.clone());
        let agent = egret_agent::run(args, state, SystemClock, health, shutdown, agent_metrics);
        let mut controller = std::pin::pin!(controller);
        let mut agent = std::pin::pin!(agent);
        tokio::select! {
            result = &mut agent => return Ok(result?),
            () = &mut controller => {}
        }
        Ok(agent.await?)
    };
    block_on(&args.log, &args.metrics, registry, run)
}
