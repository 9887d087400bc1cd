use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::{LabFixture, PodOptions, demonstration};

use super::{TestCluster, cloud};
use crate::options::ClusterOptions;

/// Where the chart is installed.
pub const NAMESPACE: &str = "egret-system";

/// The archive of the image that the chart's default values name: what the environment variable
/// `EGRET_IMAGE` says, else `target/image/egret.tar`.
///
/// # Errors
/// Where it is not there, with the sentence that says how to build it.
pub fn egret_image() -> Result<PathBuf> {
    let named = std::env::var_os("EGRET_IMAGE").map(PathBuf::from);
    let path = named.unwrap_or_else(|| crate::repository().join("target/image/egret.tar"));
    ensure!(
        path.is_file(),
        "no image at {}: build it with `make image` (EGRET_PROFILE=dev builds it quicker)",
        path.display()
    );
    Ok(path)
}

impl TestCluster {
    /// Brings a cluster up that has Egret's image, with the chart installed as
    /// [`TestCluster::install_egret`] does.
    ///
    /// # Errors
    /// As [`TestCluster::up`] and [`TestCluster::install_egret`].
    pub fn with_egret(mut options: ClusterOptions, values: &[&str]) -> Result<Self> {
        options.images.push(egret_image()?);
        let cluster = Self::up(&options)?;
        cluster.install_egret(values)?;
        Ok(cluster)
    }

    /// Installs the chart with its default values but for the format of the logs, which the journal
    /// reads, what a cloud needs, and `values` (`key=value` each); returns when controller and
    /// agents are ready.
    ///
    /// # Errors
    /// Where one is not ready within two minutes, with what is known about it.
    pub fn install_egret(&self, values: &[&str]) -> Result<()> {
        let install = ["install", "egret", "deploy/helm/egret", "--namespace", NAMESPACE];
        let wait = ["--create-namespace", "--wait", "--timeout=2m", "--set=log.format=json"];
        let mut cloud_values = Vec::new();
        if let Some(cloud) = &self.cloud {
            self.kubectl().apply(&cloud::credentials(NAMESPACE))?;
            cloud_values = cloud::chart_values(cloud);
        }
        let values = values.iter().copied().chain(cloud_values.iter().map(String::as_str));
        let values: Vec<_> = values.map(|value| format!("--set={value}")).collect();
        let values = values.iter().map(String::as_str);
        let arguments: Vec<_> = install.into_iter().chain(wait).chain(values).collect();
        self.helm(&arguments).map(drop).with_context(|| self.describe().join("\n"))
    }

    /// Applies the example manifests, starts a selected and another pod on each director, and waits
    /// until the claim's addresses are held.
    ///
    /// # Errors
    /// Where the addresses are not held within a minute.
    pub fn with_example(mut self) -> Result<LabFixture<Self>> {
        self.kubectl().apply_path(&crate::repository().join("deploy/examples"))?;
        self.add_example_pods()?;
        let addresses = match demonstration::held(&self) {
            Ok(addresses) => addresses,
            Err(error) => return Err(error.context(self.describe().join("\n"))),
        };
        let fixture = LabFixture::new(self, &addresses)?;
        fixture.await_held(Duration::from_secs(10))?;
        Ok(fixture)
    }

    /// Starts a selected and another pod on each of two directors, as the laboratory has them,
    /// where they are not there yet.
    ///
    /// # Errors
    /// Where one is not Ready within a minute.
    pub fn add_example_pods(&mut self) -> Result<()> {
        if self.pods.is_empty() {
            let namespace = crate::repository().join("deploy/examples/1-namespace.yaml");
            self.kubectl().apply_path(&namespace)?;
            self.add_pods(&example_pods())?;
        }
        Ok(())
    }

    /// The agent's pod on a worker.
    ///
    /// # Errors
    /// Where there is none.
    pub fn agent_pod(&self, worker: &str) -> Result<String> {
        let label = "app.kubernetes.io/component=agent";
        let field = format!("spec.nodeName={worker}");
        let found = ["pods", "-n", NAMESPACE, "-l", label, "--field-selector", &field];
        let pods = self.kubectl().get(&found)?;
        let name = pods["items"][0]["metadata"]["name"].as_str();
        Ok(name.with_context(|| format!("{worker} has no agent"))?.to_owned())
    }

    /// Waits until every controller and agent is ready, at most two minutes.
    ///
    /// # Errors
    /// Where one is not.
    pub fn await_egret(&self) -> Result<()> {
        for what in ["daemonset/egret-agent", "deployment/egret-controller"] {
            self.kubectl().ask(&["rollout", "status", "-n", NAMESPACE, what, "--timeout=2m"])?;
        }
        Ok(())
    }

    /// What a person would look at first after a failure.
    pub(super) fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut say = |text: String| lines.extend(text.lines().map(str::to_owned));
        let kinds = "egresspools,staticegressips,egressaddresses,egressnodes,egressclusters";
        for arguments in [
            &["get", "pods", "--all-namespaces", "-o", "wide"][..],
            &["get", kinds, "--all-namespaces"],
            &["get", "events", "--all-namespaces", "--field-selector=type=Warning"],
        ] {
            say(self.kubectl().ask(arguments).unwrap_or_else(|error| format!("{error:#}")));
        }
        for what in ["daemonset/egret-agent", "deployment/egret-controller"] {
            let logs = ["logs", "-n", NAMESPACE, what, "--tail=20", "--prefix"];
            say(self.kubectl().ask(&logs).unwrap_or_else(|error| format!("{error:#}")));
        }
        lines
    }
}

/// A selected and another pod on each of two directors, as the laboratory has them.
fn example_pods() -> Vec<PodOptions> {
    let of = |number: u8| {
        let pod = |app: &str| {
            let node = format!("director-{number}");
            PodOptions::new(&node, "payments", &format!("{app}-{number}")).label("app", app)
        };
        [pod("settle"), pod("other")]
    };
    [of(1), of(2)].concat()
}
