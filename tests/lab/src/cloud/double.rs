use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use egret_netns::NetworkNamespace;
use serde_json::Value;

/// Longer than any wait for a change that is asked for.
const PATIENCE: Duration = Duration::from_secs(40);
/// Where public addresses come from: what the laboratory knows as egress addresses.
const PUBLIC: &str = "203.0.113.16/28";

/// A cloud's double, as a program of Python.
#[derive(Clone, Copy, Debug)]
pub(super) struct DoubleProgram {
    /// What it is a double of.
    of: &'static str,
    /// Its directory in `tests` and in `target`, and the end of `make setup-…`.
    part: &'static str,
    module: &'static str,
    /// The option that says where public addresses come from.
    pool: &'static str,
}

/// EC2.
pub(super) const EC2: DoubleProgram =
    DoubleProgram { of: "EC2", part: "aws", module: "egret_ec2", pool: "--elastic-pool" };
/// Compute Engine.
pub(super) const GCE: DoubleProgram = DoubleProgram {
    of: "Compute Engine",
    part: "gcp",
    module: "egret_gce",
    pool: "--external-pool",
};

/// A double as a process on every address of a namespace; it ends with this, or with this program.
#[derive(Debug)]
pub(super) struct DoubleProcess {
    child: Child,
    api: DoubleApi,
}

/// How to reach it: sockets belong to the namespace that they are made in.
#[derive(Clone, Debug)]
pub(super) struct DoubleApi {
    net: String,
    address: SocketAddr,
}

impl DoubleProcess {
    pub(super) fn start(
        program: &DoubleProgram,
        net: &NetworkNamespace,
        log: &Path,
    ) -> Result<Self> {
        let DoubleProgram { of, part, module, pool } = program;
        let mut command = net.command(&python(part)?.to_string_lossy());
        command
            .args(["-m", module, "--listen", "0.0.0.0:0", "--until-eof"])
            .args([pool, PUBLIC])
            .env("PYTHONPATH", tests().join(part).join("double"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log)?);
        let mut child = command.spawn().with_context(|| format!("the double of {of}"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let text = line.trim().strip_prefix("listening on http://");
        let Some(address) = text.and_then(|a| a.parse::<SocketAddr>().ok()) else {
            let _ = child.kill();
            let _ = child.wait();
            let said = std::fs::read_to_string(log).unwrap_or_default();
            bail!("the double of {of} ended at once (make setup-{part}): {line}{said}");
        };
        let address = (Ipv4Addr::LOCALHOST, address.port()).into();
        Ok(Self { child, api: DoubleApi { net: net.path(), address } })
    }

    pub(super) fn api(&self) -> &DoubleApi {
        &self.api
    }

    pub(super) fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for DoubleProcess {
    fn drop(&mut self) {
        self.end();
    }
}

impl DoubleApi {
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Asks the control API or the cloud's own, from any thread.
    pub(super) fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let mut stream = {
            let _inside = egret_netns::enter(&self.net);
            TcpStream::connect(self.address)?
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let bare = ["GET", "DELETE"].contains(&method);
        let body = if bare { String::new() } else { body.to_string() };
        let head = "HTTP/1.0\r\nContent-Type: application/json";
        let length = body.len();
        write!(stream, "{method} {path} {head}\r\nContent-Length: {length}\r\n\r\n{body}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
        ensure!(head.contains(" 200 "), "{method} {path}: {answer}");
        Ok(serde_json::from_str(body)?)
    }

    /// Does something at EC2 by hand, as a person with boto3; returns what it printed.
    pub(super) fn by_hand(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.net)).arg("--").arg(python(EC2.part)?);
        command.arg(tests().join("lab/src/cloud/account.py")).arg(self.url()).args(arguments);
        let output = command.stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "account.py {arguments:?}: {said}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn python(part: &str) -> Result<PathBuf> {
    let python = tests().join("../target").join(part).join("venv/bin/python");
    ensure!(python.exists(), "{} is missing: make setup-{part}", python.display());
    Ok(python)
}
