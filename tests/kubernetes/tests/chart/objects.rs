use std::time::Duration;

use egret_kubernetes::{Kubectl, repository};
use egret_lab::wait_until;

use super::fixture::{ChartFixture, SYSTEM, chart, refused, said};

const EVERYTHING: &str = "startupTaint.enabled=true,resourceQuota.enabled=true,crds.nirmata=true,\
                          apiServer.host=api.example,apiServer.port=6443,agent.uplinks={eth0},\
                          agent.endpoints={10.1.0.0/16},agent.nodeEndpoints.worker-7={10.9.0.7},\
                          agent.cni.chained.enabled=true,agent.cni.chained.keepPlugin=true,\
                          agent.cni.chained.failClosed=true,\
                          controller.aws.region=eu-central-1,controller.aws.endpoint=https://ec2.example,\
                         controller.aws.interfaceTags.Name=a=b,\
                         controller.aws.allowManagedInterfaces=true,\
                         controller.gcp.endpoint=https://compute.example,\
                         controller.gcp.workloadIdentity.audience=//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/c,\
                         controller.extraEnv[0].name=AWS_PROFILE,controller.extraEnv[0].value=a,\
                         controller.extraArgs={--log=debug},cluster.podCIDRs={10.244.0.0/16}";

/// `--dry-run=server` alone would refuse what needs a namespace or a kind that is not there yet.
#[test]
fn every_object_is_taken_with_every_option() {
    let fixture = ChartFixture::new(&["--set", EVERYTHING]);
    let rendered = said(&fixture.helm(&["get", "manifest", "egret", "-n", SYSTEM]));
    let hooks = said(&fixture.helm(&["get", "hooks", "egret", "-n", SYSTEM]));
    let strict = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"];
    for yaml in [rendered, hooks] {
        // Unknown fields are errors here, and pruned in silence by Helm.
        let arguments = [&strict[..], &["--validate=strict"]].concat();
        said(&fixture.admin().feed(&arguments, &yaml).unwrap());
    }
    let upgrade = ["upgrade", "egret", &chart(), "-n", SYSTEM, "--dry-run=server"];
    said(&fixture.helm(&upgrade));
}

/// With `--help` behind them arguments are parsed and nothing is done.
#[test]
fn the_binary_takes_the_arguments_of_every_container() {
    let binary = egret_lab::binary(None).unwrap();
    for values in ["log.format=text,controller.gcp.keySecret=key", EVERYTHING] {
        let fixture = ChartFixture::new(&["--set", values]);
        let hooks = said(&fixture.helm(&["get", "hooks", "egret", "-n", SYSTEM]));
        let create = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        let hooks = said(&fixture.admin().feed(&create, &hooks).unwrap());
        let hooks = serde_json::Deserializer::from_str(&hooks).into_iter::<serde_json::Value>();
        let hooks: Vec<_> = hooks.map(Result::unwrap).collect();
        let job = hooks.iter().find(|hook| hook["kind"] == "Job");
        let others = fixture.admin().get(&["daemonset,deployment", "-n", SYSTEM]).unwrap();
        let others = others["items"].as_array().unwrap();
        let all: Vec<_> = others.iter().chain(job).collect();
        assert_eq!(all.len(), 3, "{all:?}");
        for object in all {
            let arguments = &object["spec"]["template"]["spec"]["containers"][0]["args"];
            let arguments: Vec<String> = serde_json::from_value(arguments.clone()).unwrap();
            let mut command = std::process::Command::new(&binary);
            said(&command.args(&arguments).arg("--help").output().unwrap());
        }
    }
}

#[test]
fn the_kustomize_base_is_taken() {
    let fixture = ChartFixture::new(&["--set", "crds.install=true"]);
    let base = repository().join("deploy/kustomize/base");
    let base = base.to_string_lossy();
    let apply = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", &base];
    said(&fixture.admin().output(&apply).unwrap());
}

