use egret_agent::{Measures, register_metrics};
use egret_controller::{CloudMeasures, Surroundings};
use egret_runtime::clock::SystemClock;
use egret_runtime::health::Health;
use egret_runtime::shutdown::Shutdown;

use super::{block_on, open, registry};
use crate::args::StandaloneCommand;

/// Controller and agent over one store, in one process. Where the agent ends, so does the other.
pub(crate) fn standalone(args: StandaloneCommand) -> anyhow::Result<()> {
    let measures = Measures::default();
    let mut registry = registry();
    register_metrics(&args.agent, &measures, &mut registry);
    let counted = CloudMeasures::default();
    counted.register(&mut registry);
    let cloud = args.cloud.connect(&mut registry);
    let run = async |health: Health, shutdown: Shutdown| {
        let state = open(&args.store.manifests)?;
        let around = Surroundings {
            health: health.clone(),
            shutdown: shutdown.clone(),
            cloud,
            measures: counted,
        };
        let controller =
            egret_controller::run(args.controller.clone(), state.clone(), SystemClock, around);
        let (args, measures) = (args.agent.clone(), measures.clone());
        let agent = egret_agent::run(args, state, SystemClock, health, shutdown, measures);
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
