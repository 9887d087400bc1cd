//! The double of Compute Engine as a child process, and the project in it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use egret_core::model::NodeName;
use egret_ports::provider::Inventory;
use google_cloud_auth::credentials::{Credentials, anonymous};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::alias_range::MOST_ALIASES;
use crate::ha_policy::HaPolicy;
use crate::mode::DeliveryMode;
use crate::{Gcp, GcpOptions};

/// A running double; it ends with this, or with the test's process.
#[derive(Debug)]
pub(super) struct GceDouble {
    child: Child,
    address: String,
    pub nodes: BTreeMap<NodeName, String>,
    pub external: Vec<IpAddr>,
    pub internal: Vec<IpAddr>,
    pub inventory: watch::Sender<Arc<Inventory>>,
}

/// Of nodes and addresses.
pub(super) const PROJECT: &str = "egret";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl GceDouble {
    /// Nodes a1, a2 and b1 in two zones of one region, and `abroad` in another region of the same
    /// network; static addresses, external and internal, in the first.
    pub fn start() -> Self {
        Self::build(PROJECT, "pods")
    }

    /// The same, with the network in another project (Shared VPC).
    pub fn with_network_of(host: &str) -> Self {
        Self::build(host, "pods")
    }

    /// The same, with nodes that have no range for pods.
    pub fn without_pods() -> Self {
        Self::build(PROJECT, "")
    }

    fn build(host: &str, pods: &str) -> Self {
        let python = root().join("target/gcp/venv/bin/python");
        assert!(python.exists(), "{} is missing: run tests/setup.sh gcp", python.display());
        let mut child = Command::new(python)
            .args(["-m", "egret_gce", "--listen", "127.0.0.1:0", "--until-eof"])
            .env("PYTHONPATH", root().join("tests/gcp/double"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the double starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().expect("run tests/setup.sh gcp: the double ended at once").unwrap();
        let address = line.strip_prefix("listening on http://").expect("its first line").to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        let mut double = Self {
            child,
            address,
            nodes: BTreeMap::new(),
            external: Vec::new(),
            internal: Vec::new(),
            inventory: watch::Sender::default(),
        };
        double.add_project(host, pods);
        double
    }

    fn add_project(&mut self, host: &str, pods: &str) {
        let node = |name: &str, zone: &str| json!({"name": name, "zone": zone, "pods": pods});
        let labelled = |name: &str| json!({"name": name, "labels": {"pool": "shop"}});
        let home = self.control(
            "POST",
            "/egret/build",
            &json!({
                "host_project": host,
                "region": "europe-west3",
                "nodes": [node("a1", "europe-west3-a"), node("a2", "europe-west3-a"), node("b1", "europe-west3-b")],
                "external": [labelled("bank-1"), labelled("bank-2"), {"name": "spare"}],
                "internal": [{"name": "inner-1"}, {"name": "inner-2"}],
            }),
        );
        let abroad = self.control(
            "POST",
            "/egret/build",
            &json!({
                "host_project": host,
                "region": "europe-west4",
                "subnetworks": [{"name": "abroad", "cidr": "10.4.0.0/24"}],
                "nodes": [{"name": "abroad", "zone": "europe-west4-a"}],
            }),
        );
        self.add_nodes(&home);
        self.add_nodes(&abroad);
        let addresses = |kind: &str| {
            let all = home[kind].as_array().unwrap().iter();
            all.map(|one| one["address"].as_str().unwrap().parse().unwrap()).collect()
        };
        (self.external, self.internal) = (addresses("external"), addresses("internal"));
    }

    fn add_nodes(&mut self, built: &Value) {
        for node in built["nodes"].as_array().unwrap() {
            let id = node["provider_id"].as_str().unwrap();
            self.nodes.insert(NodeName::from(node["name"].as_str().unwrap()), id.to_owned());
        }
        let inventory = Inventory { nodes: self.nodes.clone(), addresses: BTreeMap::new() };
        self.inventory.send_replace(Arc::new(inventory));
    }

    /// Adds a node `full` whose interface has as many alias ranges as Google allows.
    pub fn add_full(&mut self) {
        let node = json!({"name": "full", "zone": "europe-west3-a", "pods": ""});
        let built = json!({"region": "europe-west3", "nodes": [node]});
        let built = self.control("POST", "/egret/build", &built);
        self.add_nodes(&built);
        let path = "/compute/v1/projects/egret/zones/europe-west3-a/instances/full";
        let instance = self.control("GET", path, &Value::Null);
        let range = json!({"ipCidrRange": "/32", "subnetworkRangeName": "pods"});
        let body = json!({
            "fingerprint": instance["networkInterfaces"][0]["fingerprint"],
            "aliasIpRanges": vec![range; MOST_ALIASES],
        });
        let update = format!("{path}/updateNetworkInterface?networkInterface=nic0");
        self.control("PATCH", &update, &body);
        self.set("finish", json!({}));
    }

    /// A provider: a process of its own, as far as Google can tell.
    pub async fn provider(&self) -> Gcp {
        self.provider_with(anonymous::Builder::new().build()).await
    }

    pub async fn provider_with(&self, credentials: Credentials) -> Gcp {
        self.provider_of(&HaPolicy, credentials).await
    }

    /// For pools of a mode.
    pub async fn mode(&self, mode: &'static dyn DeliveryMode) -> Gcp {
        self.provider_of(mode, anonymous::Builder::new().build()).await
    }

    async fn provider_of(&self, mode: &'static dyn DeliveryMode, credentials: Credentials) -> Gcp {
        let options = GcpOptions {
            endpoint: Some(self.url()),
            poll: (Duration::from_millis(10), Duration::from_millis(50)),
            settle: Duration::from_secs(30),
            ..GcpOptions::default()
        };
        let gcp = Gcp::new(mode, options, self.inventory.subscribe());
        gcp.with_credentials(credentials).await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks the double's control API.
    pub fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{method} {path}: {answer}");
        serde_json::from_str(body).unwrap_or(Value::Null)
    }

    pub fn set(&self, what: &str, body: Value) {
        self.control("POST", &format!("/egret/{what}"), &body);
    }

    pub fn state(&self) -> Value {
        self.control("GET", "/egret/state", &Value::Null)
    }

    /// How many resources of a zonal kind there are.
    pub fn count(&self, kind: &str) -> usize {
        let zones = ["europe-west3-a", "europe-west3-b", "europe-west4-a"];
        let of_zone = |zone: &str| {
            let path = format!("/compute/v1/projects/egret/zones/{zone}/{kind}");
            let list = self.control("GET", &path, &Value::Null);
            list["items"].as_array().map_or(0, Vec::len)
        };
        zones.into_iter().map(of_zone).sum()
    }

    /// How often each method was called since the last time.
    pub fn take_calls(&self) -> BTreeMap<String, u64> {
        let calls = self.control("GET", "/egret/calls", &Value::Null);
        self.set("calls/reset", json!({}));
        let by_method = calls["by_method"].as_object().unwrap();
        by_method.iter().map(|(method, count)| (method.clone(), count.as_u64().unwrap())).collect()
    }

    pub fn node(&self, name: &str) -> NodeName {
        assert!(self.nodes.contains_key(&NodeName::from(name)), "{name}");
        name.into()
    }
}

impl Drop for GceDouble {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
