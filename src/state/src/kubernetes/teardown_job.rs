//! What `egret uninstall` leaves behind for a node that is away: a Job that cleans it when it is back.
//!
//! The Job belongs to the Node. A node may be off for weeks, so no time ends it; who deletes the Node deletes the Job.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Map, Value, json};

use super::client::ApiClient;
use super::kind::{ObjectId, ResourceKind};
use crate::error::StoreError;

const AGENT: &str = "egret-agent";
/// How long a Job that has ended shows what came of it, in seconds.
const SHOWN_FOR: u32 = 86_400;
/// Tries, ever further apart, up to five minutes: the agent of before may still be ending.
const TRIES: u32 = 20;
/// The longest name whose pods can have it in a label.
const LONGEST_NAME: usize = 63;
/// Of the agent's pod. Neither its account nor its priority class is there any more when the Job runs.
const OF_POD: [&str; 5] =
    ["hostNetwork", "dnsPolicy", "securityContext", "imagePullSecrets", "volumes"];
const OF_CONTAINER: [&str; 5] =
    ["image", "imagePullPolicy", "env", "securityContext", "volumeMounts"];
/// Flags of the agent that say where on the host something of Egret's is.
const PLACES: [&str; 5] =
    ["--bpffs=", "--run-dir=", "--state-dir=", "--cni-bin-dir=", "--cni-conf-dir="];

/// Makes the Job for `node` from the agents' DaemonSet. Returns its name, also where it is there already;
/// `None` where there is no such Node.
pub async fn leave(
    api: &ApiClient,
    namespace: &str,
    node: &str,
) -> Result<Option<String>, StoreError> {
    let node = ObjectId::cluster(ResourceKind::Node, node).checked()?;
    let Some(found) = api.find(&node).await? else { return Ok(None) };
    let agents = ObjectId::namespaced(ResourceKind::DaemonSet, namespace, AGENT);
    let agents = api.get(&agents).await?;
    let id = ObjectId::namespaced(ResourceKind::Job, namespace, job_name(&node.name));
    let job = job(&id, &agents, &found).ok_or_else(|| {
        StoreError::Invalid(format!("the DaemonSet {namespace}/{AGENT} has no container"))
    })?;
    match api.create(&id, &job).await {
        Err(error) if error.code() != Some(409) => Err(error),
        _ => Ok(Some(id.name)),
    }
}

fn job_name(node: &str) -> String {
    let name = format!("egret-teardown-{node}");
    // A dot would be in the host name of its pods.
    if name.len() <= LONGEST_NAME && !name.contains('.') {
        return name;
    }
    let readable: String = name.replace('.', "-").chars().take(LONGEST_NAME - 17).collect();
    let mut hasher = DefaultHasher::new();
    node.hash(&mut hasher);
    format!("{}-{:016x}", readable.trim_end_matches('-'), hasher.finish())
}

fn job(id: &ObjectId, agents: &Value, node: &Value) -> Option<Value> {
    let pod = &agents["spec"]["template"]["spec"];
    let agent = pod["containers"].get(0)?;
    let arguments = agent["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let places = arguments.filter(|argument| PLACES.iter().any(|its| argument.starts_with(its)));
    let mut container = taken(agent, &OF_CONTAINER);
    container.insert("name".to_owned(), json!("teardown"));
    let arguments: Vec<&str> = ["teardown"].into_iter().chain(places).collect();
    container.insert("args".to_owned(), json!(arguments));
    let mut spec = taken(pod, &OF_POD);
    spec.extend([
        ("nodeName".to_owned(), node["metadata"]["name"].clone()),
        ("tolerations".to_owned(), json!([{"operator": "Exists"}])),
        ("automountServiceAccountToken".to_owned(), json!(false)),
        ("restartPolicy".to_owned(), json!("OnFailure")),
        ("containers".to_owned(), json!([container])),
    ]);
    let labels = json!({
        "app.kubernetes.io/name": "egret", "app.kubernetes.io/component": "teardown",
    });
    Some(json!({
        "apiVersion": id.kind.api_version(), "kind": id.kind.name(),
        "metadata": {
            "name": id.name, "namespace": id.namespace, "labels": labels,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Node",
                "name": node["metadata"]["name"], "uid": node["metadata"]["uid"],
            }],
        },
        "spec": {
            "backoffLimit": TRIES, "ttlSecondsAfterFinished": SHOWN_FOR,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }))
}

fn taken(from: &Value, fields: &[&str]) -> Map<String, Value> {
    let present = fields.iter().filter_map(|field| Some(((*field).to_owned(), from.get(*field)?)));
    present.map(|(field, value)| (field, value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_agents_pod_with_another_command_and_nothing_that_goes_with_the_chart() {
        let agents = json!({"spec": {"template": {"spec": {
            "serviceAccountName": AGENT, "priorityClassName": "mine", "hostNetwork": true,
            "nodeSelector": {"a": "b"},
            "containers": [{
                "name": "agent", "image": "egret:1", "ports": [{"containerPort": 9102}],
                "args": ["agent", "--cni-bin-dir=/host/bin", "--cni-fail-closed", "--cni-conf-dir=/host/net.d"],
            }],
        }}}});
        let node = json!({"metadata": {"name": "worker-7", "uid": "u-7"}});
        let id = ObjectId::namespaced(ResourceKind::Job, "egret-system", job_name("worker-7"));
        let job = job(&id, &agents, &node).unwrap();
        assert_eq!(job["metadata"]["name"], "egret-teardown-worker-7");
        assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], "u-7");
        let pod = &job["spec"]["template"]["spec"];
        let container = json!({
            "name": "teardown", "image": "egret:1",
            "args": ["teardown", "--cni-bin-dir=/host/bin", "--cni-conf-dir=/host/net.d"],
        });
        let wanted = json!({
            "hostNetwork": true, "nodeName": "worker-7", "restartPolicy": "OnFailure",
            "tolerations": [{"operator": "Exists"}], "automountServiceAccountToken": false,
            "containers": [container],
        });
        assert_eq!(*pod, wanted);
    }

    #[test]
    fn every_node_has_a_job_of_its_own() {
        let long = "a".repeat(200);
        let names =
            ["worker-7", "worker-7.example.com", "worker-7-example.com", &long].map(job_name);
        for name in &names {
            assert!(name.len() <= LONGEST_NAME && !name.contains('.'), "{name}");
        }
        assert_ne!(names[1], names[2]);
        assert_eq!(names[0], "egret-teardown-worker-7");
    }
}
