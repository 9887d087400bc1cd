use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// `kubectl` as one user of one cluster.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    /// The network namespace that reaches the API server; `None`: this process's own.
    net: Option<String>,
}

impl Kubectl {
    pub(crate) fn new(kubeconfig: &Path, net: Option<String>) -> Result<Self> {
        let program = crate::binary("kubectl")?;
        Ok(Self { program, kubeconfig: kubeconfig.to_owned(), net })
    }

    /// The file that says where the API server is and who asks.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A command in the namespace that reaches the API server, with `KUBECONFIG` set.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = match &self.net {
            None => Command::new(program),
            Some(path) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={path}")).arg("--").arg(program);
                command
            }
        };
        command.env("KUBECONFIG", &self.kubeconfig);
        // What it learns of the API's kinds is of this cluster alone.
        let beside = self.kubeconfig.parent().unwrap_or(Path::new("/"));
        command.env("KUBECACHEDIR", beside.join("kubectl-cache")).stdin(Stdio::null());
        command
    }

    /// Runs `kubectl` and returns how it ended.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn output(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(&self.program);
        command.args(arguments).output().context("cannot run kubectl")
    }

    /// Runs `kubectl`, which has to succeed; returns what it printed.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        succeeded("kubectl", arguments, &self.output(arguments)?)
    }

    /// Runs `kubectl` with `input` as its standard input and returns how it ended.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn feed(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut command = self.command(&self.program);
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot run kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            // Where it has ended before it read everything, its status says why.
            let _ = stdin.write_all(input.as_bytes());
        }
        Ok(child.wait_with_output()?)
    }

    /// Applies YAML documents, server-side.
    ///
    /// # Errors
    /// Where the API server refuses one, with what it said.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        succeeded("kubectl", &arguments, &self.feed(&arguments, yaml)?)
    }

    /// Applies a file or every file of a folder, server-side.
    ///
    /// # Errors
    /// Where the API server refuses one, with what it said.
    pub fn apply_path(&self, path: &Path) -> Result<String> {
        let path = path.to_string_lossy();
        self.ask(&["apply", "--server-side", "--force-conflicts", "-f", &path])
    }

    /// `kubectl get … -o json`, parsed.
    ///
    /// # Errors
    /// Where there is none such.
    pub fn get(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.ask(&[&["get", "-o", "json"], arguments].concat())?;
        serde_json::from_str(&text).context("kubectl get -o json")
    }
}

/// What a command printed, where it has succeeded.
pub(crate) fn succeeded(program: &str, arguments: &[&str], output: &Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}: {said}{text}", arguments.join(" "), output.status);
    }
    Ok(text)
}
