use egret_controller::{CloudMetrics, Dependencies};
use egret_runtime::clock::SystemClock;

use super::{block_on, open, registry};
use crate::args::{ControllerCommand, DaemonArgs};
use crate::cloud;
use crate::commands::store::Store;

pub(crate) fn controller(args: ControllerCommand) -> anyhow::Result<()> {
    let DaemonArgs { store, log, metrics } = &args.daemon;
    let store = store.store()?;
    let mut registry = registry();
    let cloud_metrics = CloudMetrics::default();
    cloud_metrics.register(&mut registry);
    let clouds = cloud::connect(&args.cloud, &mut registry)?;
    let run = async |health, shutdown| {
        let (args, clock) = (args.controller.clone(), SystemClock);
        let dependencies = Dependencies { health, shutdown, clouds, measures: cloud_metrics };
        match store {
            Store::Directory(directory) => {
                let state = open(&directory)?;
                egret_controller::run(args, state, clock, dependencies).await;
            }
            #[cfg(feature = "kubernetes")]
            Store::Kubernetes(api) => {
                let state =
                    std::sync::Arc::new(api.open(egret_state::kubernetes::WatchScope::Controller)?);
                egret_controller::run(args, state, clock, dependencies).await;
            }
        }
        Ok(())
    };
    block_on(log, metrics, registry, run)
}
