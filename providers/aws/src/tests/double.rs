//! The EC2 double as a child process, and the account in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::config::Credentials;
use egret_core::model::NodeName;
use egret_ports::provider::Inventory;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{Aws, AwsOptions, CallMetrics};

/// A running double; it ends with this, or with the test's process.
#[derive(Debug)]
pub(super) struct Ec2Double {
    program: UnixStream,
    address: String,
    pub world: Ec2Fixture,
    pub inventory: watch::Sender<Arc<Inventory>>,
}

/// What `world.py build` made.
#[derive(Clone, Debug)]
pub(super) struct Ec2Fixture {
    pub nodes: BTreeMap<NodeName, String>,
    pub interfaces: BTreeMap<String, String>,
    pub elastic: Vec<IpAddr>,
    pub v4: Vec<IpAddr>,
    pub v6: Vec<IpAddr>,
}

/// What `forks.py` forks from. It ends with the tests' process, which closes its standard input.
struct Forks {
    _program: Child,
    name: String,
}

static FORKS: LazyLock<Forks> = LazyLock::new(Forks::start);

impl Forks {
    fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = folder.join("../..");
        let python = root.join("target/aws/venv/bin/python");
        assert!(python.exists(), "{} is missing: run tests/setup.sh aws", python.display());
        let mut program = Command::new(python)
            .arg(folder.join("src/tests/forks.py"))
            .env("PYTHONPATH", root.join("tests/aws/double"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("forks.py starts");
        let mut name = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut name).unwrap();
        assert!(!name.is_empty(), "run tests/setup.sh aws: forks.py ended at once");
        Self { _program: program, name: name.trim_end().to_owned() }
    }

    /// A program's standard input and output.
    fn run(&self, words: &[&str]) -> UnixStream {
        let address = SocketAddr::from_abstract_name(&self.name).unwrap();
        let mut stream = UnixStream::connect_addr(&address).expect("forks.py answers");
        writeln!(stream, "{}", json!(words)).unwrap();
        stream
    }
}

impl Ec2Double {
    pub fn start() -> Self {
        let program = FORKS.run(&["double", "--listen", "127.0.0.1:0", "--until-eof"]);
        let mut lines = BufReader::new(program.try_clone().unwrap()).lines();
        let line = lines.next().expect("the double ended at once").unwrap();
        let address = line.strip_prefix("listening on http://").expect("its first line").to_owned();
        // What it says later has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        let built = boto3(&address, &["build"]);
        let world = Ec2Fixture {
            nodes: texts(&built["nodes"]).into_iter().map(|(k, v)| (NodeName::new(k), v)).collect(),
            interfaces: texts(&built["interfaces"]).into_iter().collect(),
            elastic: addresses(&built["elastic"]),
            v4: addresses(&built["v4"]),
            v6: addresses(&built["v6"]),
        };
        let inventory = Inventory { nodes: world.nodes.clone(), addresses: BTreeMap::new() };
        Self { program, address, world, inventory: watch::Sender::new(Arc::new(inventory)) }
    }

    /// A provider: a process of its own, as far as EC2 can tell.
    pub async fn provider(&self, change: impl FnOnce(&mut AwsOptions)) -> Aws {
        self.provider_counting(CallMetrics::default(), change).await
    }

    pub async fn provider_counting(
        &self,
        calls: CallMetrics,
        change: impl FnOnce(&mut AwsOptions),
    ) -> Aws {
        let mut options = AwsOptions {
            region: Some("eu-central-1".into()),
            endpoint: Some(format!("http://{}", self.address)),
            max_calls_per_second: 1_000.0,
            limits: 1_000.0,
            collect: Duration::from_millis(2),
            horizon: Duration::from_secs(1),
            settle: Duration::from_secs(30),
            ..AwsOptions::default()
        };
        change(&mut options);
        let keys = Credentials::new("AKIAIOSFODNN7EXAMPLE", "none", None, None, "test");
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .credentials_provider(keys)
            .region(Region::new("eu-central-1"));
        Aws::with(options, self.inventory.subscribe(), calls, loader).await
    }

