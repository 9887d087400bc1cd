use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

/// Where an API server listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// On 127.0.0.1 of this process's own network namespace, at free ports: reachable from this
    /// process and from no other namespace.
    #[default]
    Loopback,
    /// On an address of a network namespace, at port 6443.
    Namespace {
        /// The file that names the namespace.
        path: String,
        /// The address, which must be there.
        address: Ipv4Addr,
    },
}

impl Place {
    pub(crate) fn address(&self) -> IpAddr {
        match self {
            Self::Loopback => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Self::Namespace { address, .. } => IpAddr::V4(*address),
        }
    }

    pub(crate) fn path(&self) -> Option<String> {
        match self {
            Self::Loopback => None,
            Self::Namespace { path, .. } => Some(path.clone()),
        }
    }

    /// A command there.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let Some(path) = self.path() else { return Command::new(program) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={path}")).arg("--").arg(program);
        command
    }

    /// What `curl` is answered there.
    ///
    /// # Errors
    /// Where it is not answered, or not with success.
    pub(crate) fn curl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(Path::new("curl"));
        let output: Output = command
            .args(["-sS", "--fail-with-body"])
            .args(arguments)
            .output()
            .context("cannot run curl: install it with `tests/setup.sh kubernetes`")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{said}{text}");
        Ok(text)
    }
}

/// A Go program that lives for one test: its heap grows to five times what is in use before it is collected,
/// not to twice. A third of what an API server computes until it is ready is collection.
pub(crate) fn short_lived(mut command: Command) -> Command {
    command.env("GOGC", "400");
    command
}
