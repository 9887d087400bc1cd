//! Runs specs of the suite, each in a process of its own.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};
use egret_kubernetes::{Kubectl, TestCluster, binary, conformance};
use egret_lab::say;

use super::report::{self, SpecOutcome};

/// How the suite calls itself; its filters see this before a spec's name.
const SUITE: &str = "Kubernetes e2e suite";
/// What a spec may take, and then its cleaning up, until its process is killed: minutes.
const LIMITS: [u8; 2] = [10, 12];

/// The suite, and where its reports and logs are kept.
pub(super) struct Suite {
    program: PathBuf,
    logs: PathBuf,
}

impl Suite {
    /// With the reports and logs of the last run removed.
    ///
    /// # Errors
    /// Where it has not been built.
    pub(super) fn new() -> Result<Self> {
        let program = conformance("e2e.test")?;
        let logs = program.with_file_name("logs");
        if logs.exists() {
            std::fs::remove_dir_all(&logs)?;
        }
        std::fs::create_dir_all(&logs)?;
        Ok(Self { program, logs })
    }

    /// The names of all its specs of the network.
    ///
    /// # Errors
    /// Where it does not list them.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let path = self.logs.join("all.json");
        let mut command = Command::new(&self.program);
        command.arg("--ginkgo.dry-run").arg(format!("--ginkgo.json-report={}", path.display()));
        let output = command.stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        report::names(&std::fs::read_to_string(path)?)
    }

    /// Runs specs on a cluster, some at once; `what` names the run in the names of logs.
    ///
    /// # Errors
    /// Where one was not run, or its report cannot be read.
    pub(super) fn run(
        &self,
        cluster: &TestCluster,
        what: &str,
        names: &[String],
        jobs: u8,
    ) -> Result<BTreeMap<String, SpecOutcome>> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let queue: Mutex<VecDeque<_>> = Mutex::new(names.iter().enumerate().collect());
        let outcomes = Mutex::new(BTreeMap::new());
        let kubectl = cluster.kubectl();
        say::counted(&format!("{} specs {what}", names.len()), |progress| {
            std::thread::scope(|scope| {
                let work = || -> Result<()> {
                    while let Some((number, name)) = taken(&queue) {
                        let outcome = self.spec(kubectl, &format!("{what}-{number}"), name);
                        // What stands in one's way stands in that of all.
                        let outcome = outcome.inspect_err(|_| emptied(&queue))?;
                        let mut done = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                        done.insert(name.clone(), outcome);
                        progress.at(format!("{} of {}", done.len(), names.len()));
                    }
                    Ok(())
                };
                let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
                threads.into_iter().try_for_each(|thread| {
                    thread.join().map_err(|_| anyhow!("a thread of the suite panicked"))?
                })
            })
        })?;
        Ok(outcomes.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn spec(&self, kubectl: &Kubectl, log: &str, name: &str) -> Result<SpecOutcome> {
        let path = self.logs.join(log.replace(' ', "-"));
        let (json, text) = (path.with_extension("json"), path.with_extension("log"));
        let said = std::fs::File::create(&text)?;
        let [spec, all] = LIMITS.map(|minutes| format!("{minutes}m"));
        let mut command = kubectl.command("timeout".as_ref());
        command
            .arg("--kill-after=10s")
            .arg(all)
            .arg(&self.program)
            .arg(format!("--kubeconfig={}", kubectl.kubeconfig().display()))
            .arg(format!("--kubectl-path={}", binary("kubectl")?.display()))
            .args(["--provider=skeleton", "--ginkgo.no-color", "--ginkgo.v"])
            .arg(format!("--ginkgo.timeout={spec}"))
            .arg(format!("--ginkgo.focus=^{}$", quoted(&format!("{SUITE} {name}"))))
            .arg(format!("--ginkgo.json-report={}", json.display()))
            .stdout(said.try_clone()?)
            .stderr(said);
        let status = command.status()?;
        // Who was killed has written no report.
        if status.code() == Some(124) || status.code() == Some(137) {
            return Ok(SpecOutcome::Failed(format!("it did not end within {} minutes", LIMITS[1])));
        }
        let written = std::fs::read_to_string(&json);
        let written = written.with_context(|| format!("{status}; see {}", text.display()))?;
        // More than a megabyte each, and the log has what is of this spec.
        std::fs::remove_file(&json)?;
        let outcome = report::outcome(&written, name)
            .with_context(|| format!("{name}; see {}", text.display()))?;
        Ok(match outcome {
            SpecOutcome::Failed(said) => {
                SpecOutcome::Failed(format!("{said} ({})", text.display()))
            }
            other => other,
        })
    }
}

fn taken<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn emptied<T>(queue: &Mutex<VecDeque<T>>) {
    queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// A regular expression that matches this text alone.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for character in text.chars() {
        if !character.is_alphanumeric() && character != ' ' {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_is_no_pattern() {
        let name = super::quoted("[sig-network] DNS (1.2) for a_b, c: /x");
        assert_eq!(name, r"\[sig\-network\] DNS \(1\.2\) for a\_b\, c\: \/x");
    }
}
