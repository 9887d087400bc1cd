//! Commands, run with what their placeholders stand for.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use egret_kubernetes::{ApiServer, binary, repository};
use tempfile::TempDir;

use super::exempt::exempted;
use super::pages::Command;

/// What the store and the API server of these tests have.
const STANDS_FOR: [(&str, &str); 13] = [
    (" --manifests /etc/egret/manifests", ""),
    // Of the golden store: those of its voters that are to be gone, and a standby of the address.
    ("node-1 node-2 node-3", "node-1 node-4"),
    ("--to node-5", "--to node-2"),
    ("--to gateway-1", "--to node-2"),
    ("pod/NAME -n NAMESPACE", "pod/settle-1 -n payments"),
    ("egret release ADDRESS", "egret release 2001:db8:5::11"),
    ("seip NAME", "seip bank -n payments"),
    ("-n NAME", "-n egret-system"),
    ("NODE", "node-3"),
    ("drain NAME", "drain node-3"),
    ("NAME", "node-3"),
    ("POOL", "partners"),
    ("ADDRESS", "203.0.113.17"),
];

fn filled_in(line: &str) -> String {
    STANDS_FOR.iter().fold(line.to_owned(), |line, (word, stands)| line.replace(word, stands))
}

/// `kubectl egret X` is `egret X`.
fn as_binary(line: &str) -> String {
    line.strip_prefix("kubectl egret ").map_or(line.to_owned(), |rest| format!("egret {rest}"))
}

/// A copy of the golden store of `egret-state`, in which the old voters' grants are over at once and a standby may carry
/// the address.
fn golden_store() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let golden = repository().join("src/state/tests/golden/full/.");
    let copied = Process::new("cp").arg("-r").arg(&golden).arg(folder.path()).status().unwrap();
    assert!(copied.success(), "{}", golden.display());
    let cluster = folder.path().join("egret.dev/egressclusters/cluster.yaml");
    let text = std::fs::read_to_string(&cluster).unwrap();
    std::fs::write(&cluster, text.replace("tMax: 10s", "tMax: 10ms")).unwrap();
    let nodes = folder.path().join("workloads/nodes.yaml");
    let text = std::fs::read_to_string(&nodes).unwrap();
    std::fs::write(&nodes, text.replace("unschedulable: true", "unschedulable: false")).unwrap();
    let node = folder.path().join("egret.dev/egressnodes/node-2.yaml");
    let text = std::fs::read_to_string(&node).unwrap();
    let uplinks = "uplinks: [{name: eth0, subnets: [203.0.113.2/27]}]";
    std::fs::write(&node, text.replace("uplinks: []", uplinks)).unwrap();
    let init = Process::new(egret()).args(["init", "--manifests"]).arg(folder.path()).output();
    assert!(init.unwrap().status.success());
    folder
}

fn egret() -> PathBuf {
    egret_lab::binary(None).unwrap()
}

/// Runs it over a store of its own; says how it failed.
pub fn over_a_store(command: &Command) -> Option<String> {
    let store = golden_store();
    let line = filled_in(&as_binary(&command.line));
    let arguments = line.strip_prefix("egret ").unwrap();
    // One word is a name, whose help has to be there.
    let name_alone = command.block.is_none() && is_name_alone(arguments);
    let help = if name_alone { " --help" } else { "" };
    let line = format!("\"$EGRET\" {arguments}{help}");
    let mut process = Process::new("sh");
    process.args(["-c", &line]).env("EGRET", egret()).stdin(Stdio::null());
    process.env("EGRET_MANIFESTS", store.path());
    failure(command, &line, process)
}

fn is_name_alone(arguments: &str) -> bool {
    let alone = ["status", "events", "voters", "uninstall", "--help", "--version"];
    !arguments.contains(' ') && !alone.contains(&arguments)
        || arguments == "voters reset"
        || arguments == "controller --t-max"
}

/// Runs those of a block one after the other on one API server.
pub fn on_an_api_server(commands: &[&Command]) -> Vec<String> {
    let server = ApiServer::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(repository().join("deploy"), folder.path().join("deploy")).unwrap();
    std::fs::write(folder.path().join("values.yaml"), "{}\n").unwrap();
    server.kubectl().apply("{apiVersion: v1, kind: Node, metadata: {name: node-3}}").unwrap();
    let run = |line: &str| {
        let mut process = server.kubectl().command(Path::new("sh"));
        let path = std::env::var("PATH").unwrap();
        let tools = binary("kubectl").unwrap().parent().unwrap().display().to_string();
        process.args(["-c", line]).env("PATH", format!("{tools}:{path}"));
        process.env("HOME", server.dir()).current_dir(folder.path());
        process
    };
    let installs = |command: &&Command| {
        let line = &command.line;
        ["helm install", "-k deploy/kustomize", "-f deploy/crds", "create namespace"]
            .iter()
            .any(|begin| line.contains(begin))
    };
    let mut failures = Vec::new();
    if !commands.iter().any(installs) {
        let install = "helm install egret deploy/helm/egret -n egret-system --create-namespace && \
                       kubectl apply -f deploy/examples && kubectl apply -f - <<E\n";
        let upgrade = "helm upgrade egret deploy/helm/egret -n egret-system";
        let line = format!("{install}{OBJECTS}E\n{upgrade}");
        let done = run(&line).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        if !done.status.success() {
            failures.push(format!("cannot install: {said}"));
        }
    }
    for command in commands.iter().filter(|command| exempted(&command.line).is_none()) {
        let line = filled_in(&command.line);
        failures.extend(failure(command, &line, run(&line)));
    }
    failures
}

/// What a controller would have made.
const OBJECTS: &str = "\
apiVersion: egret.dev/v1alpha1
kind: EgressAddress
metadata: {name: 203.0.113.17}
spec:
  address: 203.0.113.17
  claimRef: {namespace: payments, name: bank, uid: u}
  poolRef: {name: partners}
  owner: node-3
  standbys: []
  fence: 7
  lease: 450ms
---
apiVersion: egret.dev/v1alpha1
kind: EgressCluster
metadata: {name: cluster}
spec: {id: c, tMax: 10s}
";

/// Whether `make` knows what it would do.
pub fn without_doing_it(command: &Command) -> Option<String> {
    let line = format!("{} -n", command.line);
    let mut process = Process::new("sh");
    process.args(["-c", &line]).current_dir(repository());
    failure(command, &line, process)
}

fn failure(command: &Command, line: &str, mut process: Process) -> Option<String> {
    let done = process.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    let text = || format!("{}: `{}`, run as `{line}`: {said}", command.page, command.line);
    (!done.status.success()).then(text)
}