/// Policies with a mistake in their types are taken by the API server, and refuse everything.
#[test]
fn images_and_privileges_are_those_of_the_documents() {
    let fixture = ChartFixture::shared();
    let agent = fixture.admin().get(&["daemonset", "egret-agent", "-n", SYSTEM]).unwrap();
    let pod = &agent["spec"]["template"]["spec"];
    let context = &pod["containers"][0]["securityContext"];
    assert_eq!(pod["hostNetwork"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(context["privileged"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
    let added = serde_json::json!(["NET_ADMIN", "NET_RAW", "BPF", "PERFMON", "SYS_NICE"]);
    assert_eq!(context["capabilities"]["add"], added);
    assert_eq!(pod["tolerations"], serde_json::json!([{"operator": "Exists"}]));

    let controller =
        fixture.admin().get(&["deployment", "egret-controller", "-n", SYSTEM]).unwrap();
    let pod = &controller["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let context = &pod["containers"][0]["securityContext"];
    assert_eq!(context["capabilities"], serde_json::json!({"drop": ["ALL"]}));
    assert_eq!(context["readOnlyRootFilesystem"], true);
}

/// Helm's own part of the removal. What the job does is tested where pods run; here the test says
/// that it is done, as the job controller would.
#[test]
fn uninstall_leaves_no_object_of_the_charts() {
    let fixture = ChartFixture::new(&["--set", "crds.keep=false"]);
    let before = ours(fixture.admin());
    assert!(before.len() > 20, "{before:?}");
    std::thread::scope(|scope| {
        let removal = scope.spawn(|| fixture.helm(&["uninstall", "egret", "-n", SYSTEM, "--wait"]));
        finish_job(fixture.admin());
        said(&removal.join().unwrap());
    });
    let left = wait_until("nothing left", Duration::from_secs(30), || {
        ours(fixture.admin()).is_empty().then_some(())
    });
    assert!(left.is_ok(), "left: {:?}", ours(fixture.admin()));
}

const AWAY: &str = "
apiVersion: egret.dev/v1alpha1
kind: EgressCluster
metadata: {name: cluster}
spec: {id: 11111111-2222-3333-4444-555555555555, tMax: 10s}
---
apiVersion: v1
kind: Node
metadata: {name: away}
---
apiVersion: egret.dev/v1alpha1
kind: EgressNode
metadata: {name: away}
spec: {}
---
apiVersion: egret.dev/v1alpha1
kind: EgressNode
metadata: {name: deleted}
spec: {}
";

/// The command itself, with the rights that it has while it runs.
#[test]
fn a_removal_leaves_a_job_for_a_node_that_is_away() {
    let fixture = ChartFixture::new(&["--set", EVERYTHING]);
    let admin = fixture.admin();
    let hooks = said(&fixture.helm(&["get", "hooks", "egret", "-n", SYSTEM]));
    said(&admin.feed(&["apply", "--server-side", "-n", SYSTEM, "-f", "-"], &hooks).unwrap());
    admin.apply(AWAY).unwrap();
    let account = fixture.account("egret-uninstall", None);
    let binary = egret_lab::binary(None).unwrap();
    let mut removal = account.command(&binary);
    let removed = said(&removal.args(["uninstall", "--yes", "--wait=1"]).output().unwrap());
    for told in
        ["the Job egret-teardown-away cleans it", "without deleted, which the cluster has no more"]
    {
        assert!(removed.contains(told), "{removed}");
    }
    // Helm has deleted the agents by the time that it runs.
    let job = admin.get(&["job", "egret-teardown-away", "-n", SYSTEM]).unwrap();
    let uid = admin.get(&["node", "away"]).unwrap()["metadata"]["uid"].clone();
    assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], uid);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!((&pod["nodeName"], &pod["hostNetwork"]), (&"away".into(), &true.into()));
    assert_eq!(pod["serviceAccountName"], serde_json::Value::Null);
    let agents = admin.get(&["daemonset", "egret-agent", "-n", SYSTEM]).unwrap();
    let agent = &agents["spec"]["template"]["spec"]["containers"][0];
    let container = &pod["containers"][0];
    assert_eq!(container["volumeMounts"], agent["volumeMounts"]);
    let arguments: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
    assert_eq!(arguments.len(), 3, "the folders of the CNI: {arguments:?}");
    said(&std::process::Command::new(&binary).args(&arguments).arg("--help").output().unwrap());
}

#[test]
fn an_upgrade_brings_new_kinds_and_a_removal_keeps_them_with_the_claims() {
    let fixture = ChartFixture::new(&[]);
    let admin = fixture.admin();
    let columns = r#"[{"op":"remove","path":"/spec/versions/0/additionalPrinterColumns"}]"#;
    let crd = "egressnodes.egret.dev";
    admin.ask(&["patch", "crd", crd, "--type=json", "-p", columns]).unwrap();
    let upgrade = ["upgrade", "egret", &chart(), "-n", SYSTEM];
    said(&fixture.helm(&[&upgrade[..], &["--force-conflicts"]].concat()));
    let got = admin.get(&["crd", crd]).unwrap();
    assert!(got["spec"]["versions"][0]["additionalPrinterColumns"].is_array(), "{got}");
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: payments}\n";
    admin.apply(namespace).unwrap();
    admin.apply_path(&repository().join("deploy/examples/3-claim.yaml")).unwrap();
    said(&fixture.helm(&["uninstall", "egret", "-n", SYSTEM, "--no-hooks"]));
    let left = ours(admin);
    assert!(!left.is_empty() && left.iter().all(|name| name.ends_with(".egret.dev")), "{left:?}");
    admin.get(&["seip", "bank", "-n", "payments"]).unwrap();
    // And the next installation takes them over.
    said(&fixture.helm(&["install", "egret", &chart(), "-n", SYSTEM]));
    admin.get(&["seip", "bank", "-n", "payments"]).unwrap();
}

#[test]
fn a_second_release_is_refused() {
    let fixture = ChartFixture::new(&[]);
    let second = ["install", "other", &chart(), "-n", "other", "--create-namespace"];
    refused(&fixture.helm(&second), "egret");
}

fn finish_job(admin: &Kubectl) {
    let job = ["job", "egret-uninstall", "-n", SYSTEM];
    wait_until("the job of the removal", Duration::from_secs(30), || admin.get(&job).ok()).unwrap();
    // The API server takes Complete only with all of this (batch/v1, validation of the status).
    let now = "2026-01-01T00:00:00Z";
    let status = format!(
        r#"{{"status":{{"succeeded":1,"startTime":"{now}","completionTime":"{now}","uncountedTerminatedPods":{{}},
            "conditions":[{{"type":"SuccessCriteriaMet","status":"True","lastTransitionTime":"{now}"}},
                          {{"type":"Complete","status":"True","lastTransitionTime":"{now}"}}]}}}}"#
    );
    let patch = ["patch", "--subresource=status", "--type=merge", "-p", &status];
    admin.ask(&[&patch[..], &job].concat()).unwrap();
}

/// Every object that the chart has made, by its label, of every kind that it uses.
fn ours(admin: &Kubectl) -> Vec<String> {
    let kinds = "crd,clusterrole,clusterrolebinding,role,rolebinding,serviceaccount,daemonset,deployment,\
                 job,poddisruptionbudget,validatingadmissionpolicy,validatingadmissionpolicybinding,\
                 resourcequota,lease,configmap";
    let text = admin
        .ask(&["get", kinds, "-A", "-l", "app.kubernetes.io/name=egret", "-o", "name"])
        .unwrap();
    text.lines().map(str::to_owned).collect()
}
