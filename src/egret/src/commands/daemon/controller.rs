use egret_controller::{CloudMeasures, Surroundings};
use egret_runtime::clock::SystemClock;

use super::{block_on, open, registry};
use crate::args::{ControllerCommand, DaemonArgs};
use crate::commands::store::Store;

pub(crate) fn controller(args: ControllerCommand) -> anyhow::Result<()> {
    let DaemonArgs { store, log, metrics } = &args.daemon;
    let store = store.store()?;
    let mut registry = registry();
    let measures = CloudMeasures::default();
    measures.register(&mut registry);
    let cloud = args.cloud.connect(&mut registry);
    let run = async |health, shutdown| {
        let (args, clock) = (args.controller.clone(), SystemClock);
        let around = Surroundings { health, shutdown, cloud, measures };
        match store {
            Store::Directory(directory) => {
                let state = open(&directory)?;
                egret_controller::run(args, state, clock, around).await;
            }
            #[cfg(feature = "kubernetes")]
            Store::Kubernetes(api) => {
                let state =
                    std::sync::Arc::new(api.open(egret_state::kubernetes::View::Controller)?);
                egret_controller::run(args, state, clock, around).await;
            }
        }
        Ok(())
    };
    block_on(log, metrics, registry, run)
}
