//! The API server alone: what the tests of the API, the controller and the policies stand on.

use egret_kubernetes::{ApiServer, ApiServerOptions, binary, oldest_api_server, repository};

const NODE: &str = "
apiVersion: v1
kind: Node
metadata: {name: worker-1}
";

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: default}
spec:
  nodeName: worker-1
  serviceAccountName: egret-agent
  containers: [{name: agent, image: localhost/agent}]
";

const ACCOUNT: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: egret-agent, namespace: default}
";

#[test]
fn it_starts_restarts_and_keeps_what_was_written() {
    let mut server = ApiServer::start().unwrap();
    server.kubectl().apply(NODE).unwrap();
    let before = server.kubectl().get(&["node", "worker-1"]).unwrap();
    server.stop();
    let down = server.kubectl().output(&["get", "nodes", "--request-timeout=1s"]).unwrap();
    assert!(!down.status.success(), "a stopped API server answers");
    server.resume().unwrap();
    let after = server.kubectl().get(&["node", "worker-1"]).unwrap();
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"]);
    server.compact().unwrap();
    server.restart().unwrap();
    let dir = server.dir().to_owned();
    drop(server);
    assert!(!dir.exists(), "{} is still there", dir.display());
}

#[test]
fn tokens_carry_the_node_and_may_do_nothing_by_themselves() {
    let server = ApiServer::start().unwrap();
    for yaml in [NODE, ACCOUNT, POD] {
        server.kubectl().apply(yaml).unwrap();
    }
    let token = server.service_account_token("default", "egret-agent", Some("agent")).unwrap();
    let agent = server.kubectl_of("agent", &token).unwrap();
    let who = agent.ask(&["auth", "whoami", "-o", "json"]).unwrap();
    let who: serde_json::Value = serde_json::from_str(&who).unwrap();
    let info = &who["status"]["userInfo"];
    assert_eq!(info["username"], "system:serviceaccount:default:egret-agent");
    assert_eq!(info["extra"]["authentication.kubernetes.io/node-name"][0], "worker-1");
    let refused = agent.output(&["get", "nodes"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("Forbidden"), "{said}");
}

#[test]
fn several_run_side_by_side() {
    let servers = [ApiServer::start().unwrap(), ApiServer::start().unwrap()];
    servers[0].kubectl().apply(NODE).unwrap();
    let other = servers[1].kubectl().get(&["nodes"]).unwrap();
    assert_eq!(other["items"], serde_json::json!([]));
}

#[test]
#[ignore = "make soak builds the oldest API server and runs this"]
fn the_oldest_maintained_version_takes_the_chart() {
    let program = Some(oldest_api_server().unwrap());
    let server =
        ApiServer::start_with(ApiServerOptions { program, ..ApiServerOptions::default() }).unwrap();
    let version = server.kubectl().ask(&["version", "-o", "json"]).unwrap();
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!(version["serverVersion"]["minor"], "33");
    let helm = |arguments: &[&str]| {
        let mut command = server.kubectl().command(&binary("helm").unwrap());
        command.current_dir(repository()).env("HOME", server.dir()).args(arguments);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "helm {arguments:?}: {said}");
    };
    let place = ["egret", "deploy/helm/egret", "--namespace=egret-system"];
    helm(&[&["install", "--create-namespace"], &place[..]].concat());
    let kinds = ["crd", "egresspools.egret.dev", "staticegressips.egret.dev"];
    server.kubectl().ask(&[&["wait", "--for=condition=Established"], &kinds[..]].concat()).unwrap();
    server.kubectl().apply_path(&repository().join("deploy/examples")).unwrap();
    let policies = server.kubectl().get(&["validatingadmissionpolicies"]).unwrap();
    let policies = policies["items"].as_array().unwrap();
    assert!(!policies.is_empty());
    for policy in policies {
        let warnings = &policy["status"]["typeChecking"]["expressionWarnings"];
        assert!(warnings.is_null(), "{}: {warnings}", policy["metadata"]["name"]);
    }
}
