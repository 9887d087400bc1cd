use anyhow::Context as _;
use egret_agent::{AgentMetrics, register_metrics};
use egret_runtime::clock::SystemClock;
use egret_runtime::lock::{LockError, NamespaceLock};

use super::{block_on, open, registry};
use crate::args::{AgentCommand, DaemonArgs, TeardownArgs};
use crate::commands::store::Store;
use crate::error::UsageError;

pub(crate) fn agent(args: AgentCommand) -> anyhow::Result<()> {
    let DaemonArgs { store, log, metrics } = &args.daemon;
    let store = store.store()?;
    let agent_metrics = AgentMetrics::default();
    let mut registry = registry();
    register_metrics(&args.agent, &agent_metrics, &mut registry)
        .map_err(|bad| UsageError(bad.to_string()))?;
    let run = async |health, shutdown| {
        let (args, clock, agent_metrics) = (args.agent.clone(), SystemClock, agent_metrics.clone());
        match store {
            Store::Directory(directory) => {
                let state = open(&directory)?;
                Ok(egret_agent::run(args, state, clock, health, shutdown, agent_metrics).await?)
            }
            #[cfg(feature = "kubernetes")]
            Store::Kubernetes(api) => {
                let scope = egret_state::kubernetes::WatchScope::Agent { node: args.node() };
                let state = std::sync::Arc::new(api.open(scope)?);
                Ok(egret_agent::run(args, state, clock, health, shutdown, agent_metrics).await?)
            }
        }
    };
    block_on(log, metrics, registry, run)
}

pub(crate) fn teardown(args: &TeardownArgs) -> anyhow::Result<()> {
    let _no_agent = NamespaceLock::acquire(&args.run_dir).map_err(|error| match error {
        LockError::OtherAgent { .. } => {
            let text = "an agent runs on this node, which would put all of it back: stop it first";
            UsageError(text.to_owned()).into()
        }
        other => anyhow::Error::from(other),
    })?;
    if let (Some(bin_dir), Some(conf_dir)) = (&args.cni_bin_dir, &args.cni_conf_dir) {
        egret_agent::remove_cni_plugin(bin_dir, conf_dir, false)?;
    }
    let settings = egret_agent::kept_settings(&args.run_dir).with_context(|| {
        let file = args.run_dir.display();
        format!("what the agent of this node ran with cannot be read in {file}: start it once more, or reboot")
    })?;
    egret_agent::teardown(&args.bpffs, &args.run_dir, &args.state_dir, &settings)?;
    println!("nothing of Egret's is left in this node's kernel");
    Ok(())
}