    /// Asks the double's control API.
    pub fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        control(&self.address, method, path, body)
    }

    pub fn set(&self, what: &str, body: Value) {
        self.control("POST", &format!("/egret/{what}"), &body);
    }

    /// What boto3 reads.
    pub fn read(&self) -> Value {
        boto3(&self.address, &["read"])
    }

    pub fn by_hand(&self, arguments: &[&str]) -> Value {
        boto3(&self.address, arguments)
    }

    /// Adds gateways `l1`, `l2` and `l3`, and so many Elastic IPs, which it returns.
    pub fn enlarge(&mut self, addresses: usize) -> Vec<IpAddr> {
        self.set("quota", json!({"addresses": addresses + 10}));
        let made = self.by_hand(&["large", &addresses.to_string()]);
        let nodes = texts(&made["nodes"]).into_iter();
        self.world.nodes.extend(nodes.map(|(name, id)| (NodeName::new(name), id)));
        self.world.interfaces.extend(texts(&made["interfaces"]));
        let nodes = self.world.nodes.clone();
        let inventory = Inventory { nodes, addresses: BTreeMap::new() };
        self.inventory.send_replace(Arc::new(inventory));
        self.take_calls();
        self::addresses(&made["elastic"])
    }

    /// The number of each action since the last time, without faults' retries told apart.
    pub fn take_calls(&self) -> BTreeMap<String, u64> {
        let calls = self.control("GET", "/egret/calls", &json!({}));
        self.set("calls/reset", json!({}));
        let by_action = calls["by_action"].as_object().unwrap();
        by_action.iter().map(|(action, count)| (action.clone(), count.as_u64().unwrap())).collect()
    }

    /// How many calls of an action were answered within so many seconds, at most.
    pub fn most_within(&self, action: &str, seconds: f64) -> usize {
        let calls = self.control("GET", "/egret/calls", &json!({}));
        let calls = calls["calls"].as_array().unwrap().iter();
        let times = calls.filter(|call| call["action"] == action);
        let times: Vec<f64> = times.map(|call| call["time"].as_f64().unwrap()).collect();
        let within = |begin: &f64| {
            times.iter().filter(|time| (*begin..*begin + seconds).contains(*time)).count()
        };
        times.iter().map(within).max().unwrap_or(0)
    }

    /// The actions that were answered with `code`.
    pub fn failed_with(&self, code: &str) -> BTreeSet<String> {
        let calls = self.control("GET", "/egret/calls", &json!({}));
        let calls = calls["calls"].as_array().unwrap().iter();
        let failed = calls.filter(|call| call["result"] == code);
        failed.map(|call| call["action"].as_str().unwrap().to_owned()).collect()
    }

    pub fn node(&self, name: &str) -> NodeName {
        assert!(self.world.nodes.contains_key(&NodeName::from(name)), "{name}");
        name.into()
    }
}

impl Drop for Ec2Double {
    fn drop(&mut self) {
        // The end of its input.
        drop(self.program.shutdown(Shutdown::Both));
    }
}

fn boto3(address: &str, arguments: &[&str]) -> Value {
    let url = format!("http://{address}");
    let mut stream = FORKS.run(&[&["world", &url], arguments].concat());
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    let failed = |error| panic!("world.py {arguments:?} failed: {error}: {said}");
    serde_json::from_str(&said).unwrap_or_else(failed)
}

fn control(address: &str, method: &str, path: &str, body: &Value) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
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

fn texts(value: &Value) -> Vec<(String, String)> {
    let texts = value.as_object().unwrap().iter();
    texts.map(|(key, value)| (key.clone(), value.as_str().unwrap().into())).collect()
}

fn addresses(value: &Value) -> Vec<IpAddr> {
    let addresses = value.as_array().unwrap().iter();
    addresses.map(|address| address.as_str().unwrap().parse().unwrap()).collect()
}
