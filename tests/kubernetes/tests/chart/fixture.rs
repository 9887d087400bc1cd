use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use egret_kubernetes::{
    ApiServer, ApiServerOptions, Kubectl, SharedFixture, binary, oldest_api_server, repository,
};
use egret_lab::wait_until;

/// The namespace that the chart is installed into.
pub(crate) const SYSTEM: &str = "egret-system";

/// An API server with the chart, as `helm install` puts it there. No controller runs: no pods, and
/// nothing that writes by itself.
pub(crate) struct ChartFixture {
    pub(crate) server: ApiServer,
}

impl ChartFixture {
    /// Installs with `arguments` for Helm besides the defaults.
    pub(crate) fn new(arguments: &[&str]) -> Self {
        Self::on(ApiServer::start().unwrap(), arguments)
    }

    /// One with the defaults, for tests that leave alone what others look at: it has two nodes, and its
    /// policies are in force.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: SharedFixture<ChartFixture> = SharedFixture::new();
        SHARED.get(|| super::agents::ready(Self::new(&[])))
    }

    /// The same on the oldest Kubernetes that is still maintained.
    pub(crate) fn oldest(arguments: &[&str]) -> Self {
        let program = Some(oldest_api_server().unwrap());
        let options = ApiServerOptions { program, ..ApiServerOptions::default() };
        Self::on(ApiServer::start_with(options).unwrap(), arguments)
    }

    fn on(server: ApiServer, arguments: &[&str]) -> Self {
        let fixture = Self { server };
        let chart = chart();
        let install = ["install", "egret", &chart, "-n", SYSTEM, "--create-namespace"];
        said(&fixture.helm(&[&install[..], arguments].concat()));
        fixture
    }

    pub(crate) fn admin(&self) -> &Kubectl {
        self.server.kubectl()
    }

    pub(crate) fn helm(&self, arguments: &[&str]) -> Output {
        let mut command = self.admin().command(&binary("helm").unwrap());
        for (variable, folder) in [
            ("HELM_CACHE_HOME", "cache"),
            ("HELM_CONFIG_HOME", "config"),
            ("HELM_DATA_HOME", "data"),
        ] {
            command.env(variable, self.server.dir().join("helm").join(folder));
        }
        command.args(arguments).output().unwrap()
    }

    /// A node, and the agent's pod on it.
    pub(crate) fn add_node(&self, node: &str) {
        let yaml = format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {node}}}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {{name: agent-{node}, namespace: {SYSTEM}}}\n\
             spec:\n  nodeName: {node}\n  serviceAccountName: egret-agent\n  \
             containers: [{{name: agent, image: x}}]\n"
        );
        self.admin().apply(&yaml).unwrap();
    }

    /// The agent of a node, with the token that its kubelet would mount.
    pub(crate) fn agent(&self, node: &str) -> Kubectl {
        let pod = format!("agent-{node}");
        self.account("egret-agent", Some(&pod))
    }

    /// Whoever has a token of a ServiceAccount of the chart's.
    pub(crate) fn account(&self, name: &str, pod: Option<&str>) -> Kubectl {
        let token = self.server.service_account_token(SYSTEM, name, pod).unwrap();
        let file = format!("{name}-{}", pod.unwrap_or("unbound"));
        self.server.kubectl_of(&file, &token).unwrap()
    }

    /// Policies are compiled a moment after they were made: waits until `attempt`, which has to be a
    /// dry run, is refused.
    pub(crate) fn await_policies(&self, mut attempt: impl FnMut() -> Output) {
        wait_until("policies that are in force", Duration::from_secs(30), || {
            let said = String::from_utf8_lossy(&attempt().stderr).into_owned();
            said.contains("ValidatingAdmissionPolicy").then_some(())
        })
        .unwrap();
    }
}

/// What it printed, where it has succeeded.
#[track_caller]
pub(crate) fn said(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {error}{text}", output.status);
    text
}

/// Fails unless it was refused with a sentence that has `part` in it.
#[track_caller]
pub(crate) fn refused(output: &Output, part: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "taken, though `{part}` was to be said");
    assert!(error.contains(part), "no `{part}` in: {error}");
}

pub(crate) fn chart() -> String {
    repository().join("deploy/helm/egret").to_string_lossy().into_owned()
}
