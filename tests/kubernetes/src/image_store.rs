use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use egret_lab::{Daemon, wait_until};

use crate::api_server::tail;
use crate::kubectl::succeeded;

/// What a containerd keeps, with the images of a cluster imported and unpacked. Every worker's begins with
/// a copy, so that 200 MB are unpacked once.
#[derive(Debug)]
pub(crate) struct ImageStore {
    root: PathBuf,
}

impl ImageStore {
    /// Imports archives by a containerd in `dir` that runs for that alone.
    ///
    /// # Errors
    /// Where it does not start, with its log, and where it refuses an archive.
    pub(crate) fn import(dir: &Path, archives: &[PathBuf]) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let (socket, config) = (dir.join("containerd.sock"), dir.join("containerd.toml"));
        let root = dir.join("containerd");
        std::fs::write(&config, configuration(dir, &root, &socket))?;
        // What it mounts to unpack an image is its own.
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "containerd", "--config"])
            .arg(&config);
        let mut containerd = Daemon::start(command, &dir.join("containerd.log"))?;
        let ctr = |arguments: &[&str]| {
            let mut command = Command::new("ctr");
            command.arg("--address").arg(&socket).args(["--namespace", "k8s.io"]).args(arguments);
            succeeded("ctr", arguments, &command.stdin(Stdio::null()).output()?)
        };
        wait_until("containerd", PATIENCE, || ctr(&["version"]).ok())
            .with_context(|| tail(containerd.log()))?;
        for archive in archives {
            ctr(&["image", "import", &archive.to_string_lossy()])?;
        }
        containerd.stop(PATIENCE)?;
        Ok(Self { root })
    }

    /// Gives `root`, which is not there yet, to another containerd. Files of images are never written again and are
    /// shared; databases are copied.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn copy_to(&self, root: &Path) -> Result<()> {
        let script = "set -e
cp -al \"$1\" \"$2\" 2>/dev/null || { rm -rf \"$2\"; cp -a \"$1\" \"$2\"; }
find \"$2\" -name '*.db' -exec sh -ec 'for db; do cp \"$db\" \"$db.own\"; mv \"$db.own\" \"$db\"; done' sh {} +";
        let mut command = Command::new("sh");
        let output = command.args(["-c", script, "sh"]).arg(&self.root).arg(root).output()?;
        succeeded("cp", &[&root.to_string_lossy()], &output).map(drop)
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Without the part for kubelets.
fn configuration(dir: &Path, root: &Path, socket: &Path) -> String {
    format!(
        "version = 2
root = \"{root}\"
state = \"{dir}/state\"
disabled_plugins = [\"io.containerd.grpc.v1.cri\"]
[grpc]
  address = \"{socket}\"
[plugins.\"io.containerd.internal.v1.opt\"]
  path = \"{dir}/opt\"
",
        root = root.display(),
        dir = dir.display(),
        socket = socket.display(),
    )
}
